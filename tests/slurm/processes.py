"""The processes of a node, from /proc: those that hold its log open, what they started, and the jobs."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

PROC = Path("/proc")


def holders(log: Path) -> set[int]:
    """Return the processes that have this file open: slurmd, and the slurmstepd of each step."""
    return {pid for pid in _all() if log in _open_files(pid)}


def jobs(conf: Path, node: str | None = None) -> set[int]:
    """Return the processes that run in jobs of the cluster that `conf` describes, on one node or on any."""
    marks = {f"SLURM_CONF={conf}".encode()}
    if node:
        marks.add(f"SLURMD_NODENAME={node}".encode())
    return {
        pid
        for pid in _all()
        if marks <= (words := _environment(pid)) and any(word.startswith(b"SLURMD_NODENAME=") for word in words)
    }


def descendants(of: Iterable[int]) -> set[int]:
    """Return these processes, their children, their children's, and so on."""
    parents = {pid: _parent(pid) for pid in _all()}
    found = set(of)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def destroy(find: Callable[[], set[int]], limit_s: float = 10.0) -> None:
    """Stop what `find` finds, so that nobody can report another's death, then kill it, until nothing is found.

    Raises:
        TimeoutError: there is something still.
    """
    deadline = time.monotonic() + limit_s
    while found := {pid for pid in find() if alive(pid)}:
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {sorted(found)} live on after {limit_s} s of SIGKILL")
        _signal(found, signal.SIGSTOP)
        found |= {pid for pid in find() if alive(pid)}
        _signal(found, signal.SIGKILL)
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Return whether a process runs: one that has ended and waits for its parent to notice does not."""
    fields = _stat(pid)
    return bool(fields) and fields[0] not in "ZX"


def _signal(pids: set[int], number: signal.Signals) -> None:
    for pid in pids - {os.getpid()}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _all() -> list[int]:
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]


def _open_files(pid: int) -> set[Path]:
    found = set()
    with contextlib.suppress(OSError):  # gone, or another user's
        for link in (PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(link.readlink())
    return found


def _environment(pid: int) -> set[bytes]:
    with contextlib.suppress(OSError):
        return set((PROC / str(pid) / "environ").read_bytes().split(b"\0"))
    return set()


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name (which may hold anything): state, parent and more."""
    with contextlib.suppress(OSError):
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return []


def _parent(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[1]) if fields else 0
