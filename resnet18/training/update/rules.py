"""How each optimizer updates a parameter on the fast path: its state, the numbers of a step, and its formula in torch.

The C file of a rule computes the same bits in one pass over memory. Numbers are those of torch's plain loop
(`torch.optim`, `_single_tensor_*`), computed in float64 as there, and rounded to float32 where they meet tensors.

Torch's own loop has other bits on most processors. Where there is a fused multiply-add, its `add_(alpha=)`, `addcmul_`
and `lerp_` round once where these functions, and torch on a processor without it, round twice; and its `sqrt` is MKL's,
which is up to 0.56 units in the last place off in AVX-512, and not the same on every processor. `mul_`, `div_`,
`addcdiv_`, and `add_` of a number are the same everywhere.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from resnet18.spec.optimizer import ASGD, Adadelta, Adam, AdamW, RMSprop

Group = dict[str, Any]
"""A parameter group of torch's: the options by name."""
State = dict[str, Any]
Numbers = tuple[float, ...]
LERP_SIDE = 0.5
"""From this weight on `lerp` begins at its other end, as torch has it."""
FIRST_SCALARS = {"step": 0.0, "mu": 1.0}
"""Scalars before the first step; ASGD's `eta` is the learning rate."""


@dataclass(frozen=True)
class Rule:
    """How an optimizer updates a parameter."""

    source: str
    """The C file. A run's code hash covers the files that its spec reaches."""
    update: Callable[[Tensor, Tensor, Sequence[Tensor], Sequence[float]], None]
    """The same in torch: takes weights, gradient, state and numbers; changes weights and state in place."""
    numbers: Callable[..., tuple[Numbers, Numbers]]
    """Takes a group, whether the step is a parameter's first, and its scalars before the step.

    Returns the numbers that C and torch take, in this order, and the scalars after the step. In all of them `decay` is
    the share of a weight that is added to its gradient.
    """
    tensors: tuple[str, ...] = ()
    """Keys of the state that has a parameter's size, in the order in which C and torch take it."""
    scalars: tuple[str, ...] = ("step",)
    """Keys of the state that is one number."""
    start: float = 0.0
    """What the tensors hold before the first step."""

    def tensors_of(self, group: Group) -> tuple[str, ...]:
        """Return the keys of the tensors, with that of a momentum where there is one."""
        return (*self.tensors, "momentum_buffer") if group.get("momentum") else self.tensors

    def first_state(self, group: Group, weights: Tensor) -> State:
        """Return the state before the first step."""
        scalars = {key: torch.tensor(FIRST_SCALARS.get(key, float(group["lr"]))) for key in self.scalars}
        return scalars | {key: torch.full_like(weights, self.start) for key in self.tensors_of(group)}


def _sgd_numbers(group: Group, is_first: bool) -> tuple[Numbers, Numbers]:
    momentum = group["momentum"]
    share = 1.0 if is_first else 1 - group["dampening"]
    return (group["weight_decay"], momentum, share, momentum if group["nesterov"] else 0.0, -group["lr"]), ()


def _sgd(p: Tensor, g: Tensor, state: Sequence[Tensor], numbers: Sequence[float]) -> None:
    """Sutskever et al. (2013) as torch has it: b = momentum b + share d; p = p + rate b."""
    decay, momentum, share, ahead, rate = numbers
    d = _decayed(g, p, decay)
    if state:
        (b,) = state
        b.mul_(momentum).add_(d * share)
        d = d + b * ahead if ahead else b
    p.add_(d * rate)


def _adam_numbers(group: Group, _is_first: bool, step: float) -> tuple[Numbers, Numbers]:
    return (group["weight_decay"], 1.0, *_moments(group, step + 1)), (step + 1,)


def _adamw_numbers(group: Group, _is_first: bool, step: float) -> tuple[Numbers, Numbers]:
    return (0.0, _scale(group), *_moments(group, step + 1)), (step + 1,)


def _moments(group: Group, step: float) -> Numbers:
    beta1, beta2 = group["betas"]
    correction1, correction2 = 1 - beta1**step, 1 - beta2**step
    return 1 - beta1, beta2, 1 - beta2, correction2**0.5, group["eps"], -(group["lr"] / correction1)


def _adam(p: Tensor, g: Tensor, state: Sequence[Tensor], numbers: Sequence[float]) -> None:
    """Kingma and Ba (2014), algorithm 1, and AdamW (Loshchilov and Hutter, 2019), which scales the weight first."""
    decay, scale, weight, keep, share, correction, eps, rate = numbers
    m, v = state
    p.mul_(scale)
    d = _decayed(g, p, decay)
    if weight < LERP_SIDE:
        m.add_((d - m) * weight)
    else:
        m.copy_(d - (d - m) * (1 - torch.tensor(weight)))
    v.mul_(keep).add_(d * share * d)
    p.addcdiv_(m, _root(v).div_(correction).add_(eps), value=rate)


