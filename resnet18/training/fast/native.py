"""The optional C kernels: compiled once for this processor, kept in the user's cache, called through ctypes.

Without a C compiler, or a processor that has AVX-512 and bfloat16, there are none, and torch computes the same.
"""

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

SOURCES = ("norm.c", "pool.c", "convolution.c")
FLAGS = ("-O3", "-march=native", "-fopenmp", "-shared", "-fPIC")
OFF = "RESNET18_NATIVE"
"""Set to `off` in the environment, it switches the kernels off."""
VECTOR = 16
TILE = 32


@dataclass(frozen=True)
class Kernels:
    """The loaded library."""

    library: ctypes.CDLL
    tiles: bool
    """Whether the processor multiplies bfloat16 tiles (AMX) and the system lets it."""

    def call(self, name: str, *arguments: object) -> None:
        """Call a function: tensors go as addresses, whole numbers as `long`, floats as `float`."""
        getattr(self.library, name)(*[_as_c(argument) for argument in arguments])


def _as_c(argument: object) -> object:
    if isinstance(argument, Tensor):
        return ctypes.c_void_p(argument.data_ptr())
    if isinstance(argument, float):
        return ctypes.c_float(argument)
    return ctypes.c_long(argument) if isinstance(argument, int) else argument


@functools.cache
def kernels() -> Kernels | None:
    """Return the kernels, compiled if need be, or None where there can be none."""
    if os.environ.get(OFF) == "off" or not _processor_fits():
        return None
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    try:
        library = ctypes.CDLL(str(_compiled(compiler)))
    except (OSError, subprocess.SubprocessError):
        return None
    return Kernels(library, tiles=library.tiles_missing() == 0)


def _processor_fits() -> bool:
    """Whether the processor has AVX-512 with bfloat16, and AMX: the sources are compiled for all three or not."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    flags = next((line.split() for line in text.splitlines() if line.startswith("flags")), [])
    return {"avx512f", "avx512bw", "avx512vl", "avx512_bf16", "amx_tile", "amx_bf16"} <= set(flags)


def _compiled(compiler: str) -> Path:
    """Return the library of these sources, this compiler and this processor; it is made where it is missing."""
    here = Path(__file__).parent
    cpu = next(x for x in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if x.startswith("flags"))
    key = hashlib.sha256("\n".join((compiler, torch.__version__, cpu, *FLAGS)).encode())
    for source in (*SOURCES, "vector.h"):
        key.update((here / source).read_bytes())
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "resnet18" / "native"
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / f"{key.hexdigest()[:24]}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=folder) as work:
            made = Path(work) / "kernels.so"
            sources = [str(here / source) for source in SOURCES]
            subprocess.run([compiler, *FLAGS, *sources, "-o", str(made)], check=True, capture_output=True, timeout=120)
            made.replace(library)  # atomic: another process may be doing the same
    return library


def fits(x: Tensor) -> bool:
    """Whether the kernels can read an image batch: on the CPU, channels_last, channels in whole vectors."""
    return (
        x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.bfloat16)
        and x.shape[1] % VECTOR == 0
        and x.is_contiguous(memory_format=torch.channels_last)
    )
