"""How the kernel's out-of-memory killer is told from another SIGKILL: by the control group's counter of its kills.

Sources: the kernel's Documentation/admin-guide/cgroup-v2.rst (memory.events) and cgroup-v1/memory.rst
(memory.oom_control). The counter rises before the signal is sent (mm/oom_kill.c), so that whoever has seen the process
end reads the new value.
"""

from collections.abc import Iterator
from pathlib import Path

MOUNTS = "sys/fs/cgroup"
WHOLE_SYSTEM = "proc/vmstat"


def oom_kills(root: Path = Path("/")) -> int | None:
    """Return how many processes of our control group the kernel has killed for want of memory; None where unknown.

    Args:
        root: the system's root; tests give a tree of their own.
    """
    for name in _counters(root):
        try:
            lines = (root / name).read_text(encoding="ascii", errors="replace").splitlines()
            return int(dict(line.split(maxsplit=1) for line in lines)["oom_kill"])
        except (OSError, ValueError, KeyError):
            continue  # outside our view, or a kernel before 4.13, which does not count
    return None


def _counters(root: Path) -> Iterator[str]:
    """Yield the files that may hold the counter, the narrowest first.

    In a container the group's path may be the host's, absent here: the mount point itself is then the group.
    """
    try:
        groups = (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        groups = []
    for line in groups:
        _, _, group = line.partition(":")
        controllers, _, path = group.partition(":")
        folders = dict.fromkeys((path.strip("/"), ""))
        if "memory" in controllers.split(","):
            yield from (f"{MOUNTS}/memory/{folder}/memory.oom_control" for folder in folders)
        elif not controllers:
            yield from (f"{MOUNTS}/{top}/{folder}/memory.events" for top in ("", "unified") for folder in folders)
    yield WHOLE_SYSTEM
