"""Convolutions without the kernel positions that see only padding, and the whole tensors of a network of these.

On a 1x1 map only the centre of a padded 3x3 kernel meets anything but zeros. The other positions are unseen: they
change no output, their gradient is exactly 0, and an optimizer without weight decay leaves them as they were.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

AVERAGE = "ax"
"""What ASGD keeps of a weight that never moves is that weight; all that others keep is 0."""


@dataclass(frozen=True)
class Geometry:
    """A square convolution on a square map."""

    kernel: int
    stride: int
    padding: int
    size: int
    """Side of the map that it reads."""

    @property
    def out(self) -> int:
        """Side of the map that it writes."""
        return (self.size + 2 * self.padding - self.kernel) // self.stride + 1


def trimmed(g: Geometry) -> tuple[Geometry, int]:
    """Return the geometry of the rows (and columns) that meet a pixel, and the first of them in the whole kernel.

    Where the shorter kernel would not be the same convolution, the whole kernel is returned.
    """
    first_pixels = [o * g.stride - g.padding for o in range(g.out)]
    seen = [row for row in range(g.kernel) if any(0 <= first + row < g.size for first in first_pixels)]
    begin = seen[0]
    shorter = replace(g, kernel=seen[-1] + 1 - begin, padding=g.padding - begin)
    return (shorter, begin) if shorter.padding >= 0 and shorter.out == g.out else (g, 0)


class TrimmedConvolution(nn.Module):
    """A convolution's weight [out, in, k, k], which lies as [out, k, k, in] and holds what meets a pixel.

    What computes with it (`convolution`) is apart, since every path saves and restores weights.
    `unseen` [out, in, positions] has the rest of the whole kernel, row by row; nothing is computed with it.
    """

    unseen: Tensor

    def __init__(self, channels_in: int, channels: int, whole: Geometry) -> None:
        super().__init__()
        self.whole = whole
        self.geometry, begin = trimmed(whole)
        self.part = slice(begin, begin + self.geometry.kernel)
        """Rows and columns of the whole kernel that the weight holds."""
        shape = (channels, channels_in, self.geometry.kernel, self.geometry.kernel)
        self.weight = nn.Parameter(torch.empty(shape).to(memory_format=torch.channels_last))
        unseen = torch.empty(channels, channels_in, whole.kernel**2 - self.geometry.kernel**2)
        self.register_buffer("unseen", unseen, persistent=False)
        self.is_unseen = torch.ones(whole.kernel, whole.kernel, dtype=torch.bool)
        self.is_unseen[self.part, self.part] = False

    def seen_of(self, whole: Tensor) -> Tensor:
        """Return a view [out, in, k, k] of a whole kernel: what the weight holds."""
        return whole[:, :, self.part, self.part]

    def unseen_of(self, whole: Tensor) -> Tensor:
        """Return a copy [out, in, positions] of the rest."""
        return whole[:, :, self.is_unseen]

    def joined(self, seen: Tensor, unseen: Tensor | None) -> Tensor:
        """Return a whole kernel; without the unseen part that is 0."""
        whole = seen.new_zeros((*seen.shape[:2], self.whole.kernel, self.whole.kernel))
        self.seen_of(whole).copy_(seen.detach())
        if unseen is not None:
            whole[:, :, self.is_unseen] = unseen
        return whole


def trimmed_layers(network: nn.Module) -> dict[str, TrimmedConvolution]:
    """Return the convolutions that have unseen weights, by the name of their weight; torch's layers have none."""
    return {
        f"{name}.weight": layer
        for name, layer in network.named_modules()
        if isinstance(layer, TrimmedConvolution) and layer.geometry != layer.whole
    }


def unseen_weights(network: nn.Module) -> list[Tensor]:
    """Return the weights that no data reach: an optimizer may move them, by its decay."""
    return [layer.unseen for layer in trimmed_layers(network).values()]


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
    layers = _layers_by_index(network)
    indices = {id(parameter): index for index, parameter in enumerate(network.parameters())}
    indices |= {id(layer.unseen): index for index, layer in layers.items()}
    own: dict[int, dict[str, Any]] = {}
    places = [(group, weight) for group in optimizer.param_groups for weight in group["params"]]
    for place, (group, weight) in enumerate(places):
        index = indices[id(weight)]
        layer = layers.get(index)
        for key, value in state.get(index, {}).items():
            part = value
            if layer is not None and _is_kernel(value):
                part = layer.unseen_of(value) if group.get("unseen") else layer.seen_of(value)
            own.setdefault(place, {})[key] = _copy(part, weight)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": own})


def _layers_by_index(network: nn.Module) -> dict[int, TrimmedConvolution]:
    """Return `trimmed_layers` by the place among the parameters, which is how an optimizer names them."""
    layers = trimmed_layers(network)
    return {index: layers[name] for index, (name, _) in enumerate(network.named_parameters()) if name in layers}


def _is_kernel(value: object) -> bool:
    return isinstance(value, Tensor) and value.dim() == 4


def _copy(value: object, parameter: Tensor) -> object:
    """Return a copy, laid out as the parameter: torch's `load_state_dict` would share the memory."""
    if not isinstance(value, Tensor):
        return value
    return torch.empty_like(parameter).copy_(value).detach() if value.shape == parameter.shape else value.clone()
