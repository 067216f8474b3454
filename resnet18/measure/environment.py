"""The numerics fingerprint: everything inside which equal experiments give equal bits."""

import hashlib
import importlib.metadata
import os
import platform

import numpy as np
import PIL
import torch

from resnet18.measure.devices import ONEDNN_PREFIXES, cpu_flags_sha256, cpu_model, onednn_setting
from resnet18.spec.experiment import Execution
from resnet18.spec.redaction import redacted

ONEDNN = ONEDNN_PREFIXES[0]
OF_COMPILER = (
    *("MAX_AUTOTUNE", "MAX_AUTOTUNE_GEMM", "MAX_AUTOTUNE_POINTWISE"),  # kernels are chosen by timing
    *("COORDINATE_DESCENT_TUNING", "DETERMINISTIC"),  # the same of their blocks; and what forbids it
    *("BATCH_INVARIANT", "SPLIT_REDUCTIONS", "LAYOUT_OPTIMIZATION"),  # the order of sums, and of numbers in memory
    *("CPP_ENABLE_UNSAFE_MATH_OPT_FLAG", "CPP_MARCH", "VEC_ISA_OK"),  # what the C++ compiler may do and use
    *("CPP_USE_DECOMPOSE_TANH", "USE_FAST_MATH"),  # another formula, inexact functions
    *("EMULATE_PRECISION_CASTS", "EMULATE_DIVISION_ROUNDING"),  # rounds and divides as torch does
)
"""Variables of torch's compiler (`compile = true`), without TORCHINDUCTOR_."""
VARIABLES = (
    "ATEN_CPU_CAPABILITY",  # which vector code torch's own operations run
    *("ONEDNN_MAX_CPU_ISA", "ONEDNN_CPU_ISA_HINTS"),  # oneDNN's newest instructions, narrower vectors: other sums
    "ONEDNN_DEFAULT_FPMATH_MODE",  # lets oneDNN multiply 32-bit floats as bf16 or TF32
    *("TORCH_MKLDNN_MATMUL_MIN_DIM", "TORCH_MKLDNN_MATMUL_MIN_SIZE"),  # which products go to oneDNN, not MKL
    *("MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS"),  # MKL's code path, and its newest instructions
    *("MKL_DOMAIN_NUM_THREADS", "MKL_NUM_STRIPES"),  # how MKL splits a sum among threads, whatever torch sets
    "OPENBLAS_CORETYPE",  # the kernels of OpenBLAS, in which torch multiplies on ARM
    "OMP_DYNAMIC",  # lets OpenMP start fewer threads than torch splits a sum for
    *("OMP_THREAD_LIMIT", "OMP_MAX_ACTIVE_LEVELS"),  # the same, by a limit; with 0 levels there is one thread
    "GLIBC_TUNABLES",  # which code of exp, log and cos the C library takes
    *("NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES"),  # which vector code NumPy takes
    *("CUBLAS_WORKSPACE_CONFIG", "CUBLASLT_WORKSPACE_SIZE"),  # other kernels fit, and a stream may get two workspaces
    "TORCH_CUBLASLT_UNIFIED_WORKSPACE",  # whether the two share one
    *("TORCH_BLAS_PREFER_CUBLASLT", "DISABLE_ADDMM_CUDA_LT"),  # which of the two multiplies, also with a bias
    *("NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"),  # TF32: off in NVIDIA's libraries, on in torch
    *("TORCH_CUDNN_V8_API_DISABLED", "TORCH_CUDNN_USE_HEURISTIC_MODE_B"),  # other ways to choose cuDNN's algorithms
    "PYTORCH_TUNABLEOP_ENABLED",  # kernels of products are chosen by timing
    "CUDA_FORCE_PTX_JIT",  # the driver compiles kernels anew, in its own way
    *("PYTORCH_MPS_FAST_MATH", "PYTORCH_MPS_PREFER_METAL"),  # on Apple's GPUs: inexact functions, what multiplies
    *(f"TORCHINDUCTOR_{name}" for name in OF_COMPILER),
)
"""Environment variables that can change the bits of a library in use; no other is recorded.

Left out: caches, logs, allocators, and the number of threads, which the suite sets itself and records.
"""


def numerics(execution: Execution, device: torch.device) -> dict[str, str | int | bool]:
    """Return the numerics part of the fingerprint, flat. Call it after threads and flags are set."""
    flags = cpu_flags_sha256()
    variables = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    ours = {name: onednn_setting(name.removeprefix(ONEDNN)) for name in VARIABLES if name.startswith(ONEDNN)}
    variables |= {name: value for name, value in ours.items() if value}  # of two names of one variable what counts
    variables = {name: redacted(value) for name, value in variables.items()}
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "torch_config_sha256": hashlib.sha256(torch.__config__.show().encode()).hexdigest(),
        "torchvision": importlib.metadata.version("torchvision"),
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
        **({} if flags is None else {"cpu_flags_sha256": flags}),
        **variables,
        **(_cuda(device) if device.type == "cuda" else {}),
    }


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
