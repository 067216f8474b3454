"""The device of a run, with the threads and flags that the spec asks for."""

import os
from contextlib import AbstractContextManager, nullcontext

import torch

from resnet18.measure.cgroup import usable_cpus
from resnet18.spec.experiment import Execution

PRECISIONS = {
    "cpu": ("fp32", "bf16"),
    "cuda": ("fp32", "tf32", "bf16", "fp16"),
    "mps": ("fp32", "bf16", "fp16"),
    "xpu": ("fp32", "bf16", "fp16"),
}
"""What a kind of device can train in; any other kind in fp32 alone."""
WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class UnsupportedError(Exception):
    """The spec asks for something that the device does not have."""


def ready_device(execution: Execution) -> torch.device:
    """Set threads and flags as the spec asks, and return the device; `auto` takes an accelerator where there is one.

    Raises:
        UnsupportedError: the device cannot compute in the precision that is asked for, or not deterministically.
    """
    # torch's own number is that of the machine's cores; a container may have fewer.
    usual = min(torch.get_num_threads(), usable_cpus())
    torch.set_num_threads(usual if execution.threads == "auto" else execution.threads)
    if execution.deterministic:
        _be_deterministic()
    if execution.device == "auto":
        device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    else:
        device = torch.device(execution.device)
    allowed = PRECISIONS.get(device.type, ("fp32",))
    if execution.precision not in allowed:
        raise UnsupportedError(f"precision {execution.precision} on {device.type} (allowed: {', '.join(allowed)})")
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = execution.precision == "tf32"
        torch.backends.cudnn.allow_tf32 = execution.precision == "tf32"  # torch's default is True
    return device


def _be_deterministic() -> None:
    """Ask torch for deterministic algorithms, and refuse the label where it is too late for one of them."""
    if WORKSPACE not in os.environ and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        raise UnsupportedError(f"deterministic: CUDA has started without {WORKSPACE}, which cuBLAS reads at its start")
    os.environ.setdefault(WORKSPACE, ":4096:8")
    torch.backends.cudnn.benchmark = False  # which takes the fastest algorithm of the moment
    torch.use_deterministic_algorithms(mode=True)


def autocast(execution: Execution, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which the network and its loss are computed."""
    half = HALVES.get(execution.precision)
    return nullcontext() if half is None else torch.autocast(device.type, half)


def synchronize(device: torch.device) -> None:
    """Wait for the device's queued work."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
