"""Which kinds of device this machine has, found without importing torch where there is none but the CPU."""

import importlib.util
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from resnet18.measure.bindings import pynvml

PROBE = "import torch; torch.zeros(1, device='{kind}'); print(torch.{kind}.device_count())"
PROBE_LIMIT_S = 120


def present_devices(*, prove: bool) -> frozenset[str]:
    """Return the kinds of device that can be used, `cpu` among them.

    Args:
        prove: allocate on the device, in a child process; otherwise its driver's word is taken, in a millisecond.
            `xpu` is found only so: no driver can be asked, and a node in /dev/dri may belong to any display.
    """
    hinted = {kind for kind, hint in HINTS.items() if hint()}
    if prove:
        return frozenset({"cpu"} | {kind for kind in hinted if _probe(kind).returncode == 0})
    return frozenset({"cpu"} | (hinted - {"xpu"}))


def device_count(kind: str) -> int:
    """Return how many devices of a kind can be used: an index such as 5 in `cuda:5` must be less.

    Torch is asked, in a child process (seconds), because what it may use is what it numbers: CUDA_VISIBLE_DEVICES and
    slices of a GPU (MIG) make that differ from what the driver has.
    """
    if kind == "cpu":
        return 1
    child = _probe(kind)
    return int(child.stdout.split()[-1]) if child.returncode == 0 else 0


def _has_nvidia_driver() -> bool:
    """Ask NVML, in a millisecond: without a driver there is no need to import torch to find out."""
    try:
        pynvml.nvmlInit()
        count = int(pynvml.nvmlDeviceGetCount())
        pynvml.nvmlShutdown()
    except (pynvml.NVMLError, OSError):
        return False
    return count > 0


def _has_apple_processor() -> bool:
    return sys.platform == "darwin" and platform.machine() == "arm64"


def _has_torch_for_xpu() -> bool:
    """Tell whether the torch that is installed was built for Intel's GPUs, without importing it."""
    found = importlib.util.find_spec("torch")
    folders = (found.submodule_search_locations or ()) if found else ()
    return any(file for folder in folders for file in Path(folder, "lib").glob("*torch_xpu*"))


HINTS: Mapping[str, Callable[[], bool]] = MappingProxyType(
    {"cuda": _has_nvidia_driver, "mps": _has_apple_processor, "xpu": _has_torch_for_xpu}
)
"""What a kind of device cannot do without: cheap to ask, and no proof."""


def _probe(kind: str) -> subprocess.CompletedProcess[bytes]:
    """Allocate one number in a child process: neither NVML nor torch.cuda.is_available() proves that CUDA works."""
    command = [sys.executable, "-c", PROBE.format(kind=kind)]
    try:
        return subprocess.run(command, capture_output=True, timeout=PROBE_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, returncode=1)
