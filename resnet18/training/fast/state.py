"""Whole tensors of a fast network and its optimizer, as the reference network has them: dead taps are put back."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from resnet18.training.fast.kernel_support import LiveTaps

if TYPE_CHECKING:
    from resnet18.training.update import OneForm

AVERAGE = "ax"
"""What ASGD keeps of a weight that never moves is that weight; all that others keep is 0."""


def full_state(network: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers, names and shapes as those of `model.ResNet18.state_dict()`.

    Tensors without dead taps are the network's own memory.
    """
    state: dict[str, Tensor] = dict(network.state_dict())
    for name, convolution in shortened_weights(network).items():
        state[name] = _joined(state[name], convolution.dead, convolution)
    return state


@torch.no_grad()
def load_full_state(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy parameters and buffers into the network, each in place: its memory and the format of that stay its own."""
    kept = shortened_weights(network)
    for name, tensor in network.state_dict().items():
        if name in kept:
            tensor.copy_(_living(state[name], kept[name]))
            kept[name].dead.copy_(_dead(state[name], kept[name]))
        else:
            tensor.copy_(state[name])


def unseen_weights(network: nn.Module) -> list[Tensor]:
    """Return the weights that no data reach: an optimizer may move them, by its decay."""
    return [convolution.dead for convolution in shortened_weights(network).values()]


def full_optimizer_state(optimizer: torch.optim.Optimizer, network: nn.Module) -> dict[int, dict[str, Any]]:
    """Return `state_dict()["state"]` with whole tensors, for the network's parameters alone."""
    convolutions, count = _by_index(network), len(list(network.parameters()))
    state: dict[int, dict[str, Any]] = {}
    for index, kept in optimizer.state_dict()["state"].items():
        if index in convolutions:
            state[index] = _whole(kept, optimizer.state.get(convolutions[index].dead, {}), convolutions[index])
        elif index < count:
            state[index] = dict(kept)
    return state


def load_full_optimizer_state(
    optimizer: torch.optim.Optimizer, network: nn.Module, state: Mapping[int, Mapping[str, Any]]
) -> None:
    """Put whole tensors back into the optimizer, each laid out in memory as its parameter."""
    convolutions, parameters = _by_index(network), list(network.parameters())
    own: dict[int, dict[str, Any]] = {}
    for index, kept in state.items():
        own[index] = _part_of(kept, parameters[index], convolutions.get(index), _living)
    for place, index, keys in _unseen(optimizer, convolutions):
        kept = {key: value for key, value in state.get(index, {}).items() if key in keys}
        own[place] = _part_of(kept, convolutions[index].dead, convolutions[index], _dead)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": {index: kept for index, kept in own.items() if kept}})


def shortened_weights(network: nn.Module) -> dict[str, LiveTaps]:
    """Return the convolutions that hold live taps only, by the name of their weight."""
    return {
        f"{name}.weight": layer
        for name, layer in network.named_modules()
        if isinstance(layer, LiveTaps) and layer.geometry.kernel != layer.kernel
    }


def _by_index(network: nn.Module) -> dict[int, LiveTaps]:
    """Return the same by the place among the parameters, which is how an optimizer names them."""
    kept = shortened_weights(network)
    return {index: kept[name] for index, (name, _) in enumerate(network.named_parameters()) if name in kept}


def _is_kernel(value: object) -> bool:
    return isinstance(value, Tensor) and value.dim() == 4


def _unseen(
    optimizer: torch.optim.Optimizer, convolutions: Mapping[int, LiveTaps]
) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Yield its index for dead taps that it moves, that for the weight they are of, and the keys of what it keeps."""
    index_of = {id(convolution.dead): index for index, convolution in convolutions.items()}
    places = ((group, one) for group in optimizer.param_groups for one in group["params"])
    for place, (group, one) in enumerate(places):
        if group.get("unseen"):
            yield place, index_of[id(one)], cast("OneForm", optimizer).keys_of(group)


def _whole(kept: Mapping[str, Any], of_dead: Mapping[str, Any], convolution: LiveTaps) -> dict[str, Any]:
    """Return the state of a whole weight, given that of its live taps and what is kept of the dead ones."""
    still = {AVERAGE: convolution.dead}
    return {
        key: _joined(value, of_dead.get(key, still.get(key)), convolution) if _is_kernel(value) else value
        for key, value in kept.items()
    }


def _part_of(
    kept: Mapping[str, Any],
    parameter: Tensor,
    convolution: LiveTaps | None,
    part: Callable[[Tensor, LiveTaps], Tensor],
) -> dict[str, Any]:
    """Return copies of the state of a whole weight, of those taps that the parameter holds."""
    return {
        key: _own(value if convolution is None or not _is_kernel(value) else part(value, convolution), parameter)
        for key, value in kept.items()
    }


def _own(value: object, parameter: Tensor) -> object:
    """Return a copy, laid out as the parameter: torch's `load_state_dict` would share the memory."""
    if not isinstance(value, Tensor):
        return value
    return torch.empty_like(parameter).copy_(value).detach() if value.shape == parameter.shape else value.clone()


def _living(whole: Tensor, convolution: LiveTaps) -> Tensor:
    part = slice(convolution.begin, convolution.begin + convolution.geometry.kernel)
    return whole[:, :, part, part]


def _dead(whole: Tensor, convolution: LiveTaps) -> Tensor:
    """Return a copy [out, in, taps]."""
    return whole[:, :, convolution.is_dead]


def _joined(living: Tensor, dead: Tensor | None, convolution: LiveTaps) -> Tensor:
    """Return a whole tensor; without dead taps they are 0."""
    whole = living.new_zeros((*living.shape[:2], convolution.kernel, convolution.kernel))
    _living(whole, convolution).copy_(living.detach())
    if dead is not None:
        whole[:, :, convolution.is_dead] = dead
    return whole
