"""The operating system as `records.disk` sees it: one that fails at a certain call, and one that writes down its calls.

Faults are swept as SQLite's tests do it: fail the first call, then the second, and so on until none fails any more.
"""

import errno
import itertools
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CALLS = ("open", "write", "fsync", "link", "replace", "unlink", "mkdir")


class Crash(BaseException):
    """The process ends here."""


def no_fsync(descriptor: int) -> None:
    """Sync nothing: processes end in these tests, and the power stays on."""


def half_write(descriptor: int, part: memoryview) -> int:
    """Write half of what is given, as a system may."""
    return os.write(descriptor, part[: (len(part) + 1) // 2])


class FaultyOs:
    """`os`, whose n-th call that changes the disk fails: that one alone, or all from there on.

    Args:
        at: which call, 1 is the first; 0 is none.
        persistent: whether the later ones fail too.
        error: what is raised.
    """

    def __init__(self, at: int, *, persistent: bool = False, error: BaseException | None = None) -> None:
        self.at, self.persistent = at, persistent
        self.error = error or OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.calls = 0
        self.failed = set[str]()

    @property
    def has_failed(self) -> bool:
        """Whether that call was reached."""
        return 0 < self.at <= self.calls

    def __getattr__(self, name: str) -> Any:
        real = {"fsync": no_fsync, "write": half_write}.get(name) or getattr(os, name)
        if name not in CALLS:
            return real

        def call(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls == self.at or (self.persistent and self.has_failed):
                self.failed.add(name)
                raise self.error
            return real(*arguments, **options)

        return call


@dataclass
class File:
    """What a file holds now, and what of it a power loss would leave."""

    content: bytes = b""
    synced: bytes | None = None


@dataclass
class Disk:
    """A folder's names and files, and the changes of names that are not synced yet, in order."""

    names: dict[str, File] = field(default_factory=dict)
    durable: dict[str, File | None] = field(default_factory=dict)
    pending: list[tuple[str, File | None]] = field(default_factory=list)

    def name(self, name: str, file: File | None) -> None:
        """Give a name to a file, or take it away."""
        self.names = {**self.names, name: file} if file else {k: v for k, v in self.names.items() if k != name}
        self.pending.append((name, file))

    def after_a_power_loss(self) -> list[dict[str, bytes]]:
        """Every folder that may be found: any of the unsynced names there or not, unsynced data lost, zero or there."""
        found = [
            {name: _left(file, how) for name, file in {**self.durable, **dict(reached)}.items() if file is not None}
            for count in range(len(self.pending) + 1)
            for reached in itertools.combinations(self.pending, count)
            for how in ("cut off", "zero", "there")
        ]
        return [one for number, one in enumerate(found) if one not in found[:number]]


def _left(file: File, how: str) -> bytes:
    """What a power loss leaves of a file."""
    if how == "there" or file.content == file.synced:
        return file.content
    return b"" if how == "cut off" else bytes(len(file.content))


class RecordingOs:
    """`os`, which also keeps a `Disk` of one folder up to date and, after each call, what a power loss would leave."""

    def __init__(self, folder: Path) -> None:
        files = {path.name: File(path.read_bytes(), path.read_bytes()) for path in folder.iterdir()}
        self.disk = Disk(names=files, durable=files)
        self.open_files: dict[int, File] = {}
        self.moments = [self.disk.after_a_power_loss()]
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        real = no_fsync if name == "fsync" else getattr(os, name)
        if name not in CALLS:
            return real

        def call(*arguments: Any, **options: Any) -> Any:
            result = real(*arguments, **options)
            self.calls.append(name)
            getattr(self, f"_{name}")(result, *arguments)
            self.moments.append(self.disk.after_a_power_loss())
            return result

        return call

    def _open(self, descriptor: int, path: Path, flags: int, *_: Any) -> None:
        self.open_files.pop(descriptor, None)
        if flags & os.O_CREAT:
            self.open_files[descriptor] = File()
            self.disk.name(Path(path).name, self.open_files[descriptor])

    def _write(self, written: int, descriptor: int, part: memoryview) -> None:
        self.open_files[descriptor].content += bytes(part[:written])

    def _fsync(self, _: None, descriptor: int) -> None:
        if descriptor in self.open_files:
            self.open_files[descriptor].synced = self.open_files[descriptor].content
        else:
            self.disk.durable, self.disk.pending = self.disk.names, []

    def _link(self, _: None, source: Path, target: Path) -> None:
        self.disk.name(Path(target).name, self.disk.names[Path(source).name])

    def _replace(self, _: None, source: Path, target: Path) -> None:
        self._link(None, source, target)
        self.disk.name(Path(source).name, None)

    def _mkdir(self, *_: Any) -> None:
        """Another folder than the one that is looked at."""

    def _unlink(self, _: None, path: Path) -> None:
        self.disk.name(Path(path).name, None)
