"""One lock for each run: whoever holds it may carry the run out, so that runners can share a results directory.

The lock is the kernel's (flock), which lets go of it when the holder ends, however it ends; where a file system has no
flock, filelock falls back to a file that must not exist, with the holder's host, process and start time in it. What is
written into the lock file here is for people only.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, SoftFileLock, Timeout

from resnet18.records import disk
from resnet18.records.content import utc_now

try:
    import resource
except ImportError:  # Windows has no such limit
    resource = None  # type: ignore[assignment]


MOST_FILES = 1 << 16
"""As many open files as are asked for where the system allows more."""


class RunIsTakenError(Exception):
    """Another runner carries the run out; the text says which."""


@contextmanager
def run_lock(results: Path, run_id: str) -> Iterator[str]:
    """Hold the lock of a run, and yield who left it behind: "" where its last holder let go of it.

    Raises:
        RunIsTakenError: another process holds it.
        OSError: the results directory cannot be written.
    """
    disk.make_folder(results / "locks")
    path = results / "locks" / f"{run_id}.lock"
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunIsTakenError(_holder(path) or "another runner") from None
    is_native = not isinstance(lock, SoftFileLock)  # the other kind keeps what it needs in the file
    try:
        left_by = _holder(path) if is_native else ""
        if is_native:
            _write(path, f"process {os.getpid()} of {socket.gethostname()} since {utc_now()}")
        yield left_by
    finally:
        if is_native:
            _write(path, "")
        lock.release()


def locks_at_most() -> int:
    """Return how many runs this process may hold the locks of, after its limit of open files was raised.

    Each lock is an open file. Half of the limit is left for whatever else a process has open, such as connections to
    nodes. Most systems begin with a limit of 1,024 that any process may raise.
    """
    if resource is None:
        return MOST_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MOST_FILES
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(1, max(soft, wanted) // 2)


def _holder(path: Path) -> str:
    """Return what the holder wrote of itself, as far as it is one printable line."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")[:200]
    except OSError:
        return ""
    return "".join(letter for letter in text if letter.isprintable())


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
