"""Batches of augmented images, by torch's DataLoader: one PIL image at a time, as the report did it."""

import signal
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from resnet18.data.dataset import Split
from resnet18.training.augment import Pipeline
from resnet18.training.pictures import augmented

LOADER_TIMEOUT_S = 300
"""A loader process that gives nothing for so long hangs; the slowest batch of the suite takes seconds."""


class AugmentedImages(Dataset[tuple[Tensor, int]]):
    """The images of one epoch. An item depends on its index and on nothing that happened before."""

    def __init__(self, split: Split, pipeline: Pipeline) -> None:
        self.split, self.pipeline = split, pipeline

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return augmented(self.pipeline, self.split.images[index], index), int(self.split.labels[index])


def batches(
    split: Split, order: NDArray[np.int64], pipeline: Pipeline, batch_size: int, workers: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Return batches (float32 [n, 3, size, size], int64 [n]) in the given order; a short last batch is kept."""
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
