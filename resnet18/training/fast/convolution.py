"""Convolutions of float32 parameters in the precision of their input: by oneDNN, as products, or by the tile kernels.

In bfloat16 the tile kernels replace oneDNN where they are faster (measured on AMX, one thread): for the gradient of
the weight on maps up to 14x14, and for the two other products with 512 channels, or on maps up to 4x4.
In float32 those that write maps up to 2x2 are plain matrix products (`Products`), all others are oneDNN's.
"""

import functools
from itertools import product
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d, unfold

from resnet18.training.fast.trimmed import Geometry, TrimmedConvolution
from resnet18.training.model import NARROW
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
        tiles = native.tiles if native and ins % TILE == 0 and outs % TILE == 0 else None
        if x.dtype == torch.bfloat16 and tiles:
            y = _Tiled.apply(tiles, x, self.weight, g)
        elif x.dtype == torch.float32 and g.out <= FEW:
            y = Products.apply(x, self.weight, g)
        else:
            if g.kernel == 1 and ins < NARROW:
                x, stride = x[:, :, ::stride, ::stride], 1  # as `model.Shortcut`
            y = conv2d(x, self.weight.to(x.dtype), None, stride, g.padding)
        return cast("Tensor", y)


class _Tiled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tiles: Library, x: Tensor, weight: Tensor, g: Geometry) -> Tensor:  # noqa: ANN401 - torch has no type with what it puts there
        x = x.contiguous(memory_format=torch.channels_last)
        outs, ins = weight.shape[:2]
        ctx.tiles, ctx.geometry = tiles, g
        if max(outs, ins) < DEEP and g.out > SMALL:
            half = weight.to(torch.bfloat16)
            ctx.save_for_backward(x, half, None)
            return conv2d(x, half, None, g.stride, g.padding)
        forward, backward = (torch.empty(weight.numel(), dtype=torch.bfloat16) for _ in range(2))
        positions = g.kernel**2
        tiles.call("pack_weight", weight, forward, backward, outs, positions, ins)
        source = sources(x.shape[0], g)
        pixels = source.shape[1]
        y = x.new_empty((x.shape[0], g.out, g.out, outs)).permute(0, 3, 1, 2)
        order = torch.arange(max(pixels, positions), dtype=torch.int32)
        tiles.call("multiply_pixels", x, y, forward, source, order, order, pixels, positions, positions, ins, outs)
        ctx.save_for_backward(x, weight, backward)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[None, Tensor | None, Tensor, None]:  # noqa: ANN401 - as above
        x, weight, packed = ctx.saved_tensors
        g: Geometry = ctx.geometry
        outs, ins = weight.shape[:2]
        n, positions = x.shape[0], g.kernel**2
        dy = dy.contiguous(memory_format=torch.channels_last)
        by_tiles = g.out <= SMALL_GRADIENT
        dx, dw = None, torch.empty_like(weight, dtype=torch.float32)
        if packed is None or not by_tiles:
            half = weight.to(torch.bfloat16)
            wanted = [packed is None, not by_tiles, False]
            sides = ([g.stride] * 2, [g.padding] * 2, [1, 1], False, [0, 0], 1)
            dx, dw_of_onednn, _ = torch.ops.aten.convolution_backward(dy, x, half, None, *sides, wanted)
            dw = dw if by_tiles else dw_of_onednn.float()
        if packed is not None:
            dx = torch.zeros_like(x)  # some pixels have no user
            for pixels, of_kernel, outputs in users(n, g):
                sizes = (len(pixels), len(of_kernel), positions, outs, ins)
                ctx.tiles.call("multiply_pixels", dy, dx, packed, outputs, pixels, of_kernel, *sizes)
        if by_tiles:
            source = sources(n, g)
            ctx.tiles.call("weight_gradient", x, dy, dw, source, source.shape[1], positions, ins, outs)
        return None, dx, dw, None


