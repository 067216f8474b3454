"""Operations that move pixels, as Pillow does them: rotation and mirroring, padded crops, and bilinear resizing.

Rotation (Image.rotate, src/libImaging/Geometry.c) follows a line through the input in fixed point, 16 bits after the
point. A mirror image changes signs in the same six numbers, so a rotation and a flip next to it are one gather.

Resizing (src/libImaging/Resample.c) makes two passes, first along rows, then along columns (but see `columns_first`).
A pass weighs neighbouring pixels with whole numbers, 2^22 for 1, and rounds to 8 bits: the second pass sees rounded
values. When an image shrinks, the filter widens with it, so its support has more pixels, none of them outside the box:
the box is cropped before it is resized.
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet18.spec.augmentation import RandomCrop, RandomResizedCrop
from resnet18.training.augment import Floats, Integers, ParameterTable
from resnet18.training.batched.tensors import FLIP, ImageStep, Target

ROTATION = "random_rotation"
FRACTION_BITS = 16
ONE = 1 << FRACTION_BITS
DECIMALS = 15
"""Image.rotate rounds sine and cosine so, which makes those of right angles whole."""
WEIGHT_BITS = 22
"""255 x 2^22 and half a unit for rounding stay below 2^31."""
COLUMNS_FIRST_SINCE = 13  # Pillow's major version
BLACK = -1
Matrices = NDArray[np.int64]
"""[n, 6]: x_in = (m0 x + m1 y + m2) >> 16, y_in = (m3 x + m4 y + m5) >> 16."""


def rotations(angles: Floats, side: int) -> Matrices:
    """Return the matrices of rotations about the centre by angles in degrees, counter-clockwise.

    Sine and cosine are the C library's, as Pillow's are: numpy's vectorised functions may differ in the last bit.
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


