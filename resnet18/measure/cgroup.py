"""What Linux's control groups allow this process, and whether the kernel killed in them; versions 1 and 2.

Sources: the kernel's Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst, scheduler/sched-bwc.rst.
"""

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

MOUNTS = "sys/fs/cgroup"
UNIFIED = ("", "unified")
"""Where version 2 is mounted: alone, or beside version 1."""

T = TypeVar("T")


class UnknownError(Exception):
    """A figure that this system does not tell; the text is the reason for a record's null."""


def read(root: Path, name: str) -> str:
    """Return the text of one of the kernel's files.

    Raises:
        UnknownError: it is missing or cannot be read.
    """
    try:
        return (root / name).read_text(encoding="utf-8", errors="replace").strip()
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte
        raise UnknownError(f"/{name} cannot be read ({type(error).__name__})") from None


def known(find: Callable[[], T]) -> T | UnknownError:
    """Return what is found, or the error that says why it is unknown: a reason can wait until it is asked for."""
    try:
        return find()
    except UnknownError as error:
        return error


def told(found: T | UnknownError) -> T:
    """Return what was found.

    Raises:
        UnknownError: nothing was.
    """
    if isinstance(found, UnknownError):
        raise found
    return found


def cpu_quota(root: Path) -> float:
    """Return how many processors our control groups may keep busy: the least of our own and those around it.

    Raises:
        UnknownError: there is no limit, no file tells, or a file is malformed.
    """
    limits = [*_limits(root, _folders(root, ""), "cpu.max"), *_limits(root, _folders(root, "cpu"), "cpu.cfs_quota_us")]
    if not limits:
        raise UnknownError("no cgroup file tells a limit of processors")
    if math.isinf(least := min(limits)):
        raise UnknownError("the container has no limit of processors")
    return least


def usable_cpus(root: Path = Path("/")) -> int:
    """Return how many processors can compute at once: those this process may run on, the quota rounded up; at least 1.

    Without a quota of whole processors one more thread than the quota uses what is left; one fewer would waste it.
    """
    allowed = len(affinity())
    try:
        return max(1, min(allowed, math.ceil(cpu_quota(root))))
    except UnknownError:
        return allowed


def affinity() -> frozenset[int]:
    """Return the numbers of the processors that this process may run on; all of them where the system binds none."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def _limits(root: Path, folders: list[str], name: str) -> Iterator[float]:
    """Yield the limit that each folder's file sets, in processors; infinity for none."""
    for folder in folders:
        try:
            text = read(root, f"{folder}/{name}")
        except UnknownError:
            continue  # a folder outside our view, or the root group, which has no limit
        try:
            yield _processors(text if name == "cpu.max" else f"{text} {read(root, f'{folder}/cpu.cfs_period_us')}")
        except (ValueError, ArithmeticError):
            raise UnknownError(f"/{folder}/{name} is malformed") from None


def _processors(text: str) -> float:
    """Return quota / period, both in microseconds, as processors; "max" and -1 are no limit."""
    quota, period = text.split()
    if quota in {"max", "-1"}:
        return math.inf
    if (share := count(quota) / count(period)) > 0:
        return share
    raise ValueError(text)


def _folders(root: Path, controller: str) -> list[str]:
    """Return the folders of our control group and of those around it, the innermost first.

    Inside a container the path may be the host's, absent here: the mount point itself is then the container's group.

    Args:
        root: the system's root.
        controller: of version 1; empty for version 2.
    """
    try:
        lines = [line.split(":", 2) for line in read(root, "proc/self/cgroup").splitlines()]
    except UnknownError:
        lines = []
    listed = {controllers: path for _, controllers, path in (line for line in lines if len(line) == 3)}
    ours = next((name for name in listed if controller in name.split(",")), controller)
    parts = [part for part in listed.get(ours, "").split("/") if part not in {"", ".", ".."}]
    mounts = dict.fromkeys((ours, controller)) if controller else UNIFIED
    tops = [f"{MOUNTS}/{mount}".rstrip("/") for mount in mounts]
    return ["/".join([top, *parts[:depth]]) for top in tops for depth in range(len(parts), -1, -1)]


def count(text: str) -> int:
    """Return a count of the kernel's.

    Raises:
        ValueError: it is none, or has more digits than 64 bits; Python's int would take signs and underscores too.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise ValueError(text)
    return int(text)