@functools.lru_cache(maxsize=256)
def sources(images: int, g: Geometry) -> Tensor:
    """Return int32 [positions, pixels written]: the pixel that each position of the kernel meets, -1 in the padding."""
    numbers = torch.arange(1, images * g.size**2 + 1, dtype=torch.float64).view(images, 1, g.size, g.size)
    met = unfold(numbers, g.kernel, padding=g.padding, stride=g.stride)  # [images, positions, pixels of an image]
    return met.transpose(0, 1).contiguous().view(g.kernel**2, -1).int() - 1


@functools.lru_cache(maxsize=256)
def users(images: int, g: Geometry) -> tuple[tuple[Tensor, Tensor, Tensor], ...]:
    """Return who used the pixels that are read, in groups that the same positions can meet (up to four at stride 2).

    Of each group, all int32: the pixels [p], the positions of the kernel that meet any of them [t], and which output
    pixel met the pixel at the position [t, p], -1 for none.
    """
    user = torch.full((g.kernel**2, images * g.size**2), -1, dtype=torch.int32)
    for of_position, met in zip(user, sources(images, g), strict=True):
        outputs = (met >= 0).nonzero()[:, 0]
        of_position[met[outputs]] = outputs.int()
    numbers = torch.arange(user.shape[1], dtype=torch.int32).view(images, g.size, g.size)
    found = []
    for row, column in product(range(g.stride), repeat=2):
        pixels = numbers[:, row :: g.stride, column :: g.stride].contiguous().flatten()
        of_group = user[:, pixels]
        if len(positions := (of_group >= 0).any(1).nonzero()[:, 0]):
            found.append((pixels, positions.int(), of_group[positions]))
    return tuple(found)


class Strip(NamedTuple):
    """What one output pixel sees of one row, or of several that lie one after another."""

    output: slice
    pixels: slice
    weights: slice


@functools.cache
def strips(g: Geometry) -> tuple[Strip, ...]:
    """Return all strips, those of an output pixel together."""
    found: list[Strip] = []
    for row, column, kernel_row in product(range(g.out), range(g.out), range(g.kernel)):
        y, x = row * g.stride - g.padding + kernel_row, column * g.stride - g.padding
        begin, end = max(0, -x), min(g.kernel, g.size - x)
        if not 0 <= y < g.size or begin >= end:
            continue
        at, first, weight = row * g.out + column, y * g.size + x, kernel_row * g.kernel
        output = slice(at, at + 1)
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
        y = torch.zeros(n, g.out**2 * outs)
        for output, pixels, positions in strips(g):
            _part(y, output, outs).addmm_(_part(images, pixels, ins), _part(weights, positions, ins).t())
        return y.view(n, g.out, g.out, outs).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, None]:  # noqa: ANN401 - as above
        """Return both gradients, laid out as what they are of."""
        x, weight = ctx.saved_tensors
        g: Geometry = ctx.geometry
        outs, ins = weight.shape[:2]
        images, weights, gradient = _flat(x), _flat(weight), _flat(dy)
        dw, dx = torch.zeros_like(weights), torch.zeros_like(images)
        for output, pixels, positions in strips(g):
            part = _part(gradient, output, outs)
            _part(dw, positions, ins).addmm_(part.t(), _part(images, pixels, ins))
            _part(dx, pixels, ins).addmm_(part, _part(weights, positions, ins))
        dx, dw = (flat.view(like.permute(0, 2, 3, 1).shape) for flat, like in ((dx, x), (dw, weight)))
        return dx.permute(0, 3, 1, 2), dw.permute(0, 3, 1, 2), None


def _flat(image: Tensor) -> Tensor:
    """Return [n, pixels * channels] of [n, channels, s, s]; a view of what is channels_last."""
    return image.permute(0, 2, 3, 1).reshape(image.shape[0], -1)


def _part(flat: Tensor, pixels: slice, channels: int) -> Tensor:
    return flat[:, pixels.start * channels : pixels.stop * channels]
