"""Which positions of a convolution's kernel ever meet a pixel, and which pixel each of them meets.

On a 1x1 map only the centre of a padded 3x3 kernel meets anything but zeros. The other positions are unseen: they
change no output, their gradient is exactly 0, and an optimizer without weight decay leaves them as they were.
"""

import functools
from dataclasses import dataclass, replace

import torch
from torch import Tensor


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


@functools.lru_cache(maxsize=256)
def sources(images: int, g: Geometry) -> Tensor:
    """Return int32 [positions, pixels written]: the pixel that each position meets, -1 in the padding."""
    n, oy, ox = _grid(images, range(g.out), range(g.out))
    rows = []
    for row, column in _positions(g):
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
    for position, (row, column) in enumerate(_positions(g)):
        if (first_row + g.padding - row) % g.stride or (first_column + g.padding - column) % g.stride:
            continue
        positions.append(position)
        outputs.append(_pixels(n, (y + g.padding - row) // g.stride, (x + g.padding - column) // g.stride, g.out))
    pixels = _pixels(n, y, x, g.size).int()
    met = torch.stack(outputs).int() if outputs else torch.empty(0, len(pixels), dtype=torch.int32)
    return Users(pixels, torch.tensor(positions, dtype=torch.int32), met)


def _positions(g: Geometry) -> list[tuple[int, int]]:
    return [(row, column) for row in range(g.kernel) for column in range(g.kernel)]


def _pixels(n: Tensor, y: Tensor, x: Tensor, size: int) -> Tensor:
    """Return the numbers of pixels of maps [n, size, size], -1 outside."""
    inside = (y >= 0) & (y < size) & (x >= 0) & (x < size)
    return torch.where(inside, (n * size + y) * size + x, -1)


def _grid(images: int, rows: range, columns: range) -> tuple[Tensor, Tensor, Tensor]:
    sides = (torch.arange(side.start, side.stop, side.step) for side in (range(images), rows, columns))
    n, y, x = (part.flatten() for part in torch.meshgrid(*sides, indexing="ij"))
    return n, y, x
