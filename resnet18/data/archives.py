"""CIFAR-10's official archives (Krizhevsky, 2009) without unpickling; and what lies in a directory or a tar."""

import bz2
import gzip
import hashlib
import io
import lzma
import os
import pickletools
import stat
import tarfile
from collections.abc import Callable, Collection, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from resnet18.data.dataset import DataSet, Split, arrays_sha256
from resnet18.records import disk
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError
from resnet18.spec.experiment import CIFAR10

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PIXELS = 3 * 32 * 32
BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
MAX_FILES, MAX_FILE_BYTES, MAX_TAR_BYTES = 2_000_000, 40_000_000, 100 * 10**9
"""Of any archive. A batch of CIFAR-10 has 31 MB, an uncompressed image of the largest size that is decoded 13 MB."""
PYTHON, BINARY = "cifar-10-python.tar.gz", "cifar-10-binary.tar.gz"
OPENERS = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ", lzma.open))
"""Compressions by the bytes that they start with. Whatever starts with none of them is a plain tar."""
OTHERS = {b"PK\x03\x04": "zip", b"7z\xbc\xaf": "7z", b"Rar!": "RAR", b"(\xb5/\xfd": "Zstandard"}
"""What else is taken for a tar, by the same."""
MIN_UNPACKED_BYTES, MAX_RATIO = 10**9, 100  # whatever its size, and times its size, an archive may unpack to
HEADERS = 1_000_000  # bytes of headers and padding beyond the largest member


class Archive(NamedTuple):
    """A file whose bytes are the same wherever they come from."""

    name: str
    size_bytes: int
    sha256: str


# As published by third parties whose MD5 agrees with the data set's own page.
ARCHIVES = {
    PYTHON: Archive(PYTHON, 170_498_071, "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"),
    BINARY: Archive(BINARY, 170_052_171, "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"),
}


def find_archive(home: Path) -> Path:
    """Return the archive in the data folder, or raise EnvironmentMissingError with the command that fetches it."""
    for name in ARCHIVES:
        if (home / name).is_file():
            return home / name
    raise EnvironmentMissingError(
        "data set cifar10",
        f"neither {' nor '.join(ARCHIVES)} is in {home}",
        next_step="resnet18 data fetch\n"
        f"        (170 MB, SHA-256 {ARCHIVES[PYTHON].sha256})\n"
        "        or bring the archive: resnet18 data fetch --from FILE\n"
        "        or run without it: --data fashion-mnist-mini, --data imagefolder:PATH",
    )


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_archive(path: Path, sha256: str) -> None:
    """Hash a file, and raise IntegrityError if it has another SHA-256."""
    if (actual := file_sha256(path)) != sha256:
        what = f"SHA-256 is {actual}, not {sha256}"
        raise IntegrityError(str(path), what, next_step="replace it: resnet18 data fetch")


def read_archive(path: Path, sha256: str) -> DataSet:
    """Return the data set of either archive; raise IntegrityError at another checksum or content."""
    check_archive(path, sha256)
    parse = parse_python_batch if "python" in path.name else parse_binary_batch
    try:
        files = (entry for entry in entries_of_tar(path) if entry.kind == "file" and _batch(entry.name) in BATCHES)
        found = {_batch(entry.name): parse(entry.read()) for entry in files}
        *batches, test = (found[name] for name in BATCHES)
    except Exception as error:  # noqa: BLE001 - tarfile, gzip and pickletools raise a dozen kinds at damaged bytes
        raise IntegrityError(str(path), f"not a CIFAR-10 archive: {error}") from None
    train = Split(np.concatenate([part.images for part in batches]), np.concatenate([part.labels for part in batches]))
    return DataSet(CIFAR10, CLASSES, train, test, arrays_sha256(CLASSES, train, test))


def _batch(place: str) -> str:
    return place.rsplit("/", 1)[-1].removesuffix(".bin")


def parse_binary_batch(batch: bytes) -> Split:
    """Return the images of a binary batch: one label byte and 3,072 pixels each, channel by channel; or ValueError."""
    if not batch or len(batch) % (1 + PIXELS):
        raise ValueError(f"a batch of {len(batch):,} bytes is no whole number of {1 + PIXELS:,}-byte records")
    rows = np.frombuffer(batch, dtype=np.uint8).reshape(-1, 1 + PIXELS)
    return _split(rows[:, 1:], rows[:, 0].tolist())


def parse_python_batch(batch: bytes) -> Split:
    """Return the images of a python batch: a pickled dict with `data` (uint8 [n, 3072]) and `labels` (list of ints).

    Nothing is executed: its opcodes are walked for the longest string, and the numbers that follow the word `labels`.
    Raises ValueError at any other pickle, or labels that are not from 0 to 9.
    """
    pixels, labels, in_labels = b"", list[int](), False
    for opcode, argument, _ in pickletools.genops(batch):
        if opcode.name in {"MARK", "APPENDS", "EMPTY_LIST", "BINPUT", "LONG_BINPUT", "MEMOIZE"}:
            continue
        if in_labels and isinstance(argument, int):
            labels.append(argument)
            continue
        in_labels = argument == "labels"
        if opcode.name == "BINSTRING" and isinstance(argument, str) and len(argument) > len(pixels):
            pixels = argument.encode("latin-1")  # how genops turns the bytes of a Python 2 string into text
    if not labels or len(pixels) != len(labels) * PIXELS:
        raise ValueError(f"{len(labels):,} labels and {len(pixels):,} bytes of pixels do not fit together")
    return _split(np.frombuffer(pixels, dtype=np.uint8), labels)


