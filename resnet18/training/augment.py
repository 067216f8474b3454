"""Random image operations: their parameters, drawn for each image from its key, and their effect on one image.

Drawing and applying are apart. A whole epoch's parameters are a few small tables, made from integers that are the
same on every machine; what applies them (`feed`, `batched`) may change, the parameters may not.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from resnet18.data.dataset import between, random_words, uniform
from resnet18.spec import augmentation as spec

TRIES = 10
"""Rectangles that torchvision tries before it gives up, in crops and in erasing."""
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Operations = tuple[spec.Operation, ...]
ParameterTable = Floats | Integers
"""[images, n]: the parameters of an operation, a row for each image of the original data set."""
Picture = Any
"""A PIL image before `to_tensor`, a float tensor after it; torchvision's functions are untyped."""
Erasing = spec.RandomErasing | spec.Cutout
Functional = Any
"""The module torchvision.transforms.functional, which the fast path does without."""


def draw_crop(operation: spec.RandomResizedCrop, units: Floats, size: int) -> Integers:
    """Return [n, 4] boxes (top, left, height, width) inside a square image of `size` px, from [n, 22] uniform numbers.

    torchvision's rule: ten tries of an area and an aspect ratio (uniform in its logarithm), the first box that fits
    is placed at random; if none fits, the largest central box of an allowed ratio.
    """
    width, height, found = _first_that_fits(operation, units, size, range(1, size + 1))
    central_height, central_width = size, size
    if operation.ratio_min > 1:
        central_height = round(size / operation.ratio_min)
    elif operation.ratio_max < 1:
        central_width = round(size * operation.ratio_max)
    height, width = np.where(found, height, central_height), np.where(found, width, central_width)
    top = np.where(found, np.floor(units[:, -2] * (size - height + 1)), (size - height) // 2)
    left = np.where(found, np.floor(units[:, -1] * (size - width + 1)), (size - width) // 2)
    return np.stack([top, left, height, width], axis=1).astype(np.int64)


def _first_that_fits(
    operation: spec.RandomResizedCrop | spec.RandomErasing, units: Floats, size: int, lengths: range
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return two sides [n] (their quotient is the ratio) of the first try that is in `lengths`, and whether any is."""
    area = size * size * between(units[:, :TRIES], operation.scale_min, operation.scale_max)
    logarithm = between(units[:, TRIES : 2 * TRIES], np.log(operation.ratio_min), np.log(operation.ratio_max))
    ratio = np.exp(logarithm)
    sides = np.rint(np.sqrt(np.stack([area * ratio, area / ratio])))
    fits = (sides.min(axis=0) >= lengths.start) & (sides.max(axis=0) < lengths.stop)
    first, rows = fits.argmax(axis=1), np.arange(len(units))
    return *sides[:, rows, first], fits[rows, first]


def draw_shift(operation: spec.RandomCrop, units: Floats, _size: int) -> Integers:
    """Return [n, 2]: top and left of the part that is kept, in the padded image."""
    return np.floor(units * (2 * operation.padding + 1)).astype(np.int64)


def draw_jitter(operation: spec.ColorJitter, units: Floats, _size: int) -> Floats:
    """Return [n, 8]: factors of brightness, contrast, saturation, the hue shift, and the order in which they apply."""
    strengths = np.array([operation.brightness, operation.contrast, operation.saturation])
    factors = between(units[:, :3], np.maximum(0.0, 1 - strengths), 1 + strengths)
    hue = between(units[:, 3:4], -operation.hue, operation.hue)
    order = np.argsort(units[:, 4:8], axis=1, kind="stable")
    return np.concatenate([factors, hue, order], axis=1)


def draw_angle(operation: spec.RandomRotation, units: Floats, _size: int) -> Floats:
    """Return [n, 1] angles in degrees."""
    return between(units, -operation.degrees, operation.degrees)


def draw_coin(operation: spec.RandomHorizontalFlip | spec.RandomGrayscale, units: Floats, _size: int) -> Integers:
    """Return [n, 1]: 1 with probability p."""
    return (units < operation.p).astype(np.int64)


def draw_erasing(operation: spec.RandomErasing, units: Floats, size: int) -> Integers:
    """Return [n, 4] rectangles (top, left, height, width) in an image of `size` px, from [n, 23] uniform numbers.

    All 0 erase nothing.
    """
    height, width, found = _first_that_fits(operation, units, size, range(size))
    top = np.floor(units[:, -3] * (size - height + 1))
    left = np.floor(units[:, -2] * (size - width + 1))
    erases = found & (units[:, -1] < operation.p)
    return np.where(erases[:, None], np.stack([top, left, height, width], axis=1), 0).astype(np.int64)


def draw_cutout(operation: spec.Cutout, units: Floats, size: int) -> Integers:
    """Return [n, 4] rectangles as `draw_erasing`, from [n, 3] uniform numbers."""
    start = np.floor(units[:, :2] * size) - operation.size // 2
    low, high = np.clip(start, 0, size), np.clip(start + operation.size, 0, size)
    erases = units[:, 2:] < operation.p
    return np.where(erases, np.concatenate([low, high - low], axis=1), 0).astype(np.int64)


def _jittered(tv: Functional, _operation: spec.ColorJitter, image: Picture, row: Floats, _size: int) -> Picture:
    """Apply the four adjustments in the drawn order. A factor of exactly 1 and a shift of exactly 0 do nothing."""
    for which in row[4:].astype(int):
        if row[which] != (0.0 if which == 3 else 1.0):
            name = ("brightness", "contrast", "saturation", "hue")[which]
            image = getattr(tv, f"adjust_{name}")(image, float(row[which]))
    return image


class RandomOperation(NamedTuple):
    """How an operation's parameters are drawn, and how they change one image."""

    numbers: int
    """Uniform numbers per image."""
    draw: Callable[..., ParameterTable]
    """Takes the operation, [n, numbers] uniform numbers and the side of the image in px."""
    apply: Callable[..., Picture]
    """Takes torchvision's module, the operation, the image, the row of its parameters, and the side in the network."""


def _erased(tv: Functional, operation: Erasing, image: Picture, box: Integers, _: int) -> Picture:
    return tv.erase(image, *box.tolist(), image.new_tensor(operation.value))


RANDOM = {
    "color_jitter": RandomOperation(8, draw_jitter, _jittered),
    "random_resized_crop": RandomOperation(
        2 * TRIES + 2, draw_crop, lambda tv, _, image, box, size: tv.resized_crop(image, *box.tolist(), [size, size])
    ),
    "random_crop": RandomOperation(
        2,
        draw_shift,
        lambda tv, operation, image, corner, _: tv.crop(
            tv.pad(image, [operation.padding], 0, operation.mode), *corner.tolist(), image.height, image.width
        ),
    ),
    "random_rotation": RandomOperation(
        1, draw_angle, lambda tv, _, image, angle, _size: tv.rotate(image, float(angle[0]))
    ),
    "random_horizontal_flip": RandomOperation(
        1, draw_coin, lambda tv, _, image, coin, _size: tv.hflip(image) if coin[0] else image
    ),
    "random_grayscale": RandomOperation(
        1, draw_coin, lambda tv, _, image, coin, _size: tv.rgb_to_grayscale(image, 3) if coin[0] else image
    ),
    "random_erasing": RandomOperation(2 * TRIES + 3, draw_erasing, _erased),
    "cutout": RandomOperation(3, draw_cutout, _erased),
}


class Pipeline(NamedTuple):
    """A list of operations with the parameters of one epoch."""

    on_images: Operations
    on_tensors: Operations
    tables: dict[str, ParameterTable]
    images: int
    """In the original data set: the rows of each table."""
    stored_side: int
    """Side of the images as stored, in px."""
    size: int
    """Side at which they enter the network, in px."""

    @property
    def is_resized_first(self) -> bool:
        """Whether images are brought to their size before the operations: no operation makes it."""
        return "random_resized_crop" not in self.tables and self.stored_side != self.size


def build_pipeline(  # noqa: PLR0913 - each argument is a part of the random key or of the image
    operations: Operations, *, seed: int, purpose: str, epoch: int, images: int, stored_side: int, size: int
) -> Pipeline:
    """Return the pipeline of one epoch, with a row of parameters for each image of the original data set.

    `purpose` is the random stream, such as `train-augmentation`; an operation's name is added to it, so that leaving
    one operation out of a list changes no parameter of the others. For the other arguments see `Pipeline`.
    """
    tables: dict[str, ParameterTable] = {}
    names = [operation.name for operation in operations]
    side = stored_side if "random_resized_crop" in names else size
    for operation in operations:
        if operation.name in RANDOM:
            entry = RANDOM[operation.name]
            units = uniform(random_words(seed, f"{purpose}/{operation.name}", epoch, images, entry.numbers))
            tables[operation.name] = entry.draw(operation, units, side)
            side = size if operation.name == "random_resized_crop" else side
    border = names.index("to_tensor")
    return Pipeline(operations[:border], operations[border + 1 :], tables, images, stored_side, size)
