"""Rotation and mirroring: every output pixel is one input pixel, or black.

Pillow (Image.rotate, and src/libImaging/Geometry.c) follows a line through the input in fixed point, 16 bits after
the point. A mirror image changes signs in the same six numbers, so a rotation and a flip next to it are one gather.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FRACTION_BITS = 16
ONE = 1 << FRACTION_BITS
DECIMALS = 15
"""Image.rotate rounds sine and cosine so, which makes those of right angles whole."""
Matrix = NDArray[np.int64]
"""[n, 6]: x_in = (m0 x + m1 y + m2) >> 16, y_in = (m3 x + m4 y + m5) >> 16."""


def rotations(angles: NDArray[np.float64], side: int) -> Matrix:
    """Return the matrices of rotations about the centre by angles in degrees, counter-clockwise.

    Sine and cosine are the C library's, as Pillow's are: numpy's vectorised ones may differ in the last bit.
    """
    radians = [-math.radians(angle % 360.0) for angle in angles.tolist()]
    cosine = np.array([round(math.cos(angle), DECIMALS) for angle in radians])
    sine = np.array([round(math.sin(angle), DECIMALS) for angle in radians])
    centre = side / 2
    x_shift = cosine * -centre + sine * -centre + centre
    y_shift = -sine * -centre + cosine * -centre + centre
    columns = [
        cosine,
        sine,
        x_shift + cosine * 0.5 + sine * 0.5,  # 0.5: what moves is the middle of a pixel
        -sine,
        cosine,
        y_shift + -sine * 0.5 + cosine * 0.5,
    ]
    return np.floor(np.stack(columns, axis=1) * ONE + 0.5).astype(np.int64)


def identities(count: int) -> Matrix:
    """Return matrices that move nothing."""
    return np.tile(np.array([ONE, 0, ONE // 2, 0, ONE, ONE // 2]), (count, 1))


def then_mirror(matrix: Matrix, coin: NDArray[np.int64], side: int) -> Matrix:
    """Return the matrices of the same movements with a flip after them where the coin is 1: x becomes side - 1 - x."""
    flipped = matrix.copy()
    flipped[:, [0, 3]] *= -1
    flipped[:, [2, 5]] += matrix[:, [0, 3]] * (side - 1)
    return np.where(coin == 1, flipped, matrix)


def mirror_first(matrix: Matrix, coin: NDArray[np.int64], side: int) -> Matrix:
    """Return the matrices of the same movements with a flip before them where the coin is 1.

    side - 1 - (v >> 16) = (side x 2^16 - 1 - v) >> 16, since -1 - v inverts all bits.
    """
    flipped = matrix.copy()
    flipped[:, :3] *= -1
    flipped[:, 2] += side * ONE - 1
    return np.where(coin == 1, flipped, matrix)


@dataclass(frozen=True)
class Turn:
    """One movement per image."""

    matrices: Tensor
    """int32 [6, images]."""

    def __call__(self, image: Tensor, rows: Tensor) -> Tensor:
        """Return packed [n, side, side] from the same."""
        count, side, _ = image.shape
        pixel = torch.arange(side, dtype=torch.int32, device=image.device)
        m0, m1, m2, m3, m4, m5 = self.matrices.index_select(1, rows).unsqueeze(-1).unbind()
        x = _line(m0 * pixel, torch.addcmul(m2, m1, pixel))
        y = _line(m3 * pixel, torch.addcmul(m5, m4, pixel))
        x_inside, y_inside = x.clamp(0, side - 1), y.clamp(0, side - 1)
        inside = (x_inside == x).logical_and_(y_inside == y)
        first = torch.arange(0, count * side * side, side * side, dtype=torch.int32, device=image.device)
        place = x_inside.add_(y_inside, alpha=side).add_(first[:, None, None])
        return image.reshape(-1).index_select(0, place.view(-1)).view_as(image).mul_(inside)


def _line(by_x: Tensor, by_y: Tensor) -> Tensor:
    """Return int32 [n, side, side] coordinates from the two parts of their sum, each [n, side]."""
    return (by_x[:, None, :] + by_y[:, :, None]).bitwise_right_shift_(FRACTION_BITS)


def build_turn(matrix: Matrix, device: torch.device) -> Turn:
    """Return the operation for one matrix per image."""
    return Turn(torch.from_numpy(matrix.T.astype(np.int32)).contiguous().to(device))
