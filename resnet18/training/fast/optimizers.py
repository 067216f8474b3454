"""The optimizers of Table 3 in the fastest form that torch has on the device; the formulas are torch's own."""

import torch
from torch import nn

from resnet18.spec.optimizer import Optimizer
from resnet18.training.optimizers import OPTIMIZERS

FUSED = {"sgd", "adam"}
"""Those with one kernel for a whole step on the CPU; for the others the loop over parameters is the faster form."""


def build_fast_optimizer(spec: Optimizer, network: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer of the network's parameters."""
    parameters = list(network.parameters())
    values = spec.model_dump(exclude={"name"})
    if spec.name in FUSED:
        return OPTIMIZERS[spec.name](parameters, **values, fused=True)
    on_cpu = parameters[0].device.type == "cpu"
    return OPTIMIZERS[spec.name](parameters, **values, foreach=not on_cpu)
