"""What a run is: the experiment defines the result, the execution should not change it; its data, and the scales."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PlainValidator, model_validator

from resnet18.spec.augmentation import Operation, check_order
from resnet18.spec.errors import EnvironmentMissingError, Items, Model, SpecError, did_you_mean
from resnet18.spec.metric import memory_in_bytes
from resnet18.spec.optimizer import OneCycle, Optimizer, Schedule, Share

ScaleName = Literal["smoke", "small", "paper"]
LABEL = r"^[a-z0-9][a-z0-9_-]{0,63}$"  # of a data set
CountOrAll = Annotated[int, Field(ge=1, le=10_000_000)] | Literal["all"]
EMBEDDED = "fashion-mnist-mini"
CIFAR10 = "cifar10"
IMAGE_FOLDER = "imagefolder"


def _known_device(name: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|xpu|cuda(:\d{1,2})?", name, re.ASCII):
        raise ValueError(f'unknown device "{name}"; known are auto, cpu, cuda, cuda:N, mps and xpu')
    return name


def _known_size(text: object) -> object:
    memory_in_bytes(text)
    return text


Device = Annotated[str, AfterValidator(_known_device)]
Operations = Annotated[Items[Operation], AfterValidator(check_order)]
MemorySize = Annotated[str, BeforeValidator(_known_size)]


class Experiment(Model):
    """Everything that defines the result of a run."""

    data: Annotated[str, Field(pattern=LABEL)]  # the data set's label, never a path
    train_images: CountOrAll  # a class-balanced subset of this size, or all
    test_images_epoch: CountOrAll  # test images evaluated after every epoch but the last three
    test_images_last: CountOrAll  # the same after each of the last three, whose median is the clean accuracy
    image_size: Annotated[int, Field(ge=8, le=1024)]  # side in px of the network's input
    augmentation: Operations  # on training images, in order
    test_augmentation: Operations  # on test images under the `as-published` protocol
    model: Literal["resnet18"]
    stem: Literal["imagenet", "cifar"]  # 7x7 stride 2 and 3x3 max pool stride 2; 3x3 stride 1, no pool
    width: Annotated[int, Field(ge=1, le=512)] = 64  # channels of the first stage; 64 is ResNet-18
    optimizer: Optimizer
    schedule: Schedule
    label_smoothing: Share = 0.0  # share of the target that all classes get alike, in training (Szegedy et al., 2016)
    batch_size: Annotated[int, Field(ge=1, le=65_536)]
    epochs: Annotated[int, Field(ge=1, le=10_000)]
    validation_images: Annotated[int, Field(ge=0, le=0)] = 0  # held back to choose the epoch: the report has none
    seed: Annotated[int, Field(ge=0, lt=2**32)]

    @model_validator(mode="after")
    def _rates_agree(self) -> Self:
        if isinstance(self.schedule, OneCycle) and self.schedule.max_lr != self.optimizer.lr:
            raise ValueError(
                f"optimizer.lr = {self.optimizer.lr:g} is not schedule.max_lr = {self.schedule.max_lr:g}: both are the "
                "highest rate of one_cycle, so set them to the same number"
            )
        return self


class Execution(Model):
    """How a run is carried out. `auto` stays `auto` in the identity; the fingerprint says what ran."""

    device: Device = "auto"
    precision: Literal["fp32", "tf32", "bf16", "fp16"] = "fp32"  # fp32 is without TF32; 16 bits are of activations
    fallback: bool = False  # train in fp32 where the device lacks the precision, instead of ending `unsupported`
    memory_format: Literal["auto", "contiguous", "channels_last"] = "auto"  # contiguous on the reference path alone
    compile: bool = False  # compile the network with torch.compile before training; the time that takes is `compile_s`
    path: Literal["reference", "fast"] = "reference"
    """As the report did, image by image; or the same images to the bit in whole batches, and equal up to rounding."""
    deterministic: bool = False  # ask torch for deterministic algorithms. CPU runs are repeatable without it.
    threads: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = "auto"
    workers: Annotated[int, Field(ge=0, le=64)] = 0  # data-loader processes; randomness is keyed by image
    memory_cap: MemorySize | None = None  # of a CUDA device, or the address space

    @model_validator(mode="after")
    def _the_fast_path_has_its_own_ways(self) -> Self:
        if self.path == "fast" and self.workers:
            raise ValueError("workers: the fast path has no data-loader processes (allowed: 0)")
        if self.path == "fast" and self.compile:
            raise ValueError("compile: the fast path has its own network (allowed: false)")
        if self.path == "fast" and self.memory_format == "contiguous":
            raise ValueError('memory_format: the fast path reads channels_last (allowed: "auto", "channels_last")')
        return self


@dataclass(frozen=True)
class Scale:
    """One column of the table of scales; None leaves the case's own value."""

    data: str
    train_images: int | Literal["all"]
    test_images_epoch: int | Literal["all"]
    test_images_last: int | Literal["all"]
    image_size: int | None
    width: int | None
    max_epochs: int | None
    seeds: int
    image_size_is_fixed: bool = True  # false: a case about size keeps its own


