"""Why a time is unreliable: every limit with its reason, and a sentence for each that is passed.

Null is unknown and says nothing against a time. The measure is the lab report's own noise: two of its rows did the
same work and took 1161.1 s and 1107.8 s, so what lengthens a run by less than about 5 % is no news.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

STEAL_LIMIT = 0.02
"""Share of CPU time. A run with a thread on each CPU waits for the one that is taken away: 2 % of two can cost 4 %."""
OTHERS_LIMIT_CPUS = 0.03
"""CPUs that others use beside those that the run leaves free, which are anyone's. Measured with two threads on two
CPUs: alone 0.00 to 0.02; beside a process that took 0.05 a step took 2 to 18 % longer."""
PRESSURE_LIMIT = 0.1
"""Share of the time, where others worked. Measured: 0.00 to 0.01 alone, 0.08 to 0.12 beside a process of 0.08 to 0.10.
It catches what a free CPU does not prevent: one thread beside 0.92 once took 15 % longer, at a pressure of 0.19."""
CLOCK_LIMIT = 0.05
"""Of the highest clock: time goes with the clock."""
SUSPENDED_LIMIT_S = 1.0
"""A sleep is longer; after it caches are cold and a GPU starts again. Clocks that are set drift by less."""
EPOCH_SD_LIMIT = 0.1
"""Of the mean: above it pyperf warns that a benchmark "may be unstable" (its command `check`)."""
EPOCHS_NEEDED = 5
"""After the first, which warms up: the spread of fewer says little."""
TROUBLE = ("HwSlowdown", "SwThermalSlowdown", "HwThermalSlowdown", "HwPowerBrakeSlowdown")
"""NVML's reasons for a lower clock that come from outside the run: heat, or a supply that fails. Any work at full load
meets the power cap in software; where that changes the speed during a run, the clock tells."""


def disturbances(
    conditions: Mapping[str, Any], epoch_seconds: Sequence[float], *, threads: int | None = None
) -> tuple[str, ...]:
    """Return a sentence for each reason why a time is unreliable, with the figure and its limit; none where it is not.

    Conditions are the record's; null or a missing key is unknown. The seconds are of all epochs of one stretch of work,
    the first included. Threads are those of the run, 1 where a GPU computes; None for one on every usable CPU.
    """
    return (*_of_cpus(conditions, threads), *_of_host(conditions), *_of_gpu(conditions), *_of_epochs(epoch_seconds))


def _of_cpus(conditions: Mapping[str, Any], threads: int | None) -> Iterator[str]:
    cpus, share = conditions.get("cpus"), conditions.get("cpu_others_share")
    used = None if cpus is None or share is None else share * cpus
    if (steal := conditions.get("cpu_steal_share") or 0.0) > STEAL_LIMIT:
        yield f"the hypervisor took {steal:.1%} of the CPU time (times count up to {STEAL_LIMIT:.0%})"
    if cpus is not None and used is not None:
        limit = max(0, cpus - (threads or cpus)) + OTHERS_LIMIT_CPUS
        if used > limit:
            yield f"other programs used {used:.2f} of {cpus} CPUs (times count up to {limit:.2f})"
    # Where no other program worked, the run's own threads and loader processes waited for each other.
    pressure = conditions.get("cpu_pressure_share") or 0.0
    if pressure > PRESSURE_LIMIT and (used is None or used > OTHERS_LIMIT_CPUS):
        yield f"work waited for a CPU in {pressure:.1%} of the time (times count up to {PRESSURE_LIMIT:.0%})"


def _of_host(conditions: Mapping[str, Any]) -> Iterator[str]:
    if conditions.get("on_battery"):
        yield "the machine ran on its battery"
    if (asleep_s := conditions.get("suspended_s") or 0.0) > SUSPENDED_LIMIT_S:
        yield f"the machine slept for {asleep_s:.1f} s (times count up to {SUSPENDED_LIMIT_S:.0f} s)"


def _of_gpu(conditions: Mapping[str, Any]) -> Iterator[str]:
    if others := conditions.get("gpu_other_processes"):
        yield f"other programs used the GPU ({others})"
    if trouble := [name for name in conditions.get("gpu_throttle") or () if name in TROUBLE]:
        yield f"the GPU lowered its clock: {', '.join(trouble)}"
    lowest, _, highest = conditions.get("gpu_clock_mhz") or (1, 1, 1)
    if lowest < (1 - CLOCK_LIMIT) * highest:
        fall = 1 - lowest / highest
        yield f"the GPU's clock fell by {fall:.1%}, to {lowest} of {highest} MHz (times count up to {CLOCK_LIMIT:.0%})"


def _of_epochs(seconds: Sequence[float]) -> Iterator[str]:
    later = seconds[1:]
    if len(later) < EPOCHS_NEEDED or (mean := statistics.fmean(later)) <= 0:
        return
    if (spread := statistics.stdev(later) / mean) > EPOCH_SD_LIMIT:
        yield (
            f"the epochs after the first took {mean:.3g} s with a standard deviation of {spread:.1%} "
            f"(times count up to {EPOCH_SD_LIMIT:.0%})"
        )
