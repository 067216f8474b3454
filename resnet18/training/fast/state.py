"""Whole tensors of a fast network and its optimizer, as the reference network has them: dead taps are put back."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from resnet18.training.fast.convolution import Convolution


def full_state(network: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers, names and shapes as those of `model.ResNet18.state_dict()`.

    Tensors without dead taps are the network's own memory.
    """
    state: dict[str, Tensor] = dict(network.state_dict())
    for name, convolution in shortened_weights(network).items():
        state[name] = _expanded(state[name], convolution, convolution.whole)
    return state


@torch.no_grad()
def load_full_state(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy parameters and buffers into the network, and keep the dead taps beside it."""
    kept = shortened_weights(network)
    for name, tensor in network.state_dict().items():
        given = state[name]
        if name in kept:
            kept[name].whole = given.detach().clone(memory_format=torch.contiguous_format)
            given = _living(given, kept[name])
        tensor.copy_(given)  # in place: the memory format stays its own


def full_optimizer_state(optimizer: torch.optim.Optimizer, network: nn.Module) -> dict[int, dict[str, Any]]:
    """Return `state_dict()["state"]` with whole tensors; what an optimizer keeps of a dead tap is 0."""
    convolutions = _by_index(network)
    state: dict[int, dict[str, Any]] = {}
    for index, kept in optimizer.state_dict()["state"].items():
        convolution = convolutions.get(index)
        state[index] = {
            key: _expanded(value, convolution, None) if convolution is not None and _is_kernel(value) else value
            for key, value in kept.items()
        }
    return state


def load_full_optimizer_state(
    optimizer: torch.optim.Optimizer, network: nn.Module, state: Mapping[int, Mapping[str, Any]]
) -> None:
    """Put whole tensors back into the optimizer, each laid out in memory as its parameter."""
    convolutions, parameters = _by_index(network), list(network.parameters())
    own: dict[int, dict[str, Any]] = {}
    for index, kept in state.items():
        own[index] = {}
        for key, value in kept.items():
            living = value
            if index in convolutions and _is_kernel(value):
                living = _living(value, convolutions[index])
            own[index][key] = _own(living, parameters[index])
    optimizer.load_state_dict({**optimizer.state_dict(), "state": own})


def shortened_weights(network: nn.Module) -> dict[str, Convolution]:
    """Return the convolutions that hold live taps only, by the name of their weight."""
    return {
        f"{name}.weight": layer
        for name, layer in network.named_modules()
        if isinstance(layer, Convolution) and layer.geometry.kernel != layer.kernel
    }


def _by_index(network: nn.Module) -> dict[int, Convolution]:
    """Return the same by the place among the parameters, which is how an optimizer names them."""
    kept = shortened_weights(network)
    return {index: kept[name] for index, (name, _) in enumerate(network.named_parameters()) if name in kept}


def _is_kernel(value: object) -> bool:
    return isinstance(value, Tensor) and value.dim() == 4


def _own(value: object, parameter: Tensor) -> object:
    """Return a copy, laid out as the parameter: torch's `load_state_dict` would share the memory."""
    if not isinstance(value, Tensor):
        return value
    return torch.empty_like(parameter).copy_(value).detach() if value.shape == parameter.shape else value.clone()


def _living(whole: Tensor, convolution: Convolution) -> Tensor:
    part = slice(convolution.begin, convolution.begin + convolution.geometry.kernel)
    return whole[:, :, part, part]


def _expanded(living: Tensor, convolution: Convolution, dead: Tensor | None) -> Tensor:
    shape = (*living.shape[:2], convolution.kernel, convolution.kernel)
    whole = torch.zeros(shape, dtype=living.dtype) if dead is None else dead.clone()
    whole = whole.to(living.device)
    _living(whole, convolution).copy_(living.detach())
    return whole
