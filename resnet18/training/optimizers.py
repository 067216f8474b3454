"""The optimizers of a spec: its values handed to torch's classes."""

from collections.abc import Callable, Iterable

import torch
from torch import nn

from resnet18.spec.optimizer import Optimizer

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "adadelta": torch.optim.Adadelta,
    "asgd": torch.optim.ASGD,
}


FUSED = frozenset({"sgd", "adam", "adamw"})
"""Those of which torch has a form in one kernel, for CPU and CUDA."""


def form_of(name: str, path: str, device_type: str) -> str:
    """Return in which form torch runs an optimizer: `loop` over the parameters, `foreach` or `fused`.

    `reference`: the loop, the only form that every one of them has, so that a time column compares optimizers and not
    forms. `fast`: fused where torch has it, else the loop on a CPU, where foreach is slower, and foreach on a device.
    """
    if path == "reference" or device_type not in {"cpu", "cuda"}:
        return "loop"
    return "fused" if name in FUSED else "loop" if device_type == "cpu" else "foreach"


def build_optimizer(
    spec: Optimizer,
    parameters: Iterable[nn.Parameter],
    path: str = "reference",
    device_type: str = "cpu",
    *,
    rate_changes: bool = False,
) -> torch.optim.Optimizer:
    """Return the optimizer in the form that the path asks for (`form_of`).

    On CUDA the fast path counts steps on the device, so that a CUDA graph can hold the update; SGD counts none. Where
    `rate_changes` within epochs, its rate is a tensor on the device, too: a graph reads what is in it at each step.
    """
    parameters = list(parameters)
    values = spec.model_dump(exclude={"name"})
    form = form_of(spec.name, path, device_type)
    how = {"fused": True} if form == "fused" else {"foreach": form == "foreach"}
    if path == "fast" and device_type == "cuda" and spec.name != "sgd":
        how["capturable"] = True
    if path == "fast" and device_type == "cuda" and rate_changes:
        values["lr"] = torch.tensor(spec.lr, device=parameters[0].device)
    return OPTIMIZERS[spec.name](parameters, **values, **how)


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Set the rate of every parameter group: the number, or what is in the tensor that stands for it."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(learning_rate)
        else:
            group["lr"] = learning_rate
