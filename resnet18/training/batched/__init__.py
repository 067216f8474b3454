"""The operations of `training/augment.py` on whole batches, bit-identical to it, on any device."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet18.training.augment import Pipeline
from resnet18.training.batched import geometry, tensors
from resnet18.training.batched.colour import COLOURS
from resnet18.training.batched.geometry import MOVEMENTS
from resnet18.training.batched.tensors import CHANNELS, FLIP, FloatStep, ImageStep, Target
from resnet18.training.native import Library, load_library

CHUNK_PIXELS = 1 << 16
"""Pixels that a CPU works on at a time: their intermediate results stay in its second-level cache."""
SOURCE = "kernels.c"
FLAGS = ("-O3", "-std=c11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math")
"""No fused multiply-add: it rounds once where Pillow rounds twice. The other two change no value."""
ROTATION = "random_rotation"
BUILD = COLOURS | MOVEMENTS
"""How to build the step on images, from the operation, its table and the target; None where no image changes."""


@cache
def augmentation_kernels() -> Library | None:
    """Return the functions of `kernels.c`; None without a compiler."""
    return load_library("augment", [Path(__file__).with_name(SOURCE)], [], FLAGS)


@dataclass(frozen=True)
class BatchedPipeline:
    """A list of operations with the parameters of one epoch, on a device."""

    reference: Pipeline
    device: torch.device
    pack: Callable[[Tensor], Tensor]
    on_images: tuple[ImageStep, ...]
    to_tensor: FloatStep
    """Fills float32 [n, 3, size, size] from words."""
    on_tensors: tuple[FloatStep, ...]

    def __call__(self, pixels: Tensor, indices: Tensor | NDArray[np.int64]) -> Tensor:
        """Return float32 [n, 3, size, size] from uint8 [n, native, native, 3].

        `indices` [n] are those in the original data set. Values do not depend on which images share a batch.

        Raises:
            ValueError: pixels of another shape or type, or an index outside the data set.
        """
        rows = torch.as_tensor(indices, dtype=torch.int64).contiguous()
        self._check(pixels, rows)
        pixels, rows = pixels.to(self.device), rows.to(self.device)
        size = self.reference.size
        batch = torch.empty((len(pixels), CHANNELS, size, size), device=self.device)
        chunk = max(1, len(pixels))
        if self.device.type == "cpu":
            chunk = max(1, CHUNK_PIXELS // max(size, self.reference.native) ** 2)
        for start in range(0, len(pixels), chunk):
            part = slice(start, start + chunk)
            image = self.pack(pixels[part])
            for step in self.on_images:
                image = step(image, rows[part])
            self.to_tensor(batch[part], image.contiguous())
            for change in self.on_tensors:
                change(batch[part], rows[part])
        return batch

    def _check(self, pixels: Tensor, rows: Tensor) -> None:
        wanted = (len(rows), self.reference.native, self.reference.native, CHANNELS)
        if pixels.dtype != torch.uint8 or tuple(pixels.shape) != wanted:
            raise ValueError(f"{pixels.dtype} {list(pixels.shape)}: needs torch.uint8 {list(wanted)}")
        images = self.reference.images
        if len(rows) and rows.device.type == "cpu" and not 0 <= int(rows.min()) <= int(rows.max()) < images:
            raise ValueError(f"an index is not one of {images} images")  # kernels would read beyond the tables


def batched_form(reference: Pipeline, device: torch.device, *, compiled: bool = True) -> BatchedPipeline:
    """Return the batched form of a pipeline on a device.

    What depends on rounding is computed here, on the CPU: whole numbers, and factors as float32, go to the device.
    Where `compiled`, a CPU may use `kernels.c`, if there is a compiler; results are the same.
    """
    kernels = augmentation_kernels() if compiled and device.type == "cpu" else None
    target = Target(reference.native, reference.size, device, kernels)
    on_images = tuple(_image_steps(reference, target))
    built = [tensors.build_float_step(operation, reference, target) for operation in reference.on_tensors]
    on_tensors = tuple(step for step in built if step)
    to_tensor = tensors.build_to_tensor(target)
    pack: Callable[[Tensor], Tensor] = tensors.pack
    if kernels:
        by_channel = int(bool(reference.on_tensors) and reference.on_tensors[0].name == "normalize")
        to_tensor = tensors.build_spread(kernels, (to_tensor, *on_tensors[:by_channel]))
        pack, on_tensors = tensors.build_pack(kernels), on_tensors[by_channel:]
    return BatchedPipeline(reference, device, pack, on_images, to_tensor, on_tensors)


def _image_steps(reference: Pipeline, target: Target) -> list[ImageStep]:
    """Return the steps on 8-bit images. Movements that follow one another become one.

    A flip of the tensor moves here: what else is there sees single pixels or erases.
    """
    steps: list[ImageStep | None] = []
    if reference.is_resized_first:
        whole = np.tile(np.array([0, 0, reference.native, reference.native]), (reference.images, 1))
        steps.append(geometry.build_resize(None, whole, target))
        target = replace(target, side=reference.size)
    operations = [*reference.on_images, *(after for after in reference.on_tensors if after.name == FLIP)]
    for moves, group in groupby(operations, key=lambda operation: operation.name in {FLIP, ROTATION}):
        if moves:
            matrices = _movement([operation.name for operation in group], reference, target.side)
            steps.append(geometry.build_affine(matrices, target))
            continue
        for operation in group:
            steps.append(BUILD[operation.name](operation, reference.tables[operation.name], target))
            if operation.name == "random_resized_crop":
                target = replace(target, side=reference.size)
    return [step for step in steps if step]


def _movement(names: list[str], reference: Pipeline, side: int) -> geometry.Matrices:
    """Return the matrices of a rotation, a flip, or both in the given order."""
    matrices = geometry.identities(reference.images)
    if ROTATION in names:
        matrices = geometry.rotations(reference.tables[ROTATION][:, 0].astype(np.float64), side)
    if FLIP not in names:
        return matrices
    mirror = geometry.mirror_first if names[0] == FLIP else geometry.then_mirror
    return mirror(matrices, reference.tables[FLIP].astype(np.int64), side)
