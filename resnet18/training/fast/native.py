"""The C kernels of the fast network, called through ctypes; without them torch computes the same, slower."""

import ctypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from resnet18.measure.processor import cpu_flags
from resnet18.training.native import load_library

HERE = Path(__file__).parent
SOURCES = tuple(HERE / name for name in ("norm.c", "pool.c", "convolution.c"))
FLAGS = ("-O3", "-march=native", "-fopenmp")
NEEDED = {"avx512f", "avx512bw", "avx512vl", "avx512_bf16", "amx_tile", "amx_bf16"}
"""Of the processor, by Linux's names: the sources are compiled for all of them."""
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


@cache
def kernels() -> Kernels | None:
    """Return the kernels; None without a compiler, or on a processor that they are not for."""
    if not cpu_flags() >= NEEDED:
        return None
    library = load_library("network", SOURCES, [HERE / "vector.h"], FLAGS)
    return None if library is None else Kernels(library, tiles=library.tiles_missing() == 0)


def fits(x: Tensor) -> bool:
    """Whether the kernels can read an image batch: on the CPU, channels_last, channels in whole vectors."""
    return (
        x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.bfloat16)
        and x.shape[1] % VECTOR == 0
        and x.is_contiguous(memory_format=torch.channels_last)
    )
