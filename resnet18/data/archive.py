"""Tar archives from outside, read in memory within limits. Nothing is extracted to disk, and no link is followed.

A tar may be small and unpack to anything, and a name or a header inside it may claim any length, which `tarfile` reads
in one piece: both are bounded here, below it.
"""

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from resnet18.spec.errors import IntegrityError

OPENERS = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ", lzma.open))
"""Compressions by the bytes that they start with. Whatever starts with none of them is a plain tar."""
HEADERS = 1_000_000
"""Room for headers and padding beyond the largest member, in bytes."""


class BoundedStream(io.RawIOBase):
    """A stream that refuses to be read in larger pieces, or farther, than a limit."""

    def __init__(self, stream: BinaryIO, most_at_once: int, most_in_all: int) -> None:
        super().__init__()
        self._stream = stream
        self._most_at_once, self._most_in_all = most_at_once, most_in_all

    def read(self, size: int = -1, /) -> bytes:
        """Return that many bytes, fewer at the end."""
        if not 0 <= size <= self._most_at_once:
            raise ValueError(f"a piece of {size:,} bytes, where {self._most_at_once:,} are the most")
        self._check(self._stream.tell() + size)
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place, which unpacks all that lies before it."""
        self._check(offset)
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """Return the place in the unpacked bytes."""
        return self._stream.tell()

    def _check(self, place: int) -> None:
        if place > self._most_in_all:
            raise ValueError(f"unpacks to more than {self._most_in_all:,} bytes")


@contextmanager
def open_archive(path: Path, *, most_at_once: int, most_in_all: int) -> Iterator[tarfile.TarFile]:
    """Open a tar, compressed or not, for reading from its start to its end, all of which is checked.

    Args:
        path: of the archive.
        most_at_once: bytes of its largest member.
        most_in_all: bytes that all of it may unpack to.
    """
    with path.open("rb") as file:
        start = file.read(6)
        file.seek(0)
        opener = next((opener for magic, opener in OPENERS if start.startswith(magic)), None)
        stream = file if opener is None else cast("BinaryIO", opener(file, "rb"))
        bounded = BoundedStream(stream, most_at_once + HEADERS, most_in_all + HEADERS)
        with stream, tarfile.TarFile(fileobj=cast("BinaryIO", bounded)) as archive:
            yield archive
            while bounded.read(HEADERS):  # to the end, where compressions keep their checksum
                pass


def members(archive: tarfile.TarFile, *, most: int, largest: int) -> Iterator[tuple[str, tarfile.TarInfo]]:
    """Yield the regular files of an archive by name: no link, no device, no directory.

    Raises:
        ValueError: too many members, or one that is too large.
    """
    for number, member in enumerate(archive, start=1):
        if number > most:
            raise ValueError(f"more than {most:,} files")
        if member.isreg():
            if member.size > largest:
                raise ValueError(f"{member.name}: larger than {largest:,} bytes")
            yield member.name, member


def content(path: Path, archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """Return the bytes of a regular file of an archive.

    Raises:
        IntegrityError: the archive ends before they do.
    """
    file = archive.extractfile(member)
    found = b"" if file is None else file.read()
    if len(found) != member.size:
        raise IntegrityError(path.name, f"{member.name}: cut off")
    return found
