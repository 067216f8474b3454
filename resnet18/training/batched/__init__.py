"""The operations of `training/augment.py` on whole batches, bit-identical to it, on any device."""

from collections.abc import Callable
from dataclasses import replace
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from resnet18.training.augment import Pipeline
from resnet18.training.batched import geometry, tensors
from resnet18.training.batched.colour import build_grayscale, build_jitter
from resnet18.training.batched.tensors import FLIP, FloatStep, ImageStep, Target
from resnet18.training.native import augmentation_kernels

CHUNK_PIXELS = 1 << 16
"""Pixels that a CPU works on at a time: their intermediate results stay in its second-level cache."""
BUILD: dict[str, Callable[..., ImageStep | None]] = {
    "color_jitter": build_jitter,
    "random_grayscale": build_grayscale,
    "random_resized_crop": geometry.build_resize,
    "random_crop": geometry.build_shift,
}
"""How to build the step on images, from the operation, its table and the target; None where no image changes."""


class BatchedPipeline:
    """A list of operations with the parameters of one epoch, on a device.

    What depends on rounding is computed here, on the CPU: whole numbers, and factors as float32, go to the device.
    Where `compiled`, a CPU may use `kernels.c`, if there is a compiler; results are the same.
    """

    def __init__(self, pipeline: Pipeline, device: torch.device, *, compiled: bool = True) -> None:
        self.pipeline, self.device = pipeline, device
        kernels = augmentation_kernels() if compiled and device.type == "cpu" else None
        target = Target(pipeline.stored_side, pipeline.size, device, kernels)
        self._on_images = _image_steps(pipeline, target)
        on_tensors: list[FloatStep] = [
            tensors.FLOATS[operation.name](operation, pipeline, target)
            for operation in pipeline.on_tensors
            if operation.name != FLIP  # which moved before `to_tensor`
        ]
        self._pack, self._to_tensor = tensors.build_pack(kernels), tensors.build_to_tensor(target)
        if kernels:
            by_channel = int(bool(pipeline.on_tensors) and pipeline.on_tensors[0].name == "normalize")
            self._to_tensor = tensors.build_spread(kernels, (self._to_tensor, *on_tensors[:by_channel]))
            on_tensors = on_tensors[by_channel:]
        self._on_tensors = on_tensors

    def __call__(self, pixels: Tensor, indices: Tensor) -> Tensor:
        """Return float32 [n, 3, size, size] from uint8 [n, side, side, 3], as stored.

        `indices` int64 [n] are those in the original data set. Values do not depend on which images share a batch.
        """
        pixels, rows = pixels.to(self.device), indices.contiguous().to(self.device)
        size = self.pipeline.size
        batch = torch.empty((len(pixels), tensors.CHANNELS, size, size), device=self.device)
        chunk = max(1, len(pixels))
        if self.device.type == "cpu":
            chunk = max(1, CHUNK_PIXELS // max(size, self.pipeline.stored_side) ** 2)
        for start in range(0, len(pixels), chunk):
            part = slice(start, start + chunk)
            image = self._pack(pixels[part])
            for step in self._on_images:
                image = step(image, rows[part])
            self._to_tensor(batch[part], image.contiguous())
            for change in self._on_tensors:
                change(batch[part], rows[part])
        return batch


def _image_steps(pipeline: Pipeline, target: Target) -> list[ImageStep]:
    """Return the steps on 8-bit images. Rotations and flips that follow one another become one movement.

    A flip of the tensor moves here: what else is there sees single pixels or erases.
    """
    steps: list[ImageStep | None] = []
    if pipeline.is_resized_first:
        whole = np.tile(np.array([0, 0, pipeline.stored_side, pipeline.stored_side]), (pipeline.images, 1))
        steps.append(geometry.build_resize(None, whole, target))
        target = replace(target, side=pipeline.size)
    operations = [*pipeline.on_images, *(after for after in pipeline.on_tensors if after.name == FLIP)]
    for moves, group in groupby(operations, key=lambda operation: operation.name in {FLIP, geometry.ROTATION}):
        if moves:
            names = [operation.name for operation in group]
            matrices = geometry.matrices_of(names, pipeline.tables, pipeline.images, target.side)
            steps.append(geometry.build_affine(matrices, target))
            continue
        for operation in group:
            steps.append(BUILD[operation.name](operation, pipeline.tables[operation.name], target))
            if operation.name == "random_resized_crop":
                target = replace(target, side=pipeline.size)
    return [step for step in steps if step]
