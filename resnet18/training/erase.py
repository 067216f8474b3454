"""Rectangles of a tensor that are set to one value: `random_erasing` and `cutout`."""

import numpy as np
from numpy.typing import NDArray

from resnet18.data.rng import between
from resnet18.spec.augmentation import Cutout, RandomErasing

TRIES = 10
ERASING_UNITS = 2 * TRIES + 3
CUTOUT_UNITS = 3
NOTHING = 0
"""Top, left, height and width of a rectangle that erases no pixel."""


def draw_erasing(operation: RandomErasing, units: NDArray[np.float64], size: int) -> NDArray[np.int64]:
    """Return [n, 4] rectangles (top, left, height, width) inside a square image of `size` px; all 0 erase nothing.

    Args:
        operation: the probability, and the ranges of area and ratio.
        units: [n, 23] uniform numbers.
        size: side of the image in px.
    """
    area = size * size * between(units[:, :TRIES], operation.scale_min, operation.scale_max)
    logarithm = between(units[:, TRIES : 2 * TRIES], np.log(operation.ratio_min), np.log(operation.ratio_max))
    heights, widths = np.rint(np.sqrt(area * np.exp(logarithm))), np.rint(np.sqrt(area / np.exp(logarithm)))
    fits = (heights < size) & (widths < size)
    first, rows = fits.argmax(axis=1), np.arange(len(units))
    height, width = heights[rows, first], widths[rows, first]
    top = np.floor(units[:, -3] * (size - height + 1))
    left = np.floor(units[:, -2] * (size - width + 1))
    erases = fits[rows, first] & (units[:, -1] < operation.p)
    return _where(erases, top, left, height, width)


def draw_cutout(operation: Cutout, units: NDArray[np.float64], size: int) -> NDArray[np.int64]:
    """Return [n, 4] rectangles (top, left, height, width) inside a square image of `size` px; all 0 erase nothing.

    Args:
        operation: the probability, and the side of the square.
        units: [n, 3] uniform numbers.
        size: side of the image in px.
    """
    start = np.floor(units[:, :2] * size) - operation.size // 2
    low, high = np.clip(start, 0, size), np.clip(start + operation.size, 0, size)
    return _where(units[:, 2] < operation.p, *low.T, *(high - low).T)


def _where(erases: NDArray[np.bool_], *columns: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.where(erases[:, None], np.stack(columns, axis=1), NOTHING).astype(np.int64)


def value_of(operation: RandomErasing | Cutout) -> float:
    """Return what the pixels become."""
    return operation.value if isinstance(operation, RandomErasing) else 0.0
