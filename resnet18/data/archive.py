"""Tar archives from outside, read in memory within limits: nothing is extracted to disk, and no link is followed."""

import bz2
import gzip
import hashlib
import io
import lzma
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

OPENERS = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ", lzma.open))
"""Compressions by the bytes that they start with. Whatever starts with none of them is a plain tar."""
HEADERS = 1_000_000
"""Room for headers and padding beyond the largest member, in bytes."""


class BoundedStream(io.RawIOBase):
    """A stream that refuses to be read in larger pieces, or farther, than a limit.

    `tarfile`, above it, reads a name or header of any claimed length in one piece.
    """

    def __init__(self, stream: BinaryIO, most_at_once: int, most_in_all: int) -> None:
        super().__init__()
        self._stream, self._most_at_once, self._most_in_all = stream, most_at_once, most_in_all

    def read(self, size: int = -1, /) -> bytes:
        """Return that many bytes, fewer at the end."""
        if not 0 <= size <= self._most_at_once:
            raise ValueError(f"a piece of {size:,} bytes, where {self._most_at_once:,} are the most")
        self._check(self.tell() + size)
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


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_tar(
    path: Path, is_wanted: Callable[[str], bool], *, members: int, member_bytes: int, total_bytes: int
) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the wanted regular files of a tar, compressed or not: no link, device or directory.

    Raises ValueError at an archive beyond one of the three limits, or cut off; `tarfile` and the compressions raise
    errors of their own.
    """
    with path.open("rb") as file:
        start = file.read(6)
        file.seek(0)
        opener = next((opener for magic, opener in OPENERS if start.startswith(magic)), None)
        stream = file if opener is None else cast("BinaryIO", opener(file, "rb"))
        bounded = BoundedStream(stream, member_bytes + HEADERS, total_bytes + HEADERS)
        with stream, tarfile.TarFile(fileobj=cast("BinaryIO", bounded)) as archive:
            for number, member in enumerate(archive, start=1):
                if number > members:
                    raise ValueError(f"more than {members:,} files")
                if member.isreg() and member.size > member_bytes:
                    raise ValueError(f"{member.name}: larger than {member_bytes:,} bytes")
                opened = archive.extractfile(member) if member.isreg() and is_wanted(member.name) else None
                if opened:
                    content = opened.read()
                    if len(content) != member.size:
                        raise ValueError(f"{member.name}: cut off")
                    yield member.name, content
            while bounded.read(HEADERS):  # to the end, where compressions keep their checksum
                pass
