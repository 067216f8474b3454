"""Operations after `to_tensor`, with torchvision's own float32 arithmetic (transforms/_functional_tensor.py)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet18.spec.augmentation import Cutout, Normalize, RandomErasing
from resnet18.training.augment import Pipeline
from resnet18.training.batched.rgb32 import CHANNELS, channel
from resnet18.training.erase import value_of

FLIP = "random_horizontal_flip"
FloatStep = Callable[[Tensor, Tensor], None]
"""Changes float32 [n, 3, size, size] in place; takes the row of each image in the parameter tables, too."""


class ToTensor:
    """8-bit pixels to float32 from 0 to 1.

    The divisor is a tensor: by a Python number, a GPU may multiply with its reciprocal, which rounds otherwise.
    """

    def __init__(self, device: torch.device) -> None:
        self._most = torch.tensor(255.0, device=device)

    def __call__(self, batch: Tensor, image: Tensor) -> None:
        """Fill float32 [n, 3, size, size] from packed [n, size, size]."""
        for which in range(CHANNELS):
            batch[:, which].copy_(channel(image, which))
        batch.div_(self._most)


@dataclass(frozen=True)
class FloatGrayscale:
    """Grey in all three channels where the coin is 1. Other weights than Pillow's, and not rounded to 8 bits."""

    coins: Tensor
    """bool [images, 1, 1, 1]."""

    def __call__(self, batch: Tensor, rows: Tensor) -> None:
        """Work in place."""
        red, green, blue = batch.unsqueeze(2).unbind(1)
        grey = (red * 0.2989).add_(green * 0.587).add_(blue * 0.114)
        torch.where(self.coins.index_select(0, rows), grey, batch, out=batch)


@dataclass(frozen=True)
class Standardize:
    """(x - mean) / std per channel."""

    mean: Tensor
    """float32 [3, 1, 1]."""
    std: Tensor
    """float32 [3, 1, 1]."""

    def __call__(self, batch: Tensor, _rows: Tensor) -> None:
        """Work in place."""
        batch.sub_(self.mean).div_(self.std)


@dataclass(frozen=True)
class Erase:
    """One rectangle per image, set to a value."""

    boxes: Tensor
    """int32 [4, images]: top, left, height, width; a height of 0 erases nothing."""
    value: float

    def __call__(self, batch: Tensor, rows: Tensor) -> None:
        """Work in place."""
        pixel = torch.arange(batch.shape[-1], dtype=torch.int32, device=batch.device)
        top, left, height, width = self.boxes.index_select(1, rows).unsqueeze(-1).unbind()
        rows_inside = (pixel >= top) & (pixel < top + height)
        columns_inside = (pixel >= left) & (pixel < left + width)
        batch.masked_fill_(rows_inside[:, None, :, None] & columns_inside[:, None, None, :], self.value)


def build_floats(reference: Pipeline, device: torch.device) -> tuple[FloatStep, ...]:
    """Return the steps on float tensors. A flip is none of them: it moved before `to_tensor`, with the same result.

    What is erased before the flip is erased after it here, and so lies on the other side.
    """
    steps: list[FloatStep] = []
    for at, operation in enumerate(reference.on_tensors):
        if isinstance(operation, Normalize):
            mean, std = (torch.tensor(values).view(-1, 1, 1).to(device) for values in (operation.mean, operation.std))
            steps.append(Standardize(mean, std))
        elif operation.name == "random_grayscale":
            coins = torch.from_numpy(reference.tables[operation.name] == 1)
            steps.append(FloatGrayscale(coins.view(-1, 1, 1, 1).to(device)))
        elif isinstance(operation, RandomErasing | Cutout):
            boxes = reference.tables[operation.name].astype(np.int64)
            if any(later.name == FLIP for later in reference.on_tensors[at:]):
                boxes = _mirrored(boxes, reference.tables[FLIP] == 1, reference.size)
            steps.append(Erase(torch.from_numpy(boxes.T.astype(np.int32)).to(device), value_of(operation)))
    return tuple(steps)


def _mirrored(boxes: NDArray[np.int64], coins: NDArray[np.bool_], size: int) -> NDArray[np.int64]:
    """Return boxes [images, 4] (top, left, height, width) with those mirrored whose coin [images, 1] is set."""
    mirrored = boxes.copy()
    mirrored[:, 1] = size - boxes[:, 1] - boxes[:, 3]
    return np.where(coins, mirrored, boxes)
