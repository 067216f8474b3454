"""Grayscale, and the adjustments of brightness, contrast and saturation, as Pillow computes them.

An adjustment blends the image with a degenerate one: black, its mean grey, or its own grey (ImageEnhance,
src/libImaging/Blend.c). Whole numbers below 2^24 are exact in float32, so planes are float32 throughout.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet18.training.batched.hue import Hue, build_hue, eight_bit_shift
from resnet18.training.batched.rgb32 import channel, from_planes, to_planes

BRIGHTNESS, CONTRAST, SATURATION, HUE, NOTHING = range(5)
RED, GREEN, BLUE, HALF, BITS = 19595, 38470, 7471, 1 << 15, 16
"""Weights of grey, 2^16 for 1 (ITU-R 601-2, src/libImaging/Convert.c)."""


@dataclass(frozen=True)
class Grayscale:
    """Grey in all three channels where the coin is 1."""

    coins: Tensor
    """bool [images, 1, 1]."""

    def __call__(self, image: Tensor, rows: Tensor) -> Tensor:
        """Return packed [n, side, side] from the same."""
        grey = channel(image, 0).mul_(RED).add_(channel(image, 1), alpha=GREEN).add_(channel(image, 2), alpha=BLUE)
        grey = grey.add_(HALF).bitwise_right_shift_(BITS)
        return torch.where(self.coins.index_select(0, rows), grey.mul_(0x010101), image)


@dataclass(frozen=True)
class Blend:
    """One adjustment per image."""

    factors: Tensor
    """float32 [images, 1, 1, 1]; 1 leaves an image as it is."""
    contrast: Tensor
    """float32 [images, 1, 1, 1]: 1 where the contrast is adjusted."""
    saturation: Tensor
    """float32 [images, 1, 1, 1]: 1 where the saturation is adjusted; where both are 0 it is the brightness."""

    def __call__(self, planes: Tensor, rows: Tensor) -> Tensor:
        """Return float32 [n, 3, side, side] from the same: degenerate + factor x (image - degenerate), cut to 8 bits.

        Subtraction, multiplication and addition round one by one, as in C: a fused one could change a bit.
        """
        red, green, blue = planes.unsqueeze(2).unbind(1)
        grey = (red * RED).add_(green, alpha=GREEN).add_(blue, alpha=BLUE).add_(HALF).mul_(2.0**-BITS).floor_()
        pixels = grey[0].numel()
        mean = (grey.sum((1, 2, 3), keepdim=True, dtype=torch.float64) + 0.5 * pixels).to(torch.int64) // pixels
        degenerate = grey.mul_(self.saturation.index_select(0, rows))
        degenerate.add_(self.contrast.index_select(0, rows).mul_(mean))
        blended = (planes - degenerate).mul_(self.factors.index_select(0, rows)).add_(degenerate)
        return blended.clamp_(0, 255).floor_()


@dataclass(frozen=True)
class Jitter:
    """The adjustments of each image in its own order: up to three blends, the hue, the blends that come after it.

    All images take the same steps, which leave those unchanged whose order has nothing there: no image is picked
    out, so a GPU is never waited for.
    """

    before: tuple[Blend, ...]
    hue: Hue | None
    after: tuple[Blend, ...]
    kinds: Tensor
    """int32 [images, 4], on the CPU: what is done, in order."""
    amounts: Tensor
    """float32 [images, 4], on the CPU: the factor of a blend, or the shift of the hue in steps of 256."""

    def __call__(self, image: Tensor, rows: Tensor) -> Tensor:
        """Return packed [n, side, side] from the same."""
        planes = to_planes(image)
        for blend in self.before:
            planes = blend(planes, rows)
        if self.hue:
            planes = self.hue(planes, rows)
        for blend in self.after:
            planes = blend(planes, rows)
        return from_planes(planes)


def build_grayscale(coins: NDArray[np.int64], device: torch.device) -> Grayscale:
    """Return the operation for coins [images, 1]."""
    return Grayscale(torch.from_numpy(coins == 1).unsqueeze(-1).to(device))


def build_jitter(table: NDArray[np.float64], device: torch.device) -> Jitter | None:
    """Return the operation for a table of `draw_jitter`, or None where it changes no image."""
    kinds = table[:, 4:].astype(np.int64)
    drawn = np.take_along_axis(table[:, :4], kinds, axis=1)
    kinds = np.where(drawn == np.where(kinds == HUE, 0.0, 1.0), NOTHING, kinds)
    is_hue = kinds == HUE
    amounts = np.where(is_hue, eight_bit_shift(drawn), drawn).astype(np.float32)
    after_hue = np.cumsum(is_hue, axis=1) > 0
    before = _blends(np.where(after_hue, NOTHING, kinds), amounts, device)
    after = _blends(np.where(after_hue & ~is_hue, kinds, NOTHING), amounts, device)
    if not (before or after or is_hue.any()):
        return None
    hue = build_hue((amounts * is_hue).sum(axis=1), is_hue.any(axis=1), device) if is_hue.any() else None
    return Jitter(before, hue, after, torch.from_numpy(kinds.astype(np.int32)), torch.from_numpy(amounts))


def _blends(kinds: NDArray[np.int64], amounts: NDArray[np.float32], device: torch.device) -> tuple[Blend, ...]:
    """Return a blend for each place in the order where some image has one; kinds and amounts are [images, 4]."""
    idle = kinds == NOTHING
    first = np.argsort(idle, axis=1, kind="stable")  # what an image does moves to the front: fewer blends do nothing
    kinds, amounts = (np.take_along_axis(values, first, axis=1) for values in (kinds, np.where(idle, 1.0, amounts)))
    return tuple(
        Blend(*(_column(part, device) for part in (factor, kind == CONTRAST, kind == SATURATION)))
        for factor, kind in zip(amounts.T, kinds.T, strict=True)
        if (kind != NOTHING).any()
    )


def _column(values: NDArray[Any], device: torch.device) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).view(-1, 1, 1, 1).to(device)
