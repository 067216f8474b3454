"""`kernels.c`, called through ctypes. Where it cannot be compiled, torch gives the same results, slower."""

import ctypes
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor

from resnet18.training.batched.affine import Turn
from resnet18.training.batched.colour import Jitter
from resnet18.training.batched.floats import FloatStep, Standardize, ToTensor
from resnet18.training.batched.resize import Resize
from resnet18.training.batched.rgb32 import CHANNELS
from resnet18.training.native import load_library

SOURCE = Path(__file__).with_name("kernels.c")
FLAGS = ("-O3", "-std=c11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math")
"""No fused multiply-add: it rounds once where Pillow rounds twice. The other two change no value."""
ImageStep = Callable[[Tensor, Tensor], Tensor]
"""Takes packed images and the row of each image in the parameter tables; returns packed images."""


class Kernels:
    """The functions of `kernels.c`, on CPU tensors. ctypes lets other Python threads run meanwhile."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def pack(self, pixels: Tensor) -> Tensor:
        """Return int32 [n, height, width] from uint8 [n, height, width, 3], as `packed.pack`."""
        pixels = pixels.contiguous()
        image = torch.empty(pixels.shape[:3], dtype=torch.int32)
        self._library.pack(*_addresses(pixels, image), *_sizes(image.numel()))
        return image

    def faster(self, step: ImageStep) -> ImageStep:
        """Return a step that does the same; the step itself where there is no kernel for it."""
        if isinstance(step, Resize):
            return partial(self._resize, step)
        if isinstance(step, Jitter):
            return partial(self._jitter, step)
        return partial(self._turn, step) if isinstance(step, Turn) else step

    def to_tensor(self, floats: tuple[FloatStep, ...]) -> tuple[FloatStep, tuple[FloatStep, ...]]:
        """Return the conversion to float32, with `normalize` in it where that comes first, and the steps left.

        A byte of a channel has 256 values: the table [3, 256] of what they become is made with the steps themselves.
        """
        values = torch.empty((1, CHANNELS, 16, 16))
        byte = torch.arange(256, dtype=torch.int32).view(1, 16, 16)
        ToTensor(values.device)(values, byte * 0x010101)
        if floats and isinstance(floats[0], Standardize):
            floats[0](values, byte)
            floats = floats[1:]
        return partial(self._spread, values), floats

    def _spread(self, values: Tensor, batch: Tensor, image: Tensor) -> None:
        image = image.contiguous()
        self._library.spread(*_addresses(image, batch), *_sizes(len(image), image[0].numel()), *_addresses(values))

    def _resize(self, step: Resize, image: Tensor, rows: Tensor) -> Tensor:
        _, taps, size = step.places.shape
        count, side, _ = image.shape
        image, rows = image.contiguous(), rows.contiguous()
        out = torch.empty((count, size, size), dtype=torch.int32)
        longer = max(side, size)
        scratch = torch.empty(2 * longer * longer + 4 * longer, dtype=torch.int32)
        self._library.resize(
            *_addresses(image, out, scratch, rows),
            *_sizes(count, side, size, taps, step.boxes.shape[1]),
            *_addresses(step.boxes, step.transposed, step.places, step.weights),
        )
        return out

    def _turn(self, step: Turn, image: Tensor, rows: Tensor) -> Tensor:
        image, rows = image.contiguous(), rows.contiguous()
        out = torch.empty_like(image)
        self._library.turn(
            *_addresses(image, out, rows),
            *_sizes(len(image), image.shape[1], step.matrices.shape[1]),
            *_addresses(step.matrices),
        )
        return out

    def _jitter(self, step: Jitter, image: Tensor, rows: Tensor) -> Tensor:
        image, rows = image.clone(memory_format=torch.contiguous_format), rows.contiguous()
        self._library.jitter(
            *_addresses(image, rows), *_sizes(len(image), image[0].numel()), *_addresses(step.kinds, step.amounts)
        )
        return image


def _addresses(*tensors: Tensor | None) -> tuple[ctypes.c_void_p, ...]:
    return tuple(ctypes.c_void_p(None if tensor is None else tensor.data_ptr()) for tensor in tensors)


def _sizes(*numbers: int) -> tuple[ctypes.c_int64, ...]:
    return tuple(ctypes.c_int64(number) for number in numbers)


@cache
def load_kernels() -> Kernels | None:
    """Return the kernels; None without a compiler."""
    library = load_library("augment", [SOURCE], [], FLAGS)
    return None if library is None else Kernels(library)
