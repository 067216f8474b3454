"""A GPU that is none: device `fakegpu` computes on the CPU, counts its bytes, and refuses what a GPU refuses.

It fills torch's slot for devices of others (`PrivateUse1`), so that `auto` finds it as it finds CUDA, and the suite's
code runs on it unchanged. Results are bit-equal to the CPU's. Install it in a process of its own, before the first
backward pass, where torch counts devices: it registers one of this kind, and for good. torch's API is experimental.
"""

import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "fakegpu"
BLOCK = 512
"""Bytes to which CUDA's allocator rounds each request up."""
COPIES = ("aten::copy_", "aten::_to_copy")
"""The only operations that take tensors of two devices."""
READS_OF_THE_HOST = {"aten::_local_scalar_dense": "item", "aten::nonzero": "nonzero", "aten::equal": "equal"}
"""Operations whose result the host must wait for, beside copies to it."""


class Block:
    """Bytes that are taken for as long as a tensor refers to them."""


@dataclass
class Accelerator:
    """The state of the device: its bytes, and what is done when the host waits for it."""

    capacity: int = 0
    allocated: int = 0
    peak: int = 0
    on_wait: Callable[[str], object] = lambda kind: None
    """Told `item`, `to_host`, `synchronize` and the like."""
    library: torch.library.Library | None = None
    """The registrations, which last as long as it does."""
    blocks: weakref.WeakValueDictionary[int, Block] = field(default_factory=weakref.WeakValueDictionary)

    def block_of(self, raw: torch.Tensor) -> Block:
        """Return the block of a tensor's storage; views share one.

        Raises:
            torch.OutOfMemoryError: it does not fit; in the words of torch's CUDA allocator.
        """
        storage = raw.untyped_storage()
        block = self.blocks.get(storage._cdata)
        if block is None:
            size = math.ceil(storage.nbytes() / BLOCK) * BLOCK
            free = self.capacity - self.allocated
            if size > free:
                raise torch.OutOfMemoryError(
                    f"{NAME} out of memory. Tried to allocate {size} bytes. GPU 0 has a total capacity of "
                    f"{self.capacity} bytes of which {free} bytes is free."
                )
            block = self.blocks[storage._cdata] = Block()
            self.take(size)
            weakref.finalize(block, self.take, -size)
        return block

    def take(self, size: int) -> None:
        """Count bytes as taken, or below 0 as given back."""
        self.allocated += size
        self.peak = max(self.peak, self.allocated)

    def reset_peak(self, _device: object = None) -> None:
        """Begin a new peak."""
        self.peak = self.allocated


DEVICE = Accelerator()
"""That of this process; without bytes until it is installed."""


class DeviceTensor(torch.Tensor):
    """A tensor that says that it lies on the accelerator; `raw` has its data."""

    @staticmethod
    def __new__(cls, raw: torch.Tensor) -> torch.Tensor:
        block, place = DEVICE.block_of(raw), {"strides": raw.stride(), "storage_offset": raw.storage_offset()}
        device = torch.device(NAME, 0)
        tensor = torch.Tensor._make_wrapper_subclass(cls, raw.size(), **place, dtype=raw.dtype, device=device)
        tensor.raw, tensor.block = raw, block
        return tensor

    @classmethod
    def __torch_dispatch__(cls, operation: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute on the data, and put what comes out onto the device, or where it is a copy to the host, there."""
        name, kwargs = operation.name().partition(".")[0], kwargs or {}
        inputs = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
        if name not in COPIES and any(one.dim() > 0 and not isinstance(one, cls) for one in inputs):
            both = f"{NAME}:0 and cpu! (operation {name})"  # a GPU takes a single number from the CPU, too
            raise RuntimeError(f"Expected all tensors to be on the same device, but found at least two devices, {both}")
        to_host = _goes_to_the_host(name, args, kwargs)
        if to_host or name in READS_OF_THE_HOST:
            DEVICE.on_wait("to_host" if to_host else READS_OF_THE_HOST[name])
        args, kwargs = tree_map(_data_of, (args, kwargs))
        result = operation(*args, **kwargs | ({"device": torch.device("cpu")} if "device" in kwargs else {}))
        if to_host:
            return result
        own = {id(one.raw): one for one in inputs if isinstance(one, cls)}  # in place: the input is returned

        def on_device(one: Any) -> Any:
            if not isinstance(one, torch.Tensor):
                return one
            return own[id(one)] if id(one) in own else cls(one)

        return tree_map(on_device, result)


def _data_of(value: Any) -> Any:
    return value.raw if isinstance(value, DeviceTensor) else value


def _goes_to_the_host(name: str, args: Any, kwargs: Any) -> bool:
    if name == "aten::copy_":
        return args[0].device.type == "cpu"
    return name == "aten::_to_copy" and torch.device(kwargs.get("device") or NAME).type == "cpu"


def _empty(size: Any, dtype: Any = None, memory_format: Any = None, **_: Any) -> DeviceTensor:
    memory_format = memory_format or torch.contiguous_format
    return DeviceTensor(torch.empty(size, dtype=dtype, memory_format=memory_format))


def _empty_strided(size: Any, stride: Any, dtype: Any = None, **_: Any) -> DeviceTensor:
    return DeviceTensor(torch.empty_strided(size, stride, dtype=dtype))


def _copy(source: torch.Tensor, target: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
    """Where torch makes a tensor of a Python number."""
    _data_of(target).copy_(_data_of(source))
    return target


def install(capacity: int = 2**40) -> Accelerator:
    """Make this process have the accelerator, of so many bytes, and return its state."""
    DEVICE.capacity = capacity
    _setup_privateuseone_for_python_backend(rename=NAME)
    DEVICE.library = torch.library.Library("aten", "IMPL")
    functions = {"empty.memory_format": _empty, "empty_strided": _empty_strided, "_copy_from": _copy}
    for name, function in functions.items():
        DEVICE.library.impl(name, function, "PrivateUse1")
    # A module keeps its parameters' attributes when their memory format changes only where tensors are swapped whole.
    torch.__future__.set_swap_module_params_on_conversion(value=True)
    # What no device written in Python can serve:
    torch.accelerator.synchronize = lambda _device=None: DEVICE.on_wait("synchronize")
    torch.accelerator.reset_peak_memory_stats = DEVICE.reset_peak
    torch.accelerator.max_memory_allocated = lambda _device=None: DEVICE.peak
    torch.accelerator.max_memory_reserved = lambda _device=None: 0  # it has no cache
    return DEVICE
