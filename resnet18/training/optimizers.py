"""The optimizers of a spec: its values handed to torch's classes."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from resnet18.spec.optimizer import ASGD, Optimizer
from resnet18.training import update

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "adadelta": torch.optim.Adadelta,
    "asgd": torch.optim.ASGD,
}
ONE_FORM: dict[str, type[torch.optim.Optimizer]] = {
    name: type(f"OneForm{base.__name__}", (update.OneForm, base), {"name": name}) for name, base in OPTIMIZERS.items()
}
"""The same classes with the step of the fast path on a CPU."""
FUSED = frozenset({"sgd", "adam", "adamw"})
"""Those of which torch has a form in one kernel on CUDA."""


def form_of(name: str, path: str, device_type: str) -> str:
    """Return in which form an optimizer runs: `kernel`, or one of torch's: `loop` over parameters, `foreach`, `fused`.

    `reference`: torch's loop, the only form of its that every one of them has, so that a time column compares
    optimizers and not forms. `fast`: on a CPU the kernels of `update`, or, where there are none, a loop with the same
    bits; on CUDA fused where torch has it, else foreach.
    """
    if path == "reference":
        return "loop"
    if device_type not in {"cpu", "cuda"}:
        return "loop"
    if device_type == "cpu":
        return update.form()
    return "fused" if name in FUSED else "foreach"


def build_optimizer(
    spec: Optimizer,
    parameters: Iterable[Tensor],
    path: str = "reference",
    device_type: str = "cpu",
    *,
    rate_changes: bool = False,
    unseen: Sequence[Tensor] = (),
) -> torch.optim.Optimizer:
    """Return the optimizer in the form that the path asks for (`form_of`).

    On CUDA the fast path counts steps on the device, so that a CUDA graph can hold the update; SGD counts none. Where
    `rate_changes` within epochs, its rate is a tensor on the device, too: a graph reads what is in it at each step.
    `unseen` are the weights of a fast network that get no gradient (`unseen_weights`).
    """
    parameters = list(parameters)
    values = spec.model_dump(exclude={"name"})
    form = form_of(spec.name, path, device_type)  # compiles the kernels where that is to be done, before a clock runs
    if path == "fast" and device_type == "cpu":
        groups: list[dict[str, Any]] = [{"params": parameters}]
        if unseen and moves_unseen(spec):
            groups.append({"params": list(unseen), "unseen": True})
        return ONE_FORM[spec.name](groups, **values)
    how: dict[str, Any] = {"fused": True} if form == "fused" else {"foreach": form == "foreach"}
    if path == "fast" and device_type == "cuda" and spec.name != "sgd":
        how["capturable"] = True
    if path == "fast" and device_type == "cuda" and rate_changes:
        values["lr"] = torch.tensor(spec.lr, device=parameters[0].device)
    return OPTIMIZERS[spec.name](parameters, **values, **how)


def moves_unseen(spec: Optimizer) -> bool:
    """Say whether an optimizer moves a weight whose gradient is 0 in every step, by a decay; ASGD has two."""
    return spec.weight_decay > 0 or (isinstance(spec, ASGD) and spec.lambd > 0)


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Set the rate of every parameter group: the number, or what is in the tensor that stands for it."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(learning_rate)
        else:
            group["lr"] = learning_rate
