"""A data set as arrays of 8-bit pixels, and its class-balanced subsets."""

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from resnet18.data.rng import random_words
from resnet18.spec.errors import SpecError
from resnet18.spec.experiment import CountOrAll
from resnet18.spec.identity import canonical_json


@dataclass(frozen=True)
class Split:
    """Training or test images."""

    images: NDArray[np.uint8]
    """[n, side, side, 3]"""
    labels: NDArray[np.uint8]
    """[n]"""


@dataclass(frozen=True)
class DataSet:
    """Both splits, with the names of the classes in the order of their labels."""

    label: str
    classes: tuple[str, ...]
    train: Split
    test: Split
    sha256: str
    """Of the decoded arrays (`arrays_sha256`)."""

    @property
    def native_size(self) -> int:
        """Side of the stored images, in px."""
        return int(self.train.images.shape[1])


def arrays_sha256(classes: tuple[str, ...], train: Split, test: Split) -> str:
    """Return the SHA-256 of class names, shapes, pixels and labels: equal for archives that decode to the same."""
    total = hashlib.sha256()
    total.update(canonical_json([classes, train.images.shape, test.images.shape]))
    for split in (train, test):
        total.update(np.ascontiguousarray(split.images).data)
        total.update(np.ascontiguousarray(split.labels).data)
    return total.hexdigest()


def subset(data: DataSet, which: Literal["train", "test"], size: CountOrAll) -> NDArray[np.int64]:
    """Return the sorted indices of a class-balanced subset, a function of the data and the size alone.

    Of each class the same images come first whatever the size, so a smaller subset lies inside a larger one.
    Raises SpecError if the data set has too few images of a class.
    """
    labels = (data.train if which == "train" else data.test).labels
    if size == "all":
        return np.arange(len(labels))
    words = random_words(0, f"subset/{which}", 0, len(labels), 1)[:, 0]
    chosen = []
    for label in range(len(data.classes)):
        of_class = np.flatnonzero(labels == label)
        wanted = size // len(data.classes) + (label < size % len(data.classes))
        if wanted > len(of_class):
            most = int(np.bincount(labels, minlength=len(data.classes)).min()) * len(data.classes)
            keys = "-o train_images=N" if which == "train" else "-o test_images_epoch=N -o test_images_last=N"
            raise SpecError(
                f"data set {data.label}",
                f"{size:,} {which} images are asked for, but class {data.classes[label]} has only {len(of_class):,}",
                next_step=f"choose another --scale or --data, or ask for at most {most:,}: {keys}",
            )
        chosen.append(of_class[np.argsort(words[of_class], kind="stable")[:wanted]])
    return np.sort(np.concatenate(chosen))
