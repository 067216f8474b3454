"""Which images a pass over a subset sees, in which order, and how they come to the device."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet18.data.rng import permutation
from resnet18.spec.augmentation import Operation
from resnet18.training.augment import build_pipeline
from resnet18.training.batched import BatchedPipeline, batched_form
from resnet18.training.results import Position
from resnet18.training.setup import MEMORY_FORMATS, Setup, StoredImages

AHEAD_BYTES = 8 << 20
"""How much is augmented at a time on the fast path: small batches then share what a call costs by itself."""
Batches = Iterator[tuple[Tensor, Tensor]]
"""float32 [n, 3, size, size], int64 [n]."""


def feed_training(setup: Setup, begin: Position) -> Batches:
    """Return the batches of an epoch that are left after a position."""
    experiment = setup.experiment
    order = permutation(experiment.seed, "order", begin.epoch, setup.train_indices)
    left = order[begin.steps * experiment.batch_size :]
    return feed(setup, "train", left, experiment.augmentation, begin.epoch, experiment.batch_size)


def feed(
    setup: Setup,
    which: Literal["train", "test"],
    order: NDArray[np.int64],
    operations: tuple[Operation, ...],
    epoch: int,
    batch_size: int,
) -> Batches:
    """Return batches of images that an epoch's operations have changed, in the given order; the last may be short."""
    split = setup.data.train if which == "train" else setup.data.test
    pipeline = build_pipeline(
        operations,
        seed=setup.experiment.seed,
        purpose=f"{which}-augmentation",
        epoch=epoch,
        images=len(split.labels),
        native=setup.data.native_size,
        size=setup.experiment.image_size,
    )
    if setup.execution.path == "reference":
        from resnet18.training.reference import batches  # noqa: PLC0415 - torchvision, which the fast path does without

        return batches(split, order, pipeline, batch_size, setup.execution.workers)
    return _fast_batches(setup.stored[which], order, batched_form(pipeline, setup.device), batch_size)


def _fast_batches(
    stored: StoredImages, order: NDArray[np.int64], pipeline: BatchedPipeline, batch_size: int
) -> Batches:
    """Yield batches without worker processes: many images at a time, the same bits as one at a time."""
    image_bytes = 4 * 3 * pipeline.reference.size**2
    ahead = batch_size * max(1, AHEAD_BYTES // (image_bytes * batch_size))
    for start in range(0, len(order), ahead):
        indices = order[start : start + ahead]
        pixels, labels = stored(indices)
        images = pipeline(pixels, torch.from_numpy(indices))
        for first in range(0, len(indices), batch_size):
            part = slice(first, first + batch_size)
            yield images[part], labels[part]


def to_device(batch: tuple[Tensor, Tensor], setup: Setup) -> tuple[Tensor, Tensor]:
    """Return images and labels on the device, the images in the memory format of the run."""
    images, labels = batch
    memory_format = MEMORY_FORMATS[setup.execution.memory_format]
    return images.to(setup.device, memory_format=memory_format), labels.to(setup.device)
