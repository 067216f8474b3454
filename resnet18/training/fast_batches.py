"""Batches of augmented images without worker processes: many images at a time, the same bits as one at a time."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet18.training.batched.pipeline import BatchedPipeline
from resnet18.training.dataset import Split

AHEAD_BYTES = 8 << 20
"""How much is augmented at a time: small batches then share what a call costs by itself."""


def fast_batches(
    split: Split, order: NDArray[np.int64], pipeline: BatchedPipeline, batch_size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches (float32 [n, 3, size, size], int64 [n]) in the given order; a short last batch is kept.

    The images lie on the pipeline's device, the labels too.
    """
    image_bytes = 4 * 3 * pipeline.size**2
    ahead = batch_size * max(1, AHEAD_BYTES // (image_bytes * batch_size))
    for start in range(0, len(order), ahead):
        indices = order[start : start + ahead]
        pixels = torch.from_numpy(split.images[indices])  # a copy of these rows: the data set itself stays on disk
        labels = torch.from_numpy(split.labels[indices].astype(np.int64)).to(pipeline.device)
        images = pipeline(pixels, torch.from_numpy(indices))
        for first in range(0, len(indices), batch_size):
            part = slice(first, first + batch_size)
            yield images[part], labels[part]
