"""One step of an optimizer in one form for all of them on the CPU: one pass over memory, in compiled C or in torch.

`OneForm` stands before torch's class, whose options, state and keys it has. What lasts from step to step is looked up
once, in a `Plan` for each parameter group.
"""

import ctypes
import inspect
from array import array
from collections.abc import Sequence
from functools import cache
from itertools import compress
from pathlib import Path

import torch
from torch import Tensor

from resnet18.training.native import Library, load_library
from resnet18.training.update.rules import RULES, UNSEEN, Group, Rule, State

HERE = Path(__file__).parent
HEADER = HERE / "update.h"
FLAGS = ("-O3", "-march=native", "-std=c11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fopenmp")
"""No fused multiply-add. That neither errno nor floating-point exceptions are read changes no value."""
GRADIENT, NUMBERS, ROW = 1, 5, 6
"""Places of a row, which is a `Part` of `update.h`: weights, gradient, two tensors of state, length, numbers."""


@cache
def library() -> Library | None:
    """Return the kernels; None without a compiler."""
    return load_library("update", sorted(HERE.glob("*.c")), [HEADER], FLAGS)


def form() -> str:
    """Return which of the two forms this machine has: `kernel` or `loop`."""
    return "loop" if library() is None else "kernel"


class Part:
    """A parameter. All its tensors are float32 on the CPU, and lie in memory as the weights do, without gaps."""

    def __init__(self, rule: Rule, group: Group, weights: Tensor, state: State) -> None:
        self.weights, self.address, self.stride = weights, weights.data_ptr(), weights.stride()
        self.is_first = not state
        """Whether no step was made yet."""
        if self.is_first:
            state.update(rule.first_state(group, weights))
        self.kept, self.keys = state, rule.tensors_of(group)
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
        keeps = bool(rule.scalars or rule.tensors_of(group))
        self.parts = [Part(rule, group, weight, states[weight] if keeps else {}) for weight in weights]
        self.rows = array("q", [place for part in self.parts for place in part.row()])

    def holds(self, group: Group, weights: Sequence[Tensor], states: dict[Tensor, State]) -> bool:
        """Say whether the plan fits a step on these parameters."""
        is_of_these = self.group is group and self.states is states and len(self.parts) == len(weights)
        return is_of_these and all(
            part.weights is weight and part.is_current() for part, weight in zip(self.parts, weights, strict=True)
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
        kernels = library()
        if kernels is None:
            for part in self.parts:
                gradient = torch.zeros(()).expand_as(part.weights) if part.gradient is None else part.gradient
                self.rule.update(part.weights, gradient, part.state, part.numbers)
            return
        address, _ = self.rows.buffer_info()
        function = f"update_{Path(self.rule.source).stem}"
        kernels.call(function, ctypes.c_void_p(address), len(self.parts), torch.get_num_threads())
        changed = [tensor for part in self.parts for tensor in (part.weights, *part.state)]
        torch.autograd.graph.increment_version(changed)


def _laid_out_as(weights: Tensor, tensor: Tensor) -> Tensor:
    """Return a tensor in the weights' dtype and layout, copied where it has others; sides of length 1 have none."""
    sides = zip(weights.shape, weights.stride(), tensor.stride(), strict=True)
    if tensor.dtype == weights.dtype and all(length == 1 or ours == theirs for length, ours, theirs in sides):
        return tensor
    return torch.empty_like(weights).copy_(tensor)


class OneForm(torch.optim.Optimizer):
    """The step that stands before a class of torch's.

    Parameters are float32 on the CPU and lie in memory without gaps. A group with `unseen` holds weights that no data
    reach: their gradient is 0 in each step that finds a gradient at all.
    """

    name: str
    """As in the spec."""
    # torch keeps its compiler out of these by a wrapper whose first call imports all of it, which takes a second.
    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)

    def rule_of(self, group: Group) -> Rule:
        """Return the rule for the parameters of a group."""
        return UNSEEN.get(self.name, RULES[self.name]) if group.get("unseen") else RULES[self.name]

    def keys_of(self, group: Group) -> tuple[str, ...]:
        """Return the keys of what is kept of each parameter of a group."""
        rule = self.rule_of(group)
        return (*rule.scalars, *rule.tensors_of(group))

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002  # nothing here has a closure
        """Update every parameter that has a gradient."""
        found = [[weight.grad for weight in group["params"]] for group in self.param_groups]
        if any(gradient is not None for gradients in found for gradient in gradients):
            for place, (group, gradients) in enumerate(zip(self.param_groups, found, strict=True)):
                is_due = [group.get("unseen") or gradient is not None for gradient in gradients]
                plan = self._plan(place, group, list(compress(group["params"], is_due)))
                plan.carry_out(list(compress(gradients, is_due)))

    def _plan(self, place: int, group: Group, weights: list[Tensor]) -> Plan:
        """Return the plan of a group, a new plan where anything was replaced."""
        plans: dict[int, Plan] = self.__dict__.setdefault("_plans", {})
        plan = plans.get(place)
        if plan is None or not plan.holds(group, weights, self.state):
            plan = plans[place] = Plan(self.rule_of(group), group, weights, self.state)
        return plan


def one_form(name: str, torch_class: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    """Return a class of torch's with the step of this module; `name` is that of its rule."""
    return type(f"OneForm{torch_class.__name__}", (OneForm, torch_class), {"name": name})
