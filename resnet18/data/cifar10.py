"""CIFAR-10's official archives (Krizhevsky, 2009), read without unpickling.

The python archive's batches are pickles. Nothing is executed: `pickletools.genops` walks the opcodes, and the one
string of pixels and the list of labels are picked out. The binary archive is the second choice; both decode to the
same arrays. Checked on archives of this layout that the tests make; the official files themselves were not at hand.
"""

import hashlib
import pickletools
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnet18.data.archive import content, members, open_archive
from resnet18.data.dataset import DataSet, Split, arrays_sha256
from resnet18.spec.data import CIFAR10
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PIXELS = 3 * 32 * 32
TRAIN_BATCHES = 5
MAX_BATCH_BYTES = 40_000_000
"""Of one member. A python batch is the larger of the two, with 31 MB."""
MAX_ARCHIVE_BYTES = 250_000_000
"""Of all members. Six batches and two small texts are 186 MB."""
MAX_MEMBERS = 100

# SHA-256 as published by third parties whose MD5 agrees with the data set's own page.
ARCHIVES = {
    "cifar-10-python.tar.gz": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    "cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
}


def find_archive(home: Path) -> Path:
    """Return the archive that was fetched or brought.

    Raises:
        EnvironmentMissingError: there is none; the message holds the command that fetches it.
    """
    for name in ARCHIVES:
        if (home / name).is_file():
            return home / name
    raise EnvironmentMissingError(
        "data set cifar10",
        f"neither {' nor '.join(ARCHIVES)} is in {home}",
        next_step="resnet18 data fetch\n"
        f"        (170 MB, SHA-256 {ARCHIVES['cifar-10-python.tar.gz']})\n"
        "        or bring the archive: resnet18 data fetch --from FILE\n"
        "        or run without it: --data fashion-mnist-mini, --data imagefolder:PATH",
    )


def read_archive(path: Path, sha256: str | None = None) -> DataSet:
    """Return the data set of either archive. `sha256` replaces the published checksum.

    Raises:
        IntegrityError: another checksum, or a content that is not CIFAR-10's.
    """
    expected = sha256 or ARCHIVES[path.name]
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != expected:
        raise IntegrityError(
            str(path), f"SHA-256 is {actual}, not {expected}", next_step="replace it: resnet18 data fetch"
        )
    parse = parse_python_batch if "python" in path.name else parse_binary_batch
    try:
        batches = {name: parse(batch) for name, batch in _batches(path)}
    except IntegrityError:
        raise
    except Exception as error:  # noqa: BLE001 - tarfile, gzip and pickletools raise a dozen kinds at damaged bytes
        raise IntegrityError(str(path), f"not a CIFAR-10 archive: {error}") from None
    if len({len(one.labels) for one in batches.values()}) > 1:
        raise IntegrityError(str(path), "not a CIFAR-10 archive: its batches hold different numbers of images")
    train = [batches[f"data_batch_{number}"] for number in range(1, TRAIN_BATCHES + 1)]
    return _data_set(train, batches["test_batch"])


def _data_set(train: list[Split], test: Split) -> DataSet:
    joined = Split(np.concatenate([batch.images for batch in train]), np.concatenate([batch.labels for batch in train]))
    return DataSet(CIFAR10, CLASSES, joined, test, arrays_sha256(CLASSES, joined, test))


def _batches(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the six batches of an archive, read in memory: nothing is extracted to disk."""
    wanted = {f"data_batch_{number}" for number in range(1, TRAIN_BATCHES + 1)} | {"test_batch"}
    with open_archive(path, most_at_once=MAX_BATCH_BYTES, most_in_all=MAX_ARCHIVE_BYTES) as archive:
        for place, member in members(archive, most=MAX_MEMBERS, largest=MAX_BATCH_BYTES):
            name = place.rsplit("/", 1)[-1].removesuffix(".bin")
            if name in wanted:
                wanted.remove(name)
                yield name, content(path, archive, member)
    if wanted:
        raise ValueError(f"lacks {', '.join(sorted(wanted))}")


def parse_binary_batch(batch: bytes) -> Split:
    """Return the images of a binary batch: records of one label byte and 3,072 pixels, channel by channel.

    Raises:
        ValueError: another length, or a label above 9.
    """
    if not batch or len(batch) % (1 + PIXELS):
        raise ValueError(f"a batch of {len(batch):,} bytes is no whole number of {1 + PIXELS:,}-byte records")
    rows = np.frombuffer(batch, dtype=np.uint8).reshape(-1, 1 + PIXELS)
    return _split(rows[:, 1:], rows[:, 0])


def parse_python_batch(batch: bytes) -> Split:
    """Return the images of a python batch: a pickled dict with `data` (uint8 [n, 3072]) and `labels` (list of ints).

    Raises:
        ValueError: no such pickle, or labels that are not from 0 to 9.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # strings that no pickle of these has, escaped wrongly
        pixels, labels = _picked_out(batch)
    if not labels or len(pixels) != len(labels) * PIXELS:
        raise ValueError(f"{len(labels):,} labels and {len(pixels):,} bytes of pixels do not fit together")
    if not 0 <= min(labels) <= max(labels) < len(CLASSES):  # before numpy, which has no room for larger ones
        raise ValueError(f"labels from {min(labels)} to {max(labels)}, where 0 to {len(CLASSES) - 1} are possible")
    rows = np.frombuffer(pixels, dtype=np.uint8).reshape(len(labels), PIXELS)
    return _split(rows, np.array(labels, dtype=np.uint8))


def _picked_out(batch: bytes) -> tuple[bytes, list[int]]:
    """Return the longest string of a pickle, and the numbers that follow the word `labels`."""
    pixels: bytes = b""
    labels: list[int] = []
    in_labels = False
    for opcode, argument, _ in pickletools.genops(batch):
        if opcode.name in {"MARK", "APPENDS", "EMPTY_LIST", "BINPUT", "LONG_BINPUT", "MEMOIZE"}:
            continue
        if in_labels and isinstance(argument, int):
            labels.append(argument)
            continue
        in_labels = argument == "labels"
        if opcode.name == "BINSTRING" and isinstance(argument, str) and len(argument) > len(pixels):
            pixels = argument.encode("latin-1")  # how genops turns the bytes of a Python 2 string into text
    return pixels, labels


def _split(rows: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Split:
    if labels.max() >= len(CLASSES):
        raise ValueError(f"label {labels.max()} is above {len(CLASSES) - 1}")
    images = rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return Split(np.ascontiguousarray(images), np.ascontiguousarray(labels))
