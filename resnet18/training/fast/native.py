"""The C kernels of the fast network, called through ctypes; without them torch computes the same, slower.

`vectors` (norm.c, pool.c) are for any x86 processor with AVX2 and for 64-bit ARM. `tiles` (convolution.c) multiply
bfloat16 on x86 processors with AMX, and are a library of their own, so that others load the first.
"""

import ctypes
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from resnet18.measure.processor import cpu_flags
from resnet18.training.native import is_older, load_library

HERE = Path(__file__).parent
VECTOR_SOURCES, VECTOR_HEADERS = [HERE / "norm.c", HERE / "pool.c"], [HERE / "norm.h", HERE / "vector.h"]
TILE_SOURCES = [HERE / "convolution.c"]
FLAGS = ("-O3", "-march=native", "-ffp-contract=fast")
THREADS = "-fopenmp"
ARM = {"aarch64", "arm64"}
"""Each of these processors has NEON."""
VECTORS_NEED = {"avx2", "fma"}
"""Of an x86 processor, by Linux's names."""
TILES_NEED = {"avx512f", "avx512bw", "avx512vl", "avx512_bf16", "amx_tile", "amx_bf16"}
"""The same: convolution.c is compiled for all of them."""
TILE = 32
FLOAT_BITS = 32


@dataclass(frozen=True)
class Library:
    """A loaded library."""

    handle: ctypes.CDLL

    def call(self, name: str, *arguments: object) -> None:
        """Call a function: tensors go as addresses, whole numbers as `long`."""
        getattr(self.handle, name)(*[_as_c(argument) for argument in arguments])


@dataclass(frozen=True)
class Kernels:
    """What this machine has of them."""

    vectors: Library
    width: int
    """Values in a vector."""
    tiles: Library | None
    """None where the processor does not multiply bfloat16 tiles (AMX), or the system does not let it."""

    @property
    def form(self) -> str:
        """What the record's numerics call them; vectors with their bits, since sums end in that many parts."""
        return f"vectors-{FLOAT_BITS * self.width}" if self.tiles is None else "tiles"


def _as_c(argument: object) -> object:
    if isinstance(argument, Tensor):
        return ctypes.c_void_p(argument.data_ptr())
    return ctypes.c_long(argument) if isinstance(argument, int) else argument


@cache
def kernels() -> Kernels | None:
    """Return the kernels; None without a compiler, or on a processor that they are not for."""
    if platform.machine() not in ARM and not cpu_flags() >= VECTORS_NEED:
        return None
    vectors = _load("vectors", VECTOR_SOURCES, VECTOR_HEADERS)
    return None if vectors is None else Kernels(Library(vectors), vectors.vector_width(), _load_tiles())


def _load_tiles() -> Library | None:
    if is_older() or not cpu_flags() >= TILES_NEED:
        return None
    library = _load("tiles", TILE_SOURCES, [])
    return None if library is None or library.tiles_missing() else Library(library)


def _load(name: str, sources: list[Path], headers: list[Path]) -> ctypes.CDLL | None:
    """Return a library with threads; without them where the compiler has no OpenMP, as Apple's."""
    library = load_library(name, sources, headers, (*FLAGS, THREADS))
    return library or load_library(name, sources, headers, FLAGS)


def fits(x: Tensor) -> bool:
    """Whether the kernels can read an image batch: on the CPU, channels_last, channels in whole vectors."""
    native = kernels()
    return (
        native is not None
        and x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.bfloat16)
        and x.shape[1] % native.width == 0
        and x.is_contiguous(memory_format=torch.channels_last)
    )
