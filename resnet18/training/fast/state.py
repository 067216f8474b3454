"""Whole tensors of a fast network and its optimizer, as the reference network has them, unseen weights included."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from resnet18.training.fast.kernel_support import TrimmedConvolution

AVERAGE = "ax"
"""What ASGD keeps of a weight that never moves is that weight; all that others keep is 0."""


def full_state(network: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers, names and shapes as those of `model.ResNet18.state_dict()`.

    Tensors without unseen weights are the network's own memory.
    """
    state: dict[str, Tensor] = dict(network.state_dict())
    for name, layer in trimmed_layers(network).items():
        state[name] = layer.joined(state[name], layer.unseen)
    return state


@torch.no_grad()
def load_full_state(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy parameters and buffers into the network, each in place: its memory and the format of that stay its own."""
    layers = trimmed_layers(network)
    for name, tensor in network.state_dict().items():
        if name in layers:
            tensor.copy_(layers[name].seen_of(state[name]))
            layers[name].unseen.copy_(layers[name].unseen_of(state[name]))
        else:
            tensor.copy_(state[name])


def unseen_weights(network: nn.Module) -> list[Tensor]:
    """Return the weights that no data reach: an optimizer may move them, by its decay."""
    return [layer.unseen for layer in trimmed_layers(network).values()]


def full_optimizer_state(optimizer: torch.optim.Optimizer, network: nn.Module) -> dict[int, dict[str, Any]]:
    """Return `state_dict()["state"]` with whole tensors, for the network's parameters alone."""
    layers, count = _layers_by_index(network), len(list(network.parameters()))
    state = {index: dict(kept) for index, kept in optimizer.state_dict()["state"].items() if index < count}
    for index in layers.keys() & state.keys():
        layer = layers[index]
        unseen = {AVERAGE: layer.unseen, **optimizer.state.get(layer.unseen, {})}
        for key, value in state[index].items():
            if _is_kernel(value):
                state[index][key] = layer.joined(value, unseen.get(key))
    return state


def load_full_optimizer_state(
    optimizer: torch.optim.Optimizer, network: nn.Module, state: Mapping[int, Mapping[str, Any]]
) -> None:
    """Put whole tensors back into the optimizer, each laid out in memory as its parameter."""
    layers, parameters = _layers_by_index(network), list(network.parameters())
    own: dict[int, dict[str, Any]] = {}
    for index, kept in state.items():
        layer = layers.get(index)
        own[index] = {
            key: _copy(layer.seen_of(value) if layer and _is_kernel(value) else value, parameters[index])
            for key, value in kept.items()
        }
    indices = {id(layer.unseen): index for index, layer in layers.items()}
    places = [(group, weight) for group in optimizer.param_groups for weight in group["params"]]
    for place, (group, weight) in enumerate(places):
        if group.get("unseen"):
            layer, kept = layers[indices[id(weight)]], state.get(indices[id(weight)], {})
            own[place] = {
                key: _copy(layer.unseen_of(value) if _is_kernel(value) else value, weight)
                for key, value in kept.items()
            }
    optimizer.load_state_dict({**optimizer.state_dict(), "state": {index: kept for index, kept in own.items() if kept}})


def trimmed_layers(network: nn.Module) -> dict[str, TrimmedConvolution]:
    """Return the convolutions that have unseen weights, by the name of their weight."""
    return {
        f"{name}.weight": layer
        for name, layer in network.named_modules()
        if isinstance(layer, TrimmedConvolution) and layer.geometry != layer.whole
    }


def _layers_by_index(network: nn.Module) -> dict[int, TrimmedConvolution]:
    """Return the same by the place among the parameters, which is how an optimizer names them."""
    layers = trimmed_layers(network)
    return {index: layers[name] for index, (name, _) in enumerate(network.named_parameters()) if name in layers}


def _is_kernel(value: object) -> bool:
    return isinstance(value, Tensor) and value.dim() == 4


def _copy(value: object, parameter: Tensor) -> object:
    """Return a copy, laid out as the parameter: torch's `load_state_dict` would share the memory."""
    if not isinstance(value, Tensor):
        return value
    return torch.empty_like(parameter).copy_(value).detach() if value.shape == parameter.shape else value.clone()
