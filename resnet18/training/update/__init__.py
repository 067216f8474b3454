"""One step of an optimizer, in one form for all of them on the CPU: one pass over memory, in compiled C or in torch."""

from resnet18.training.update.kernels import form
from resnet18.training.update.optimizer import OneForm

__all__ = ["OneForm", "form"]
