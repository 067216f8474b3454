"""The optimizers of Table 3: the spec's values handed to torch's classes."""

from collections.abc import Callable, Iterable

import torch
from torch import nn

from resnet18.spec.optimizer import Optimizer

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "rmsprop": torch.optim.RMSprop,
    "adadelta": torch.optim.Adadelta,
    "asgd": torch.optim.ASGD,
}


def build_optimizer(spec: Optimizer, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Return the optimizer, in torch's plain loop over parameters.

    The loop is the only implementation that every one of them has: a time column with a fused Adam beside a plain
    RMSprop would compare implementations, not optimizers.
    """
    return OPTIMIZERS[spec.name](parameters, **spec.model_dump(exclude={"name"}), foreach=False)


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Set the rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
