"""`update.c`, called through ctypes, once for all parameters; where it cannot be compiled, `loop.py` gives its bits."""

import ctypes
from array import array
from functools import cache
from pathlib import Path

import torch

from resnet18.training.native import load_library

SOURCE = Path(__file__).with_name("update.c")
FLAGS = ("-O3", "-march=native", "-std=c11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fopenmp")
"""No fused multiply-add. That neither errno nor floating-point exceptions are read changes no value."""


@cache
def library() -> ctypes.CDLL | None:
    """Return the kernels; None without a compiler."""
    return load_library("update", [SOURCE], [], FLAGS)


def form() -> str:
    """Return which of the two forms this machine has: `kernel` or `loop`."""
    return "loop" if library() is None else "kernel"


def call(kernels: ctypes.CDLL, name: str, rows: array, count: int) -> None:  # type: ignore[type-arg]  # from 3.12 on
    """Call a function on `count` rows, each of them a `Part` of `update.c`."""
    address, _ = rows.buffer_info()
    function = getattr(kernels, name)
    function(ctypes.c_void_p(address), ctypes.c_int64(count), ctypes.c_int64(torch.get_num_threads()))