SCALES: dict[str, Scale] = {
    "smoke": Scale(EMBEDDED, 1_000, 200, "all", 32, 16, 2, seeds=1),
    "small": Scale(CIFAR10, 5_000, 1_000, 10_000, 32, None, 10, seeds=3, image_size_is_fixed=False),
    "paper": Scale(CIFAR10, "all", 10_000, 10_000, None, None, None, seeds=3),
}
LAST_EPOCHS = 3  # tested on more images: the median of their accuracies is the clean accuracy
TESTED_AT: dict[int, float] = {3: 0.1, 5: 0.3, 10: 0.6}  # seeds of the interim analyses, and their share of the error
FEWEST_SEEDS = min(TESTED_AT)
SCALE_KEYS = ("data", "train_images", "test_images_epoch", "test_images_last", "seed")
"""Keys that a TOML file may not set: the scale and the planner do."""


# JSON holds a path byte by byte, as Latin-1: the locale may have no letters for its bytes.
PathAsText = Annotated[
    Path,
    PlainValidator(lambda value: Path(os.fsdecode(value.encode("latin-1")) if isinstance(value, str) else value)),
    PlainSerializer(lambda path: os.fsencode(path).decode("latin-1"), return_type=str),
]


@dataclass(frozen=True)
class DataSource:
    """A data set: its label, which enters ids, and where it is read from, which never does."""

    label: str
    path: PathAsText | None = None  # of an image folder or its archive; the suite's own data sets have their places


def data_home() -> Path:
    """Return the folder for the user's archives and for decoded copies: `RESNET18_DATA`, else the user's cache."""
    if own := os.environ.get("RESNET18_DATA"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "resnet18"


def data_folder() -> Path:
    """Return `data_home`, or raise EnvironmentMissingError where it would lie in a home that the user has not."""
    try:
        return data_home()
    except RuntimeError:
        next_step = "set RESNET18_DATA to a folder"
        raise EnvironmentMissingError("data folder", "this user has no home folder", next_step=next_step) from None


def is_cifar10(label: str) -> bool:
    """Say whether data of a label are CIFAR-10's own photographs: the archive, or a re-encoding. CIFAR-10-C is not."""
    return label in {CIFAR10, "cifar10-jpeg", "cifar10-png"}


def parse_data(text: str) -> DataSource:
    """Return the data set that an option names.

    Raises SpecError at an unknown one, and EnvironmentMissingError if its folder or archive is not there.
    """
    if text in {EMBEDDED, CIFAR10}:
        return DataSource(text)
    where = f'data set "{text}"'
    kind, _, place = text.partition(":")
    if kind != IMAGE_FOLDER or not place:
        if os.path.exists(text):  # noqa: PTH110 - as below
            raise SpecError(where, "is a path", next_step=f"write --data {IMAGE_FOLDER}:{text}")
        hint = did_you_mean(kind, (CIFAR10, EMBEDDED, IMAGE_FOLDER)) if kind != IMAGE_FOLDER else ", needs a path"
        raise SpecError(where, f"unknown{hint}", allowed=(CIFAR10, EMBEDDED, f"{IMAGE_FOLDER}:PATH"))
    path = Path(os.path.expanduser(place))  # noqa: PTH111 - as below: where nobody's home is known, `~` stays
    if not os.path.exists(path):  # noqa: PTH110 - unlike Path.exists it takes any text: too long is not there
        layout = "give a folder or tar archive that holds train/<class>/ and test/<class>/"
        raise EnvironmentMissingError(where, "there is no such file or folder", next_step=layout)
    stem = re.sub(r"(\.tar)?(\.(gz|bz2|xz|tgz))?$|\.tgz$", "", path.resolve().name.lower())
    label = re.sub(r"[^a-z0-9_-]+", "-", stem).strip("-_")[:64]
    if not label or label in {EMBEDDED, CIFAR10}:
        what = (
            f"is called like the suite's own {label}" if label else "has no letter from a to z and no digit in its name"
        )
        raise SpecError(where, what, next_step="rename the folder or archive")
    return DataSource(label, path)
