"""What a run costs on its device: torch's own peaks, and on an NVIDIA GPU what NVML tells from outside.

NVML also counts the CUDA context, other processes and the driver. A thread samples it: its peaks are lower bounds.
"""

import os
import resource
import statistics
import sys
import threading
from contextlib import suppress
from typing import Any, NamedTuple, Self

import torch

from resnet18.measure import UnknownError, nvml

OPENING_LIMIT_S, CLOSING_LIMIT_S = 2.0, 1.0
"""How long the run waits for the first reading, which must come before its first allocation, and for the last one."""
NO_DEVICE = "the run used no accelerator"
NO_PEAKS = "torch's allocator keeps no statistics for this device, or nothing was allocated"
NO_STATISTICS = (RuntimeError, AttributeError, AssertionError, ValueError)
"""What torch raises of a kind of device whose allocator keeps no statistics."""
MEMORY = ("device_peak_bytes", "device_baseline_bytes", "process_peak_bytes")
CONDITIONS = ("gpu_reserved_bytes", "gpu_other_processes", "gpu_throttle", "gpu_clock_mhz")


class DeviceFacts(NamedTuple):
    """Parts of a record, under its own keys; reasons say why a value is null, by dotted key."""

    memory: dict[str, int | None]
    energy_j: float | None
    conditions: dict[str, object]
    numerics: dict[str, str]
    reasons: dict[str, str]


class DeviceWatch:
    """Watches a device from the opening of the context to its end. Never holds the run up, and never fails it.

    The opening resets torch's peaks and reads the baseline, before the run's first tensor is on the device; asking
    torch for the UUID starts CUDA, whose context (hundreds of MiB) the baseline includes with some versions of CUDA.
    NVML is asked in a thread alone, since any call may hang. What happens between two samples is missed.
    """

    def __init__(self, device: torch.device, *, period_s: float = 0.1) -> None:
        self._device, self._period_s = device, period_s
        self._uuids = uuids_of(device) if device.type == "cuda" else ()
        self._gpu: Any = None
        self._driver: str | None = None
        self._samples = 0
        self._seen: dict[str, Any] = {}
        """By the record's key. Values are replaced, never changed: they can be read while the thread hangs."""
        self._reasons: dict[str, str] = {}
        """The last reason for which a key had no value."""
        self._silence = "the device was not read"
        """The reason for every other key."""
        self._is_late = False
        self._opened, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="nvml-sampler", daemon=True)

    def __enter__(self) -> Self:
        kind = self._device.type
        if kind != "cpu":
            with suppress(*NO_STATISTICS):
                torch.accelerator.reset_peak_memory_stats(self._device)
        if kind != "cuda":
            self._silence = NO_DEVICE if kind == "cpu" else f"{kind} devices are not watched: NVML is NVIDIA's"
            return self
        try:
            self._thread.start()
            self._is_late = not self._opened.wait(OPENING_LIMIT_S)
        except RuntimeError:  # the system's limit of threads
            self._silence = "no thread could be started for NVML"
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(CLOSING_LIMIT_S)

    def facts(self) -> DeviceFacts:
        """Return what the run has cost, once the context has been left."""
        silence = self._silence
        if self._thread.is_alive():
            silence = f"NVML had not answered {CLOSING_LIMIT_S:g} s after the run ended"
        if self._is_late:
            silence = f"NVML had not answered {OPENING_LIMIT_S:g} s after the run began"
        peaks, seen, reasons = own_peaks(self._device), *self._answers()
        reasons |= dict.fromkeys(peaks, NO_DEVICE if self._device.type == "cpu" else NO_PEAKS)
        memory = peaks | {key: seen.get(key) for key in MEMORY}
        sampled = {"sampling_period_s": self._period_s if self._samples else None, "samples": self._samples or None}
        conditions = sampled | {key: seen.get(key) for key in CONDITIONS}
        values = {"": {"energy_j": seen.get("energy_j")}, "memory.": memory, "conditions.": conditions}
        nulls = [(part, key) for part, keys in values.items() for key, value in keys.items() if value is None]
        return DeviceFacts(
            memory,
            seen.get("energy_j"),
            conditions,
            numerics={} if self._driver is None else {"driver": self._driver},
            reasons={f"{part}{key}": reasons.get(key, silence) for part, key in nulls},
        )

    def _answers(self) -> tuple[dict[str, Any], dict[str, str]]:
        """Return what NVML told by the record's key, and the reasons for what it did not."""
        seen, reasons = dict(self._seen), dict(self._reasons)
        if self._is_late:  # what was read later is no state before the run
            seen = {key: value for key, value in seen.items() if key not in {"device_baseline_bytes", "energy_j"}}
        match seen.pop("energy_j", ()):
            case (start_mj, end_mj) if end_mj > start_mj:
                seen["energy_j"] = (end_mj - start_mj) / 1000
            case (_, _):
                reasons["energy_j"] = "the device's energy counter did not advance"
        if "gpu_clock_mhz" in seen:
            clocks = sorted(seen["gpu_clock_mhz"].elements())
            seen["gpu_clock_mhz"] = (clocks[0], statistics.median_low(clocks), clocks[-1])
        return seen, reasons

    def sample(self, gauges: nvml.Gauges = nvml.DURING) -> None:
        """Read the GPU once."""
        answers = 0
        for key, (read, combine) in gauges.items():
            try:
                value = read(self._gpu)
            except (*nvml.ERRORS, UnknownError) as error:
                self._reasons[key] = nvml.reason_of(error)
            else:
                self._seen[key] = combine(self._seen[key], value) if key in self._seen else value
                answers += 1
        self._samples += answers > 0

    def _work(self) -> None:
        try:
            with nvml.started():
                self._driver = nvml.driver_version()
                self._gpu = nvml.find_gpu(self._uuids)
                self.sample(nvml.BEFORE)
                self._opened.set()
                while not self._stop.wait(self._period_s):
                    self.sample()
                self.sample(nvml.AFTER)
        except (*nvml.ERRORS, UnknownError) as error:
            self._silence = nvml.reason_of(error)
        finally:
            self._opened.set()


def own_peaks(device: torch.device) -> dict[str, int | None]:
    """Return the peaks (bytes) that this process knows of itself, by the record's keys; None: not known.

    Those of torch's allocator are since the last reset. The resident memory psutil knows on Windows alone.
    """
    allocated = reserved = 0
    if device.type != "cpu":
        with suppress(*NO_STATISTICS):
            allocated = torch.accelerator.max_memory_allocated(device)
            reserved = torch.accelerator.max_memory_reserved(device)
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "allocated_peak_bytes": allocated or None,  # an allocator that keeps no statistics answers 0
        "reserved_peak_bytes": reserved or None,
        "rss_peak_bytes": resident if sys.platform == "darwin" else resident * 1024,  # kilobytes but on macOS
    }


def uuids_of(device: torch.device) -> tuple[str, ...]:
    """Return the UUIDs under which NVML may know a CUDA device; its index would not do: torch and NVML order otherwise.

    CUDA_VISIBLE_DEVICES is asked where torch does not tell, and for a slice (MIG), of which torch may tell the GPU's.
    """
    index, listed = device.index or 0, os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    named = listed[index].strip() if index < len(listed) else ""
    if named.startswith("MIG-"):
        return (named,)
    with suppress(AttributeError, RuntimeError, AssertionError):  # too old a torch, no driver, no such device
        bare = str(torch.cuda.get_device_properties(device).uuid).removeprefix("GPU-").removeprefix("MIG-")
        return (f"GPU-{bare}", f"MIG-{bare}")
    return (named,) if named.startswith("GPU-") else ()
