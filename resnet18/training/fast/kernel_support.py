"""Which taps of a convolution ever see data, and which pixel each of them sees.

On a 1x1 map only the centre of a padded 3x3 kernel meets anything but zeros. The other taps are dead: they change no
output, their gradient is exactly 0, and an optimizer without weight decay leaves them as they were.
"""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Geometry:
    """A square convolution on a square map."""

    kernel: int
    stride: int
    padding: int
    size: int
    """Side of the map that it reads."""

    @property
    def out(self) -> int:
        """Side of the map that it writes."""
        return (self.size + 2 * self.padding - self.kernel) // self.stride + 1


class LiveTaps(nn.Module):
    """A layer whose kernel holds live taps only.

    `dead` [out, in, taps] has the whole kernel's other taps, row by row; nothing is computed with them.
    """

    dead: Tensor

    def __init__(self, geometry: Geometry, begin: int, kernel: int) -> None:
        super().__init__()
        self.geometry = geometry
        self.begin = begin
        """First row and column of the whole kernel that this one holds."""
        self.kernel = kernel
        """Side of the whole kernel."""

    @property
    def is_dead(self) -> Tensor:
        """Say of each tap of the whole kernel [k, k] whether it is dead."""
        is_dead = torch.ones(self.kernel, self.kernel, dtype=torch.bool)
        part = slice(self.begin, self.begin + self.geometry.kernel)
        is_dead[part, part] = False
        return is_dead


def live(geometry: Geometry) -> tuple[int, int]:
    """Return [begin, end) of the kernel's rows (and columns) to keep; all of them where fewer would not be the same.

    The shorter kernel has its padding less `begin`; it is the same product if its outputs are as many.
    """
    g = geometry
    seen = [tap for tap in range(g.kernel) if any(0 <= o * g.stride - g.padding + tap < g.size for o in range(g.out))]
    begin, end = seen[0], seen[-1] + 1
    shorter = Geometry(end - begin, g.stride, g.padding - begin, g.size)
    return (begin, end) if shorter.padding >= 0 and shorter.out == g.out else (0, g.kernel)


def shortened(geometry: Geometry, begin: int, end: int) -> Geometry:
    """Return the geometry of the kernel's part from `begin` to `end`."""
    return Geometry(end - begin, geometry.stride, geometry.padding - begin, geometry.size)


@functools.lru_cache(maxsize=256)
def sources(images: int, g: Geometry) -> Tensor:
    """Return int32 [taps, pixels written]: the pixel that each tap sees at each output pixel, -1 in the padding."""
    n, oy, ox = _grid(images, range(g.out), range(g.out))
    rows = []
    for tap in range(g.kernel**2):
        y, x = oy * g.stride - g.padding + tap // g.kernel, ox * g.stride - g.padding + tap % g.kernel
        inside = (y >= 0) & (y < g.size) & (x >= 0) & (x < g.size)
        rows.append(torch.where(inside, (n * g.size + y) * g.size + x, -1))
    return torch.stack(rows).int()


@dataclass(frozen=True)
class Users:
    """For some pixels of the map that is read: which outputs used them."""

    pixels: Tensor
    """int32 [p]: the pixels."""
    taps: Tensor
    """int32 [t]: the taps that can see them."""
    outputs: Tensor
    """int32 [t, p]: the output pixel that saw the pixel through the tap, -1 for none."""


@functools.lru_cache(maxsize=256)
def users(images: int, g: Geometry) -> tuple[Users, ...]:
    """Return the users of all pixels, in groups that the same taps can see (four of them at stride 2)."""
    return tuple(_users(images, g, a, b) for a in range(g.stride) for b in range(g.stride))


def _users(images: int, g: Geometry, first_row: int, first_column: int) -> Users:
    n, y, x = _grid(images, range(first_row, g.size, g.stride), range(first_column, g.size, g.stride))
    taps, outputs = [], []
    for tap in range(g.kernel**2):
        row, column = tap // g.kernel, tap % g.kernel
        if (first_row + g.padding - row) % g.stride or (first_column + g.padding - column) % g.stride:
            continue
        oy, ox = (y + g.padding - row) // g.stride, (x + g.padding - column) // g.stride
        inside = (oy >= 0) & (oy < g.out) & (ox >= 0) & (ox < g.out)
        taps.append(tap)
        outputs.append(torch.where(inside, (n * g.out + oy) * g.out + ox, -1))
    pixels = ((n * g.size + y) * g.size + x).int()
    seen = torch.stack(outputs).int() if outputs else torch.empty(0, len(pixels), dtype=torch.int32)
    return Users(pixels, torch.tensor(taps, dtype=torch.int32), seen)


def _grid(images: int, rows: range, columns: range) -> tuple[Tensor, Tensor, Tensor]:
    parts = torch.meshgrid(torch.arange(images), torch.tensor(list(rows)), torch.tensor(list(columns)), indexing="ij")
    n, y, x = (part.flatten() for part in parts)
    return n, y, x
