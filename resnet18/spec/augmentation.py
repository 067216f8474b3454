"""Image operations: one class for each, with its keys. An experiment's list reads like the report's `Compose`.

Operations before `to_tensor` work on 8-bit images, those after it on float tensors. Each random operation draws
its own parameters per image (`training/augment.py`).
"""

from typing import Annotated, ClassVar, Literal, Self, get_args

from pydantic import Field, model_validator

from resnet18.spec.errors import Items, Model

Probability = Annotated[float, Field(ge=0, le=1)]
Ratio = Annotated[float, Field(gt=0, le=10)]
Positive = Annotated[float, Field(gt=0)]
Strength = Annotated[float, Field(ge=0, le=10)]


class ImageOperation(Model):
    """An operation on one image."""

    works_on: ClassVar[Literal["images", "tensors", "both"]] = "both"  # images stand before `to_tensor`, tensors after
    neutral: ClassVar[dict[str, object]] = {}  # the arguments that leave every image as it is, but for its size

    @property
    def changes_nothing(self) -> bool:
        """Whether it has those arguments."""
        return bool(self.neutral) and all(getattr(self, key) == value for key, value in self.neutral.items())

    @model_validator(mode="after")
    def _ranges_are_in_order(self) -> Self:
        for name in ("scale", "ratio"):
            low, high = (getattr(self, f"{name}_{end}", 0.0) for end in ("min", "max"))
            if low > high:
                raise ValueError(f"{name}_min = {low} is above {name}_max = {high}")
        return self


class ColorJitter(ImageOperation):
    """Brightness, contrast and saturation factors in [max(0, 1 - s), 1 + s], hue shift in [-hue, hue]."""

    works_on, neutral = "images", {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0}
    name: Literal["color_jitter"] = "color_jitter"
    brightness: Strength = 0.0
    contrast: Strength = 0.0
    saturation: Strength = 0.0
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0


class RandomResizedCrop(ImageOperation):
    """A random part of the image (share of its area, aspect ratio), resized to `image_size` (bilinear)."""

    works_on, neutral = "images", {"scale_min": 1, "scale_max": 1, "ratio_min": 1, "ratio_max": 1}
    name: Literal["random_resized_crop"] = "random_resized_crop"
    scale_min: Annotated[float, Field(gt=0, le=1)] = 0.08
    scale_max: Annotated[float, Field(gt=0, le=1)] = 1.0
    ratio_min: Ratio = 3 / 4
    ratio_max: Ratio = 4 / 3


class RandomCrop(ImageOperation):
    """A part of the image as large as the image, cut out of it with `padding` px added on each side.

    He et al. (2015), section 4.2, with 4 px of black; all places are equally likely. `mode` says what is added, in
    torchvision's words: `constant` is black, `edge` repeats the border, `symmetric` and `reflect` mirror the image.
    """

    works_on, neutral = "images", {"padding": 0}
    name: Literal["random_crop"] = "random_crop"
    padding: Annotated[int, Field(ge=0, le=1024)]
    mode: Literal["constant", "edge", "reflect", "symmetric"] = "constant"


class RandomRotation(ImageOperation):
    """A rotation by an angle in [-degrees, degrees] (nearest pixel, black corners)."""

    works_on, neutral = "images", {"degrees": 0}
    name: Literal["random_rotation"] = "random_rotation"
    degrees: Annotated[float, Field(ge=0, le=180)]


class RandomHorizontalFlip(ImageOperation):
    """A mirrored image with probability `p`."""

    neutral = {"p": 0}
    name: Literal["random_horizontal_flip"] = "random_horizontal_flip"
    p: Probability = 0.5


class ToTensor(ImageOperation):
    """8-bit image to float32 tensor in [0, 1]."""

    name: Literal["to_tensor"] = "to_tensor"


class RandomGrayscale(ImageOperation):
    """Grey in all three channels with probability `p`."""

    neutral = {"p": 0}
    name: Literal["random_grayscale"] = "random_grayscale"
    p: Probability = 0.1


class RandomErasing(ImageOperation):
    """With probability `p`, a rectangle set to `value` (Zhong et al., 2017), by torchvision's rule.

    The first of ten random rectangles that is smaller than the image lies anywhere in it; ratios are height to width.
    """

    works_on, neutral = "tensors", {"p": 0}
    name: Literal["random_erasing"] = "random_erasing"
    p: Probability = 0.5
    scale_min: Probability = 0.02
    scale_max: Probability = 0.33
    ratio_min: Ratio = 0.3
    ratio_max: Ratio = 3.3
    value: Annotated[float, Field(ge=-1000, le=1000)] = 0.0


class Cutout(ImageOperation):
    """With probability `p`, a square of `size` px set to 0 (DeVries and Taylor, 2017).

    Its centre is any pixel of the image; what lies outside is cut off. An even size reaches one pixel less down and
    right of the centre than up and left, as in the paper's program.
    """

    works_on, neutral = "tensors", {"p": 0}
    value: ClassVar[float] = 0.0
    name: Literal["cutout"] = "cutout"
    size: Annotated[int, Field(ge=1, le=1024)]
    p: Probability = 1.0


class Normalize(ImageOperation):
    """(x - mean) / std per channel; the defaults are ImageNet's."""

    works_on, neutral = "tensors", {"mean": (0, 0, 0), "std": (1, 1, 1)}
    name: Literal["normalize"] = "normalize"
    mean: Annotated[Items[float], Field(min_length=3, max_length=3)] = (0.485, 0.456, 0.406)
    std: Annotated[Items[Positive], Field(min_length=3, max_length=3)] = (0.229, 0.224, 0.225)


Operation = Annotated[
    ColorJitter | RandomResizedCrop | RandomCrop | RandomRotation | RandomHorizontalFlip
    | ToTensor | RandomGrayscale | RandomErasing | Cutout | Normalize,
    Field(discriminator="name"),
]  # fmt: skip
OPERATIONS: dict[str, type[ImageOperation]] = {
    model.model_fields["name"].default: model for model in get_args(get_args(Operation)[0])
}


def check_order(operations: tuple[Operation, ...]) -> tuple[Operation, ...]:
    """Return operations; raise ValueError unless each occurs once and stands on its side of `to_tensor`."""
    names = [operation.name for operation in operations]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f'"{name}" occurs {names.count(name)} times; each operation may occur once')
    if "to_tensor" not in names:
        raise ValueError('the list needs "to_tensor": the network takes tensors')
    border = names.index("to_tensor")
    for at, operation in enumerate(operations):
        if operation.works_on == ("tensors" if at < border else "images"):
            place = "after" if at < border else "before"
            raise ValueError(f'"{operation.name}" works on {operation.works_on}: place it {place} "to_tensor"')
    return operations


def clean(operations: tuple[Operation, ...]) -> tuple[Operation, ...]:
    """Return the list of the `clean` protocol: what is left when nothing random is done to a test image."""
    return tuple(operation for operation in operations if operation.name in {"to_tensor", "normalize"})
