"""Convolutions of float32 parameters in the precision of their input: by oneDNN, as products, or by the tile kernels.

In bfloat16 the tile kernels replace oneDNN where they are faster (measured on AMX, one thread): for the gradient of
the weight on maps up to 14x14, and for the two other products with 512 channels, or on maps up to 4x4.
In float32 those that write maps up to 2x2 are plain matrix products (`Products`), all others are oneDNN's.
"""

import functools
import itertools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d

from resnet18.training.fast.kernel_support import Geometry, TrimmedConvolution, sources, users
from resnet18.training.model import NARROW, pixels_seen
from resnet18.training.native import Library, network_kernels

TILE = 32
SMALL_GRADIENT, SMALL, DEEP = 14, 4, 512
FEW = 2
"""Side of the largest map that is written so (measured with AVX2 and with AVX-512: at 4x4 oneDNN is as fast)."""


class Convolution(TrimmedConvolution):
    """A convolution without bias."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of [n, channels_in, s, s], in its dtype."""
        g, native, stride = self.geometry, network_kernels(), self.geometry.stride
        outs, ins = self.weight.shape[:2]
        tiled = native is not None and native.tiles is not None and ins % TILE == 0 and outs % TILE == 0
        here = x.device.type == "cpu" and x.shape[2] == g.size
        if x.dtype == torch.bfloat16 and here and tiled:
            y: Tensor = _Tiled.apply(x, self.weight, g)
            return y
        if x.dtype == torch.float32 and here and g.out <= FEW:
            product: Tensor = Products.apply(x, self.weight, g)
            return product
        if g.kernel == 1 and ins < NARROW:
            x, stride = pixels_seen(x, stride), 1
        return conv2d(x, self.weight.to(x.dtype), None, stride, g.padding)


class _Tiled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, g: Geometry) -> Tensor:  # noqa: ANN401 - torch has no type with what it puts there
        tiles = _tiles()
        x = x.contiguous(memory_format=torch.channels_last)
        outs, ins = weight.shape[:2]
        ctx.geometry = g
        if max(outs, ins) < DEEP and g.out > SMALL:
            half = weight.to(torch.bfloat16)
            ctx.save_for_backward(x, half, None)
            return conv2d(x, half, None, g.stride, g.padding)
        forward, backward = (torch.empty(weight.numel(), dtype=torch.bfloat16) for _ in range(2))
        positions = g.kernel**2
        tiles.call("pack_weight", weight, forward, backward, outs, positions, ins)
        n = x.shape[0]
        source = sources(n, g)
        pixels = source.shape[1]
        y = _image(n, outs, g.out)
        order = torch.arange(max(pixels, positions), dtype=torch.int32)
        tiles.call("multiply_pixels", x, y, forward, source, order, order, pixels, positions, positions, ins, outs)
        ctx.save_for_backward(x, weight, backward)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor, None]:  # noqa: ANN401 - as above
        tiles = _tiles()
        x, weight, packed = ctx.saved_tensors
        g: Geometry = ctx.geometry
        outs, ins = weight.shape[:2]
        n, positions = x.shape[0], g.kernel**2
        dy = dy.contiguous(memory_format=torch.channels_last)
        by_tiles = g.out <= SMALL_GRADIENT
        dx, dw = None, None
        if packed is None or not by_tiles:
            half = weight.to(torch.bfloat16)
            wanted = [packed is None, not by_tiles, False]
            sides = ([g.stride] * 2, [g.padding] * 2, [1, 1], False, [0, 0], 1)
            dx, dw, _ = torch.ops.aten.convolution_backward(dy, x, half, None, *sides, wanted)
        if packed is not None:
            dx = _image(n, ins, g.size)
            for group in users(n, g):
                if not len(group.positions):
                    dx.permute(0, 2, 3, 1).view(-1, ins)[group.pixels] = 0  # no position meets them
                    continue
                sizes = (len(group.pixels), len(group.positions), positions, outs, ins)
                tiles.call("multiply_pixels", dy, dx, packed, group.outputs, group.pixels, group.positions, *sizes)
        if by_tiles:
            dw = torch.empty_like(weight, dtype=torch.float32)
            source = sources(n, g)
            tiles.call("weight_gradient", x, dy, dw, source, source.shape[1], positions, ins, outs)
        assert dw is not None  # noqa: S101 - one of the two made it
        return dx, dw.float(), None


