"""What else went on on the host while a run was timed: a few of the kernel's files, read before and after.

Sources: the kernel's Documentation/filesystems/proc.rst (stat, loadavg), accounting/psi.rst,
ABI/testing/sysfs-class-power, admin-guide/pm/cpufreq.rst; clock_gettime(2), getrusage(2).
"""

import re
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from resnet18.measure.cgroup import UnknownError, affinity, count, cpu_quota, known, read, told, usable_cpus

STAT, LOAD, PRESSURE = "proc/stat", "proc/loadavg", "proc/pressure/cpu"
GOVERNOR = "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
SUPPLIES = "sys/class/power_supply"
BATTERY_STATES = {"Charging", "Discharging", "Full", "Not charging"}

TICKS_PER_S = 100
"""Unit of /proc/stat (USER_HZ: the same on x86, Arm, POWER and RISC-V, whatever the kernel's own tick is)."""
SHORTEST_S = 1.0
"""A tick too many or too few is then 1 % of a processor; in less time it would look like another program."""
COLUMNS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
"""Of a processor in /proc/stat; guest time, which follows, is part of user."""
BUSY = ("user", "nice", "system", "irq", "softirq")


@dataclass(frozen=True)
class HostFacts:
    """What the host did during a span: values for the record's `conditions`, and a reason for every null."""

    conditions: dict[str, object]
    """The keys of `FIGURES`. Shares are of the time of the processors in our affinity."""
    reasons: dict[str, str]
    """Under "conditions.KEY"."""


@dataclass(frozen=True)
class Snapshot:
    """What the host tells at one moment: texts as the kernel wrote them, or the error that says why there is none."""

    stat: str | UnknownError
    pressure: str | UnknownError
    load: str | UnknownError
    governor: str | UnknownError
    on_battery: bool | UnknownError
    quota: float | UnknownError
    asleep_s: float | UnknownError
    usable: int
    affinity: frozenset[int]
    monotonic_s: float
    own_cpu_s: float


class HostWatch:
    """Looks at the host when it is made and when it is left. Costs nothing in between: no thread, no sampling."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._end: Snapshot | None = None
        self._begin = _look(root)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end = _look(self._root)

    def facts(self) -> HostFacts:
        """Return what went on until the watch was left, or until now. Raises nothing: what is unknown is a reason."""
        end = self._end or _look(self._root)
        conditions: dict[str, object] = {}
        reasons: dict[str, str] = {}
        for key, figure in FIGURES.items():
            try:
                conditions[key] = figure(self._begin, end)
            except UnknownError as error:
                conditions[key], reasons[f"conditions.{key}"] = None, str(error)
        return HostFacts(conditions, reasons)


def watch_host(root: Path = Path("/")) -> HostWatch:
    """Start to watch the host; leave the watch (`with`) after the work that is timed, then ask for its facts.

    Work of this process and of children that have ended and been waited for is its own. A child that still runs when
    the watch is left counts among the others.

    Args:
        root: the system's root; tests give a tree of their own.
    """
    return HostWatch(root)


def own_cpu_s() -> float:
    """Return the CPU time of this process and of its children that were waited for, in seconds."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def asleep_s() -> float:
    """Return how long the system has slept since its start, in seconds.

    Raises:
        UnknownError: it has no clock that goes on while it sleeps.
    """
    if not hasattr(time, "CLOCK_BOOTTIME"):
        raise UnknownError("this system has no CLOCK_BOOTTIME")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


def _look(root: Path) -> Snapshot:
    return Snapshot(
        stat=known(lambda: read(root, STAT)),
        pressure=known(lambda: read(root, PRESSURE)),
        load=known(lambda: read(root, LOAD)),
        governor=known(lambda: read(root, GOVERNOR)),
        on_battery=known(lambda: _is_on_battery(root)),
        quota=known(lambda: cpu_quota(root)),
        asleep_s=known(asleep_s),
        usable=usable_cpus(root),
        affinity=affinity(),
        monotonic_s=time.monotonic(),
        own_cpu_s=own_cpu_s(),
    )


def _steal_share(begin: Snapshot, end: Snapshot) -> float:
    spent_s = _spent_s(begin, end)
    return spent_s["steal"] / sum(spent_s.values())


def _others_share(begin: Snapshot, end: Snapshot) -> float:
    spent_s = _spent_s(begin, end)
    busy_s, own_s = sum(spent_s[column] for column in BUSY), end.own_cpu_s - begin.own_cpu_s
    # Ticks are coarse, so a little less than our own is none; much less means that the file counts something else.
    if own_s > 1.1 * busy_s + 0.1:
        raise UnknownError(f"/{STAT} counted {busy_s:.2f} s of work, less than ours alone ({own_s:.2f} s)")
    return max(0.0, busy_s - own_s) / sum(spent_s.values())


