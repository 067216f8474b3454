"""Batches of augmented images without worker processes: many images at a time, the same bits as one at a time."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet18.data.dataset import DataSet, Split
from resnet18.training.batched.pipeline import BatchedPipeline

AHEAD_BYTES = 8 << 20
"""How much is augmented at a time: small batches then share what a call costs by itself."""
Resident = Callable[[NDArray[np.int64]], tuple[Tensor, Tensor]]
"""Takes indices [n] in the original data set; returns uint8 [n, side, side, 3] and int64 labels [n], on the device."""


def residents(data: DataSet, device: torch.device) -> dict[str, Resident]:
    """Return where stored images are read from, by split: the host's memory for a CPU, else a copy on the device."""
    keep = on_host if device.type == "cpu" else _on_device(device)
    return {"train": keep(data.train), "test": keep(data.test)}


def on_host(split: Split) -> Resident:
    """Read images where they are: in pages of the decoded file, which all processes share."""

    def taken(indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(split.images[indices]), torch.from_numpy(split.labels[indices].astype(np.int64))

    return taken


def _on_device(device: torch.device) -> Callable[[Split], Resident]:
    def keep(split: Split) -> Resident:
        images = torch.from_numpy(np.array(split.images)).to(device)
        labels = torch.from_numpy(split.labels.astype(np.int64)).to(device)

        def taken(indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
            rows = torch.from_numpy(indices).to(device)
            return images[rows], labels[rows]

        return taken

    return keep


def fast_batches(
    resident: Resident, order: NDArray[np.int64], pipeline: BatchedPipeline, batch_size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches (float32 [n, 3, size, size], int64 [n]) in the given order; a short last batch is kept.

    The images lie on the pipeline's device, the labels too.
    """
    image_bytes = 4 * 3 * pipeline.size**2
    ahead = batch_size * max(1, AHEAD_BYTES // (image_bytes * batch_size))
    for start in range(0, len(order), ahead):
        indices = order[start : start + ahead]
        pixels, labels = resident(indices)
        images = pipeline(pixels, torch.from_numpy(indices))
        for first in range(0, len(indices), batch_size):
            part = slice(first, first + batch_size)
            yield images[part], labels[part]
