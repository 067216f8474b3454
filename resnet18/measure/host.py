"""How many CPUs a run may use, and what else went on on the host while it was timed.

Sources: the kernel's Documentation/admin-guide/cgroup-v2.rst, scheduler/sched-bwc.rst, accounting/psi.rst.
"""

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from time import monotonic, process_time
from typing import Any, Self

import psutil

from resnet18.measure import UnknownError, text_of

CGROUPS, OUR_CGROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
PRESSURE, SUPPLIES = Path("/proc/pressure/cpu"), Path("/sys/class/power_supply")
CPUS = Path("/sys/devices/system/cpu")
BUSY = ("user", "nice", "system", "irq", "softirq")
STATES = (*BUSY, "idle", "iowait", "steal")
"""Of a CPU, as psutil names them; guest time is part of user."""
TICK_S = LATE_S = 0.2  # so often a process looks whether it was stopped; a busy machine is late by hundredths
SHORTEST_S = 1.0
"""The kernel counts hundredths of a second: in a shorter span one too many would look like another program."""


def affinity() -> frozenset[int]:
    """Return the numbers of the CPUs that this process may run on; all of them where the system binds none (macOS)."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def cpu_quota() -> float | None:
    """Return how many CPUs our control groups may keep busy, the least of their limits; None where none can be read."""
    return min((limit for group in _cgroups() if (limit := _cpu_limit(group)) is not None), default=None)


def usable_cpus() -> list[int]:
    """Return the numbers of the CPUs that can compute at once: our affinity, as far as the quota reaches."""
    allowed = sorted(affinity())
    return allowed[: math.ceil(cpu_quota() or len(allowed))]


def _cgroups() -> Iterator[Path]:
    """Yield our control groups, of version 1 (by controller) and 2, and those around them up to the mount point.

    In a container a group's path may be the host's, absent here: the mount point is then the container's group.
    """
    for line in text_of(OUR_CGROUPS).splitlines():
        _, controllers, path = line.split(":", 2)
        for mount in {controllers, *controllers.split(","), "unified"}:
            top = CGROUPS / mount
            group = top / path.strip("/")
            yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(top))


def _cpu_limit(group: Path) -> float | None:
    """Return quota / period, None where the group sets no limit ("max" in version 2, -1 in version 1)."""
    words = text_of(group / "cpu.max").split()
    words = words or [text_of(group / "cpu.cfs_quota_us"), text_of(group / "cpu.cfs_period_us")]
    try:
        quota, period = map(int, words)
    except ValueError:
        return None
    return quota / period if quota > 0 and period > 0 else None


class HostWatch:
    """Looks at the host when the context is opened and left. A child that still runs then counts among the others."""

    def __enter__(self) -> Self:
        self._before = self._after = self._look()
        self._stopped_s, self._end = 0.0, Event()
        self._ticking = Thread(target=self._tick, name="host-sampler", daemon=True)
        with suppress(RuntimeError):  # the system's limit of threads
            self._ticking.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._after = self._look()

    def _tick(self) -> None:
        """Add up the time in which this process could not run: stopped by a signal, frozen, or with a paused machine.

        All its threads stand still then: a tick comes late, and meanwhile the process took no CPU time.
        """
        last_s, last_cpu_s = monotonic(), process_time()
        while not self._end.wait(TICK_S):
            now_s, cpu_s = monotonic(), process_time()
            late_s = now_s - last_s - TICK_S - (cpu_s - last_cpu_s)
            self._stopped_s += late_s if late_s > LATE_S else 0.0
            last_s, last_cpu_s = now_s, cpu_s

    @staticmethod
    def _look() -> dict[str, object]:
        return {key: _answer(read) for key, (read, _) in FIGURES.items()}

    def facts(self) -> tuple[dict[str, object], dict[str, str]]:
        """Return what went on in the context by key of FIGURES, and under "conditions.KEY" a reason for every null."""
        found = {key: _answer(make, self._before[key], self._after[key]) for key, (_, make) in FIGURES.items()}
        if isinstance(slept_s := found["suspended_s"], float) or self._stopped_s:
            found["suspended_s"] = round(self._stopped_s + (slept_s if isinstance(slept_s, float) else 0.0), 3)
        errors = {key: value for key, value in found.items() if isinstance(value, Exception)}
        reasons = {f"conditions.{key}": str(error) for key, error in errors.items()}
        return found | dict.fromkeys(errors), reasons


def _answer(ask: Callable[..., object], *of: object) -> object:
    """Return an answer, or an UnknownError with the reason why there is none: measuring must not end a run."""
    if failed := [value for value in of if isinstance(value, UnknownError)]:
        return failed[0]
    try:
        return ask(*of)
    except Exception as error:  # noqa: BLE001 - whatever it is
        return error if isinstance(error, UnknownError) else UnknownError(f"{type(error).__name__}: {error}")


def _cpu_seconds() -> dict[str, float]:
    """Return the seconds that our CPUs have spent in each state so far, and under `own` the CPU time of this process.

    Ours alone: inside a container the system lists the host's CPUs, with the work of all its containers.
    """
    listed, ours = psutil.cpu_times(percpu=True), affinity()
    if len(listed) != len(ours):
        # psutil gives a list without numbers: a place in it is a number only where no CPU is offline.
        if text_of(CPUS / "online") != f"0-{len(listed) - 1}":
            raise UnknownError(f"the system lists {len(listed)} CPUs without saying which of them are our {len(ours)}")
        listed = [listed[number] for number in ours]
    states = {state: sum(getattr(cpu, state) for cpu in listed) for state in STATES if hasattr(listed[0], state)}
    return {**states, "own": sum(os.times()[:4])}


def _spent_s(before: dict[str, float], after: dict[str, float]) -> tuple[dict[str, float], float]:
    """Return the seconds that our CPUs spent in each state, summed over them, and in all states."""
    # Where a counter runs backwards, which proc(5) allows iowait, nothing was counted.
    spent = {state: max(0.0, after[state] - before[state]) for state in before}
    total_s = sum(spent.values()) - spent["own"]
    if (each_s := total_s / len(affinity())) < SHORTEST_S:  # 0 where a sandbox fakes the counters
        raise UnknownError(f"the system counted {each_s:.2f} s of each CPU; shares need at least {SHORTEST_S:g} s")
    return spent, total_s


def _steal_share(before: dict[str, float], after: dict[str, float]) -> float:
    spent, total_s = _spent_s(before, after)
    if "steal" not in spent:
        raise UnknownError("this system does not count what a hypervisor takes")
    return spent["steal"] / total_s


def _others_share(before: dict[str, float], after: dict[str, float]) -> float:
    spent, total_s = _spent_s(before, after)
    busy_s = sum(spent.get(state, 0.0) for state in BUSY)
    # Counters are coarse, so a little less than our own is none; much less means that they count something else.
    if spent["own"] > 1.1 * busy_s + 0.1:
        raise UnknownError(f"the system counted {busy_s:.2f} s of work, less than ours alone ({spent['own']:.2f} s)")
    return max(0.0, busy_s - spent["own"]) / total_s


def _pressure() -> tuple[float, float]:
    """Return the seconds in which something has waited for a CPU so far, and the time. psutil does not read it."""
    some = PRESSURE.read_text(encoding="utf-8").split()[:5]  # some avg10=… avg60=… avg300=… total=…
    return int(some[4].partition("=")[2]) / 1e6, time.monotonic()


def _is_on_battery() -> bool:
    battery = psutil.sensors_battery()
    # Where the machine has no battery (BAT0), psutil takes that of a mouse.
    of_mouse = any(text_of(scope) == "Device" for scope in SUPPLIES.glob("*/scope")) and not any(SUPPLIES.glob("BAT*"))
    if battery is None or battery.power_plugged is None or of_mouse:
        raise UnknownError("the system tells of no battery of its own, or not whether it is charged")
    return not battery.power_plugged


def _quota() -> float:
    if (quota := cpu_quota()) is None:
        raise UnknownError("no control group that can be read limits the CPUs")
    return quota


def _first(before: object, _: object) -> object:
    return before


FIGURES: dict[str, tuple[Callable[[], object], Callable[[Any, Any], object]]] = {
    "cpus": (lambda: len(usable_cpus()), _first),
    "cpu_quota": (_quota, _first),
    "cpu_steal_share": (_cpu_seconds, _steal_share),
    "cpu_others_share": (_cpu_seconds, _others_share),
    "cpu_pressure_share": (_pressure, lambda before, after: min(1.0, (after[0] - before[0]) / (after[1] - before[1]))),
    "load_average": (lambda: os.getloadavg()[0], _first),
    "governor": (lambda: (CPUS / "cpu0/cpufreq/scaling_governor").read_text(encoding="utf-8").strip(), _first),
    "on_battery": (_is_on_battery, lambda before, after: before or after),
    "suspended_s": (  # two clocks are not read in one instant; macOS lacks the one that goes on while it sleeps
        lambda: time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC),
        lambda before, after: max(0.0, round(after - before, 3)),
    ),
}
"""Each key of the record's conditions that the host tells: what is read before and after, and what the two make."""
