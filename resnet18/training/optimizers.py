"""The optimizers of a spec: its values handed to torch's classes."""

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from resnet18.spec.optimizer import Optimizer, TorchOptimizer

WRAPPED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
"""Methods that torch keeps its compiler out of, by a wrapper whose first call imports the compiler: a second."""


def form_of(spec: TorchOptimizer, path: str, device_type: str) -> str:
    """Return which of torch's forms an optimizer runs in: `loop` over parameters, `foreach` or `fused`.

    `reference`: the loop, the only form that every optimizer has, so that a time column compares optimizers and not
    forms. `fast`: fused where torch has that form; else foreach on CUDA, and the loop on a CPU, where it is no slower.
    """
    if path == "reference" or device_type not in {"cpu", "cuda"}:
        return "loop"
    if spec.is_fused:
        return "fused"
    return "loop" if device_type == "cpu" else "foreach"


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
    form = form_of(spec, path, device_type)
    how: dict[str, Any] = {"fused": True} if form == "fused" else {"foreach": form == "foreach"}
    if path == "fast" and device_type == "cpu":
        optimizer = _without_compiler(torch_class)([{"params": parameters}], **values, **how)
        if unseen and spec.moves_unseen:
            optimizer.add_param_group({"params": list(unseen), "unseen": True})
            zeros = [torch.zeros_like(weight) for weight in unseen]
            optimizer.register_step_pre_hook(lambda *_: _set_gradients(unseen, zeros))
        return optimizer
    if path == "fast" and device_type == "cuda":
        if spec.counts_steps:
            how["capturable"] = True
        if rate_changes:
            values["lr"] = torch.tensor(spec.lr, device=parameters[0].device)
    return torch_class(parameters, **values, **how)


def _without_compiler(torch_class: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    """Return a class of torch's that does the same and never imports torch's compiler."""
    step = torch.no_grad()(inspect.unwrap(torch_class.step))
    plain = {name: inspect.unwrap(getattr(torch_class, name)) for name in WRAPPED}
    return type(torch_class.__name__, (torch_class,), {**plain, "step": step})


def _set_gradients(weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
    """Give weights that no data reach their gradient, which is 0: weight decay moves them all the same."""
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.grad = gradient


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Set the rate of every parameter group: the number, or what is in the tensor that stands for it."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(learning_rate)
        else:
            group["lr"] = learning_rate
