"""The images of a pass over a subset: which of them, in which order, changed how, and how they come to the device.

The reference path takes one PIL image at a time through torchvision's functions and torch's DataLoader.
"""

import signal
from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from resnet18.data.dataset import Split, permutation
from resnet18.spec.augmentation import Operation, ToTensor
from resnet18.training.augment import RANDOM, Picture, Pipeline, build_pipeline
from resnet18.training.batched import BatchedPipeline
from resnet18.training.results import Position
from resnet18.training.setup import MEMORY_FORMATS, Setup

AHEAD_BYTES = 8 << 20
"""How much is augmented at a time on the fast path: small batches then share what a call costs by itself."""
LOADER_TIMEOUT_S = 300
"""A loader process that gives nothing for so long hangs; the slowest batch of the suite takes seconds."""
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
        stored_side=setup.data.train.images.shape[1],
        size=setup.experiment.image_size,
    )
    if setup.execution.path == "reference":
        return batches(split, order, pipeline, batch_size, setup.execution.workers)
    return _fast_batches(split, setup.stored.get(which), order, BatchedPipeline(pipeline, setup.device), batch_size)


def _fast_batches(
    split: Split, stored: list[Tensor] | None, order: NDArray[np.int64], batched: BatchedPipeline, batch_size: int
) -> Batches:
    """Yield batches without worker processes: many images at a time, the same bits as one at a time.

    On the CPU images are read from the decoded file, whose pages all processes share.
    """
    image_bytes = 4 * 3 * batched.pipeline.size**2
    ahead = batch_size * max(1, AHEAD_BYTES // (image_bytes * batch_size))
    for start in range(0, len(order), ahead):
        indices = order[start : start + ahead]
        rows = torch.from_numpy(indices).to(batched.device)
        if stored is None:
            pixels, labels = torch.from_numpy(split.images[indices]), torch.from_numpy(split.labels[indices]).long()
        else:
            pixels, labels = (part[rows] for part in stored)
        images = batched(pixels, rows)
        for first in range(0, len(indices), batch_size):
            part = slice(first, first + batch_size)
            yield images[part], labels[part]


def batches(split: Split, order: NDArray[np.int64], pipeline: Pipeline, batch_size: int, workers: int) -> Batches:
    """Return the same batches, made by so many loader processes (0: by this one)."""
    parts = [order[start : start + batch_size].tolist() for start in range(0, len(order), batch_size)]
    loader: DataLoader[tuple[Tensor, int]] = DataLoader(
        AugmentedImages(split, pipeline),
        batch_sampler=parts,
        num_workers=workers,
        multiprocessing_context="fork" if workers else None,  # DataLoader's own way on Linux; others import torch again
        timeout=LOADER_TIMEOUT_S if workers else 0,
        worker_init_fn=_end_when_asked if workers else None,
        generator=torch.Generator(),  # DataLoader draws a seed that nothing here uses; not from the global generator
    )
    return iter(loader)


def _end_when_asked(_: int) -> None:
    """Let a loader process end by SIGTERM, which its parent, a worker, takes as a wish."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


class AugmentedImages(Dataset[tuple[Tensor, int]]):
    """The images of one epoch. An item depends on its index and on nothing that happened before."""

    def __init__(self, split: Split, pipeline: Pipeline) -> None:
        self.split, self.pipeline = split, pipeline

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return augmented(self.pipeline, self.split.images[index], index), int(self.split.labels[index])


def augmented(pipeline: Pipeline, pixels: NDArray[np.uint8], index: int) -> Tensor:
    """Return float32 [3, size, size] from uint8 [height, width, 3]; `index` is that in the original data set."""
    import torchvision.transforms.functional as F  # noqa: N812, PLC0415 - the fast path does without; its usual name

    image: Picture = Image.fromarray(pixels)
    if pipeline.is_resized_first:
        image = F.resize(image, [pipeline.size, pipeline.size])
    for operation in (*pipeline.on_images, ToTensor(), *pipeline.on_tensors):
        if operation.name == "to_tensor":
            image = F.to_tensor(image)
        elif operation.name == "normalize":
            image = F.normalize(image, list(operation.mean), list(operation.std))
        else:
            row = pipeline.tables[operation.name][index]
            image = RANDOM[operation.name].apply(F, operation, image, row, pipeline.size)
    tensor: Tensor = image
    return tensor


def to_device(batch: tuple[Tensor, Tensor], setup: Setup) -> tuple[Tensor, Tensor]:
    """Return images and labels on the device, the images in the memory format of the run."""
    images, labels = batch
    memory_format = MEMORY_FORMATS[setup.execution.memory_format]
    return images.to(setup.device, memory_format=memory_format), labels.to(setup.device)
