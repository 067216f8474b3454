"""A group's parameters with all that a step reads and writes; what lasts from step to step is looked up once."""

from array import array
from collections.abc import Sequence

import torch
from torch import Tensor

from resnet18.training.update.kernels import call, library
from resnet18.training.update.rules import Group, Rule, State

GRADIENT, NUMBERS, ROW = 1, 5, 6
"""Places of a row, which is a `Part` of `update.h`: weights, gradient, two tensors of state, length, numbers."""


class Part:
    """A parameter. All its tensors are float32 on the CPU, and lie in memory as the weights do, without gaps."""

    def __init__(self, rule: Rule, group: Group, weights: Tensor, state: State) -> None:
        self.weights, self.address, self.stride = weights, weights.data_ptr(), weights.stride()
        self.is_first = not state
        """Whether no step was made yet."""
        if self.is_first:
            state.update(rule.begin(group, weights))
        self.kept, self.keys = state, rule.tensors(group)
        for key in self.keys:
            state[key] = _laid_out_as(weights, state[key])
        self.state: tuple[Tensor, ...] = tuple(state[key] for key in self.keys)
        self.scalars = [state[key].numpy() for key in rule.scalars]
        """The tensors' own memory: torch takes some microseconds to add 1 to a number."""
        self.gradient: Tensor | None = None
        """None: 0 throughout."""
        self.numbers: Sequence[float] = ()
        """Rounded to float32."""

    def row(self) -> list[int]:
        """Return what `update.h` needs to know, gradient and numbers left open."""
        state = [tensor.data_ptr() for tensor in self.state]
        return [self.address, 0, *state, *[0] * (2 - len(state)), self.weights.numel(), 0]

    def is_current(self) -> bool:
        """Say whether weights and state are still the tensors that they were."""
        kept = self.kept
        tensors = zip(self.keys, self.state, strict=True)
        return self.weights.data_ptr() == self.address and all(kept.get(key) is tensor for key, tensor in tensors)

    def take(self, gradient: Tensor | None) -> int:
        """Hold the gradient of a step, and return its address."""
        if gradient is not None and (gradient.stride() != self.stride or gradient.dtype != torch.float32):
            gradient = _laid_out_as(self.weights, gradient)
        self.gradient = gradient
        return 0 if gradient is None else gradient.data_ptr()


class Plan:
    """What a rule does to some parameters of a group."""

    def __init__(self, rule: Rule, group: Group, weights: Sequence[Tensor], states: dict[Tensor, State]) -> None:
        self.rule, self.group, self.states = rule, group, states
        keeps = bool(rule.scalars or rule.tensors(group))
        self.parts = [Part(rule, group, one, states[one] if keeps else {}) for one in weights]
        self.rows = array("q", [place for part in self.parts for place in part.row()])

    def holds(self, group: Group, weights: Sequence[Tensor], states: dict[Tensor, State]) -> bool:
        """Say whether the plan is one for a step on these parameters."""
        is_of_these = self.group is group and self.states is states and len(self.parts) == len(weights)
        return is_of_these and all(
            part.weights is one and part.is_current() for part, one in zip(self.parts, weights, strict=True)
        )

    def carry_out(self, gradients: Sequence[Tensor | None]) -> None:
        """Make a step."""
        known: dict[tuple[float | bool, ...], tuple[array, tuple[float, ...]]] = {}  # type: ignore[type-arg]  # 3.12
        for at, (part, gradient) in enumerate(zip(self.parts, gradients, strict=True)):
            before = (part.is_first, *[scalar.item() for scalar in part.scalars])
            if before not in known:
                numbers, after = self.rule.numbers(self.group, *before)
                known[before] = array("f", numbers), after
            part.is_first = False
            part.numbers, after = known[before]
            for scalar, value in zip(part.scalars, after, strict=True):
                scalar.fill(value)
            self.rows[at * ROW + GRADIENT] = part.take(gradient)
            self.rows[at * ROW + NUMBERS] = part.numbers.buffer_info()[0]
        self._update()

    def _update(self) -> None:
        kernels = library()
        if kernels is None:
            for part in self.parts:
                gradient = torch.zeros(()).expand_as(part.weights) if part.gradient is None else part.gradient
                self.rule.loop(part.weights, gradient, part.state, part.numbers)
            return
        call(kernels, self.rule.source, self.rows, len(self.parts))
        torch.autograd.graph.increment_version([one for part in self.parts for one in (part.weights, *part.state)])


def _laid_out_as(weights: Tensor, tensor: Tensor) -> Tensor:
    """Return a tensor in the weights' dtype and layout, copied where it has others; sides of length 1 have none."""
    sides = zip(weights.shape, weights.stride(), tensor.stride(), strict=True)
    if tensor.dtype == weights.dtype and all(length == 1 or one == other for length, one, other in sides):
        return tensor
    return torch.empty_like(weights).copy_(tensor)
