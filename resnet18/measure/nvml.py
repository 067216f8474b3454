"""NVIDIA's management library (NVML) through pynvml: which GPUs there are, and what one GPU answers. Calls may hang."""

import operator
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from resnet18.measure import UnknownError

try:
    import pynvml
except ImportError:  # each call is then an AttributeError, and so one of ERRORS
    pynvml = None

Gpu = Any
"""pynvml's handle of a GPU; it has no types."""
ERRORS = (getattr(pynvml, "NVMLError", OSError), OSError, AttributeError, ValueError)
"""What pynvml raises: NVML's codes, a library that cannot be loaded, a function that an older pynvml lacks."""
THROTTLING = ("HwPowerBrakeSlowdown", "HwSlowdown", "HwThermalSlowdown", "SwPowerCap", "SwThermalSlowdown")
"""NVML's reasons for a lowered clock, without those that are no trouble: an idle GPU, a clock set on purpose."""

NOT_LISTED = (
    "device-level only: the driver's list does not hold this process; in a container it has the host's process numbers"
)
NOT_BY_PROCESS = "device-level only: the driver does not tell memory by process (so under WDDM and WSL)"


def reason_of(error: Exception) -> str:
    """Return why there is no answer. Of NVML's errors the class alone: their text may ask the library that failed."""
    if isinstance(error, UnknownError):
        return str(error)
    return f"NVML did not answer ({type(error).__name__ if pynvml else 'nvidia-ml-py is not installed'})"


@contextmanager
def started() -> Iterator[None]:
    """Start NVML, and shut it down in the end. Raises one of ERRORS where it does not start."""
    pynvml.nvmlInit()
    try:
        yield
    finally:
        pynvml.nvmlShutdown()


def listed_gpus() -> dict[str, str]:
    """Return the model of each of the driver's GPUs, as torch calls it too, by UUID; none where there is no driver."""
    found: dict[str, str] = {}
    with suppress(*ERRORS), started():
        for index in range(pynvml.nvmlDeviceGetCount()):
            with suppress(*ERRORS):  # a GPU that is lost
                gpu = pynvml.nvmlDeviceGetHandleByIndex(index)
                found[pynvml.nvmlDeviceGetUUID(gpu)] = pynvml.nvmlDeviceGetName(gpu)
    return found


def driver_version() -> str | None:
    """Return the driver's version. Inside `started()` this asks the library that is open."""
    with suppress(*ERRORS), started():
        return str(pynvml.nvmlSystemGetDriverVersion())
    return None


def find_gpu(uuids: tuple[str, ...]) -> Gpu:
    """Return the handle of the first GPU or slice that has one of the UUIDs. NVML must have been started.

    Raises UnknownError if there is none, or only the GPU around the slice (MIG) is known.
    """
    reason = "torch does not tell the device's UUID, and CUDA_VISIBLE_DEVICES does not name one"
    for uuid in uuids:
        try:
            gpu = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        except ERRORS as error:
            reason = f"the UUID that torch uses: {reason_of(error)}"
            continue
        with suppress(*ERRORS):  # a slice, or a GPU that cannot be split, does not support the question
            if pynvml.nvmlDeviceGetMigMode(gpu)[0] == pynvml.NVML_DEVICE_MIG_ENABLE:
                raise UnknownError("the GPU is split (MIG), and neither torch nor CUDA_VISIBLE_DEVICES names the slice")
        return gpu
    raise UnknownError(reason)


def _processes(gpu: Gpu) -> list[Any]:
    listed = [*pynvml.nvmlDeviceGetComputeRunningProcesses(gpu)]
    with suppress(pynvml.NVMLError_NotSupported):  # a GPU without graphics has no such processes
        listed += pynvml.nvmlDeviceGetGraphicsRunningProcesses(gpu)
    return listed


def _own_bytes(gpu: Gpu) -> int:
    sizes = [process.usedGpuMemory for process in _processes(gpu) if process.pid == os.getpid()]
    if not any(sizes):  # a process that has a context uses memory: 0 is how some drivers say that they do not know
        zero = "device-level only: the driver gives 0 bytes for this process"
        raise UnknownError(NOT_LISTED if not sizes else NOT_BY_PROCESS if None in sizes else zero)
    return int(max(filter(None, sizes)))


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
    with suppress(*ERRORS):
        if pynvml.nvmlDeviceGetCurrentClocksEventReasons(gpu) & pynvml.nvmlClocksEventReasonGpuIdle:
            raise UnknownError("the device idled at each sample")
    return Counter([int(pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM))])


def _memory(gpu: Gpu) -> Any:  # noqa: ANN401 - pynvml has no types
    """Return the memory of the whole device; version 2 does not count as used what the driver reserves."""
    return pynvml.nvmlDeviceGetMemoryInfo(gpu, pynvml.nvmlMemory_v2)


def _energy_mj(gpu: Gpu) -> tuple[int]:
    """Return the energy used since the driver was loaded. A difference is exact; power is an average (nvml.h)."""
    return (int(pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu)),)


Gauges = dict[str, tuple[Callable[[Gpu], Any], Callable[[Any, Any], Any]]]
USED, ENERGY = (lambda gpu: int(_memory(gpu).used), max), (_energy_mj, operator.add)
BEFORE: Gauges = {"device_baseline_bytes": USED, "device_peak_bytes": USED, "energy_j": ENERGY}
DURING: Gauges = {
    "device_peak_bytes": USED,
    "process_peak_bytes": (_own_bytes, max),
    "gpu_reserved_bytes": (lambda gpu: int(_memory(gpu).reserved), max),
    "gpu_other_processes": (_other_processes, max),
    "gpu_throttle": (_throttling, lambda earlier, now: tuple(sorted({*earlier, *now}))),
    "gpu_clock_mhz": (_clocks_mhz, operator.add),
}
AFTER: Gauges = {**DURING, "energy_j": ENERGY}
"""What is read before a run, during it and at its end: by the record's key, how it is read and how two readings add.

Drivers refuse some questions: a slice (MIG) has no clock.
"""
