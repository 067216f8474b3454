"""One NVIDIA device through NVML: found by its UUID, read call by call. What cannot be read is None with a reason.

Call by call, because drivers refuse single questions: a laptop's GPU has no energy counter, a slice of a GPU no clock.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar

from resnet18.measure.bindings import MissingBindingsError, pynvml

T = TypeVar("T")
Sizes = dict[int, int | None]
"""Bytes by process number; None where the driver does not tell."""

FAILURES = (pynvml.NVMLError, OSError, AttributeError, ValueError)
"""What pynvml raises: NVML's codes, a library that cannot be called, an older pynvml, text that is no text."""

REASONS: Mapping[int, str] = MappingProxyType(
    {
        pynvml.NVML_ERROR_NOT_SUPPORTED: "the device does not support this question",
        pynvml.NVML_ERROR_NO_PERMISSION: "no permission to ask the NVIDIA driver",
        pynvml.NVML_ERROR_NOT_FOUND: "NVML knows no device with the UUID that torch uses",
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "the NVIDIA driver is not loaded",
        pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "no NVML library could be loaded",
        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: "the NVML library lacks this function",
        pynvml.NVML_ERROR_GPU_IS_LOST: "the GPU was lost",
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "the NVIDIA driver and the NVML library differ in version",
    }
)
NO_UUID = "torch does not tell the device's UUID, and CUDA_VISIBLE_DEVICES does not name one"
SPLIT = "the GPU is split (MIG), and neither torch nor CUDA_VISIBLE_DEVICES names the slice"

# The newest first: a driver that is older than pynvml lacks it, and NVIDIA announced to remove the oldest.
COMPUTE = ("nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2")
GRAPHICS = ("nvmlDeviceGetGraphicsRunningProcesses_v3", "nvmlDeviceGetGraphicsRunningProcesses_v2")
CLOCK_EVENTS = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")


class UnreadableError(Exception):
    """The device cannot be read at all. The text is the reason."""


@dataclass(frozen=True)
class Gpu:
    """A device that NVML has found."""

    handle: Any
    memory_version: int | None
    """The kind of memory figure, settled once: version 1 (None) counts as used what the driver has reserved."""


@dataclass(frozen=True)
class Reading:
    """One look at a device, in bytes and MHz. None: not told, with the reason in `faults` under the field's name."""

    used_bytes: int | None = None
    reserved_bytes: int | None = None
    compute: Sizes | None = None
    graphics: Sizes | None = None
    clock_events: int | None = None
    """Bits: why the clocks are what they are."""
    clock_mhz: int | None = None
    faults: Mapping[str, str] = field(default_factory=dict)


def uuid_candidates(index: int, torch_uuid: str | None, visible: str | None) -> tuple[str, ...]:
    """Return the UUIDs under which NVML may know a device, the likeliest first. An index is none: orders differ.

    Args:
        index: torch's, which counts the devices in CUDA_VISIBLE_DEVICES.
        torch_uuid: as torch tells it, None where it does not. For a slice (MIG) it may be that of the whole GPU.
        visible: CUDA_VISIBLE_DEVICES.
    """
    entries = [entry.strip() for entry in (visible or "").split(",")]
    named = entries[index] if index < len(entries) else ""
    if named.startswith("MIG-"):
        return (named,)
    if torch_uuid:
        bare = torch_uuid.removeprefix("GPU-").removeprefix("MIG-")
        return (f"GPU-{bare}", f"MIG-{bare}")
    return (named,) if named.startswith("GPU-") else ()


def find_gpu(uuids: tuple[str, ...]) -> Gpu:
    """Return the first device that has one of the UUIDs. NVML must have been initialised.

    Raises:
        UnreadableError: there is none, it may not be asked, or only the GPU around the slice (MIG) is known.
    """
    reason = NO_UUID
    for uuid in uuids:
        try:
            handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        except FAILURES as error:
            reason = reason_of(error)
            continue
        if _is_split(handle):
            raise UnreadableError(SPLIT)
        return Gpu(handle, _memory_version(handle))
    raise UnreadableError(reason)


def read(gpu: Gpu) -> Reading:
    """Ask the device everything once; 6 calls. Never raises for what NVML answers."""
    faults: dict[str, str] = {}
    memory = attempt("used_bytes", faults, lambda: pynvml.nvmlDeviceGetMemoryInfo(gpu.handle, gpu.memory_version))
    return Reading(
        used_bytes=None if memory is None else int(memory.used),
        reserved_bytes=None if memory is None or gpu.memory_version is None else int(memory.reserved),
        compute=attempt("compute", faults, lambda: _sizes(COMPUTE, gpu.handle)),
        graphics=attempt("graphics", faults, lambda: _graphics(gpu.handle)),
        clock_events=attempt("clock_events", faults, lambda: int(_first_known(CLOCK_EVENTS, gpu.handle))),
        clock_mhz=attempt(
            "clock_mhz", faults, lambda: int(pynvml.nvmlDeviceGetClockInfo(gpu.handle, pynvml.NVML_CLOCK_SM))
        ),
        faults=faults,
    )


def read_energy(gpu: Gpu) -> int:
    """Return the energy that the device has used since its driver was loaded, in mJ. Counted since Volta.

    A difference of two is exact where power is not: since Ampere it is an average over one second (nvml.h).
    """
    return int(pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu.handle))


def attempt(name: str, faults: dict[str, str], call: Callable[[], T]) -> T | None:
    """Return what the call returns, or None after noting under the name why it could not."""
    try:
        return call()
    except FAILURES as error:
        faults[name] = reason_of(error)
        return None


def reason_of(error: Exception) -> str:
    """Put a failure into words, with NVML's code. Not with str(error), which asks the library that has just failed."""
    if isinstance(error, pynvml.NVMLError):
        return f"{REASONS.get(error.value, 'NVML gave an error')} (NVML code {error.value})"
    if isinstance(error, MissingBindingsError):
        return str(error)
    return f"NVML could not be asked ({type(error).__name__})"


def _memory_version(handle: Any) -> int | None:  # noqa: ANN401 - pynvml has no types
    try:
        pynvml.nvmlDeviceGetMemoryInfo(handle, pynvml.nvmlMemory_v2)
    except FAILURES:
        return None
    return int(pynvml.nvmlMemory_v2)


def _is_split(handle: Any) -> bool:  # noqa: ANN401
    try:
        current, _ = pynvml.nvmlDeviceGetMigMode(handle)
    except FAILURES:  # of a slice or a GPU that cannot be split, the question is not supported
        return False
    return bool(current == pynvml.NVML_DEVICE_MIG_ENABLE)


def _first_known(names: tuple[str, ...], handle: Any) -> Any:  # noqa: ANN401
    """Call the first function that pynvml and the driver both have."""
    for name in names[:-1]:
        try:
            return getattr(pynvml, name)(handle)
        except (pynvml.NVMLError_FunctionNotFound, AttributeError):
            continue
    return getattr(pynvml, names[-1])(handle)


def _sizes(names: tuple[str, ...], handle: Any) -> Sizes:  # noqa: ANN401
    return {int(process.pid): process.usedGpuMemory for process in _first_known(names, handle)}


def _graphics(handle: Any) -> Sizes:  # noqa: ANN401
    try:
        return _sizes(GRAPHICS, handle)
    except pynvml.NVMLError_NotSupported:  # a device without graphics has no such processes
        return {}
