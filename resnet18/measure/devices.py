"""Which kinds of device this machine has, found without importing torch where there is none but the CPU."""

import subprocess
import sys

import pynvml

PROBE = "import torch; torch.zeros(1, device='cuda')"
PROBE_LIMIT_S = 120


def present_devices(*, prove: bool) -> frozenset[str]:
    """Return the kinds of device that can be used, `cpu` among them.

    Args:
        prove: allocate on the device, in a child process; otherwise its driver's word is taken, in a millisecond.
    """
    kinds = {"cpu"}
    if _has_nvidia_driver() and (not prove or _can_allocate()):
        kinds.add("cuda")
    return frozenset(kinds)


def _has_nvidia_driver() -> bool:
    """Ask NVML, in a millisecond: without a driver there is no need to import torch to find out."""
    try:
        pynvml.nvmlInit()
        count = int(pynvml.nvmlDeviceGetCount())
        pynvml.nvmlShutdown()
    except (pynvml.NVMLError, OSError):
        return False
    return count > 0


def _can_allocate() -> bool:
    """Allocate one number in a child process: neither NVML nor torch.cuda.is_available() proves that CUDA works."""
    try:
        child = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, timeout=PROBE_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return False
    return child.returncode == 0
