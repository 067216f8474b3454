"""What child processes that still run have worked. Source: proc_pid_stat(5)."""

from collections.abc import Iterable
from pathlib import Path

from resnet18.measure.cgroup import UnknownError, read

TICKS_PER_S = 100
"""Unit of these files (USER_HZ: the same on x86, Arm, POWER and RISC-V)."""
TIMES = slice(11, 15)
"""utime, stime, cutime and cstime, counted after the name in parentheses, which may hold anything."""


def running_cpu_s(processes: Iterable[int], root: Path = Path("/")) -> float:
    """Return the CPU time of processes and of their children that were waited for, in seconds.

    One that has been waited for adds nothing: its time is in its parent's account of ended children from then on.
    """
    return sum(_cpu_s(number, root) for number in processes)


def _cpu_s(number: int, root: Path) -> float:
    try:
        fields = read(root, f"proc/{number}/stat").rpartition(")")[2].split()
        return sum(int(ticks) for ticks in fields[TIMES]) / TICKS_PER_S
    except (UnknownError, ValueError):
        return 0.0
