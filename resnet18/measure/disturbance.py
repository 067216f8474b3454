"""Why a time is unreliable: every limit with its reason, and a sentence for each that is passed.

Null is unknown and says nothing against a time. The measure is the lab report's own noise: two of its rows did the
same work and took 1161.1 s and 1107.8 s, so what lengthens a run by less than about 5 % is no news.
"""

import statistics
from collections.abc import Mapping, Sequence
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
    known = {key: value for key, value in conditions.items() if value is not None}
    cpus, steal, pressure = (known.get(key, 0) for key in ("cpus", "cpu_steal_share", "cpu_pressure_share"))
    used, used_limit = known.get("cpu_others_share", 0) * cpus, max(0, cpus - (threads or cpus)) + OTHERS_LIMIT_CPUS
    # Where no other program worked, the run's own threads and loader processes waited for each other.
    others_rested = {"cpus", "cpu_others_share"} <= known.keys() and used <= OTHERS_LIMIT_CPUS
    asleep_s, processes = known.get("suspended_s", 0), known.get("gpu_other_processes", 0)
    trouble = [name for name in known.get("gpu_throttle", ()) if name in TROUBLE]
    lowest, _, highest = known.get("gpu_clock_mhz", (1, 1, 1))
    fall = 1 - lowest / max(highest, 1)
    later = epoch_seconds[1:]
    mean = statistics.fmean(later) if len(later) >= EPOCHS_NEEDED else 0.0
    spread = statistics.stdev(later) / mean if mean > 0 else 0.0
    reasons = {
        f"the hypervisor took {steal:.1%} of the CPU time (times count up to {STEAL_LIMIT:.0%})": steal > STEAL_LIMIT,
        f"other programs used {used:.2f} of {cpus} CPUs (times count up to {used_limit:.2f})": used > used_limit,
        f"work waited for a CPU in {pressure:.1%} of the time (times count up to {PRESSURE_LIMIT:.0%})": (
            pressure > PRESSURE_LIMIT and not others_rested
        ),
        "the machine ran on its battery": known.get("on_battery", False),
        f"the machine slept for {asleep_s:.1f} s (times count up to {SUSPENDED_LIMIT_S:.0f} s)": (
            asleep_s > SUSPENDED_LIMIT_S
        ),
        f"other programs used the GPU ({processes})": processes > 0,
        f"the GPU lowered its clock: {', '.join(trouble)}": bool(trouble),
        f"the GPU's clock fell by {fall:.1%}, to {lowest} of {highest} MHz "
        f"(times count up to {CLOCK_LIMIT:.0%})": lowest < (1 - CLOCK_LIMIT) * highest,
        f"the epochs after the first took {mean:.3g} s with a standard deviation of {spread:.1%} "
        f"(times count up to {EPOCH_SD_LIMIT:.0%})": spread > EPOCH_SD_LIMIT,
    }
    return tuple(sentence for sentence, applies in reasons.items() if applies)
