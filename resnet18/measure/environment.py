"""The numerics fingerprint: everything inside which equal experiments give equal bits."""

import hashlib
import os
import platform

import numpy as np
import PIL
import torch
import torchvision

from resnet18.measure.processor import cpu_flags_sha256, cpu_model
from resnet18.spec.experiment import Execution

VARIABLES = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE", "CUBLAS_WORKSPACE_CONFIG")
"""Environment variables that change bits; no other is recorded."""


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
