"""What the step of an optimizer computes with: the state that it keeps, as torch names it, and the numbers of a step.

Numbers are those of torch's plain loop (`torch.optim`, `_single_tensor_*`), computed in float64 as there, and rounded
to float32 where they meet tensors. In all of them `decay` is the share of a weight that is added to its gradient.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from resnet18.training.update import loop

Group = dict[str, Any]
"""A parameter group of torch's: the options by name."""
State = dict[str, Any]
Numbers = tuple[float, ...]


@dataclass(frozen=True)
class Rule:
    """An optimizer."""

    source: str
    """Its C file: a run's code hash covers those that its spec reaches."""
    loop: Callable[[Tensor, Tensor, Sequence[Tensor], Sequence[float]], None]
    """The same in torch: changes weights and state in place."""
    tensors: Callable[[Group], tuple[str, ...]]
    """Keys of the state that has a parameter's size, in the order in which both take it."""
    scalars: tuple[str, ...]
    """Keys of the state that is one number."""
    numbers: Callable[..., tuple[Numbers, Numbers]]
    """Takes a group, whether the step is a parameter's first, and its scalars before the step.

    Returns the numbers that both take, in this order, and the scalars after the step.
    """
    start: float = 0.0
    """What the tensors hold before the first step."""

    def begin(self, group: Group, weights: Tensor) -> State:
        """Return the state before the first step."""
        scalars = {key: torch.tensor(BEFORE.get(key, float(group["lr"]))) for key in self.scalars}
        return scalars | {key: torch.full_like(weights, self.start) for key in self.tensors(group)}


BEFORE = {"step": 0.0, "mu": 1.0}
"""Scalars before the first step; the one that is left, ASGD's `eta`, is the learning rate."""


def _sgd(group: Group, is_first: bool) -> tuple[Numbers, Numbers]:
    momentum = group["momentum"]
    share = 1.0 if is_first else 1 - group["dampening"]
    return (group["weight_decay"], momentum, share, momentum if group["nesterov"] else 0.0, -group["lr"]), ()


def _adam(group: Group, _is_first: bool, step: float) -> tuple[Numbers, Numbers]:
    return (group["weight_decay"], 1.0, *_moments(group, step + 1)), (step + 1,)


def _adamw(group: Group, _is_first: bool, step: float) -> tuple[Numbers, Numbers]:
    return (0.0, _scale(group), *_moments(group, step + 1)), (step + 1,)


def _moments(group: Group, step: float) -> Numbers:
    beta1, beta2 = group["betas"]
    correction1, correction2 = 1 - beta1**step, 1 - beta2**step
    return 1 - beta1, beta2, 1 - beta2, correction2**0.5, group["eps"], -(group["lr"] / correction1)


def _rmsprop(group: Group, _is_first: bool, step: float) -> tuple[Numbers, Numbers]:
    keep = group["alpha"]
    return (group["weight_decay"], keep, 1 - keep, group["eps"], group["momentum"], -group["lr"]), (step + 1,)


def _adadelta(group: Group, _is_first: bool, step: float) -> tuple[Numbers, Numbers]:
    keep = group["rho"]
    return (group["weight_decay"], keep, 1 - keep, group["eps"], -group["lr"]), (step + 1,)


def _asgd(group: Group, _is_first: bool, step: float, eta: float, mu: float) -> tuple[Numbers, Numbers]:
    lr, lambd, step = group["lr"], group["lambd"], step + 1
    after = step, lr / ((1 + lambd * lr * step) ** group["alpha"]), 1 / max(1, step - group["t0"])
    return (group["weight_decay"], 1 - lambd * eta, -eta, mu), after


def _decay(group: Group, _is_first: bool) -> tuple[Numbers, Numbers]:
    return (_scale(group),), ()


def _scale(group: Group) -> float:
    """Return what decay leaves of a weight."""
    scale: float = 1 - group["lr"] * group["weight_decay"]
    return scale


def _keys(*always: str, momentum: bool = False) -> Callable[[Group], tuple[str, ...]]:
    """Return a function that gives the keys of a group, with that of a momentum where there is one."""
    return lambda group: (*always, *(["momentum_buffer"] if momentum and group["momentum"] else []))


RULES = {
    # torch's first momentum is the gradient itself: -0 is the number that changes no bit of what is added to it
    "sgd": Rule("sgd.c", loop.sgd, _keys(momentum=True), (), _sgd, start=-0.0),
    "adam": Rule("adam.c", loop.adam, _keys("exp_avg", "exp_avg_sq"), ("step",), _adam),
    "adamw": Rule("adam.c", loop.adam, _keys("exp_avg", "exp_avg_sq"), ("step",), _adamw),
    "rmsprop": Rule("rmsprop.c", loop.rmsprop, _keys("square_avg", momentum=True), ("step",), _rmsprop),
    "adadelta": Rule("adadelta.c", loop.adadelta, _keys("square_avg", "acc_delta"), ("step",), _adadelta),
    "asgd": Rule("asgd.c", loop.asgd, _keys("ax"), ("step", "eta", "mu"), _asgd),
}
UNSEEN = {"adamw": Rule("decay.c", loop.decay, _keys(), (), _decay)}
"""Other rules for weights whose gradient is 0 in every step: AdamW's means of it stay 0, and are not kept."""
