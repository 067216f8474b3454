"""Which data set a run uses: the label that enters ids, and the place, which never does."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import PlainSerializer, PlainValidator

from resnet18.spec.errors import EnvironmentMissingError, SpecError, did_you_mean

EMBEDDED = "fashion-mnist-mini"
CIFAR10 = "cifar10"
IMAGE_FOLDER = "imagefolder"
ALLOWED = (CIFAR10, EMBEDDED, f"{IMAGE_FOLDER}:PATH")


def path_to_text(path: Path) -> str:
    """Return a path as text that JSON can hold: one of its bytes, for which the locale may have no letters."""
    return os.fsencode(path).decode("latin-1")


def path_from_text(text: str) -> Path:
    """Return the path that `path_to_text` wrote."""
    return Path(os.fsdecode(text.encode("latin-1")))


PathAsText = Annotated[
    Path,
    PlainValidator(lambda value: path_from_text(value) if isinstance(value, str) else Path(value)),
    PlainSerializer(path_to_text, return_type=str),
]
"""A path in a model, which JSON holds as `path_to_text` writes it."""


@dataclass(frozen=True)
class DataSource:
    """A data set's label, and where it is read from."""

    kind: Literal["embedded", "cifar10", "imagefolder"]
    label: str
    path: PathAsText | None = None

    @property
    def leaves_pictures(self) -> bool:
        """Whether a run may leave pictures of test images: the rights to a folder's images are unknown."""
        return self.kind != "imagefolder"


def data_home() -> Path:
    """Return the folder for the user's archives and for decoded copies: `RESNET18_DATA`, else the user's cache."""
    if own := os.environ.get("RESNET18_DATA"):
        return Path(own)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "resnet18"


def is_cifar10(label: str) -> bool:
    """Say whether data of a label are CIFAR-10's own photographs: the archive, or a re-encoding. CIFAR-10-C is not."""
    return label in {CIFAR10, "cifar10-jpeg", "cifar10-png"}


def parse_data(text: str) -> DataSource:
    """Return the data set that an option names.

    Raises SpecError at an unknown one, and EnvironmentMissingError if its folder or archive is not there.
    """
    if text == EMBEDDED:
        return DataSource("embedded", EMBEDDED)
    if text == CIFAR10:
        return DataSource("cifar10", CIFAR10)
    where = f'data set "{text}"'
    kind, _, place = text.partition(":")
    if kind != IMAGE_FOLDER or not place:
        if os.path.exists(text):  # noqa: PTH110 - as below
            raise SpecError(where, "is a path", next_step=f"write --data {IMAGE_FOLDER}:{text}")
        hint = did_you_mean(kind, (CIFAR10, EMBEDDED, IMAGE_FOLDER)) if kind != IMAGE_FOLDER else ", needs a path"
        raise SpecError(where, f"unknown{hint}", allowed=ALLOWED)
    path = Path(place).expanduser()
    if not os.path.exists(path):  # noqa: PTH110 - unlike Path.exists it takes any text: too long is not there
        layout = "give a folder or tar archive that holds train/<class>/ and test/<class>/"
        raise EnvironmentMissingError(where, "there is no such file or folder", next_step=layout)
    stem = re.sub(r"(\.tar)?(\.(gz|bz2|xz|tgz))?$|\.tgz$", "", path.resolve().name.lower())
    label = re.sub(r"[^a-z0-9_-]+", "-", stem).strip("-_")[:64]
    if not label or label in {EMBEDDED, CIFAR10}:
        next_step = f"rename it: {CIFAR10} and {EMBEDDED} are the suite's own data sets"
        raise SpecError(where, f'an image folder cannot be labelled "{label}"', next_step=next_step)
    return DataSource("imagefolder", label, path)
