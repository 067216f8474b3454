"""Why a time is unreliable: every limit with its reason, and a sentence for each that is passed.

Computed from a record's conditions when it is read, so that another limit judges old records too. Null is unknown and
says nothing against a time. Any other program costs a run with a thread on each CPU something: 0.02 CPUs cost 2 % of a
step or more, 0.1 CPUs 13 to 26 % (docs/methodology.md). Times are compared in blocks by seed, which carry what slows
all runs of a seed; so a time is unreliable only where the disturbance more than doubles a step, or is of another kind.
"""

from collections.abc import Mapping
from typing import Any

LOST_LIMIT_CPUS = 0.5
"""CPUs that others take beyond those that the run leaves free. Not a share: threads wait for the slowest of them.
A load of 0.5 made steps of two threads on two CPUs 70 to 129 % longer, and 0.5 taken by the hypervisor 135 %. 17 of
18 runs of Table 2 beside a load of 0.3 lost 0.29 to 0.50, with what else went on. A program that never
sleeps took 0.95."""
TOLD_CPUS = 0.05
"""More is told beside a table. Six runs of Table 2 on a quiet machine lost 0.01 to 0.05."""
PRESSURE_LIMIT = 0.4
"""Share of the time. Measured: 0.29 to 0.36 in runs beside a load of 0.3 CPUs, 0.46 beside a program that never sleeps.
It matters where the system does not tell what others used, and where free CPUs do not keep them off the run's."""
CLOCK_LIMIT = 0.05
"""Of the highest clock: time goes with the clock."""
SUSPENDED_LIMIT_S = 1.0
"""A sleep is longer; after it caches are cold and a GPU starts again. Clocks that are set drift by less."""
TROUBLE = ("HwSlowdown", "SwThermalSlowdown", "HwThermalSlowdown", "HwPowerBrakeSlowdown")
"""NVML's reasons for a lower clock that come from outside the run: heat, or a supply that fails. Any work at full load
meets the power cap in software; where that changes the speed during a run, the clock tells."""


def lost_cpus(conditions: Mapping[str, Any], numerics: Mapping[str, Any]) -> float:
    """Return how many CPUs others took from a run: what the hypervisor took, and what programs used of the run's.

    Conditions and numerics are the record's; null or a missing key is unknown, and counts as nothing. A run on the CPU
    needs as many CPUs as it has threads (all where that is unknown), a run on a GPU needs 1.
    """
    cpus, steal, others = (conditions.get(key) or 0 for key in ("cpus", "cpu_steal_share", "cpu_others_share"))
    threads = numerics.get("threads") if numerics.get("device", "cpu") == "cpu" else 1
    needed = threads if isinstance(threads, int) else cpus
    return float(max(0.0, others * cpus - max(0, cpus - needed)) + steal * cpus)


def disturbances(conditions: Mapping[str, Any], numerics: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a sentence for each reason why a time is unreliable, with the figure and its limit; none where it is not.

    Takes what `lost_cpus` takes.
    """
    known = {key: value for key, value in conditions.items() if value is not None}
    cpus, steal, pressure = (known.get(key, 0) for key in ("cpus", "cpu_steal_share", "cpu_pressure_share"))
    used, lost = known.get("cpu_others_share", 0) * cpus, lost_cpus(conditions, numerics)
    # Where other programs worked little, the run's own threads and loader processes waited for each other.
    others_rested = {"cpus", "cpu_others_share"} <= known.keys() and used <= LOST_LIMIT_CPUS
    asleep_s, processes = known.get("suspended_s", 0), known.get("gpu_other_processes", 0)
    trouble = [name for name in known.get("gpu_throttle", ()) if name in TROUBLE]
    lowest, _, highest = known.get("gpu_clock_mhz", (1, 1, 1))
    fall = 1 - lowest / max(highest, 1)
    reasons = {
        f"other programs used {used:.2f} of {cpus} CPUs and the hypervisor took {steal * cpus:.2f}: "
        f"{lost:.2f} more than the run left free (times count up to {LOST_LIMIT_CPUS:.2f})": lost > LOST_LIMIT_CPUS,
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
    }
    return tuple(sentence for sentence, applies in reasons.items() if applies)
