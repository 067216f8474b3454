"""The numerics fingerprint: everything inside which equal experiments give equal bits."""

import hashlib
import os
import platform
from pathlib import Path

import numpy as np
import PIL
import torch
import torchvision

from resnet18.spec.experiment import Execution

VARIABLES = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE", "CUBLAS_WORKSPACE_CONFIG")
"""Environment variables that change bits; no other is recorded."""

CPU_INFO = Path("/proc/cpuinfo")


def numerics(execution: Execution, device: torch.device) -> dict[str, str | int | bool]:
    """Return the numerics part of the fingerprint, flat. Call it after threads and flags are set."""
    found: dict[str, str | int | bool] = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "torch_config_sha256": hashlib.sha256(torch.__config__.show().encode()).hexdigest(),
        "torchvision": torchvision.__version__,
        "pillow": PIL.__version__,
        "system": platform.system(),
        "architecture": platform.machine(),
        "cpu_model": cpu_model(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "mkldnn": bool(torch.backends.mkldnn.enabled),
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "device": device.type,
        "precision": execution.precision,
        "memory_format": execution.memory_format,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "path": execution.path,
    }
    if (flags := cpu_flags_sha256()) is not None:
        found["cpu_flags_sha256"] = flags
    found.update({name: os.environ[name] for name in VARIABLES if name in os.environ})
    if device.type == "cuda":
        found.update(_cuda(device))
    return found


def _cuda(device: torch.device) -> dict[str, str | int | bool]:
    return {
        "gpu_model": torch.cuda.get_device_name(device),
        "gpu_memory_bytes": torch.cuda.get_device_properties(device).total_memory,
        "cuda": str(torch.version.cuda),
        "cudnn": str(torch.backends.cudnn.version()),  # type: ignore[no-untyped-call]  # torch ships no types for it
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "tf32_matmul": torch.backends.cuda.matmul.allow_tf32,
        "tf32_convolution": torch.backends.cudnn.allow_tf32,
    }


def cpu_model() -> str:
    """Return the processor's name, `unknown` where the system does not tell."""
    return _of_cpu("model name") or platform.processor() or "unknown"


def cpu_flags_sha256() -> str | None:
    """Return the SHA-256 of what the processor can do, in order: two of one name may differ in it. None if untold."""
    flags = cpu_flags()
    return hashlib.sha256(" ".join(sorted(flags)).encode()).hexdigest() if flags else None


def cpu_flags() -> frozenset[str]:
    """Return what the processor can do, by Linux's names; nothing where the system does not tell."""
    return frozenset((_of_cpu("flags") or _of_cpu("Features")).split())  # the second on ARM


def _of_cpu(key: str) -> str:
    """Return a value of the first processor that Linux lists, empty where there is none."""
    try:
        lines = CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    found = (line.partition(":") for line in lines)
    return next((value.strip() for name, _, value in found if name.strip() == key), "")