def _split(pixels: NDArray[np.uint8], labels: list[int]) -> Split:
    if not 0 <= min(labels) <= max(labels) < len(CLASSES):  # before numpy, which has no room for larger ones
        raise ValueError(f"labels from {min(labels)} to {max(labels)}, where 0 to {len(CLASSES) - 1} are possible")
    images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return Split(np.ascontiguousarray(images), np.array(labels, dtype=np.uint8))


class Entry(NamedTuple):
    """A file, a folder, a link or another thing in a directory or a tar."""

    name: str
    kind: str  # one of KINDS, or "special"
    size: int
    opened: Callable[[], IO[bytes] | None]

    def read(self) -> bytes:
        """Return the content of a file, before the next entry is asked for; ValueError if it is too large, or cut."""
        if self.size > MAX_FILE_BYTES:
            raise ValueError(f"{self.name}: larger than {MAX_FILE_BYTES:,} bytes")
        with self.opened() or io.BytesIO() as file:
            content = file.read(self.size)
        if len(content) != self.size:
            raise ValueError(f"{self.name}: cut off")
        return content


KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}


def entries_of(path: Path, tops: Collection[str]) -> Iterator[Entry]:
    """Yield what lies in a tar, or in those folders of a directory (in any case of letters) that `tops` names.

    Nothing is extracted, and no link followed. Raises ValueError beyond a limit, IntegrityError at another archive,
    and what `tarfile` and the compressions raise at damaged bytes.
    """
    if path.is_file():
        found = entries_of_tar(path)
    else:
        names = sorted(inner.name for inner in path.iterdir() if inner.name.casefold() in tops)
        found = chain.from_iterable(_walk(path, name) for name in names)
    for number, entry in enumerate(found, start=1):
        if number > MAX_FILES:
            raise ValueError(f"more than {MAX_FILES:,} files")
        yield entry


def _walk(root: Path, name: str) -> Iterator[Entry]:
    about = (root / name).lstat()
    kind = KINDS.get(stat.S_IFMT(about.st_mode), "special")
    yield Entry(name, kind, about.st_size, lambda: os.fdopen(disk.open_plain(root / name, os.O_RDONLY), "rb"))
    for inner in sorted((root / name).iterdir()) if kind == "folder" else ():
        yield from _walk(root, f"{name}/{inner.name}")


class _BoundedStream:
    """Refuses to be read in larger pieces, or farther, than a limit: `tarfile` reads a header of any claimed length."""

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self._stream, self.seek, self.tell, self.limit = stream, stream.seek, stream.tell, limit

    def read(self, size: int) -> bytes:
        if not 0 <= size <= MAX_FILE_BYTES + HEADERS:
            raise ValueError(f"a piece of {size:,} bytes, where {MAX_FILE_BYTES + HEADERS:,} are the most")
        self.check(self.tell() + size - HEADERS)
        return self._stream.read(size)

    def check(self, end: int) -> None:
        if end > self.limit:
            raise ValueError(f"unpacks to more than {self.limit:,} bytes")


def entries_of_tar(path: Path) -> Iterator[Entry]:
    """Yield the members of a tar, compressed or not; raises as `entries_of`."""
    with path.open("rb") as file:
        magic = file.peek(6)
        if other := next((name for start, name in OTHERS.items() if magic.startswith(start)), None):
            next_step = "unpack it and name the folder, or make a tar of it"
            raise IntegrityError(path.name, f"is a {other} archive and no tar", next_step=next_step)
        opener = next((opener for start, opener in OPENERS if magic.startswith(start)), None)
        stream = file if opener is None else cast("BinaryIO", opener(file, "rb"))
        unpacked = max(MIN_UNPACKED_BYTES, MAX_RATIO * path.stat().st_size)
        bounded = _BoundedStream(stream, min(MAX_TAR_BYTES, unpacked))
        with stream, tarfile.TarFile(fileobj=cast("BinaryIO", bounded)) as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # typeshed lacks this list, of a kilobyte each
                bounded.check(member.offset_data + (member.size if member.isreg() else 0))
                tests = {"link": member.issym() or member.islnk(), "folder": member.isdir(), "file": member.isreg()}
                kind = next((kind for kind, holds in tests.items() if holds), "special")
                yield Entry(member.name, kind, member.size, partial(archive.extractfile, member))
            while bounded.read(HEADERS):  # to the end, where compressions keep their checksum
                pass