def matrices_of(names: Sequence[str], tables: Mapping[str, ParameterTable], images: int, side: int) -> Matrices:
    """Return the movements of a rotation, a flip, or both in the given order.

    A flip after a rotation makes side - 1 - x of x. One before it gives
    side - 1 - (v >> 16) = (side x 2^16 - 1 - v) >> 16, since -1 - v inverts all bits.
    """
    matrices = np.tile(np.array([ONE, 0, ONE // 2, 0, ONE, ONE // 2]), (images, 1))
    if ROTATION in names:
        matrices = rotations(tables[ROTATION][:, 0].astype(np.float64), side)
    if FLIP not in names:
        return matrices
    flipped = matrices.copy()
    if names[0] == FLIP:
        flipped[:, :3] *= -1
        flipped[:, 2] += side * ONE - 1
    else:
        flipped[:, [0, 3]] *= -1
        flipped[:, [2, 5]] += matrices[:, [0, 3]] * (side - 1)
    return np.where(tables[FLIP] == 1, flipped, matrices)


def build_affine(matrices: Matrices, target: Target) -> ImageStep:
    """Return one movement per image: every output pixel is one input pixel, or black."""
    kernels, columns = target.kernels, target.put(matrices.T, np.int32)
    if kernels:

        def compiled(image: Tensor, rows: Tensor) -> Tensor:
            image = image.contiguous()
            out = torch.empty_like(image)
            kernels.call("affine", image, out, rows, len(image), image.shape[1], columns.shape[1], columns)
            return out

        return compiled

    def affine(image: Tensor, rows: Tensor) -> Tensor:
        pixel = torch.arange(image.shape[1], dtype=torch.int32, device=image.device)
        m0, m1, m2, m3, m4, m5 = columns.index_select(1, rows).unsqueeze(-1).unbind()
        x = _line(m0 * pixel, torch.addcmul(m2, m1, pixel))
        y = _line(m3 * pixel, torch.addcmul(m5, m4, pixel))
        return _pixels_at(image, y, x)

    return affine


def _line(by_x: Tensor, by_y: Tensor) -> Tensor:
    """Return int32 [n, side, side] coordinates from the two parts of their sum, each [n, side]."""
    return (by_x[:, None, :] + by_y[:, :, None]).bitwise_right_shift_(FRACTION_BITS)


def _pixels_at(image: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Return the words at places that broadcast to [n, side, side], black outside the image."""
    count, side, _ = image.shape
    y_inside, x_inside = y.clamp(0, side - 1), x.clamp(0, side - 1)
    line = (y_inside * side).add_(_first_pixels(count, side * side, image)[:, None, None])
    words = image.reshape(-1).index_select(0, (line + x_inside).view(-1)).view_as(image)
    return words.mul_((y_inside == y) & (x_inside == x))


def _first_pixels(count: int, step: int, like: Tensor) -> Tensor:
    """Return int32 [count]: where each image begins."""
    return torch.arange(0, count * step, step, dtype=torch.int32, device=like.device)


def build_shift(operation: RandomCrop, corners: Integers, target: Target) -> ImageStep:
    """Return the part of each padded image, of the image's own size, that begins at its corner [images, 2]."""
    border: dict[str, Any] = {"constant_values": BLACK} if operation.mode == "constant" else {}
    row_of = np.pad(np.arange(target.side, dtype=np.int32), operation.padding, mode=operation.mode, **border)
    places, corner = target.put(row_of, np.int32), target.put(corners.T, np.int32)

    def shift(image: Tensor, rows: Tensor) -> Tensor:
        count, side, _ = image.shape
        pixel = torch.arange(side, dtype=torch.int32, device=image.device)
        wanted = corner.index_select(1, rows).unsqueeze(-1) + pixel
        y, x = places.index_select(0, wanted.view(-1)).view(2, count, side)
        return _pixels_at(image, y[:, :, None], x[:, None, :])

    return shift


@lru_cache(maxsize=8)
def kernel_support(longest: int, size: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return which pixels each output pixel reads, and their weights: twice int32 [longest + 1, support, size].

    Row L is for a box of L pixels (row 0 is unused). Places count from the box's first pixel; a place of weight 0
    stays in the box. The weight of a pixel is 1 - |distance| / width, made to sum to 1; its operations and their order
    are Pillow's, since a double's last bit can decide how a weight is rounded.
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
    for at in range(1, reach):
        total += weight[:, at : at + 1]
    share = np.divide(weight, total, out=np.zeros_like(weight), where=total > 0)
    whole = np.trunc(0.5 + share * (1 << WEIGHT_BITS)).astype(np.int32)
    return np.minimum(place, np.maximum(high - 1, 0)).astype(np.int32), whole


def columns_first(boxes: Integers, size: int) -> NDArray[np.bool_]:
    """Return whether Pillow takes the columns of a box before its rows: [images].

    Since 13.0, where the height shrinks much more than the width (pull request 9549); before, never. The rule is what
    13.0.0 does, for all boxes of up to 50 px and outputs of 8, 16 and 32 px. Without shrinking, rows come first.
    """
    if int(PIL.__version__.split(".", maxsplit=1)[0]) < COLUMNS_FIRST_SINCE:
        return np.zeros(len(boxes), dtype=np.bool_)
    height, width = boxes[:, 2], boxes[:, 3]
    return (height > size) & (2 * (width - size) < height - size)


def build_resize(_operation: RandomResizedCrop | None, boxes: Integers, target: Target) -> ImageStep:
    """Return the resizing of boxes [images, 4] (top, left, height, width) to squares.

    Where Pillow takes columns first, an image and its box are exchanged along the diagonal, and back afterwards.
    """
    kernels, size = target.kernels, target.size
    places, weights = (target.put(values, np.int32) for values in kernel_support(target.side, size))
    transposed = columns_first(boxes, size)[:, None]
    columns = target.put(np.where(transposed, boxes[:, [1, 0, 3, 2]], boxes).T, np.int32)
    exchanged = target.put(transposed[:, :, None], np.bool_) if transposed.any() else None
    if kernels:

        def compiled(image: Tensor, rows: Tensor) -> Tensor:
            (count, side, _), image = image.shape, image.contiguous()
            out = torch.empty((count, size, size), dtype=torch.int32)
            longer = max(side, size)
            scratch = torch.empty(2 * longer * longer + 4 * longer, dtype=torch.int32)
            sizes = (count, side, size, places.shape[1], columns.shape[1])
            kernels.call("resize", image, out, scratch, rows, *sizes, columns, exchanged, places, weights)
            return out

        return compiled

    def resized(image: Tensor, rows: Tensor) -> Tensor:
        top, left, height, width = columns.index_select(1, rows).unbind()
        support = [(places.index_select(0, side), weights.index_select(0, side)) for side in (width, height)]
        narrow = _resize_lines(image.transpose(1, 2), left, *support[0])
        return _resize_lines(narrow.transpose(1, 2), top, *support[1])

    def resize(image: Tensor, rows: Tensor) -> Tensor:
        if exchanged is None:
            return resized(image, rows)
        is_exchanged = exchanged.index_select(0, rows)
        out = resized(torch.where(is_exchanged, image.transpose(1, 2), image), rows)
        return torch.where(is_exchanged, out.transpose(1, 2), out).contiguous()

    return resize


def _resize_lines(image: Tensor, start: Tensor, place: Tensor, weight: Tensor) -> Tensor:
    """Return words [n, size, other] from words [n, side, other], given places and weights [n, support, size].

    What is gathered is whole lines of the other side: all their pixels have the same support.
    """
    count, side, other = image.shape
    lines = image.reshape(-1).view(torch.uint8).view(count * side, other * 4)
    place = place + (_first_pixels(count, side, image) + start)[:, None, None]

    def read(at: int) -> Tensor:
        return lines.index_select(0, place[:, at].reshape(-1)).to(torch.int32).view(count, -1, other * 4)

    total = read(0).mul_(weight[:, 0, :, None])
    for at in range(1, place.shape[1]):
        total.addcmul_(read(at), weight[:, at, :, None])
    rounded = total.add_(1 << (WEIGHT_BITS - 1)).bitwise_right_shift_(WEIGHT_BITS)
    return rounded.to(torch.uint8).view(torch.int32)
