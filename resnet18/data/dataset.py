"""A data set as 8-bit pixels, subsets of it, the one that the package carries; and the suite's randomness.

Words are keyed by (seed, purpose, epoch), and within it by the image's index in the original data set: nothing depends
on batch size, order, workers, device or where a run was resumed. numpy promises stable raw Philox streams, not stable
distributions, so words are turned into numbers here (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3").
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from resnet18.spec.errors import IntegrityError, SpecError
from resnet18.spec.experiment import EMBEDDED, CountOrAll
from resnet18.spec.identity import canonical_json

EMBEDDED_FILE = Path(__file__).parent / "embedded" / f"{EMBEDDED}.npz"
"""A class-balanced subset of Fashion-MNIST (MIT licence, see LICENSE beside it)."""
EMBEDDED_SHA256 = "cff8f513cd0ff3b1138bc93c5b1c7c825c9681b2f20d473f0d52049bc36d498f"
"""Of the decoded arrays."""
CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
"""Of the embedded data."""
WORDS_PER_BLOCK = 4  # Philox makes four 64-bit words for each value of its counter


@dataclass(frozen=True)
class Split:
    """Training or test images."""

    images: NDArray[np.uint8]  # [n, side, side, 3]
    labels: NDArray[np.uint8]  # [n]


@dataclass(frozen=True)
class DataSet:
    """Both splits, with the names of the classes in the order of their labels."""

    label: str
    classes: tuple[str, ...]
    train: Split
    test: Split
    sha256: str
    left_out: str = ""
    """What of an image folder is not used, in a line."""


def arrays_sha256(classes: tuple[str, ...], train: Split, test: Split) -> str:
    """Return the SHA-256 of class names, shapes, pixels and labels: equal for archives that decode to the same."""
    total = hashlib.sha256()
    total.update(canonical_json([classes, train.images.shape, test.images.shape]))
    for split in (train, test):
        total.update(np.ascontiguousarray(split.images).data)
        total.update(np.ascontiguousarray(split.labels).data)
    return total.hexdigest()


def subset(data: DataSet, which: Literal["train", "test"], size: CountOrAll) -> NDArray[np.int64]:
    """Return the sorted indices of a class-balanced subset, a function of data and size; a larger one contains it.

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


def read_embedded(path: Path = EMBEDDED_FILE) -> DataSet:
    """Return the 4,000 training and 1,000 test images, grey 28 px padded to 32 px and repeated in three channels."""

    def split(which: str) -> Split:
        padded = np.pad(archive[f"{which}_images"], ((0, 0), (2, 2), (2, 2)))
        return Split(np.repeat(padded[..., None], 3, axis=-1), archive[f"{which}_labels"])

    repair = "install the package again"
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            train, test = split("train"), split("test")
        found = arrays_sha256(CLASSES, train, test)
    except Exception as error:  # noqa: BLE001 - zipfile, zlib and numpy raise a dozen kinds at damaged bytes
        raise IntegrityError(path.name, f"cannot be read: {error}", next_step=repair) from None
    if found != EMBEDDED_SHA256:
        raise IntegrityError(path.name, f"SHA-256 is {found}, not {EMBEDDED_SHA256}", next_step=repair)
    return DataSet(EMBEDDED, CLASSES, train, test, found)


def random_words(seed: int, purpose: str, epoch: int, rows: int, lanes: int) -> NDArray[np.uint64]:
    """Return a table [rows, lanes] of 64-bit words. Row i belongs to image i, however many rows are asked for.

    The two key words of the stream are the first 128 bits of a SHA-256.
    """
    name = hashlib.sha256(canonical_json(["resnet18", seed, purpose, epoch])).digest()
    key = np.frombuffer(name[:16], dtype="<u8").astype(np.uint64)
    width = -(-lanes // WORDS_PER_BLOCK) * WORDS_PER_BLOCK
    return np.random.Philox(key=key).random_raw(rows * width).reshape(rows, width)[:, :lanes]


def uniform(words: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return numbers in [0, 1) with 53 random bits each."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def between(units: NDArray[np.float64], low: object, high: object) -> NDArray[np.float64]:
    """Return numbers in [0, 1) as numbers between two others."""
    numbers: NDArray[np.float64] = np.asarray(low) + (np.asarray(high) - np.asarray(low)) * units
    return numbers


def permutation(seed: int, purpose: str, epoch: int, indices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the indices in random order. Any two of them stand in the same order whichever others are present."""
    words = random_words(seed, purpose, epoch, int(indices.max()) + 1, 1)[:, 0]
    return indices[np.argsort(words[indices], kind="stable")]
