"""The three scales: how much of a benchmark to run. Only the fields below may be changed by a scale."""

from dataclasses import dataclass
from typing import Any, Literal

ScaleName = Literal["smoke", "small", "paper"]


@dataclass(frozen=True)
class Scale:
    """One column of the table of scales; None leaves the case's own value."""

    name: ScaleName
    data: str
    train_images: int | Literal["all"]
    test_images_epoch: int | Literal["all"]
    test_images_last: int | Literal["all"]
    image_size: int | None
    width: int | None
    max_epochs: int | None
    seeds: int
    image_size_is_fixed: bool = True
    """False: a case about size keeps its own."""


SCALES: dict[str, Scale] = {
    "smoke": Scale("smoke", "fashion-mnist-mini", 1_000, 200, "all", 32, 16, 2, seeds=1),
    "small": Scale("small", "cifar10", 5_000, 1_000, 10_000, 32, None, 10, 3, image_size_is_fixed=False),
    "paper": Scale("paper", "cifar10", "all", 10_000, 10_000, None, None, None, seeds=3),
}

LAST_EPOCHS = 3
"""Epochs at the end of a run, tested on more images: the median of their accuracies is the clean accuracy."""
TESTED_AT: dict[int, float] = {3: 0.1, 5: 0.3, 10: 0.6}
"""Seeds at which claims are tested (interim analyses), and the share of the error that each test may spend."""
FEWEST_SEEDS = min(TESTED_AT)
SCALE_KEYS = ("data", "train_images", "test_images_epoch", "test_images_last", "seed")
"""Keys that a TOML file may not set: the scale and the planner do."""


def at_scale(experiment: dict[str, Any], scale: Scale, data: str, *, about_size: bool) -> dict[str, Any]:
    """Return a case's experiment keys with the scale's values laid over them."""
    scaled = dict(
        experiment,
        data=data,
        train_images=scale.train_images,
        test_images_epoch=scale.test_images_epoch,
        test_images_last=scale.test_images_last,
    )
    if scale.width is not None:
        scaled["width"] = scale.width
    if scale.image_size is not None and (scale.image_size_is_fixed or not about_size):
        scaled["image_size"] = scale.image_size
    if scale.max_epochs is not None and isinstance(experiment.get("epochs"), int):
        scaled["epochs"] = min(experiment["epochs"], scale.max_epochs)
    return scaled
