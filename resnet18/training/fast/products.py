"""Convolutions in float32 onto maps of few pixels, as plain matrix products.

Each output pixel sees, through each row of the kernel, input pixels that lie one after another, and the taps that see
them do so too. One such strip over all images is a matrix product of views, and padding takes no part in it. oneDNN
packs weights and their gradients into layouts of its own in each step; on small maps that takes longer than the sums.
"""

import functools
import itertools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from resnet18.training.fast.kernel_support import Geometry

FEW = 2
"""Side of the largest map that is written so (measured with AVX2 and with AVX-512: at 4x4 oneDNN is as fast)."""


@dataclass(frozen=True)
class Strip:
    """What one output pixel sees of one row, or of several that lie one after another."""

    output: int
    pixels: slice
    taps: slice


@functools.cache
def strips(g: Geometry) -> tuple[Strip, ...]:
    """Return all strips, those of an output pixel together."""
    found: list[Strip] = []
    for row, column, tap_row in itertools.product(range(g.out), range(g.out), range(g.kernel)):
        y, x = row * g.stride - g.padding + tap_row, column * g.stride - g.padding
        begin, end = max(0, -x), min(g.kernel, g.size - x)
        if not 0 <= y < g.size or begin >= end:
            continue
        first, tap = y * g.size + x, tap_row * g.kernel
        output, pixels, taps = row * g.out + column, slice(first + begin, first + end), slice(tap + begin, tap + end)
        last = found[-1] if found else None
        if last and (last.output, last.pixels.stop, last.taps.stop) == (output, pixels.start, taps.start):
            found[-1] = Strip(output, slice(last.pixels.start, pixels.stop), slice(last.taps.start, taps.stop))
        else:
            found.append(Strip(output, pixels, taps))
    return tuple(found)


class Products(torch.autograd.Function):
    """The convolution of an image batch with a weight, both float32 in channels_last."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, g: Geometry) -> Tensor:  # noqa: ANN401 - torch has no type with what it puts there
        """Return the convolution, channels_last."""
        n, outs, ins = x.shape[0], *weight.shape[:2]
        ctx.save_for_backward(x, weight)
        ctx.geometry = g
        images, taps = _flat(x), _flat(weight)
        y = torch.empty(n, g.out**2 * outs)
        before = -1
        for strip in strips(g):
            part = _part(y, slice(strip.output, strip.output + 1), outs)
            _add(part, _part(images, strip.pixels, ins), _part(taps, strip.taps, ins).t(), strip.output == before)
            before = strip.output
        return y.view(n, g.out, g.out, outs).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor, None]:  # noqa: ANN401 - as above
        """Return both gradients, laid out as what they are of."""
        x, weight = ctx.saved_tensors
        g: Geometry = ctx.geometry
        outs, ins = weight.shape[:2]
        images, taps, gradient = _flat(x), _flat(weight), _flat(dy)
        once = g.out == 1  # no strip of one output pixel meets another
        dw, dx = _blank(taps, once and _met(g) == g.kernel**2), _blank(images, once and _met(g) == g.size**2)
        for strip in strips(g):
            part = _part(gradient, slice(strip.output, strip.output + 1), outs)
            _add(_part(dw, strip.taps, ins), part.t(), _part(images, strip.pixels, ins), not once)
            _add(_part(dx, strip.pixels, ins), part, _part(taps, strip.taps, ins), not once)
        return _image(dx, x), _image(dw, weight), None


def _flat(image: Tensor) -> Tensor:
    """Return [n, pixels * channels] of [n, channels, s, s]; a view of what is channels_last."""
    return image.permute(0, 2, 3, 1).reshape(image.shape[0], -1)


def _image(flat: Tensor, like: Tensor) -> Tensor:
    n, channels, height, width = like.shape
    return flat.view(n, height, width, channels).permute(0, 3, 1, 2)


def _part(flat: Tensor, pixels: slice, channels: int) -> Tensor:
    return flat[:, pixels.start * channels : pixels.stop * channels]


def _met(g: Geometry) -> int:
    """Return how many taps, or pixels, all strips meet together."""
    return sum(strip.taps.stop - strip.taps.start for strip in strips(g))


def _blank(like: Tensor, is_written: bool) -> Tensor:
    """Return memory for a sum: 0 unless all of it is written."""
    return torch.empty_like(like) if is_written else torch.zeros_like(like)


def _add(target: Tensor, left: Tensor, right: Tensor, more: bool) -> None:
    """Write a product, or add it to what is there."""
    torch.addmm(target, left, right, beta=int(more), out=target)
