"""The batched counterpart of `training/augment.py`: the same parameters, the same bits, a batch at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet18.spec.augmentation import Operation
from resnet18.training.augment import Pipeline, Table, build_pipeline
from resnet18.training.batched.affine import Matrix, build_turn, identities, mirror_first, rotations, then_mirror
from resnet18.training.batched.colour import build_grayscale, build_jitter
from resnet18.training.batched.floats import FLIP, FloatStep, ToTensor, build_floats
from resnet18.training.batched.kernels import ImageStep, load_kernels
from resnet18.training.batched.resize import build_resize
from resnet18.training.batched.rgb32 import CHANNELS, pack
from resnet18.training.batched.shift import build_shift

CHUNK_PIXELS = 1 << 16
"""Pixels that a CPU works on at a time: their intermediate results stay in its second-level cache."""


@dataclass(frozen=True)
class BatchedPipeline:
    """A list of operations with the parameters of one epoch, on a device."""

    pack: Callable[[Tensor], Tensor]
    on_images: tuple[ImageStep, ...]
    """On packed int32 [n, side, side]."""
    to_tensor: FloatStep
    """Fills float32 [n, 3, size, size] from packed int32 [n, size, size]."""
    on_tensors: tuple[FloatStep, ...]
    """On float32 [n, 3, size, size], in place."""
    images: int
    native: int
    size: int
    device: torch.device

    def __call__(self, pixels: Tensor, indices: Tensor | NDArray[np.int64]) -> Tensor:
        """Return float32 [n, 3, size, size] from uint8 [n, native, native, 3].

        `indices` [n] are those in the original data set. Values do not depend on which images share a batch.

        Raises:
            ValueError: pixels of another shape or type, or an index outside the data set.
        """
        rows = torch.as_tensor(indices, dtype=torch.int64)
        self._check(pixels, rows)
        pixels, rows = pixels.to(self.device), rows.to(self.device)
        batch = torch.empty((len(pixels), CHANNELS, self.size, self.size), device=self.device)
        chunk = max(1, len(pixels))
        if self.device.type == "cpu":
            chunk = max(1, CHUNK_PIXELS // max(self.size, self.native) ** 2)
        for start in range(0, len(pixels), chunk):
            part = slice(start, start + chunk)
            self._augment(pixels[part], rows[part], batch[part])
        return batch

    def _augment(self, pixels: Tensor, rows: Tensor, batch: Tensor) -> None:
        """Write the results into `batch`."""
        image = self.pack(pixels)
        for step in self.on_images:
            image = step(image, rows)
        self.to_tensor(batch, image)
        for change in self.on_tensors:
            change(batch, rows)

    def _check(self, pixels: Tensor, rows: Tensor) -> None:
        wanted = (len(rows), self.native, self.native, CHANNELS)
        if pixels.dtype != torch.uint8 or tuple(pixels.shape) != wanted:
            raise ValueError(f"{pixels.dtype} {list(pixels.shape)}: needs torch.uint8 {list(wanted)}")
        if len(rows) and rows.device.type == "cpu" and not 0 <= int(rows.min()) <= int(rows.max()) < self.images:
            raise ValueError(f"an index is not one of {self.images} images")  # kernels would read beyond the tables


def build_batched_pipeline(  # noqa: PLR0913 - the arguments of `build_pipeline`, and the device
    operations: tuple[Operation, ...],
    *,
    seed: int,
    purpose: str,
    epoch: int,
    images: int,
    native: int,
    size: int,
    device: torch.device,
    compiled: bool = True,
) -> BatchedPipeline:
    """Return the pipeline of one epoch on a device; the other arguments are those of `build_pipeline`.

    What depends on rounding is computed here, on the CPU: whole numbers, and factors as float32, go to the device.
    Where `compiled`, a CPU may use `kernels.c`, if there is a compiler; results are the same.
    """
    reference = build_pipeline(
        operations, seed=seed, purpose=purpose, epoch=epoch, images=images, native=native, size=size
    )
    return from_tables(reference, images=images, native=native, device=device, compiled=compiled)


def from_tables(
    reference: Pipeline, *, images: int, native: int, device: torch.device, compiled: bool = True
) -> BatchedPipeline:
    """Return the batched form of a pipeline with its tables of `images` rows."""
    steps, floats = _image_steps(reference, images, native, device), build_floats(reference, device)
    kernels = load_kernels() if compiled and device.type == "cpu" else None
    if kernels is None:
        return BatchedPipeline(pack, steps, ToTensor(device), floats, images, native, reference.size, device)
    steps = tuple(kernels.faster(step) for step in steps)
    to_tensor, floats = kernels.to_tensor(floats)
    return BatchedPipeline(kernels.pack, steps, to_tensor, floats, images, native, reference.size, device)


def _image_steps(reference: Pipeline, images: int, native: int, device: torch.device) -> tuple[ImageStep, ...]:
    """Return the steps on 8-bit images. Movements that follow one another become one."""
    tables, side = reference.tables, native
    steps: list[ImageStep | None] = []
    if "random_resized_crop" not in tables and native != reference.size:
        whole = np.tile(np.array([0, 0, native, native]), (images, 1))
        steps.append(build_resize(whole, native, reference.size, device))
        side = reference.size
    for moves, group in groupby(_order(reference), key=lambda operation: operation.name in {FLIP, ROTATION}):
        if moves:
            names = tuple(operation.name for operation in group)
            steps.append(build_turn(_movement(names, tables, side), device))
            continue
        for operation in group:
            steps.append(BUILD[operation.name](operation, tables[operation.name], side, reference.size, device))
            side = reference.size if operation.name == "random_resized_crop" else side
    return tuple(step for step in steps if step)


def _order(reference: Pipeline) -> list[Operation]:
    """Return the steps on images. A flip of the tensor moves here: what else is there sees single pixels or erases."""
    return [*reference.on_images, *(operation for operation in reference.on_tensors if operation.name == FLIP)]


def _movement(names: tuple[str, ...], tables: dict[str, Table], side: int) -> Matrix:
    """Return the matrices of a rotation, a flip, or both in the given order."""
    angles = tables[ROTATION][:, 0].astype(np.float64) if ROTATION in names else None
    matrix = identities(len(tables[names[0]])) if angles is None else rotations(angles, side)
    if FLIP not in names:
        return matrix
    mirror = mirror_first if names[0] == FLIP else then_mirror
    return mirror(matrix, tables[FLIP].astype(np.int64), side)


ROTATION = "random_rotation"
# name -> how to build the step, from the operation, its table, and the sides in px of the images and of the result
BUILD: dict[str, Callable[[Any, Table, int, int, torch.device], ImageStep | None]] = {
    "color_jitter": lambda _, table, _side, _size, device: build_jitter(table.astype(np.float64), device),
    "random_grayscale": lambda _, table, _side, _size, device: build_grayscale(table.astype(np.int64), device),
    "random_resized_crop": lambda _, table, side, size, device: build_resize(
        table.astype(np.int64), side, size, device
    ),
    "random_crop": lambda crop, table, side, _size, device: build_shift(crop, table.astype(np.int64), side, device),
}