def _rmsprop_numbers(group: Group, _is_first: bool, step: float) -> tuple[Numbers, Numbers]:
    keep = group["alpha"]
    return (group["weight_decay"], keep, 1 - keep, group["eps"], group["momentum"], -group["lr"]), (step + 1,)


def _rmsprop(p: Tensor, g: Tensor, state: Sequence[Tensor], numbers: Sequence[float]) -> None:
    """Hinton's lecture notes (2012), 6e; the momentum is torch's."""
    decay, keep, share, eps, momentum, rate = numbers
    s, *kept = state
    d = _decayed(g, p, decay)
    s.mul_(keep).add_(d * share * d)
    length = _root(s).add_(eps)
    if kept:
        p.add_(kept[0].mul_(momentum).addcdiv_(d, length) * rate)
    else:
        p.addcdiv_(d, length, value=rate)


def _adadelta_numbers(group: Group, _is_first: bool, step: float) -> tuple[Numbers, Numbers]:
    keep = group["rho"]
    return (group["weight_decay"], keep, 1 - keep, group["eps"], -group["lr"]), (step + 1,)


def _adadelta(p: Tensor, g: Tensor, state: Sequence[Tensor], numbers: Sequence[float]) -> None:
    """Zeiler (2012), algorithm 1, times a rate."""
    decay, keep, share, eps, rate = numbers
    s, a = state
    d = _decayed(g, p, decay)
    s.mul_(keep).add_(d * share * d)
    delta = _root(a + eps).div_(_root(s + eps)).mul_(d)
    a.mul_(keep).add_(delta * share * delta)
    p.add_(delta * rate)


def _asgd_numbers(group: Group, _is_first: bool, step: float, eta: float, mu: float) -> tuple[Numbers, Numbers]:
    lr, lambd, step = group["lr"], group["lambd"], step + 1
    after = step, lr / ((1 + lambd * lr * step) ** group["alpha"]), 1 / max(1, step - group["t0"])
    return (group["weight_decay"], 1 - lambd * eta, -eta, mu), after


def _asgd(p: Tensor, g: Tensor, state: Sequence[Tensor], numbers: Sequence[float]) -> None:
    """Polyak and Juditsky (1992) as torch has it: `ax` is the mean of the weights once mu is below 1."""
    decay, scale, rate, mu = numbers
    (ax,) = state
    d = _decayed(g, p, decay)
    p.mul_(scale).add_(d * rate)
    if mu == 1:
        ax.copy_(p)
    else:
        ax.add_((p - ax) * mu)


def _decay_numbers(group: Group, _is_first: bool) -> tuple[Numbers, Numbers]:
    return (_scale(group),), ()


def _scale(group: Group) -> float:
    """Return what decay leaves of a weight."""
    scale: float = 1 - group["lr"] * group["weight_decay"]
    return scale


def _decay(p: Tensor, _g: Tensor, _state: Sequence[Tensor], numbers: Sequence[float]) -> None:
    """Scale the weights: what AdamW does where every gradient is 0, which leaves its two means at 0."""
    p.mul_(numbers[0])


def _decayed(g: Tensor, p: Tensor, decay: float) -> Tensor:
    """Return the gradient with weight decay in it."""
    return g + p * decay if decay else g


def _root(x: Tensor) -> Tensor:
    """Return the correctly rounded square root of float32.

    No root of 24 bits lies within four units in the last place of float64 of the middle between two float32: any
    error below that in the float64 root is rounded away.
    """
    return x.double().sqrt_().float()


RULES = {
    # torch's first momentum is the gradient itself: -0 is the number that changes no bit of what is added to it
    "sgd": Rule("sgd.c", _sgd, _sgd_numbers, scalars=(), start=-0.0),
    "adam": Rule("adam.c", _adam, _adam_numbers, Adam.state),
    "adamw": Rule("adam.c", _adam, _adamw_numbers, AdamW.state),
    "rmsprop": Rule("rmsprop.c", _rmsprop, _rmsprop_numbers, RMSprop.state),
    "adadelta": Rule("adadelta.c", _adadelta, _adadelta_numbers, Adadelta.state),
    "asgd": Rule("asgd.c", _asgd, _asgd_numbers, ASGD.state, ("step", "eta", "mu")),
}
UNSEEN = {"adamw": Rule("decay.c", _decay, _decay_numbers, scalars=())}
"""Other rules for weights whose gradient is 0 in every step: AdamW's means of it stay 0, and are not kept."""
