"""Image operations: their parameters, drawn for each image from its key.

Drawing and applying are apart. A whole epoch's parameters are a few small tables, made from integers that are the
same on every machine; what applies them (`pictures`, `batched`) may change, the parameters may not.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnet18.data.rng import between, random_words, uniform
from resnet18.spec.augmentation import (
    ColorJitter,
    Operation,
    RandomCrop,
    RandomGrayscale,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
)
from resnet18.training.erase import CUTOUT_UNITS, ERASING_UNITS, draw_cutout, draw_erasing

CROP_TRIES = 10
Table = NDArray[np.float64] | NDArray[np.int64]


def draw_crop(operation: RandomResizedCrop, units: NDArray[np.float64], size: int) -> NDArray[np.int64]:
    """Return [n, 4] boxes (top, left, height, width) inside a square image of `size` px.

    torchvision's rule: ten tries of an area and an aspect ratio (uniform in its logarithm), the first box that fits
    is placed at random; if none fits, the largest central box of an allowed ratio.

    Args:
        operation: the ranges of area and ratio.
        units: [n, 22] uniform numbers.
        size: side of the image before the crop.
    """
    area = size * size * between(units[:, :CROP_TRIES], operation.scale_min, operation.scale_max)
    ratio = np.exp(
        between(units[:, CROP_TRIES : 2 * CROP_TRIES], np.log(operation.ratio_min), np.log(operation.ratio_max))
    )
    widths, heights = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
    fits = (widths > 0) & (widths <= size) & (heights > 0) & (heights <= size)
    first, rows = fits.argmax(axis=1), np.arange(len(units))
    found = fits[rows, first]
    central_height, central_width = _central_box(operation, size)
    height = np.where(found, heights[rows, first], central_height)
    width = np.where(found, widths[rows, first], central_width)
    top = np.where(found, np.floor(units[:, -2] * (size - height + 1)), (size - height) // 2)
    left = np.where(found, np.floor(units[:, -1] * (size - width + 1)), (size - width) // 2)
    return np.stack([top, left, height, width], axis=1).astype(np.int64)


def _central_box(operation: RandomResizedCrop, size: int) -> tuple[int, int]:
    """Return height and width of the largest box of an allowed ratio (width / height)."""
    if operation.ratio_min > 1:
        return round(size / operation.ratio_min), size
    if operation.ratio_max < 1:
        return size, round(size * operation.ratio_max)
    return size, size


def draw_shift(operation: RandomCrop, units: NDArray[np.float64], _size: int) -> NDArray[np.int64]:
    """Return [n, 2]: top and left of the part that is kept, in the padded image."""
    return np.floor(units * (2 * operation.padding + 1)).astype(np.int64)


def draw_jitter(operation: ColorJitter, units: NDArray[np.float64], _size: int) -> NDArray[np.float64]:
    """Return [n, 8]: factors of brightness, contrast, saturation, the hue shift, and the order in which they apply."""
    strengths = np.array([operation.brightness, operation.contrast, operation.saturation])
    factors = between(units[:, :3], np.maximum(0.0, 1 - strengths), 1 + strengths)
    hue = between(units[:, 3:4], -operation.hue, operation.hue)
    order = np.argsort(units[:, 4:8], axis=1, kind="stable")
    return np.concatenate([factors, hue, order], axis=1)


def draw_angle(operation: RandomRotation, units: NDArray[np.float64], _size: int) -> NDArray[np.float64]:
    """Return [n, 1] angles in degrees."""
    return between(units, -operation.degrees, operation.degrees)


def draw_coin(
    operation: RandomHorizontalFlip | RandomGrayscale, units: NDArray[np.float64], _size: int
) -> NDArray[np.int64]:
    """Return [n, 1]: 1 with probability p."""
    return (units < operation.p).astype(np.int64)


# name -> (random numbers per image, how to draw the parameters)
RANDOM: dict[str, tuple[int, Callable[..., Table]]] = {
    "color_jitter": (8, draw_jitter),
    "random_resized_crop": (2 * CROP_TRIES + 2, draw_crop),
    "random_crop": (2, draw_shift),
    "random_rotation": (1, draw_angle),
    "random_horizontal_flip": (1, draw_coin),
    "random_grayscale": (1, draw_coin),
    "random_erasing": (ERASING_UNITS, draw_erasing),
    "cutout": (CUTOUT_UNITS, draw_cutout),
}


@dataclass(frozen=True)
class Pipeline:
    """A list of operations with the parameters of one epoch."""

    on_images: tuple[Operation, ...]
    on_tensors: tuple[Operation, ...]
    tables: dict[str, Table]
    size: int


def build_pipeline(  # noqa: PLR0913 - each argument is a part of the random key or of the image
    operations: tuple[Operation, ...], *, seed: int, purpose: str, epoch: int, images: int, native: int, size: int
) -> Pipeline:
    """Return the pipeline of one epoch.

    Args:
        operations: the experiment's list.
        seed: the run's seed.
        purpose: the stream, such as `train-augmentation`; an operation's name is added to it, so that leaving one
            operation out of a list changes no parameter of the others.
        epoch: 1 is the first.
        images: number of images in the original data set; one row of parameters each.
        native: side of the images as stored, in px.
        size: side at which they enter the network, in px.
    """
    tables: dict[str, Table] = {}
    side = native
    if all(operation.name != "random_resized_crop" for operation in operations):
        side = size
    for operation in operations:
        if operation.name in RANDOM:
            lanes, draw = RANDOM[operation.name]
            units = uniform(random_words(seed, f"{purpose}/{operation.name}", epoch, images, lanes))
            tables[operation.name] = draw(operation, units, side)
            side = size if operation.name == "random_resized_crop" else side
    border = [operation.name for operation in operations].index("to_tensor")
    return Pipeline(operations[:border], operations[border + 1 :], tables, size)
