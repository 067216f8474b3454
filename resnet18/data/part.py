"""The partial file beside its place: opened for one command, and given its name when its checksum is right."""

import hashlib
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Self

from resnet18.spec.errors import EnvironmentMissingError


class Part:
    """The first bytes of a file, as far as they have been fetched."""

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        self.path = path
        self._descriptor = os.open(path, flags, 0o644)
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            os.close(self._descriptor)
            raise EnvironmentMissingError(str(path), "is no file", next_step="move it away")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it; a part of nothing is removed."""
        is_empty = self.size == 0
        os.close(self._descriptor)
        if is_empty:
            self.path.unlink(missing_ok=True)

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return os.fstat(self._descriptor).st_size

    def cut(self, size: int) -> None:
        """Keep so many bytes."""
        os.ftruncate(self._descriptor, size)

    def add(self, piece: bytes) -> None:
        """Write at the end."""
        os.lseek(self._descriptor, 0, os.SEEK_END)
        left = memoryview(piece)
        while left:
            left = left[os.write(self._descriptor, left) :]

    def sha256(self) -> str:
        """Return the checksum of what is there."""
        return file_sha256(self.path)

    def give_name(self, target: Path) -> None:
        """Sync it and put it in its place, where a damaged file may be."""
        os.fsync(self._descriptor)
        self.path.replace(target)
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def part_path(target: Path) -> Path:
    """Return where the partial file of an archive lies."""
    return target.with_name(f"{target.name}.part")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
