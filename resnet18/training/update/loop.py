"""The formulas of the C files in torch's operations, with equal bits: slower, in a pass over memory for each operation.

Torch's own loop has other bits on most processors. Where there is a fused multiply-add, its `add_(alpha=)`, `addcmul_`
and `lerp_` round once where these functions, and torch on a processor without it, round twice; and its `sqrt` is MKL's,
which is up to 0.56 units in the last place off in AVX-512, and not the same on every processor. `mul_`, `div_`,
`addcdiv_`, and `add_` of a number are the same everywhere.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

Numbers = Sequence[float]
LERP_SIDE = 0.5
"""From this weight on `lerp` begins at its other end, as torch has it."""


def sgd(p: Tensor, g: Tensor, state: Sequence[Tensor], numbers: Numbers) -> None:
    """Sutskever et al. (2013) as torch has it: b = momentum b + share d; p = p + rate b."""
    decay, momentum, share, ahead, rate = numbers
    d = _decayed(g, p, decay)
    if state:
        (b,) = state
        b.mul_(momentum).add_(d * share)
        d = d + b * ahead if ahead else b
    p.add_(d * rate)


def adam(p: Tensor, g: Tensor, state: Sequence[Tensor], numbers: Numbers) -> None:
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


def rmsprop(p: Tensor, g: Tensor, state: Sequence[Tensor], numbers: Numbers) -> None:
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


def adadelta(p: Tensor, g: Tensor, state: Sequence[Tensor], numbers: Numbers) -> None:
    """Zeiler (2012), algorithm 1, times a rate."""
    decay, keep, share, eps, rate = numbers
    s, a = state
    d = _decayed(g, p, decay)
    s.mul_(keep).add_(d * share * d)
    delta = _root(a + eps).div_(_root(s + eps)).mul_(d)
    a.mul_(keep).add_(delta * share * delta)
    p.add_(delta * rate)


def asgd(p: Tensor, g: Tensor, state: Sequence[Tensor], numbers: Numbers) -> None:
    """Polyak and Juditsky (1992) as torch has it: `ax` is the mean of the weights once mu is below 1."""
    decay, scale, rate, mu = numbers
    (ax,) = state
    d = _decayed(g, p, decay)
    p.mul_(scale).add_(d * rate)
    if mu == 1:
        ax.copy_(p)
    else:
        ax.add_((p - ax) * mu)


def decay(p: Tensor, _g: Tensor, _state: Sequence[Tensor], numbers: Numbers) -> None:
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
