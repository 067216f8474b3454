"""torch's optimizers with a step in one form: their options, their state and its names, another way of computing."""

import inspect
from collections.abc import Callable
from itertools import compress
from typing import Any

import torch
from torch import Tensor

from resnet18.training.update.plan import Plan
from resnet18.training.update.rules import RULES, UNSEEN, Group, Rule


class OneForm(torch.optim.Optimizer):
    """What stands before one of torch's classes: its step.

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
        return (*rule.scalars, *rule.tensors(group))

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # noqa: ANN401 - as torch has it
        """Update every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        found = [[one.grad for one in group["params"]] for group in self.param_groups]
        if any(gradient is not None for gradients in found for gradient in gradients):
            for place, (group, gradients) in enumerate(zip(self.param_groups, found, strict=True)):
                is_due = [group.get("unseen") or gradient is not None for gradient in gradients]
                plan = self._plan(place, group, list(compress(group["params"], is_due)))
                plan.carry_out(list(compress(gradients, is_due)))
        return loss

    def _plan(self, place: int, group: Group, weights: list[Tensor]) -> Plan:
        """Return the plan of a group, a new one where anything was put in another's place."""
        plans: dict[int, Plan] = self.__dict__.setdefault("_plans", {})
        plan = plans.get(place)
        if plan is None or not plan.holds(group, weights, self.state):
            plan = plans[place] = Plan(self.rule_of(group), group, weights, self.state)
        return plan
