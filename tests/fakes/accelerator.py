"""A GPU that is none: device `fakegpu` computes on the CPU, counts its bytes, and refuses what a GPU refuses.

It fills torch's slot for devices of others (`PrivateUse1`), so that `auto` finds it as it finds CUDA, and the suite's
code runs on it unchanged. Results are bit-equal to the CPU's. Install it in a process of its own, before the first
backward pass, where torch counts devices: it registers one of this kind, and for good. torch's API is experimental.
"""

import math
import weakref
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


class Accelerator:
    """The state of the device.

    Args:
        capacity: bytes that it has.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.allocated = 0
        self.peak = 0
        self.events: list[str] = []
        """Waits of the host, in order: `item`, `to_host`, `synchronize` and the like. Tests add what they like."""
        self.library: torch.library.Library | None = None
        """The registrations, which last as long as it does."""
        self._blocks: weakref.WeakValueDictionary[int, Block] = weakref.WeakValueDictionary()

    def block_of(self, raw: torch.Tensor) -> Block:
        """Return the block of a tensor's storage; views share one.

        Raises:
            torch.OutOfMemoryError: it does not fit; in the words of torch's CUDA allocator.
        """
        storage = raw.untyped_storage()
        block = self._blocks.get(storage._cdata)
        if block is None:
            size = math.ceil(storage.nbytes() / BLOCK) * BLOCK
            free = self.capacity - self.allocated
            if size > free:
                raise torch.OutOfMemoryError(
                    f"{NAME} out of memory. Tried to allocate {size} bytes. GPU 0 has a total capacity of "
                    f"{self.capacity} bytes of which {free} bytes is free."
                )
            block = self._blocks[storage._cdata] = Block()
            self.allocated += size
            self.peak = max(self.peak, self.allocated)
            weakref.finalize(block, self._release, size)
        return block

    def _release(self, size: int) -> None:
        self.allocated -= size


def install(capacity: int = 2**40) -> Accelerator:
    """Make this process have the accelerator, and return its state."""
    state = Accelerator(capacity)
    _setup_privateuseone_for_python_backend(rename=NAME)
    device_tensor = _tensor_class(state)
    state.library = library = torch.library.Library("aten", "IMPL")
    library.impl(
        "empty.memory_format",
        lambda size, dtype=None, memory_format=None, **_: device_tensor(
            torch.empty(size, dtype=dtype, memory_format=memory_format or torch.contiguous_format)
        ),
        "PrivateUse1",
    )
    library.impl(
        "empty_strided",
        lambda size, stride, dtype=None, **_: device_tensor(torch.empty_strided(size, stride, dtype=dtype)),
        "PrivateUse1",
    )
    library.impl("_copy_from", _copy, "PrivateUse1")  # reached where torch makes a tensor of a Python number
    # A module keeps its parameters' attributes when their memory format changes only where tensors are swapped whole.
    torch.__future__.set_swap_module_params_on_conversion(value=True)
    _take_over(state)
    return state


def _copy(source: torch.Tensor, target: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
    getattr(target, "raw", target).copy_(getattr(source, "raw", source))
    return target


def _take_over(state: Accelerator) -> None:
    """Put own functions in the place of those of torch.accelerator that no device written in Python can serve."""

    def reset(_device: object = None) -> None:
        state.peak = state.allocated

    torch.accelerator.synchronize = lambda _device=None: state.events.append("synchronize")
    torch.accelerator.reset_peak_memory_stats = reset
    torch.accelerator.max_memory_allocated = lambda _device=None: state.peak
    torch.accelerator.max_memory_reserved = lambda _device=None: 0  # it has no cache


def _tensor_class(state: Accelerator) -> type[torch.Tensor]:
    class DeviceTensor(torch.Tensor):
        """A tensor that says that it lies on the accelerator; `raw` has its data."""

        @staticmethod
        def __new__(cls, raw: torch.Tensor) -> torch.Tensor:
            block = state.block_of(raw)
            tensor = torch.Tensor._make_wrapper_subclass(
                cls,
                raw.size(),
                strides=raw.stride(),
                storage_offset=raw.storage_offset(),
                dtype=raw.dtype,
                device=torch.device(NAME, 0),
            )
            tensor.raw, tensor.block = raw, block
            return tensor

        def __repr__(self, *, tensor_contents: object = None) -> str:
            return f"DeviceTensor({self.raw})"

        @classmethod
        def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
            return _compute(state, cls, operation, args, kwargs or {})

    return DeviceTensor


def _compute(state: Accelerator, device_tensor: type, operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]):
    """Carry out one operation on the data, and put what it makes onto the device, or where it is a copy to the host."""
    name = operation.name().partition(".")[0]
    inputs = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
    if name not in COPIES:
        _check_devices(name, inputs, device_tensor)
    to_host = _goes_to_the_host(name, args, kwargs)
    if to_host or name in READS_OF_THE_HOST:
        state.events.append("to_host" if to_host else READS_OF_THE_HOST[name])
    args, kwargs = tree_map(lambda one: one.raw if isinstance(one, device_tensor) else one, (args, kwargs))
    result = operation(*args, **kwargs | ({"device": torch.device("cpu")} if "device" in kwargs else {}))
    if to_host:
        return result
    wrapped = {id(one.raw): one for one in inputs if isinstance(one, device_tensor)}

    def on_device(one: object) -> object:
        if not isinstance(one, torch.Tensor):
            return one
        return wrapped[id(one)] if id(one) in wrapped else device_tensor(one)  # in place: the input is returned

    return tree_map(on_device, result)


def _check_devices(name: str, inputs: list[torch.Tensor], device_tensor: type) -> None:
    """Refuse tensors of two devices, as a GPU does; it takes a single number from the CPU."""
    if any(one.dim() > 0 and not isinstance(one, device_tensor) for one in inputs):
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, {NAME}:0 and cpu! "
            f"(operation {name})"
        )


def _goes_to_the_host(name: str, args: tuple[object, ...], kwargs: dict[str, object]) -> bool:
    if name == "aten::copy_":
        return args[0].device.type == "cpu"
    return name == "aten::_to_copy" and torch.device(kwargs.get("device") or NAME).type == "cpu"
