"""What a run costs on its device: torch's own peaks, and on an NVIDIA GPU what NVML tells from outside.

NVML also counts the CUDA context, other processes and the driver. A thread samples it: its peaks are lower bounds.
"""

import operator
import os
import resource
import statistics
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

import torch

from resnet18.measure import UnknownError
from resnet18.measure.devices import NVML_ERRORS, Gpu, driver_version, find_gpu, nvml, pynvml, reason_of

ERRORS = (*NVML_ERRORS, UnknownError)
OPENING_LIMIT_S, CLOSING_LIMIT_S = 2.0, 1.0
"""How long the run waits for the first reading, which must come before its first allocation, and for the last one."""
NO_DEVICE = "the run used no accelerator"
NO_PEAKS = "torch's allocator keeps no statistics for this device, or nothing was allocated"
NO_STATISTICS = (RuntimeError, AttributeError, AssertionError, ValueError)
"""What torch raises of a kind of device whose allocator keeps no statistics."""
DEVICE_ONLY = "device-level only: the driver"
NOT_LISTED = f"{DEVICE_ONLY}'s list does not hold this process; in a container it has the host's process numbers"
THROTTLING = ("HwPowerBrakeSlowdown", "HwSlowdown", "HwThermalSlowdown", "SwPowerCap", "SwThermalSlowdown")
"""NVML's reasons for a lowered clock, without those that are no trouble: an idle GPU, a clock set on purpose."""


class DeviceWatch:
    """Watches a device from the opening of the context to its end. Never holds the run up, and never fails it.

    The opening comes before the run's first tensor is on the device: it resets torch's peaks and reads the baseline,
    which may include CUDA's context (hundreds of MiB). NVML is asked in a thread alone, since any call may hang.
    """

    def __init__(self, device: torch.device, *, period_s: float = 0.1) -> None:
        self._device, self._period_s = device, period_s
        self._uuids = uuids_of(device) if device.type == "cuda" else ()
        self._gpu: Gpu = None
        self._driver: str | None = None
        self._samples = 0
        self._seen: dict[str, Any] = {}  # values are replaced, never changed: they can be read while the thread hangs
        self._reasons: dict[str, str] = {}  # why a key had no value the last time
        self._silence = "the device was not read"  # the reason for every other key
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
        except RuntimeError:  # the system's limit of threads
            self._silence = "no thread could be started for NVML"
        else:
            self._is_late = not self._opened.wait(OPENING_LIMIT_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(CLOSING_LIMIT_S)

    def facts(self) -> tuple[dict[str, Any], dict[str, str]]:
        """Return parts of the record, once the context has been left; and by dotted key why a value is null."""
        silence, seen, reasons = self._silence, dict(self._seen), dict(self._reasons)
        if self._thread.is_alive():
            silence = f"NVML had not answered {CLOSING_LIMIT_S:g} s after the run ended"
        if self._is_late:
            silence = f"NVML had not answered {OPENING_LIMIT_S:g} s after the run began"
        begin_mj, *end_mj = seen.pop(ENERGY, (0,))
        if end_mj:
            seen[ENERGY] = (end_mj[0] - begin_mj) / 1000 if end_mj[0] > begin_mj else None
            reasons[ENERGY] = "the device's energy counter did not advance"
        if clocks := sorted(seen.get(CLOCK, Counter()).elements()):
            seen[CLOCK] = (clocks[0], statistics.median_low(clocks), clocks[-1])
        peaks = own_peaks(self._device)
        reasons |= dict.fromkeys(peaks, NO_DEVICE if self._device.type == "cpu" else NO_PEAKS)
        if self._samples:
            seen |= {"conditions.sampling_period_s": self._period_s, "conditions.samples": self._samples}
        values = dict.fromkeys((*GAUGES, "conditions.sampling_period_s", "conditions.samples")) | seen | peaks
        facts: dict[str, Any] = {
            part: {key.partition(".")[2]: value for key, value in values.items() if key.startswith(f"{part}.")}
            for part in ("memory", "conditions")
        }
        facts |= {"energy_j": values[ENERGY], "numerics": {} if self._driver is None else {"driver": self._driver}}
        return facts, {key: reasons.get(key, silence) for key, value in values.items() if value is None}

    def sample(self, *keys: str) -> None:
        """Read the GPU once: these gauges, or those that are read during a run."""
        answers = 0
        for key in keys or DURING:
            read, combine = GAUGES[key]
            try:
                value = read(self._gpu)
            except ERRORS as error:
                self._reasons[key] = reason_of(error)
            else:
                self._seen[key] = combine(self._seen[key], value) if key in self._seen else value
                answers += 1
        self._samples += answers > 0

    def _work(self) -> None:
        try:
            with nvml():
                self._driver = driver_version()
                self._gpu = find_gpu(self._uuids)
                if is_early := not self._is_late:  # what is read later is no state before the run
                    self.sample(BASELINE, PEAK, ENERGY)
                self._opened.set()
                while not self._stop.wait(self._period_s):
                    self.sample()
                self.sample(*DURING, *([ENERGY] if is_early else []))
        except ERRORS as error:
            self._silence = reason_of(error)
        finally:
            self._opened.set()


def own_peaks(device: torch.device) -> dict[str, int | None]:
    """Return the peaks (bytes) that this process knows of itself, by the record's dotted keys; None: not known.

    Those of torch's allocator are since the last reset. The resident memory psutil knows on Windows alone.
    """
    allocated = reserved = 0
    if device.type != "cpu":
        with suppress(*NO_STATISTICS):
            allocated = torch.accelerator.max_memory_allocated(device)
            reserved = torch.accelerator.max_memory_reserved(device)
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "memory.allocated_peak_bytes": allocated or None,  # an allocator that keeps no statistics answers 0
        "memory.reserved_peak_bytes": reserved or None,
        "memory.rss_peak_bytes": resident if sys.platform == "darwin" else resident * 1024,  # kilobytes but on macOS
    }


