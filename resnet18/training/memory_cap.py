"""`memory_cap`: a run may have only so much memory, so that a large machine shows what a smaller one would."""

import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import torch

from resnet18.spec.experiment import Execution
from resnet18.spec.printed import size_in_bytes
from resnet18.training.device import UnsupportedError

STATM = Path("/proc/self/statm")


@contextmanager
def memory_capped(execution: Execution, device: torch.device) -> Iterator[None]:
    """Hold the memory that is taken inside down to the spec's `memory_cap`; afterwards there is as much as before.

    Raises:
        UnsupportedError: the device has no such limit, or is smaller than the cap.
    """
    if execution.memory_cap is None:
        yield
        return
    if device.type not in CAPS:
        raise UnsupportedError(f"memory_cap on {device.type} (allowed: {', '.join(CAPS)})")
    with CAPS[device.type](size_in_bytes(execution.memory_cap), device):
        yield


@contextmanager
def _cuda_capped(cap: int, device: torch.device) -> Iterator[None]:
    """Limit torch's caching allocator. What CUDA's context and its libraries take by themselves comes on top."""
    index = torch.cuda.current_device() if device.index is None else device.index
    total = torch.cuda.mem_get_info(index)[1]  # the total that the allocator multiplies the fraction with
    if cap > total:
        raise UnsupportedError(f"memory_cap of {cap} bytes on a device that has {total}")
    torch.cuda.set_per_process_memory_fraction(cap / total, index)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, index)


@contextmanager
def _cpu_capped(cap: int, device: torch.device) -> Iterator[None]:  # noqa: ARG001 - there is one CPU
    """Limit the address space to its size now, with all libraries loaded, and the cap.

    Linux can limit no other measure of a single process. Threads reserve space that they never touch, so that a cap of
    a few MiB shows little about memory; loader processes have the limit each for itself.
    """
    if sys.platform != "linux":
        raise UnsupportedError("memory_cap on the CPU of a system other than Linux")
    before = resource.getrlimit(resource.RLIMIT_AS)
    limits = [_address_space() + cap, *(limit for limit in before if limit != resource.RLIM_INFINITY)]
    resource.setrlimit(resource.RLIMIT_AS, (min(limits), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _address_space() -> int:
    """Return the bytes of this process's address space."""
    return int(STATM.read_text(encoding="ascii").split()[0]) * resource.getpagesize()


CAPS: dict[str, Callable[[int, torch.device], AbstractContextManager[None]]] = {
    "cpu": _cpu_capped,
    "cuda": _cuda_capped,
}
