"""What a run's record says of its device: the findings under the record's keys, and a reason for each null."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from resnet18.measure.bindings import pynvml
from resnet18.measure.sampler import Findings, Tally

THROTTLING: Mapping[str, int] = MappingProxyType(
    {
        "SwPowerCap": pynvml.nvmlClocksEventReasonSwPowerCap,
        "HwSlowdown": pynvml.nvmlClocksEventReasonHwSlowdown,
        "SwThermalSlowdown": pynvml.nvmlClocksEventReasonSwThermalSlowdown,
        "HwThermalSlowdown": pynvml.nvmlClocksEventReasonHwThermalSlowdown,
        "HwPowerBrakeSlowdown": pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown,
    }
)
"""Names as in NVML without the prefix, which has changed (`nvmlClocksEventReason`, once `nvmlClocksThrottleReason`).
Idling is no throttling, nor are clocks that somebody has set."""

UNREAD = "the device was not read"
NOT_LISTED = (
    "device-level only: the driver's list does not hold this process; in a container it has the host's process numbers"
)
NOT_BY_PROCESS = "device-level only: the driver does not tell memory by process (so under WDDM and WSL)"
ZERO_THOUGH_USED = "device-level only: the driver gives 0 bytes for this process, though torch has allocated"
ZERO = "the driver gives 0 bytes for this process, and torch has allocated nothing"
VERSION_1 = "this driver counts what it reserves as used (NVML memory information, version 1)"
IDLE = "the device idled at each sample"
ENERGY_STOOD = "the device's energy counter did not advance"

# The record's key, and the questions without an answer to which there is nothing under it.
ASKED_FOR: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "memory.device_peak_bytes": ("used_bytes",),
        "memory.device_baseline_bytes": ("baseline", "used_bytes"),
        "memory.process_peak_bytes": ("compute",),
        "energy_j": ("energy",),
        "conditions.gpu_reserved_bytes": ("used_bytes",),
        "conditions.gpu_other_processes": ("compute", "graphics"),
        "conditions.gpu_throttle": ("clock_events",),
        "conditions.gpu_clock_mhz": ("clock_mhz",),
    }
)


@dataclass(frozen=True)
class DeviceFacts:
    """Parts of a record, under its own keys."""

    memory: dict[str, int | None]
    """Bytes."""
    energy_j: float | None
    """Of the whole device, whoever used it."""
    conditions: dict[str, object]
    numerics: dict[str, str]
    reasons: dict[str, str]
    """Why a value is null, by the record's dotted key."""


def device_facts(found: Findings, process_memory: Mapping[str, int | None], no_memory: str) -> DeviceFacts:
    """Return the facts.

    Args:
        found: by the sampler; empty, with a fault named `device`, where there was none.
        process_memory: peaks that this process knows of itself, in bytes, by the keys of the record's `memory`.
        no_memory: why one of them is None.
    """
    tally = found.tally
    memory: dict[str, int | None] = {
        **process_memory,
        "device_peak_bytes": tally.used_peak_bytes,
        "device_baseline_bytes": found.baseline_bytes,
        # A process that has a context uses memory: 0 is how some drivers and layers say that they do not know.
        "process_peak_bytes": tally.own_peak_bytes or None,
    }
    energy_j = found.energy_mj / 1000 if found.energy_mj is not None and found.energy_mj > 0 else None
    conditions: dict[str, object] = {
        "sampling_period_s": found.period_s if tally.samples else None,
        "samples": tally.samples or None,
        "gpu_reserved_bytes": tally.reserved_bytes,
        # While this process is not on the list, one of those that are may be it.
        "gpu_other_processes": tally.other_processes if tally.own_seen else None,
        "gpu_throttle": _throttling(tally.clock_events),
        "gpu_clock_mhz": _clocks(tally),
    }
    flat = {f"memory.{key}": value for key, value in memory.items()} | {"energy_j": energy_j}
    flat |= {f"conditions.{key}": value for key, value in conditions.items()}  # type: ignore[misc]  # a wider value
    known = {f"memory.{key}": no_memory for key in process_memory}
    known |= _explanations(tally, used=bool(process_memory.get("allocated_peak_bytes"))) if tally.samples else {}
    return DeviceFacts(
        memory=memory,
        energy_j=energy_j,
        conditions=conditions,
        numerics={} if found.driver is None else {"driver": found.driver},
        reasons={key: _reason(key, found.faults, known) for key, value in flat.items() if value is None},
    )


def _reason(key: str, faults: Mapping[str, str], known: Mapping[str, str]) -> str:
    """Say why there is nothing under a key: an answer that failed, else what the readings show, else the device."""
    failed = [faults[question] for question in ASKED_FOR.get(key, ()) if question in faults]
    return failed[0] if failed else known.get(key, faults.get("device", UNREAD))


def _explanations(tally: Tally, *, used: bool) -> dict[str, str]:
    """Return what the readings themselves say of values that are missing though every question was answered."""
    process = NOT_LISTED
    if tally.own_seen:
        process = NOT_BY_PROCESS if tally.own_peak_bytes is None else ZERO_THOUGH_USED if used else ZERO
    return {
        "memory.process_peak_bytes": process,
        "energy_j": ENERGY_STOOD,
        "conditions.gpu_reserved_bytes": VERSION_1,
        "conditions.gpu_other_processes": NOT_LISTED,
        "conditions.gpu_clock_mhz": IDLE,
    }


def _throttling(events: int | None) -> tuple[str, ...] | None:
    return None if events is None else tuple(name for name, bit in THROTTLING.items() if events & bit)


def _clocks(tally: Tally) -> tuple[int, int, int] | None:
    """Return the lowest, the median and the highest clock (MHz)."""
    clocks = sorted(tally.clocks_mhz.elements())
    return (clocks[0], statistics.median_low(clocks), clocks[-1]) if clocks else None
