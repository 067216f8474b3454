"""How many devices of each kind this machine has, found without importing torch where there is none but the CPU."""

import importlib.util
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from resnet18.measure.bindings import pynvml

PROBE = "import torch; torch.zeros(1, device='{kind}'); print(torch.{kind}.device_count())"
PROBE_LIMIT_S = 120


def present_devices(*, prove: bool) -> Mapping[str, int]:
    """Return how many devices of each kind can be used, by kind: one CPU, and no kind of which there is none.

    Args:
        prove: allocate on a device of the kind and let torch count, in a child process (seconds): what it may use is
            what it numbers, and CUDA_VISIBLE_DEVICES and slices of a GPU (MIG) make that differ from what the driver
            has. Otherwise the driver's word is taken, in a millisecond. `xpu` is found only with proof: no driver can
            be asked, and a node in /dev/dri may belong to any display.
    """
    hinted = {kind: count for kind, hint in HINTS.items() if (count := hint())}
    if prove:
        found = {kind: _proved(kind) for kind in hinted}
    else:
        found = {kind: count for kind, count in hinted.items() if kind != "xpu"}
    return {"cpu": 1, **{kind: count for kind, count in found.items() if count}}


def nvidia_gpus() -> tuple[str, ...]:
    """Return the names by which CUDA_VISIBLE_DEVICES may call this machine's GPUs: those it lists, else all UUIDs.

    Numbers would mislead: CUDA counts the fastest first, NVML by the place on the bus.
    """
    if (listed := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return tuple(name.strip() for name in listed.split(",") if name.strip())
    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        names = [pynvml.nvmlDeviceGetUUID(handle) for handle in handles]
        pynvml.nvmlShutdown()
    except (pynvml.NVMLError, OSError):
        return ()
    return tuple(name.decode() if isinstance(name, bytes) else str(name) for name in names)


def nvidia_models() -> tuple[str, ...]:
    """Return the models of this machine's NVIDIA GPUs, as torch calls them too; none where there is no driver."""
    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        names = [pynvml.nvmlDeviceGetName(handle) for handle in handles]
        pynvml.nvmlShutdown()
    except (pynvml.NVMLError, OSError):
        return ()
    return tuple(name.decode() if isinstance(name, bytes) else str(name) for name in names)


def _proved(kind: str) -> int:
    """Return how many devices of a kind torch numbers; 0 where it cannot allocate on one."""
    child = _probe(kind)
    return int(child.stdout.split()[-1]) if child.returncode == 0 else 0


def _nvidia_gpus() -> int:
    """Ask NVML, in a millisecond: without a driver there is no need to import torch to find out."""
    try:
        pynvml.nvmlInit()
        count = int(pynvml.nvmlDeviceGetCount())
        pynvml.nvmlShutdown()
    except (pynvml.NVMLError, OSError):
        return 0
    return count


def _apple_gpus() -> int:
    return int(sys.platform == "darwin" and platform.machine() == "arm64")


def _torch_for_xpu() -> int:
    """Tell (1 or 0) whether the torch that is installed was built for Intel's GPUs, without importing it."""
    found = importlib.util.find_spec("torch")
    folders = (found.submodule_search_locations or ()) if found else ()
    return int(any(file for folder in folders for file in Path(folder, "lib").glob("*torch_xpu*")))


HINTS: Mapping[str, Callable[[], int]] = MappingProxyType(
    {"cuda": _nvidia_gpus, "mps": _apple_gpus, "xpu": _torch_for_xpu}
)
"""How many of what a kind of device cannot do without: cheap to ask, and no proof."""


def _probe(kind: str) -> subprocess.CompletedProcess[bytes]:
    """Allocate one number in a child process: neither NVML nor torch.cuda.is_available() proves that CUDA works."""
    command = [sys.executable, "-c", PROBE.format(kind=kind)]
    try:
        return subprocess.run(command, capture_output=True, timeout=PROBE_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, returncode=1)
