"""Grayscale, and the adjustments of brightness, contrast, saturation and hue, as Pillow computes them.

An adjustment blends the image with a degenerate image: black, its mean grey, or its own grey (ImageEnhance,
src/libImaging/Blend.c). Whole numbers below 2^24 are exact in float32, so planes are float32 throughout.

The hue is shifted through Pillow's 8-bit HSV (src/libImaging/Convert.c, which follows Python's colorsys). The
conversions round to 8 bits on both ways and mix float32 with float64; each operation here has the type that it has
there. Divisors are tensors: by a Python number, a GPU may divide through its reciprocal, which rounds otherwise.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet18.spec.augmentation import ColorJitter, RandomGrayscale
from resnet18.training.augment import Floats, Integers
from resnet18.training.batched.tensors import CHANNELS, ImageStep, Target, channel, fill_channels, from_planes

BRIGHTNESS, CONTRAST, SATURATION, HUE, NOTHING = range(5)
RED, GREEN, BLUE, HALF, BITS = 19595, 38470, 7471, 1 << 15, 16
"""Weights of grey, 2^16 for 1 (ITU-R 601-2, src/libImaging/Convert.c)."""
STEPS = 256
"""Of an 8-bit hue."""


def build_grayscale(_operation: RandomGrayscale, table: Integers, target: Target) -> ImageStep:
    """Return grey in all three channels where the coin is 1."""
    coins = target.put(table[:, :, None] == 1, np.bool_)

    def grayscale(image: Tensor, rows: Tensor) -> Tensor:
        grey = channel(image, 0).mul_(RED).add_(channel(image, 1), alpha=GREEN).add_(channel(image, 2), alpha=BLUE)
        grey = grey.add_(HALF).bitwise_right_shift_(BITS)
        return torch.where(coins.index_select(0, rows), grey.mul_(0x010101), image)

    return grayscale


def build_jitter(_operation: ColorJitter, table: Floats, target: Target) -> ImageStep | None:
    """Return the adjustments of each image in its own order, or None where no image changes.

    In torch they are up to three blends, the hue, and the blends that come after it. All images take the same steps,
    which leave those unchanged whose order has nothing there: no image is picked out, so a GPU is never waited for.
    """
    kinds = table[:, 4:].astype(np.int64)
    drawn = np.take_along_axis(table[:, :4], kinds, axis=1)
    kinds = np.where(drawn == np.where(kinds == HUE, 0.0, 1.0), NOTHING, kinds)
    if (kinds == NOTHING).all():
        return None
    is_hue = kinds == HUE
    # a shift is cut to whole steps towards 0, then wrapped, as torchvision does
    amounts = np.where(is_hue, (drawn * 255).astype(np.int32) & (STEPS - 1), drawn).astype(np.float32)
    if kernels := target.kernels:
        kinds_of, amounts_of = target.put(kinds, np.int32), target.put(amounts, np.float32)

        def compiled(image: Tensor, rows: Tensor) -> Tensor:
            image = image.clone(memory_format=torch.contiguous_format)
            kernels.call("jitter", image, rows, len(image), image[0].numel(), kinds_of, amounts_of)
            return image

        return compiled
    after_hue = np.cumsum(is_hue, axis=1) > 0
    steps = _build_blends(np.where(after_hue, NOTHING, kinds), amounts, target)
    if is_hue.any():
        steps.append(_build_hue((amounts * is_hue).sum(axis=1), is_hue.any(axis=1), target))
    steps += _build_blends(np.where(after_hue & ~is_hue, kinds, NOTHING), amounts, target)

    def jitter(image: Tensor, rows: Tensor) -> Tensor:
        planes = fill_channels(torch.empty((len(image), CHANNELS, *image.shape[1:]), device=image.device), image)
        for step in steps:
            planes = step(planes, rows)
        return from_planes(planes)

    return jitter


def _build_blends(kinds: Integers, amounts: NDArray[np.float32], target: Target) -> list[ImageStep]:
    """Return a blend of planes for each place in the order where some image has one; both arrays are [images, 4]."""
    idle = kinds == NOTHING
    first = np.argsort(idle, axis=1, kind="stable")  # what an image does moves to the front: fewer blends do nothing
    kinds, amounts = (np.take_along_axis(values, first, axis=1) for values in (kinds, np.where(idle, 1.0, amounts)))
    return [
        _build_blend(kind, factor, target)
        for factor, kind in zip(amounts.T, kinds.T, strict=True)
        if (kind != NOTHING).any()
    ]


def _build_blend(kinds: Integers, amounts: NDArray[np.float32], target: Target) -> ImageStep:
    """Return one adjustment per image: a factor of 1 leaves an image as it is."""
    parts = (amounts, kinds == CONTRAST, kinds == SATURATION)
    factors, contrast, saturation = (target.put(part, np.float32).view(-1, 1, 1, 1) for part in parts)

    def blend(planes: Tensor, rows: Tensor) -> Tensor:
        """Return degenerate + factor x (image - degenerate), cut to 8 bits.

        Subtraction, multiplication and addition round one by one, as in C: a fused operation could change a bit.
        """
        red, green, blue = planes.unsqueeze(2).unbind(1)
        grey = (red * RED).add_(green, alpha=GREEN).add_(blue, alpha=BLUE).add_(HALF).mul_(2.0**-BITS).floor_()
        pixels = grey[0].numel()
        mean = (grey.sum((1, 2, 3), keepdim=True, dtype=torch.float64) + 0.5 * pixels).to(torch.int64) // pixels
        degenerate = grey.mul_(saturation.index_select(0, rows))
        degenerate.add_(contrast.index_select(0, rows).mul_(mean))
        blended = (planes - degenerate).mul_(factors.index_select(0, rows)).add_(degenerate)
        return blended.clamp_(0, 255).floor_()

    return blend


def _build_hue(shifts: NDArray[np.float32], active: NDArray[np.bool_], target: Target) -> ImageStep:
    """Return the step on planes for 8-bit shifts [images].

    Others than the `active` images stay as they are: a shift of 0 through HSV and back would change them.
    """
    shift, is_active = target.put(shifts, np.int32).view(-1, 1, 1), target.put(active, np.bool_).view(-1, 1, 1, 1)
    six = torch.tensor(6.0, dtype=torch.float64, device=target.device)
    to_rgb = _build_to_rgb(target)

    def hue(planes: Tensor, rows: Tensor) -> Tensor:
        largest, least = planes.amax(1), planes.amin(1)
        spread = largest - least
        saturation = (spread / largest.clamp(min=1)).double().mul_(255).floor_().float()
        place = _hue_of(planes, largest, spread.clamp_(min=1), six) + shift.index_select(0, rows)
        shifted = to_rgb(place.bitwise_and_(STEPS - 1), saturation, largest)
        return torch.where(is_active.index_select(0, rows), shifted, planes)

    return hue


def _hue_of(planes: Tensor, largest: Tensor, spread: Tensor, six: Tensor) -> Tensor:
    """Return int32 [n, side, side], 0 to 255."""
    red, green, _ = planes.unbind(1)
    from_red, from_green, from_blue = ((largest.unsqueeze(1) - planes) / spread.unsqueeze(1)).unbind(1)
    at_green = (from_red.double() + 2.0).sub_(from_blue).float()
    at_blue = (from_green.double() + 4.0).sub_(from_red).float()
    sixths = torch.where(red == largest, from_blue - from_green, torch.where(green == largest, at_green, at_blue))
    whole = sixths.double().div_(six).add_(1.0)
    return whole.sub_(whole.floor()).float().double().mul_(255).to(torch.int32)


def _build_to_rgb(target: Target) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return the conversion to float32 [n, 3, side, side] from hue (int32), saturation and value, [n, side, side].

    Of each of 256 hues tables hold how far it lies in its sixth of the circle, whether that is the second, fourth or
    sixth, and what red, green and blue are: 0 the largest channel, 1 the middle one, 2 the least.
    """
    steps = np.arange(STEPS)
    sixth = steps * 6 // 255
    fractions, odd = target.put(steps * 6.0 / 255.0 - sixth, np.float32), target.put(sixth % 2 == 1, np.bool_)
    parts = np.array([[0, 1, 2, 2, 1, 0], [1, 0, 0, 1, 2, 2], [2, 2, 1, 0, 0, 1]])
    role_of = target.put(parts[:, sixth % 6], np.uint8)
    most = torch.tensor(255.0, device=target.device)

    def to_rgb(hue: Tensor, saturation: Tensor, largest: Tensor) -> Tensor:
        flat = hue.view(-1)
        fraction = fractions.index_select(0, flat).view_as(largest)
        is_odd = odd.index_select(0, flat).view_as(largest)
        share = saturation.div_(most)
        rising = share.double() * (1.0 - fraction.double())
        gap = torch.where(is_odd, (share * fraction).double(), rising)
        value = largest.double()
        middle = _rounded(value * (1.0 - gap)).unsqueeze(1)
        least = _rounded(value * (1.0 - share.double())).unsqueeze(1)
        roles = role_of.index_select(1, flat).view(3, *largest.shape).transpose(0, 1)
        return torch.where(roles == 0, largest.unsqueeze(1), torch.where(roles == 1, middle, least))

    return to_rgb


def _rounded(values: Tensor) -> Tensor:
    """Return float32 whole numbers from float64 that are not negative; halves go up, as C's round() has them."""
    return values.add_(0.5).floor_().float()
