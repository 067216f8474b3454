"""The images of the reference path: one PIL image at a time through torchvision's functions and torch's DataLoader."""

import signal
from collections.abc import Iterator

import numpy as np
import torch
import torchvision.transforms.functional as F  # noqa: N812 - torchvision's documentation calls it F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from resnet18.data.dataset import Split
from resnet18.training.augment import RANDOM, Picture, Pipeline

LOADER_TIMEOUT_S = 300
"""A loader process that gives nothing for so long hangs; the slowest batch of the suite takes seconds."""


def augmented(pipeline: Pipeline, pixels: NDArray[np.uint8], index: int) -> Tensor:
    """Return float32 [3, size, size] from uint8 [height, width, 3]; `index` is that in the original data set."""
    image: Picture = Image.fromarray(pixels)
    if pipeline.is_resized_first:
        image = F.resize(image, [pipeline.size, pipeline.size])
    for operation in pipeline.on_images:
        row = pipeline.tables[operation.name][index]
        image = RANDOM[operation.name].apply(F, operation, image, row, pipeline.size)
    tensor: Tensor = F.to_tensor(image)
    for operation in pipeline.on_tensors:
        if operation.name == "normalize":
            tensor = F.normalize(tensor, list(operation.mean), list(operation.std))
        else:
            row = pipeline.tables[operation.name][index]
            tensor = RANDOM[operation.name].apply(F, operation, tensor, row, pipeline.size)
    return tensor


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
