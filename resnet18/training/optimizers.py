"""The optimizers of a spec: its values handed to torch's classes."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from resnet18.spec.optimizer import Optimizer, TorchOptimizer
from resnet18.training import update


def form_of(spec: TorchOptimizer, path: str, device_type: str) -> str:
    """Return in which form an optimizer runs: `kernel`, or torch's: `loop` over parameters, `foreach`, `fused`.

    `reference`: torch's loop, the only form that every optimizer of torch has, so that a time column compares
    optimizers and not forms. `fast`: on a CPU the kernels of `update`, or, where there are none, a loop with the same
    bits; on CUDA fused where torch has it, else foreach.
    """
    if path == "reference" or device_type not in {"cpu", "cuda"}:
        return "loop"
    if device_type == "cpu":
        return update.form()
    return "fused" if spec.is_fused else "foreach"


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

    On CUDA the fast path counts steps on the device, so that a CUDA graph can hold the update. Where `rate_changes`
    within epochs, its rate is a tensor on the device, too: a graph reads what is in it at each step.
    `unseen` are the weights of a fast network that get no gradient (`unseen_weights`).
    """
    parameters = list(parameters)
    torch_class: type[torch.optim.Optimizer] = getattr(torch.optim, spec.torch_class)
    values = spec.model_dump(exclude={"name"})
    form = form_of(spec, path, device_type)  # compiles the kernels where that is to be done, before a clock runs
    if path == "fast" and device_type == "cpu":
        groups: list[dict[str, Any]] = [{"params": parameters}]
        if unseen and spec.moves_unseen:
            groups.append({"params": list(unseen), "unseen": True})
        return update.one_form(spec.name, torch_class)(groups, **values)
    how: dict[str, Any] = {"fused": True} if form == "fused" else {"foreach": form == "foreach"}
    if path == "fast" and device_type == "cuda":
        if spec.counts_steps:
            how["capturable"] = True
        if rate_changes:
            values["lr"] = torch.tensor(spec.lr, device=parameters[0].device)
    return torch_class(parameters, **values, **how)


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Set the rate of every parameter group: the number, or what is in the tensor that stands for it."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(learning_rate)
        else:
            group["lr"] = learning_rate