def _tiles() -> Library:
    native = network_kernels()
    assert native is not None  # noqa: S101 - Convolution asked
    assert native.tiles is not None  # noqa: S101 - the same
    return native.tiles


def _image(n: int, channels: int, size: int) -> Tensor:
    shape = (n, channels, size, size)
    return torch.empty(shape, dtype=torch.bfloat16, memory_format=torch.channels_last)


@dataclass(frozen=True)
class Strip:
    """What one output pixel sees of one row, or of several that lie one after another."""

    output: int
    pixels: slice
    weights: slice


@functools.cache
def strips(g: Geometry) -> tuple[Strip, ...]:
    """Return all strips, those of an output pixel together."""
    found: list[Strip] = []
    for row, column, kernel_row in itertools.product(range(g.out), range(g.out), range(g.kernel)):
        y, x = row * g.stride - g.padding + kernel_row, column * g.stride - g.padding
        begin, end = max(0, -x), min(g.kernel, g.size - x)
        if not 0 <= y < g.size or begin >= end:
            continue
        output, first, weight = row * g.out + column, y * g.size + x, kernel_row * g.kernel
        pixels, weights = slice(first + begin, first + end), slice(weight + begin, weight + end)
        last = found[-1] if found else None
        if last and (last.output, last.pixels.stop, last.weights.stop) == (output, pixels.start, weights.start):
            pixels, weights = slice(last.pixels.start, pixels.stop), slice(last.weights.start, weights.stop)
            found.pop()
        found.append(Strip(output, pixels, weights))
    return tuple(found)


class Products(torch.autograd.Function):
    """The convolution of an image batch with a weight, both float32 in channels_last."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, g: Geometry) -> Tensor:  # noqa: ANN401 - torch has no type with what it puts there
        """Return the convolution, channels_last."""
        n, outs, ins = x.shape[0], *weight.shape[:2]
        ctx.save_for_backward(x, weight)
        ctx.geometry = g
        images, weights = _flat(x), _flat(weight)
        y = torch.empty(n, g.out**2 * outs)
        before = -1
        for strip in strips(g):
            part = _part(y, slice(strip.output, strip.output + 1), outs)
            _add(part, _part(images, strip.pixels, ins), _part(weights, strip.weights, ins).t(), strip.output == before)
            before = strip.output
        return y.view(n, g.out, g.out, outs).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor, None]:  # noqa: ANN401 - as above
        """Return both gradients, laid out as what they are of."""
        x, weight = ctx.saved_tensors
        g: Geometry = ctx.geometry
        outs, ins = weight.shape[:2]
        images, weights, gradient = _flat(x), _flat(weight), _flat(dy)
        once = g.out == 1  # no strip of one output pixel meets another
        dw, dx = _blank(weights, once and _met(g) == g.kernel**2), _blank(images, once and _met(g) == g.size**2)
        for strip in strips(g):
            part = _part(gradient, slice(strip.output, strip.output + 1), outs)
            _add(_part(dw, strip.weights, ins), part.t(), _part(images, strip.pixels, ins), not once)
            _add(_part(dx, strip.pixels, ins), part, _part(weights, strip.weights, ins), not once)
        return _unflat(dx, x), _unflat(dw, weight), None


def _flat(image: Tensor) -> Tensor:
    """Return [n, pixels * channels] of [n, channels, s, s]; a view of what is channels_last."""
    return image.permute(0, 2, 3, 1).reshape(image.shape[0], -1)


def _unflat(flat: Tensor, like: Tensor) -> Tensor:
    n, channels, height, width = like.shape
    return flat.view(n, height, width, channels).permute(0, 3, 1, 2)


def _part(flat: Tensor, pixels: slice, channels: int) -> Tensor:
    return flat[:, pixels.start * channels : pixels.stop * channels]


def _met(g: Geometry) -> int:
    """Return how many positions, or pixels, all strips meet together."""
    return sum(strip.weights.stop - strip.weights.start for strip in strips(g))


def _blank(like: Tensor, is_written: bool) -> Tensor:
    """Return memory for a sum: 0 unless all of it is written."""
    return torch.empty_like(like) if is_written else torch.zeros_like(like)


def _add(target: Tensor, left: Tensor, right: Tensor, more: bool) -> None:
    """Write a product, or add it to what is there."""
    torch.addmm(target, left, right, beta=int(more), out=target)
