"""Compiled C, optional: made by the system's compiler when it is first needed, and kept beside the decoded data.

Without a compiler there is none, and the same is computed in torch. The record's numerics say which it was.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from resnet18.measure.devices import cpu_flags, cpu_flags_sha256
from resnet18.spec.experiment import Execution, data_home

SWITCH = "RESNET18_NATIVE"
"""In the environment: `off` switches compiled code off; `avx2` compiles for an x86 processor without AVX-512 and AMX,
to see and test here what such a processor computes."""
ARM = {"aarch64", "arm64"}
"""Each of these processors has NEON."""
COMPILE_LIMIT_S = 120

HERE = Path(__file__).parent
THREADS = "-fopenmp"
AUGMENTATION_FLAGS = ("-O3", "-std=c11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math")
"""No fused multiply-add: it rounds once where Pillow rounds twice. The other two change no value."""
VECTORS_NEED = {"avx2", "fma"}
"""Of an x86 processor, by Linux's names."""
TILES_NEED = {"avx512f", "avx512bw", "avx512vl", "avx512_bf16", "amx_tile", "amx_bf16"}
"""The same: convolution.c is compiled for all of them."""


class Library(ctypes.CDLL):
    """A loaded library. ctypes lets other Python threads run during a call."""

    def call(self, name: str, *arguments: object) -> None:
        """Call a function: tensors go as addresses, None as a null pointer, whole numbers as 64 bits."""
        getattr(self, name)(*map(_as_c, arguments))


def _as_c(argument: object) -> object:
    if isinstance(argument, Tensor):
        return ctypes.c_void_p(argument.data_ptr())
    return ctypes.c_int64(argument) if isinstance(argument, int) else argument


def load_library(name: str, files: list[str], flags: tuple[str, ...]) -> Library | None:
    """Return the library of C sources and headers, compiled if it is not yet in the data home; None where it cannot be.

    The file is called `name` and a digest of all that it depends on.
    """
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None or os.environ.get(SWITCH) == "off":
        return None
    key = hashlib.sha256(repr((compiler, flags, platform.machine(), cpu_flags_sha256())).encode())
    for file in files:
        key.update((HERE / file).read_bytes())
    library = data_home() / "native" / f"{name}-{key.hexdigest()[:16]}.so"
    sources = [str(HERE / file) for file in files if file.endswith(".c")]
    try:
        if not library.exists():
            _compile(library, [compiler, *flags, "-shared", "-fPIC", *sources, "-lm"])
        return Library(str(library))
    except (OSError, subprocess.SubprocessError):
        return None


def _compile(library: Path, command: list[str]) -> None:
    """Compile under another name first: processes that start together never load half a file."""
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        built = Path(folder) / library.name
        subprocess.run([*command, "-o", str(built)], check=True, capture_output=True, timeout=COMPILE_LIMIT_S)
        built.replace(library)


@cache
def augmentation_kernels() -> Library | None:
    """Return the functions of `kernels.c`; None without a compiler."""
    return load_library("augment", ["batched/kernels.c"], AUGMENTATION_FLAGS)


class NetworkKernels(NamedTuple):
    """The C kernels of the fast network that this machine has, in two libraries: other processors load the first."""

    vectors: Library  # norm.c and pool.c, for any x86 processor with AVX2 and for 64-bit ARM
    width: int  # values in a vector
    tiles: Library | None  # convolution.c, where the processor multiplies bfloat16 tiles (AMX) and the system lets it


@cache
def network_kernels() -> NetworkKernels | None:
    """Return the kernels; None without a compiler, or on a processor that they are not for."""
    machine, is_older = platform.machine(), os.environ.get(SWITCH) == "avx2"
    if machine not in ARM and not cpu_flags() >= VECTORS_NEED:
        return None
    processor = "-mcpu=native" if machine != "x86_64" else "-march=haswell" if is_older else "-march=native"
    vectors = _for_network("vectors", ["fast/norm.c", "fast/pool.c", "fast/norm.h", "fast/vector.h"], processor)
    tiles = None
    if cpu_flags() >= TILES_NEED and not is_older:
        tiles = _for_network("tiles", ["fast/convolution.c"], processor)
    if tiles and tiles.tiles_missing():
        tiles = None
    return NetworkKernels(vectors, vectors.vector_width(), tiles) if vectors else None


def _for_network(name: str, files: list[str], processor: str) -> Library | None:
    """Return a library with threads; without them where the compiler has no OpenMP, as Apple's."""
    flags = ("-O3", processor, "-ffp-contract=fast")
    return load_library(name, files, (*flags, THREADS)) or load_library(name, files, flags)


def path_numerics(execution: Execution, device: torch.device) -> dict[str, str]:
    """Return what the fast path adds to the numerics fingerprint: which of its forms this machine has.

    Compiled code is made here, before a clock runs. Vectors are named with their bits: sums end in that many parts.
    """
    if execution.path == "reference" or device.type != "cpu":
        return {}
    native, augmentation = network_kernels(), augmentation_kernels()
    vectors = f"vectors-{32 * native.width}" if native else "none"
    return {
        "network_kernels": "tiles" if native and native.tiles else vectors,
        "augmentation_kernels": "compiled" if augmentation else "none",
    }
