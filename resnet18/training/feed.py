"""Which images a pass over a subset sees, in which order, and how they come to the device."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from resnet18.data.rng import permutation
from resnet18.spec.augmentation import Operation
from resnet18.training.augment import build_pipeline
from resnet18.training.batched.pipeline import from_tables
from resnet18.training.fast_batches import fast_batches
from resnet18.training.results import Position
from resnet18.training.setup import MEMORY_FORMATS, Setup

Batches = Iterator[tuple[Tensor, Tensor]]


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
    """Return batches (float32 [n, 3, size, size], int64 [n]) of images that an epoch's operations have changed."""
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
        from resnet18.training.batches import batches  # noqa: PLC0415 - torchvision, which the fast path does without

        return batches(split, order, pipeline, batch_size, setup.execution.workers)
    batched = from_tables(pipeline, images=len(split.labels), native=setup.data.native_size, device=setup.device)
    return fast_batches(setup.resident[which], order, batched, batch_size)


def to_device(batch: tuple[Tensor, Tensor], setup: Setup) -> tuple[Tensor, Tensor]:
    """Return images and labels on the device, the images in the memory format of the run."""
    images, labels = batch
    memory_format = MEMORY_FORMATS[setup.execution.memory_format]
    return images.to(setup.device, memory_format=memory_format), labels.to(setup.device)
