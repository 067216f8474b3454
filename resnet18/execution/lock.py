"""Locks that runners share: one for each run in a results directory, and one for each GPU of this machine.

The locks are the kernel's (flock), which lets go of them when the holder ends, however it ends; where a file system has
no flock, filelock falls back to a file that must not exist. What is written into a run's lock file is for people only.
"""

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, SoftFileLock, Timeout

from resnet18.records import disk
from resnet18.records.content import utc_now
from resnet18.spec.data import data_home


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


def lease_gpu(names: Sequence[str], held: ExitStack) -> str | None:
    """Take the first GPU that no run has, until `held` is closed, and return its name; None where none is free."""
    folder = data_home() / "gpus"
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        try:
            held.enter_context(FileLock(folder / f"{name.replace('/', '_')}.lock", timeout=0))
        except Timeout:
            continue
        return name
    return None


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