def _spent_s(begin: Snapshot, end: Snapshot) -> dict[str, float]:
    """Return the seconds that our processors spent in each column, summed over them.

    Only they matter: inside a container /proc/stat is the host's, with the work of all its containers.
    """
    first, last = (_ticks(told(look.stat), begin.affinity) for look in (begin, end))
    # Where a counter runs backwards, which proc(5) allows iowait, nothing was counted.
    spent = {name: sum(max(0, last[cpu][name] - first[cpu][name]) for cpu in first) / TICKS_PER_S for name in COLUMNS}
    if (each_s := sum(spent.values()) / len(first)) < SHORTEST_S:  # 0 where a sandbox fakes the file
        raise UnknownError(f"/{STAT} counted {each_s:.2f} s by processor; its unit needs at least {SHORTEST_S:.0f} s")
    return spent


def _ticks(text: str, cpus: frozenset[int]) -> dict[int, dict[str, int]]:
    lines = {name: figures for name, *figures in (line.split() for line in text.splitlines() if line.strip())}
    if missing := {cpu for cpu in cpus if f"cpu{cpu}" not in lines}:
        raise UnknownError(f"/{STAT} does not list {len(missing)} of our {len(cpus)} processors")
    try:
        return {cpu: dict(zip(COLUMNS, map(count, lines[f"cpu{cpu}"][:8]), strict=True)) for cpu in cpus}
    except ValueError:
        raise _malformed(STAT) from None


def _pressure_share(begin: Snapshot, end: Snapshot) -> float:
    waited_us = [
        re.search(r"^some .*\btotal=(\d{1,18})$", told(look.pressure), re.MULTILINE | re.ASCII) for look in (begin, end)
    ]
    elapsed_s = end.monotonic_s - begin.monotonic_s
    if waited_us[0] is None or waited_us[1] is None:
        raise _malformed(PRESSURE)
    if elapsed_s <= 0:
        raise UnknownError("the span was shorter than the clock's unit")
    return min(1.0, max(0, int(waited_us[1][1]) - int(waited_us[0][1])) / 1e6 / elapsed_s)


def _load_average(begin: Snapshot, _: Snapshot) -> float:
    match = re.match(r"(\d{1,9}\.\d+) ", told(begin.load), re.ASCII)
    if match is None:
        raise _malformed(LOAD)
    return float(match[1])


def _governor(begin: Snapshot, _: Snapshot) -> str:
    if not re.fullmatch(r"\w{1,40}", name := told(begin.governor), re.ASCII):
        raise _malformed(GOVERNOR)
    return name


def _on_battery(begin: Snapshot, end: Snapshot) -> bool:
    return told(begin.on_battery) or told(end.on_battery)


def _is_on_battery(root: Path) -> bool:
    """Ask the power supplies; those of a mouse or a headphone have the scope "Device" and do not count."""
    try:
        folders = [folder.name for folder in (root / SUPPLIES).iterdir()]
    except OSError as error:
        raise UnknownError(f"/{SUPPLIES} cannot be read ({type(error).__name__})") from None
    told_by = ("type", "scope", "online", "status")
    supplies = [{name: _supply(root, f"{folder}/{name}") for name in told_by} for folder in folders]
    ours = [supply for supply in supplies if supply["scope"] != "Device"]
    if any(supply["type"] != "Battery" and supply["online"] in {"1", "2"} for supply in ours):
        return False  # 2: a USB supply whose voltage was negotiated
    states = {supply["status"] for supply in ours} & BATTERY_STATES
    if not states:
        raise UnknownError(f"/{SUPPLIES} lists neither mains power nor a battery that tells its state")
    return "Discharging" in states


def _supply(root: Path, name: str) -> str | None:
    try:
        return read(root, f"{SUPPLIES}/{name}")
    except UnknownError:
        return None


def _suspended_s(begin: Snapshot, end: Snapshot) -> float:
    # Two clocks are not read in one instant: below a millisecond the difference is that.
    return max(0.0, round(told(end.asleep_s) - told(begin.asleep_s), 3))


def _malformed(name: str) -> UnknownError:
    return UnknownError(f"/{name} is malformed")


FIGURES: dict[str, Callable[[Snapshot, Snapshot], object]] = {
    "cpus": lambda begin, _: begin.usable,
    "cpu_quota": lambda begin, _: told(begin.quota),
    "cpu_steal_share": _steal_share,
    "cpu_others_share": _others_share,
    "cpu_pressure_share": _pressure_share,
    "load_average": _load_average,
    "governor": _governor,
    "on_battery": _on_battery,
    "suspended_s": _suspended_s,
}
"""Each key of the record's conditions that the host tells, from the snapshots before and after."""
