"""The device of a run, with the threads, flags and memory that the spec asks for."""

import ctypes
import os
import resource
import sys
from contextlib import AbstractContextManager, ExitStack, nullcontext

import psutil
import torch

from resnet18.measure.host import usable_cpus
from resnet18.spec.experiment import Execution
from resnet18.spec.metric import memory_in_bytes

PRECISIONS = {
    "cpu": ("fp32", "bf16"),
    "cuda": ("fp32", "tf32", "bf16", "fp16"),
    "mps": ("fp32", "bf16", "fp16"),
    "xpu": ("fp32", "bf16", "fp16"),
}
"""What a kind of device can train in; any other kind in fp32 alone."""
SINCE = {"tf32": (8, 0), "bf16": (8, 0)}
"""The first compute capability (Ampere) that multiplies so; older GPUs ignore tf32 and emulate bf16."""
HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
PATH_FORMATS = {"reference": "contiguous", "fast": "channels_last"}
WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Of glibc's malloc.h."""


class UnsupportedError(Exception):
    """The spec asks for something that the device does not have."""


def ready_device(execution: Execution) -> torch.device:
    """Set threads and flags as the spec asks, and return the device; `auto` takes an accelerator if there is any.

    Raises UnsupportedError where it cannot compute in the precision that is asked for, or not deterministically.
    """
    # torch's own number is that of the machine's cores; a container may have fewer.
    usual = min(torch.get_num_threads(), len(usable_cpus()))
    torch.set_num_threads(usual if execution.threads == "auto" else execution.threads)
    if torch.get_num_interop_threads() != 1:  # no two operations run side by side here
        torch.set_num_interop_threads(1)
    if execution.deterministic:
        _be_deterministic()
    if execution.device == "auto":
        device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    else:
        device = torch.device(execution.device)
    precision = resolve_for_device(execution, device).precision
    if execution.path == "fast" and device.type == "cpu" and sys.platform == "linux":
        _keep_freed_memory()
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.allow_tf32 = precision == "tf32"  # torch's default is True
    return device


def resolve_for_device(execution: Execution, device: torch.device) -> Execution:
    """Return the execution with the precision and the memory format in which it runs on a device.

    Raises UnsupportedError where the device lacks the precision, and the spec allows no other.
    """
    precision, allowed = execution.precision, PRECISIONS.get(device.type, ("fp32",))
    if device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        allowed = tuple(kind for kind in allowed if capability >= SINCE.get(kind, (0, 0)))
    if precision not in allowed:
        if not execution.fallback:
            raise UnsupportedError(
                f"precision {precision} on {device.type} (allowed: {', '.join(allowed)}, "
                "or fallback = true to train in fp32 instead)"
            )
        precision = "fp32"
    return execution.model_copy(update={"precision": precision, "memory_format": memory_format_of(execution)})


def memory_format_of(execution: Execution) -> str:
    """Return the name of the memory format in which a run is carried out."""
    return PATH_FORMATS[execution.path] if execution.memory_format == "auto" else execution.memory_format


def _keep_freed_memory() -> None:
    """Let glibc keep what is freed: a step asks for the same megabytes again, and the kernel would clear them anew.

    It changes neither bits nor peaks; 224 px gain a tenth. Other C libraries have no such call.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)  # no block is a mapping of its own, which would go back when it is freed
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def _be_deterministic() -> None:
    """Ask torch for deterministic algorithms, as long as it is not too late for cuBLAS."""
    if WORKSPACE not in os.environ and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        raise UnsupportedError(f"deterministic: CUDA has started without {WORKSPACE}, which cuBLAS reads at its start")
    os.environ.setdefault(WORKSPACE, ":4096:8")
    torch.backends.cudnn.benchmark = False  # which takes the fastest algorithm of the moment
    torch.use_deterministic_algorithms(mode=True)


def autocast(execution: Execution, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which the network and its loss are computed. The fast network on the CPU needs none."""
    half = HALVES.get(execution.precision)
    if half is None or (execution.path == "fast" and device.type == "cpu"):
        return nullcontext()
    return torch.autocast(device.type, half)


def synchronize(device: torch.device) -> None:
    """Wait for the device's queued work."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def memory_capped(execution: Execution, device: torch.device) -> AbstractContextManager[object]:
    """Limit the memory that is taken from now on to the spec's `memory_cap`, until the returned context ends.

    On CUDA torch's allocator is limited: what CUDA's context and its libraries take by themselves comes on top. On
    Linux's CPUs the address space is, to its size now, with all libraries loaded, and the cap: there is no other limit
    of a single process. Threads reserve space that they never touch, so that a cap of a few MiB shows little about
    memory; loader processes have the limit each for itself.
    Raises UnsupportedError where the device has no such limit, or is smaller than the cap.
    """
    undo = ExitStack()
    if execution.memory_cap is None:
        return undo
    cap = memory_in_bytes(execution.memory_cap)
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        total = torch.cuda.mem_get_info(index)[1]  # the total that the allocator multiplies the fraction with
        if cap > total:
            raise UnsupportedError(f"memory_cap of {cap} bytes on a device that has {total}")
        torch.cuda.set_per_process_memory_fraction(cap / total, index)
        undo.callback(torch.cuda.set_per_process_memory_fraction, 1.0, index)
    elif device.type == "cpu" and sys.platform == "linux":
        before = resource.getrlimit(resource.RLIMIT_AS)
        taken = psutil.Process().memory_info().vms
        limits = [taken + cap, *(limit for limit in before if limit != resource.RLIM_INFINITY)]
        resource.setrlimit(resource.RLIMIT_AS, (min(limits), before[1]))
        undo.callback(resource.setrlimit, resource.RLIMIT_AS, before)
    else:
        raise UnsupportedError(f"memory_cap on {device.type} (allowed: cuda, or cpu on Linux)")
    return undo
