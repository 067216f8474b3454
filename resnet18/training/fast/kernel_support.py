"""Which positions of a convolution's kernel ever meet a pixel, and which pixel each of them meets.

On a 1x1 map only the centre of a padded 3x3 kernel meets anything but zeros. The other positions are unseen: they
change no output, their gradient is exactly 0, and an optimizer without weight decay leaves them as they were.
"""

import functools
from dataclasses import dataclass, replace
from itertools import product

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

    def sees(self, pixel: int) -> bool:
        """Whether a row (or column) lies inside the map."""
        return 0 <= pixel < self.size


def trimmed(g: Geometry) -> tuple[Geometry, int]:
    """Return the geometry of the rows (and columns) that meet a pixel, and the first of them in the whole kernel.

    Where the shorter kernel would not be the same convolution, the whole kernel is returned.
    """
    seen = [row for row in range(g.kernel) if any(g.sees(o * g.stride - g.padding + row) for o in range(g.out))]
    begin = seen[0]
    shorter = replace(g, kernel=seen[-1] + 1 - begin, padding=g.padding - begin)
    return (shorter, begin) if shorter.padding >= 0 and shorter.out == g.out else (g, 0)


class TrimmedConvolution(nn.Module):
    """A convolution's weight [out, in, k, k], which lies as [out, k, k, in] and holds what meets a pixel.

    What computes with it (`convolution`) is apart, since every path saves and restores weights.
    `unseen` [out, in, positions] has the rest of the whole kernel, row by row; nothing is computed with it.
    """

    unseen: Tensor

    def __init__(self, channels_in: int, channels: int, whole: Geometry) -> None:
        super().__init__()
        self.whole = whole
        self.geometry, begin = trimmed(whole)
        self.part = slice(begin, begin + self.geometry.kernel)
        """Rows and columns of the whole kernel that the weight holds."""
        shape = (channels, channels_in, self.geometry.kernel, self.geometry.kernel)
        self.weight = nn.Parameter(torch.empty(shape).to(memory_format=torch.channels_last))
        unseen = torch.empty(channels, channels_in, whole.kernel**2 - self.geometry.kernel**2)
        self.register_buffer("unseen", unseen, persistent=False)

    def seen_of(self, whole: Tensor) -> Tensor:
        """Return a view [out, in, k, k] of a whole kernel: what the weight holds."""
        return whole[:, :, self.part, self.part]

    def unseen_of(self, whole: Tensor) -> Tensor:
        """Return a copy [out, in, positions] of the rest."""
        return whole[:, :, self._is_unseen()]

    def joined(self, seen: Tensor, unseen: Tensor | None) -> Tensor:
        """Return a whole kernel; without the unseen part that is 0."""
        whole = seen.new_zeros((*seen.shape[:2], self.whole.kernel, self.whole.kernel))
        self.seen_of(whole).copy_(seen.detach())
        if unseen is not None:
            whole[:, :, self._is_unseen()] = unseen
        return whole

    def _is_unseen(self) -> Tensor:
        """Say of each position of the whole kernel [k, k] whether it is unseen."""
        is_unseen = torch.ones(self.whole.kernel, self.whole.kernel, dtype=torch.bool)
        is_unseen[self.part, self.part] = False
        return is_unseen


@functools.lru_cache(maxsize=256)
def sources(images: int, g: Geometry) -> Tensor:
    """Return int32 [positions, pixels written]: the pixel that each position meets, -1 in the padding."""
    n, oy, ox = _grid(images, range(g.out), range(g.out))
    rows = []
    for row, column in product(range(g.kernel), repeat=2):
        y, x = oy * g.stride - g.padding + row, ox * g.stride - g.padding + column
        rows.append(_pixels(n, y, x, g.size))
    return torch.stack(rows).int()


@dataclass(frozen=True)
class Users:
    """For some pixels of the map that is read: which outputs used them."""

    pixels: Tensor
    """int32 [p]: the pixels."""
    positions: Tensor
    """int32 [t]: the positions of the kernel that can meet them."""
    outputs: Tensor
    """int32 [t, p]: the output pixel that met the pixel at the position, -1 for none."""


@functools.lru_cache(maxsize=256)
def users(images: int, g: Geometry) -> tuple[Users, ...]:
    """Return the users of all pixels, in groups that the same positions can meet (four of them at stride 2)."""
    return tuple(_users(images, g, a, b) for a in range(g.stride) for b in range(g.stride))


def _users(images: int, g: Geometry, first_row: int, first_column: int) -> Users:
    n, y, x = _grid(images, range(first_row, g.size, g.stride), range(first_column, g.size, g.stride))
    positions, outputs = [], []
    for position, (row, column) in enumerate(product(range(g.kernel), repeat=2)):
        if (first_row + g.padding - row) % g.stride or (first_column + g.padding - column) % g.stride:
            continue
        positions.append(position)
        outputs.append(_pixels(n, (y + g.padding - row) // g.stride, (x + g.padding - column) // g.stride, g.out))
    pixels = _pixels(n, y, x, g.size).int()
    met = torch.stack(outputs).int() if outputs else torch.empty(0, len(pixels), dtype=torch.int32)
    return Users(pixels, torch.tensor(positions, dtype=torch.int32), met)


def _pixels(n: Tensor, y: Tensor, x: Tensor, size: int) -> Tensor:
    """Return the numbers of pixels of maps [n, size, size], -1 outside."""
    inside = (y >= 0) & (y < size) & (x >= 0) & (x < size)
    return torch.where(inside, (n * size + y) * size + x, -1)


def _grid(images: int, rows: range, columns: range) -> tuple[Tensor, Tensor, Tensor]:
    sides = (torch.arange(side.start, side.stop, side.step) for side in (range(images), rows, columns))
    n, y, x = (part.flatten() for part in torch.meshgrid(*sides, indexing="ij"))
    return n, y, x
