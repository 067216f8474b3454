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


FUSED = frozenset({"sgd", "adam"})
"""Those of which torch has a form in one kernel, for CPU and CUDA."""


def build_optimizer(
    spec: Optimizer, parameters: Iterable[nn.Parameter], path: str = "reference", device_type: str = "cpu"
) -> torch.optim.Optimizer:
    """Return the optimizer in the form that the path asks for.

    `reference`: torch's plain loop over parameters, the only form that every one of them has, so that a time column
    compares optimizers and not forms. `fast`: fused where torch has it, else the loop on a CPU, where foreach is
    slower, and foreach on a device.
    """
    form = {"foreach": False}
    if path == "fast" and device_type in {"cpu", "cuda"}:
        form = {"fused": True} if spec.name in FUSED else {"foreach": device_type != "cpu"}
    return OPTIMIZERS[spec.name](parameters, **spec.model_dump(exclude={"name"}), **form)


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Set the rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
