"""Pixels as 32-bit words, and the operations on float tensors, with torchvision's own float32 arithmetic.

A word is red + green x 256 + blue x 65536, as Pillow stores RGB images: moving a pixel is one gather, not three. The
fourth byte is 0 everywhere. Float operations follow torchvision's transforms/_functional_tensor.py.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor
from torch.nn.functional import pad

from resnet18.spec.augmentation import Cutout, Normalize, RandomErasing, RandomGrayscale
from resnet18.training.augment import Pipeline
from resnet18.training.native import Library

CHANNELS = 3
FLIP = "random_horizontal_flip"
ImageStep = Callable[[Tensor, Tensor], Tensor]
"""Takes int32 words [n, side, side] and the row of each image in the parameter tables; returns words."""
FloatStep = Callable[[Tensor, Tensor], object]
"""Changes float32 [n, 3, size, size] in place; takes the row of each image in the parameter tables, too."""


@dataclass(frozen=True)
class Target:
    """What a step is built for."""

    side: int
    """Of the images that it takes, in px."""
    size: int
    """Side at which images enter the network, in px."""
    device: torch.device
    kernels: Library | None
    """`kernels.c`, whose functions give the same bits, faster."""

    def put(self, array: NDArray[np.generic], dtype: DTypeLike) -> Tensor:
        """Return an array as a tensor on the device."""
        return torch.from_numpy(np.ascontiguousarray(array, dtype)).to(self.device)


def build_pack(kernels: Library | None) -> Callable[[Tensor], Tensor]:
    """Return the conversion of uint8 [n, height, width, 3] to words int32 [n, height, width]."""
    if kernels is None:
        return lambda pixels: pad(pixels, (0, 1)).view(torch.int32).squeeze(-1)

    def packed(pixels: Tensor) -> Tensor:
        pixels = pixels.contiguous()
        image = torch.empty(pixels.shape[:3], dtype=torch.int32)
        kernels.call("pack", pixels, image, image.numel())
        return image

    return packed


def channel(image: Tensor, which: int) -> Tensor:
    """Return one channel (0 is red) of words as int32 [n, height, width] with values 0 to 255."""
    return (image >> (8 * which)).bitwise_and_(255) if which else image & 255


def fill_channels(planes: Tensor, image: Tensor) -> Tensor:
    """Fill float32 [n, 3, height, width] with the whole numbers of words, and return it."""
    for which in range(CHANNELS):
        planes[:, which].copy_(channel(image, which))
    return planes


def from_planes(planes: Tensor) -> Tensor:
    """Return words from float32 [n, 3, height, width] of whole numbers from 0 to 255."""
    red, green, blue = planes.to(torch.int32).unbind(1)
    return red.add(green, alpha=1 << 8).add_(blue, alpha=1 << 16)


def build_to_tensor(target: Target) -> FloatStep:
    """Return the conversion of words to float32 from 0 to 1, which fills its first argument.

    The divisor is a tensor: by a Python number, a GPU may multiply with its reciprocal, which rounds otherwise.
    """
    most = torch.tensor(255.0, device=target.device)
    return lambda batch, image: fill_channels(batch, image).div_(most)


def build_spread(kernels: Library, steps: tuple[FloatStep, ...]) -> FloatStep:
    """Return the compiled conversion to float32, with steps in it that treat all pixels of a channel alike.

    A byte of a channel has 256 values: the table [3, 256] of what they become is made with the steps themselves.
    """
    values = torch.empty((1, CHANNELS, 16, 16))
    byte = torch.arange(256, dtype=torch.int32).view(1, 16, 16)
    for step in steps:
        step(values, byte * 0x010101)
    return lambda batch, image: kernels.call("spread", image, batch, len(image), image[0].numel(), values)


def _build_normalize(operation: Normalize, _pipeline: Pipeline, target: Target) -> FloatStep:
    mean, std = (torch.tensor(values).view(-1, 1, 1).to(target.device) for values in (operation.mean, operation.std))
    return lambda batch, _rows: batch.sub_(mean).div_(std)


def _build_grayscale(operation: RandomGrayscale, pipeline: Pipeline, target: Target) -> FloatStep:
    """Return grey in all three channels where the coin is 1, with other weights than Pillow's, and not rounded."""
    coins = target.put(pipeline.tables[operation.name] == 1, np.bool_).view(-1, 1, 1, 1)

    def grayscale(batch: Tensor, rows: Tensor) -> None:
        red, green, blue = batch.unsqueeze(2).unbind(1)
        grey = (red * 0.2989).add_(green * 0.587).add_(blue * 0.114)
        torch.where(coins.index_select(0, rows), grey, batch, out=batch)

    return grayscale


def _build_erase(operation: RandomErasing | Cutout, pipeline: Pipeline, target: Target) -> FloatStep:
    """Return the step that sets a rectangle (top, left, height, width) of each image to the operation's value.

    What is erased before a flip of the tensor is erased after it here, and so lies on the other side.
    """
    table = pipeline.tables[operation.name].copy()
    later = pipeline.on_tensors[pipeline.on_tensors.index(operation) :]
    if any(after.name == FLIP for after in later):
        mirrored = pipeline.size - table[:, 1] - table[:, 3]
        table[:, 1] = np.where(pipeline.tables[FLIP][:, 0] == 1, mirrored, table[:, 1])
    boxes = target.put(table.T, np.int32)

    def erase(batch: Tensor, rows: Tensor) -> None:
        pixel = torch.arange(batch.shape[-1], dtype=torch.int32, device=batch.device)
        top, left, height, width = boxes.index_select(1, rows).unsqueeze(-1).unbind()
        rows_inside = (pixel >= top) & (pixel < top + height)
        columns_inside = (pixel >= left) & (pixel < left + width)
        batch.masked_fill_(rows_inside[:, None, :, None] & columns_inside[:, None, None, :], operation.value)

    return erase


FLOATS: dict[str, Callable[..., FloatStep]] = {
    "normalize": _build_normalize,
    "random_grayscale": _build_grayscale,
    "random_erasing": _build_erase,
    "cutout": _build_erase,
}
"""How to build the step on float tensors, from the operation, the pipeline and the target."""
