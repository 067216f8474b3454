"""Convolutions without the kernel positions that see only padding, and the whole tensors of a network of these.

On a 1x1 map only the centre of a padded 3x3 kernel meets anything but zeros. The other positions are unseen: they
change no output, their gradient is exactly 0, and an optimizer without weight decay leaves them as they were.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn


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
    `state_dict` and `load_state_dict` have the whole kernel, as those of the reference network.
    """

    unseen: Tensor

    def __init__(self, channels_in: int, channels: int, whole: Geometry) -> None:
        super().__init__()
        self.geometry, begin = trimmed(whole)
        kernel = self.geometry.kernel
        self.part = slice(begin, begin + kernel)
        """Rows and columns of the whole kernel that the weight holds."""
        self.is_unseen = torch.ones(whole.kernel, whole.kernel, dtype=torch.bool)
        self.is_unseen[self.part, self.part] = False
        weight = torch.empty(channels, channels_in, kernel, kernel)
        self.weight = nn.Parameter(weight.to(memory_format=torch.channels_last))
        unseen = torch.empty(channels, channels_in, whole.kernel**2 - kernel**2)
        self.register_buffer("unseen", unseen, persistent=False)

    def seen_of(self, whole: Tensor) -> Tensor:
        """Return a view [out, in, k, k] of a whole kernel: what the weight holds."""
        return whole[:, :, self.part, self.part]

    def unseen_of(self, whole: Tensor) -> Tensor:
        """Return a copy [out, in, positions] of the rest."""
        return whole[:, :, self.is_unseen]

    def joined(self, seen: Tensor, unseen: Tensor | float) -> Tensor:
        """Return a whole kernel; where nothing is unseen, what is seen itself."""
        if not self.unseen.numel():
            return seen
        whole = seen.new_empty((*seen.shape[:2], *self.is_unseen.shape))
        self.seen_of(whole).copy_(seen)
        whole[:, :, self.is_unseen] = unseen
        return whole

    def _save_to_state_dict(self, destination: dict[str, Tensor], prefix: str, *_: object) -> None:
        destination[f"{prefix}weight"] = self.joined(self.weight.detach(), self.unseen)

    @torch.no_grad()
    def _load_from_state_dict(self, state_dict: Mapping[str, Tensor], prefix: str, *_: object) -> None:
        whole = state_dict[f"{prefix}weight"]
        self.weight.copy_(self.seen_of(whole))
        self.unseen.copy_(self.unseen_of(whole))


def trimmed_layers(network: nn.Module) -> dict[int, TrimmedConvolution]:
    """Return the convolutions that have unseen weights, by the place of their weight among the parameters."""
    layers = [layer for layer in network.modules() if isinstance(layer, TrimmedConvolution) and layer.unseen.numel()]
    places = {parameter: place for place, parameter in enumerate(network.parameters())}
    return {places[layer.weight]: layer for layer in layers}


def full_optimizer_state(optimizer: torch.optim.Optimizer, network: nn.Module) -> dict[int, dict[str, Any]]:
    """Return `state_dict()["state"]` with whole tensors, for the network's parameters alone."""
    layers, state = trimmed_layers(network), {}
    for place, parameter in enumerate(network.parameters()):
        if parameter in optimizer.state:
            state[place] = dict(optimizer.state[parameter])
        if place in layers and place in state:
            layer = layers[place]
            # The average (ax) that ASGD keeps of a weight that never moves is that weight; all that others keep is 0.
            unseen = {"ax": layer.unseen, **optimizer.state.get(layer.unseen, {})}
            kernels = {key: value for key, value in state[place].items() if _is_kernel(value)}
            state[place] |= {key: layer.joined(value, unseen.get(key, 0.0)) for key, value in kernels.items()}
    return state


def load_full_optimizer_state(
    optimizer: torch.optim.Optimizer, network: nn.Module, state: Mapping[int, Mapping[str, Tensor]]
) -> None:
    """Put whole tensors back into the optimizer, each laid out in memory as its parameter."""
    layers = trimmed_layers(network)
    place_of: dict[Tensor, int] = {weight: place for place, weight in enumerate(network.parameters())}
    place_of |= {layer.unseen: place for place, layer in layers.items()}
    own = {}
    for index, weight in enumerate(weight for group in optimizer.param_groups for weight in group["params"]):
        place = place_of[weight]
        own[index] = {key: _part(value, weight, layers.get(place)) for key, value in state.get(place, {}).items()}
    optimizer.load_state_dict({**optimizer.state_dict(), "state": own})


def _is_kernel(value: object) -> bool:
    return isinstance(value, Tensor) and value.dim() == 4


def _part(value: Tensor, weight: Tensor, layer: TrimmedConvolution | None) -> Tensor:
    """Return a copy of what belongs to a weight, laid out as that: `load_state_dict` would share the memory."""
    if layer is not None and _is_kernel(value):
        value = layer.seen_of(value) if weight is layer.weight else layer.unseen_of(value)
    return torch.empty_like(weight).copy_(value) if value.shape == weight.shape else value.clone()
