"""One image at a time through torchvision's own PIL functions, as the report did it, with parameters that are drawn."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torchvision.transforms.functional as F  # noqa: N812 - torchvision's documentation calls it F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from resnet18.spec.augmentation import (
    ColorJitter,
    Cutout,
    Operation,
    RandomCrop,
    RandomErasing,
    RandomGrayscale,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
)
from resnet18.training.augment import Pipeline
from resnet18.training.erase import value_of

Picture = Any
"""A PIL image before `to_tensor`, a float tensor after it; torchvision's functions are untyped."""


def augmented(pipeline: Pipeline, pixels: NDArray[np.uint8], index: int) -> Tensor:
    """Return float32 [3, size, size] from uint8 [height, width, 3]; `index` is that in the original data set."""
    image: Picture = Image.fromarray(pixels)
    if "random_resized_crop" not in pipeline.tables and pixels.shape[0] != pipeline.size:
        image = F.resize(image, [pipeline.size, pipeline.size])
    for operation in pipeline.on_images:
        image = _applied(pipeline, operation, image, index)
    tensor: Tensor = F.to_tensor(image)
    for operation in pipeline.on_tensors:
        if operation.name == "normalize":
            tensor = F.normalize(tensor, list(operation.mean), list(operation.std))
        else:
            tensor = _applied(pipeline, operation, tensor, index)
    return tensor


def _applied(pipeline: Pipeline, operation: Operation, image: Picture, index: int) -> Picture:
    return APPLY[operation.name](operation, image, pipeline.tables[operation.name][index], pipeline.size)


def apply_crop(_operation: RandomResizedCrop, image: Picture, box: NDArray[np.int64], size: int) -> Picture:
    """Crop, then resize to `size` px (bilinear)."""
    top, left, height, width = (int(value) for value in box)
    return F.resized_crop(image, top, left, height, width, [size, size])


def apply_shift(operation: RandomCrop, image: Picture, corner: NDArray[np.int64], _size: int) -> Picture:
    """Pad, then cut the image's own size out at the corner."""
    padded = F.pad(image, [operation.padding], 0, operation.mode)
    return F.crop(padded, int(corner[0]), int(corner[1]), image.height, image.width)


def apply_jitter(_operation: ColorJitter, image: Picture, row: NDArray[np.float64], _size: int) -> Picture:
    """Apply the four adjustments in the drawn order. A factor of exactly 1 and a shift of exactly 0 do nothing."""
    adjust = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
    for which in row[4:].astype(int):
        if row[which] != (0.0 if which == 3 else 1.0):
            image = adjust[which](image, float(row[which]))
    return image


def apply_rotation(_operation: RandomRotation, image: Picture, angle: NDArray[np.float64], _size: int) -> Picture:
    """Rotate about the centre (nearest pixel, black corners)."""
    return F.rotate(image, float(angle[0]))


def apply_flip(_operation: RandomHorizontalFlip, image: Picture, coin: NDArray[np.int64], _size: int) -> Picture:
    """Mirror where the coin is 1."""
    return F.hflip(image) if coin[0] else image


def apply_grayscale(_operation: RandomGrayscale, image: Picture, coin: NDArray[np.int64], _size: int) -> Picture:
    """Make all three channels grey where the coin is 1."""
    if not coin[0]:
        return image
    if isinstance(image, Image.Image):
        return F.to_grayscale(image, num_output_channels=3)
    return F.rgb_to_grayscale(image, num_output_channels=3)


def apply_erase(operation: RandomErasing | Cutout, image: Tensor, box: NDArray[np.int64], _size: int) -> Tensor:
    """Set the rectangle of float32 [3, size, size] to the operation's value."""
    top, left, height, width = (int(number) for number in box)
    erased: Tensor = F.erase(image, top, left, height, width, torch.tensor(value_of(operation)))
    return erased


APPLY: dict[str, Callable[..., Picture]] = {
    "color_jitter": apply_jitter,
    "random_resized_crop": apply_crop,
    "random_crop": apply_shift,
    "random_rotation": apply_rotation,
    "random_horizontal_flip": apply_flip,
    "random_grayscale": apply_grayscale,
    "random_erasing": apply_erase,
    "cutout": apply_erase,
}
"""How an image is changed, given the row of its parameters and the side at which it enters the network."""
