"""Bilinear resizing of a box, as Pillow does it (src/libImaging/Resample.c).

Two passes, first along rows, then along columns (but see `columns_first`). A pass weighs neighbouring pixels (taps)
with whole numbers, 2^22 for 1, and rounds to 8 bits: the second pass sees rounded values. When an image shrinks, the
filter widens with it, so there are more taps. No tap lies outside the box: the box is cropped before it is resized.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from torch import Tensor

WEIGHT_BITS = 22
"""255 x 2^22 and half a unit for rounding stay below 2^31."""
HALF = 1 << (WEIGHT_BITS - 1)
COLUMNS_FIRST_SINCE = 13
"""Pillow's major version."""


@lru_cache(maxsize=8)
def taps(longest: int, size: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return where each output pixel reads, and with which weight: twice int32 [longest + 1, taps, size].

    Row L is for a box of L pixels (row 0 is unused). Places count from the box's first pixel; a tap of weight 0 stays
    in the box. The weight of a pixel is 1 - |distance| / width, made to sum to 1; its operations and their order are
    Pillow's, since a double's last bit can decide how a weight is rounded.
    """
    length = np.arange(longest + 1, dtype=np.float64)[:, None, None]
    scale = length / size
    width = np.maximum(scale, 1.0)
    centre = (np.arange(size) + 0.5) * scale
    low = np.maximum(np.trunc(centre - width + 0.5), 0.0)
    high = np.minimum(np.trunc(centre + width + 0.5), length)
    reach = int((high - low).max())
    place = low + np.arange(reach)[:, None]
    weight = np.maximum(1.0 - np.abs((place - centre + 0.5) * (1.0 / width)), 0.0) * (place < high)
    total = weight[:, :1].copy()
    for tap in range(1, reach):
        total += weight[:, tap : tap + 1]
    share = np.divide(weight, total, out=np.zeros_like(weight), where=total > 0)
    whole = np.trunc(0.5 + share * (1 << WEIGHT_BITS)).astype(np.int32)
    return np.minimum(place, np.maximum(high - 1, 0)).astype(np.int32), whole


@dataclass(frozen=True)
class Resize:
    """One box per image, resized to a square."""

    boxes: Tensor
    """int32 [4, images]: top, left, height, width."""
    places: Tensor
    """int32 [longest + 1, taps, size]."""
    weights: Tensor
    """int32 [longest + 1, taps, size]."""
    transposed: Tensor | None
    """bool [images, 1, 1]: whether an image and its box are exchanged along the diagonal, and back afterwards; None
    where none is."""

    def __call__(self, image: Tensor, rows: Tensor) -> Tensor:
        """Return packed [n, size, size] from packed [n, side, side]."""
        if self.transposed is None:
            return self._resize(image, rows)
        transposed = self.transposed.index_select(0, rows)
        resized = self._resize(torch.where(transposed, image.transpose(1, 2), image), rows)
        return torch.where(transposed, resized.transpose(1, 2), resized).contiguous()

    def _resize(self, image: Tensor, rows: Tensor) -> Tensor:
        top, left, height, width = self.boxes.index_select(1, rows).unbind()
        narrow = self._along_the_first_side(image.transpose(1, 2), left, width)
        return self._along_the_first_side(narrow.transpose(1, 2), top, height)

    def _along_the_first_side(self, image: Tensor, start: Tensor, length: Tensor) -> Tensor:
        """Return packed [n, size, other] from packed [n, side, other].

        What is gathered is whole lines of the other side: all their pixels have the same taps.
        """
        count, side, other = image.shape
        first = torch.arange(0, count * side, side, dtype=torch.int32, device=image.device).add_(start)
        lines = image.reshape(-1).view(torch.uint8).view(count * side, other * 4)
        place = self.places.index_select(0, length).add_(first[:, None, None])
        weight = self.weights.index_select(0, length).unsqueeze(-1)
        total = self._read(lines, place[:, 0], count).mul_(weight[:, 0])
        for tap in range(1, place.shape[1]):
            total.addcmul_(self._read(lines, place[:, tap], count), weight[:, tap])
        return total.add_(HALF).bitwise_right_shift_(WEIGHT_BITS).to(torch.uint8).view(torch.int32)

    def _read(self, lines: Tensor, place: Tensor, count: int) -> Tensor:
        """Return int32 [n, size, bytes of a line]."""
        return lines.index_select(0, place.reshape(-1)).to(torch.int32).view(count, -1, lines.shape[1])


def columns_first(boxes: NDArray[np.int64], size: int) -> NDArray[np.bool_]:
    """Return whether Pillow takes the columns of a box before its rows: [images].

    Since 13.0, where the height shrinks much more than the width (pull request 9549); before, never. The rule is what
    13.0.0 does, for all boxes of up to 50 px and outputs of 8, 16 and 32 px. Without shrinking, rows come first.
    """
    if int(PIL.__version__.split(".", maxsplit=1)[0]) < COLUMNS_FIRST_SINCE:
        return np.zeros(len(boxes), dtype=np.bool_)
    height, width = boxes[:, 2], boxes[:, 3]
    return (height > size) & (2 * (width - size) < height - size)


def build_resize(boxes: NDArray[np.int64], native: int, size: int, device: torch.device) -> Resize:
    """Return the operation for boxes [images, 4] (top, left, height, width) in images of `native` px."""
    places, weights = taps(native, size)
    transposed = columns_first(boxes, size)[:, None]
    boxes = np.where(transposed, boxes[:, [1, 0, 3, 2]], boxes)
    return Resize(
        torch.from_numpy(boxes.T.astype(np.int32)).contiguous().to(device),
        torch.from_numpy(places).to(device),
        torch.from_numpy(weights).to(device),
        torch.from_numpy(transposed).unsqueeze(-1).to(device) if transposed.any() else None,
    )
