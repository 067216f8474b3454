"""Operations after `to_tensor`, with torchvision's own float32 arithmetic (transforms/_functional_tensor.py)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from resnet18.spec.augmentation import Normalize
from resnet18.training.augment import Pipeline
from resnet18.training.batched.packed import CHANNELS, channel

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


def build_floats(reference: Pipeline, device: torch.device) -> tuple[FloatStep, ...]:
    """Return the steps on float tensors. A flip is none of them: it moved before `to_tensor`, with the same result."""
    steps: list[FloatStep] = []
    for operation in reference.on_tensors:
        if isinstance(operation, Normalize):
            mean, std = (torch.tensor(values).view(-1, 1, 1).to(device) for values in (operation.mean, operation.std))
            steps.append(Standardize(mean, std))
        elif operation.name == "random_grayscale":
            coins = torch.from_numpy(reference.tables[operation.name] == 1)
            steps.append(FloatGrayscale(coins.view(-1, 1, 1, 1).to(device)))
    return tuple(steps)