def uuids_of(device: torch.device) -> tuple[str, ...]:
    """Return the UUIDs under which NVML may know a CUDA device; its index would not do: torch and NVML order otherwise.

    Of a slice (MIG) torch may tell the UUID of the GPU, so that CUDA_VISIBLE_DEVICES is asked first.
    """
    listed = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[device.index or 0 :]
    if listed and listed[0].strip().startswith("MIG-"):
        return (listed[0].strip(),)
    bare = str(torch.cuda.get_device_properties(device).uuid).removeprefix("GPU-").removeprefix("MIG-")
    return (f"GPU-{bare}", f"MIG-{bare}")


def _processes(gpu: Gpu) -> list[Any]:
    listed = [*pynvml.nvmlDeviceGetComputeRunningProcesses(gpu)]
    with suppress(pynvml.NVMLError_NotSupported):  # a GPU without graphics has no such processes
        listed += pynvml.nvmlDeviceGetGraphicsRunningProcesses(gpu)
    return listed


def _own_bytes(gpu: Gpu) -> int:
    sizes = [process.usedGpuMemory for process in _processes(gpu) if process.pid == os.getpid()]
    if known := [size for size in sizes if size]:
        return int(max(known))
    if not sizes:
        raise UnknownError(NOT_LISTED)
    # A process that has a context uses memory: 0 is how some drivers say that they do not know.
    untold = "does not tell memory by process (so under WDDM and WSL)"
    raise UnknownError(f"{DEVICE_ONLY} {untold if None in sizes else 'gives 0 bytes for this process'}")


def _other_processes(gpu: Gpu) -> int:
    numbers = {process.pid for process in _processes(gpu)}
    if os.getpid() not in numbers:  # one of those that are listed may be this process
        raise UnknownError(NOT_LISTED)
    return len(numbers) - 1


def _throttling(gpu: Gpu) -> tuple[str, ...]:
    events = int(pynvml.nvmlDeviceGetCurrentClocksEventReasons(gpu))
    return tuple(name for name in THROTTLING if events & getattr(pynvml, f"nvmlClocksEventReason{name}"))


def _clocks_mhz(gpu: Gpu) -> Counter[int]:
    """Return the clock of the processors; that of an idle GPU says nothing about the work."""
    with suppress(*NVML_ERRORS):
        if pynvml.nvmlDeviceGetCurrentClocksEventReasons(gpu) & pynvml.nvmlClocksEventReasonGpuIdle:
            raise UnknownError("the device idled at each sample")
    return Counter([int(pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM))])


def _memory(gpu: Gpu) -> Any:  # noqa: ANN401 - pynvml has no types
    """Return the memory of the whole device; version 2 does not count as used what the driver reserves."""
    return pynvml.nvmlDeviceGetMemoryInfo(gpu, pynvml.nvmlMemory_v2)


PEAK, BASELINE = "memory.device_peak_bytes", "memory.device_baseline_bytes"
CLOCK, ENERGY = "conditions.gpu_clock_mhz", "energy_j"
GAUGES: dict[str, tuple[Callable[[Gpu], Any], Callable[[Any, Any], Any]]] = {
    BASELINE: (lambda gpu: int(_memory(gpu).used), max),
    PEAK: (lambda gpu: int(_memory(gpu).used), max),
    "memory.process_peak_bytes": (_own_bytes, max),
    "conditions.gpu_reserved_bytes": (lambda gpu: int(_memory(gpu).reserved), max),
    "conditions.gpu_other_processes": (_other_processes, max),
    "conditions.gpu_throttle": (_throttling, lambda earlier, now: tuple(sorted({*earlier, *now}))),
    CLOCK: (_clocks_mhz, operator.add),
    # Millijoules since the driver was loaded. A difference is exact; power is an average (nvml.h).
    ENERGY: (lambda gpu: (int(pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu)),), operator.add),
}
"""By the record's key, how it is read and how two readings add. Drivers refuse some: a slice (MIG) has no clock."""
DURING = tuple(key for key in GAUGES if key not in {BASELINE, ENERGY})
