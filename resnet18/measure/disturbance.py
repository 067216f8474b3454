"""Why a time is unreliable: every limit with its reason, and a sentence for each that is passed.

Null is unknown and says nothing against a time. An unreliable time was measured all the same, and is kept.

The measure of the limits is the lab report's own noise: two of its rows did identical work and took 1161.1 s and
1107.8 s, so what lengthens a run by less than about 5 % is no news.
"""

import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

STEAL_LIMIT = 0.02
"""Share of CPU time. A run with a thread on each processor waits for the one that is taken away: 2 % of two can
lengthen it by 4 %. An argument: it was never met."""
OTHERS_LIMIT_CPUS = 0.03
"""Processors kept busy beside those that the run leaves free. Measured on two processors with two threads, which wait
for each other after every layer. Alone a run met 0.00 to 0.02; a process that took 0.05 lengthened a step by 2 to 18 %,
one that took 0.08 to 0.10 by 9 to 17 %, and two that took what they could get (1.01) made it three times as long. One
thread beside 1.00 on the other processor took no longer: what the run leaves free is anyone's."""
PRESSURE_LIMIT = 0.1
"""Share of the time, where others worked. In the same runs 0.00 to 0.01 alone and 0.08 to 0.12 beside the process of
0.08 to 0.10. It catches what a free processor does not always prevent: one thread beside 0.92 once took 15 % longer, at
a pressure of 0.19."""
CLOCK_LIMIT = 0.05
"""Of the highest clock: time goes with the clock. The sampler leaves out a GPU that idles."""
SUSPENDED_LIMIT_S = 1.0
"""A sleep is longer; after it caches are cold and a GPU starts again. Clocks that are set drift by less."""
EPOCH_SD_LIMIT = 0.1
"""Of the mean: above it pyperf warns that a benchmark "may be unstable" (its command `check`)."""
EPOCHS_NEEDED = 5
"""After the first, which warms up. The spread of fewer says little: DESIGN asks for five repeats too."""
SLOWED_BY_TROUBLE = ("thermal", "hwslowdown", "powerbrake", "syncboost")
"""Parts of NVML's names for reasons of a lower clock that come from outside the run: heat, a supply that fails, another
GPU that is slower. Idling, a clock that was set, and the power cap in software are none: the cap is the card's own
limit, which any work at full load meets, so that every time would be unreliable. Where it does change the
speed during a run, the clock tells."""


@dataclass(frozen=True)
class Run:
    """What is known of a timed run."""

    conditions: Mapping[str, object]
    epoch_seconds: Sequence[float]
    threads: int | None


def disturbances(
    conditions: Mapping[str, object], epoch_seconds: Sequence[float], *, threads: int | None = None
) -> tuple[str, ...]:
    """Return a sentence for each reason why a time is unreliable, with the figure and its limit; none where it is not.

    Args:
        conditions: the record's; null or a missing key is unknown.
        epoch_seconds: of all epochs of one stretch of work, in order, the first included.
        threads: with which the run computes, 1 where a GPU does; None for one on every processor that it may use.
    """
    run = Run(conditions, epoch_seconds, threads)
    return tuple(sentence for check in CHECKS if (sentence := check(run)) is not None)


def _steal(run: Run) -> str | None:
    share = _number(run, "cpu_steal_share")
    if share is None or share <= STEAL_LIMIT:
        return None
    return f"the hypervisor took {share:.1%} of the CPU time (limit {STEAL_LIMIT:.0%})"


def _others(run: Run) -> str | None:
    used, cpus = _used_by_others(run), _number(run, "cpus")
    if used is None or cpus is None:
        return None
    threads = run.threads or int(cpus)
    left = max(0.0, cpus - threads)
    if used - left <= OTHERS_LIMIT_CPUS:
        return None
    return (
        f"other processes kept {used:.2f} of {cpus:.0f} processors busy beside {threads} threads of the run "
        f"(limit {left + OTHERS_LIMIT_CPUS:.2f})"
    )


def _pressure(run: Run) -> str | None:
    share, used = _number(run, "cpu_pressure_share"), _used_by_others(run)
    if share is None or share <= PRESSURE_LIMIT:
        return None
    if used is not None and used <= OTHERS_LIMIT_CPUS:
        return None  # the run's own threads and loader processes waited for each other
    return f"work waited for a processor in {share:.1%} of the time (limit {PRESSURE_LIMIT:.0%})"


def _battery(run: Run) -> str | None:
    return "the machine ran on its battery" if run.conditions.get("on_battery") is True else None


def _suspended(run: Run) -> str | None:
    asleep_s = _number(run, "suspended_s")
    if asleep_s is None or asleep_s <= SUSPENDED_LIMIT_S:
        return None
    return f"the machine slept for {asleep_s:.1f} s (limit {SUSPENDED_LIMIT_S:.0f} s)"


def _gpu_shared(run: Run) -> str | None:
    others = _number(run, "gpu_other_processes")
    return f"{others:.0f} other processes were on the GPU (limit 0)" if others else None


def _gpu_throttled(run: Run) -> str | None:
    listed = run.conditions.get("gpu_throttle")
    names = [str(name) for name in listed] if isinstance(listed, list | tuple) else []
    serious = [name for name in names if any(part in _letters(name) for part in SLOWED_BY_TROUBLE)]
    return f"the GPU lowered its clock: {', '.join(serious)}" if serious else None


def _gpu_clock(run: Run) -> str | None:
    clocks = run.conditions.get("gpu_clock_mhz")
    if not isinstance(clocks, list | tuple) or len(clocks) != 3:
        return None
    lowest, _, highest = clocks
    if lowest >= (1 - CLOCK_LIMIT) * highest:
        return None
    return (
        f"the GPU's clock fell from {highest} to {lowest} MHz, by {1 - lowest / highest:.1%} (limit {CLOCK_LIMIT:.0%})"
    )


def _unsteady(run: Run) -> str | None:
    later = run.epoch_seconds[1:]
    if len(later) < EPOCHS_NEEDED or (mean := statistics.fmean(later)) <= 0:
        return None
    if (spread := statistics.stdev(later) / mean) <= EPOCH_SD_LIMIT:
        return None
    return (
        f"the epochs after the first took {mean:.3g} s with a standard deviation of {spread:.1%} of that "
        f"(limit {EPOCH_SD_LIMIT:.0%})"
    )


def _used_by_others(run: Run) -> float | None:
    """Return how many processors others kept busy."""
    share, cpus = _number(run, "cpu_others_share"), _number(run, "cpus")
    return None if share is None or cpus is None else share * cpus


def _number(run: Run, key: str) -> float | None:
    value = run.conditions.get(key)
    return float(value) if isinstance(value, int | float) else None


def _letters(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


CHECKS: tuple[Callable[[Run], str | None], ...] = (
    _steal,
    _others,
    _pressure,
    _battery,
    _suspended,
    _gpu_shared,
    _gpu_throttled,
    _gpu_clock,
    _unsteady,
)
