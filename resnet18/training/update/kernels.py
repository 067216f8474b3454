"""The C files, called through ctypes, once for all parameters; without a compiler `loop.py` gives their bits."""

import ctypes
from array import array
from functools import cache
from pathlib import Path

import torch

from resnet18.training.native import load_library

HERE = Path(__file__).parent
HEADER = HERE / "update.h"
FLAGS = ("-O3", "-march=native", "-std=c11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fopenmp")
"""No fused multiply-add. That neither errno nor floating-point exceptions are read changes no value."""


@cache
def library() -> ctypes.CDLL | None:
    """Return the kernels; None without a compiler."""
    return load_library("update", sorted(HERE.glob("*.c")), [HEADER], FLAGS)


def form() -> str:
    """Return which of the two forms this machine has: `kernel` or `loop`."""
    return "loop" if library() is None else "kernel"


def call(kernels: ctypes.CDLL, source: str, rows: array, count: int) -> None:  # type: ignore[type-arg]  # from 3.12 on
    """Call the function of a C file (`update_adam` of `adam.c`) on `count` rows, each a `Part` of `update.h`."""
    address, _ = rows.buffer_info()
    function = getattr(kernels, f"update_{Path(source).stem}")
    function(ctypes.c_void_p(address), ctypes.c_int64(count), ctypes.c_int64(torch.get_num_threads()))
