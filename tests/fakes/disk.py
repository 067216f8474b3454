"""The operating system as `records.disk` sees it, which fails at a certain call and writes its calls down.

Faults are swept as SQLite's tests do it: fail the first call, then the second, and so on until none fails any more.
"""

import errno
import os
from typing import Any

CALLS = ("open", "write", "fsync", "link", "replace", "unlink", "mkdir")


class Crash(BaseException):
    """The process ends here."""


REPLACED: dict[str, Any] = {
    "fsync": lambda descriptor: None,  # processes end in these tests, and the power stays on
    "write": lambda descriptor, part: os.write(descriptor, part[: (len(part) + 1) // 2]),  # half, as a system may
}


class FaultyOs:
    """`os`, whose call number `at` that changes the disk raises `error` (0: none), and later ones if persistent."""

    def __init__(self, at: int, *, persistent: bool = False, error: BaseException | None = None) -> None:
        self.at, self.persistent = at, persistent
        self.error = error or OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.names: list[str] = []
        self.failed = set[str]()

    @property
    def has_failed(self) -> bool:
        """Whether that call was reached."""
        return 0 < self.at <= len(self.names)

    def __getattr__(self, name: str) -> Any:
        real = REPLACED.get(name) or getattr(os, name)
        if name not in CALLS:
            return real

        def call(*arguments: Any, **options: Any) -> Any:
            self.names.append(name)
            if len(self.names) == self.at or (self.persistent and self.has_failed):
                self.failed.add(name)
                raise self.error
            return real(*arguments, **options)

        return call
