"""What training needs, built once: the network on its device, the optimizer, the subsets."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnet18.data.dataset import DataSet, subset
from resnet18.spec.experiment import Execution, Experiment
from resnet18.spec.optimizer import changes_within_epochs
from resnet18.training.batched.kernels import load_kernels
from resnet18.training.device import carried_out
from resnet18.training.fast import build_fast_network, unseen_weights
from resnet18.training.fast.native import kernels
from resnet18.training.fast_batches import Resident, residents
from resnet18.training.model import build_model
from resnet18.training.optimizers import build_optimizer

MEMORY_FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


@dataclass(frozen=True)
class Setup:
    """Everything that the loop needs."""

    experiment: Experiment
    execution: Execution
    """As it is carried out: with the precision and the memory format that run."""
    data: DataSet
    device: torch.device
    model: nn.Module
    network: Callable[[Tensor], Tensor]
    """The model, compiled where the spec asks for it: what is called."""
    scaler: torch.amp.GradScaler
    """Scales the loss for fp16, whose small gradients would vanish; passes everything through otherwise."""
    optimizer: torch.optim.Optimizer
    train_indices: NDArray[np.int64]
    test_indices_epoch: NDArray[np.int64]
    test_indices_last: NDArray[np.int64]
    resident: dict[str, Resident]
    """The stored images of `train` and `test` where the fast path reads them."""

    @property
    def runs_ahead(self) -> bool:
        """Whether steps are queued on the device without waiting for them."""
        return self.execution.path == "fast" and self.device.type != "cpu"

    @property
    def is_graphed(self) -> bool:
        """Whether a step is one CUDA graph. Scaling fp16's loss asks the host in each step."""
        return self.runs_ahead and self.device.type == "cuda" and not self.scaler.is_enabled()


def set_up(experiment: Experiment, execution: Execution, data: DataSet, device: torch.device) -> Setup:
    """Return the network on its device, the optimizer and the subsets.

    Raises:
        UnsupportedError: the device lacks the precision.
    """
    execution = carried_out(execution, device)
    model = _network(experiment, execution, device)
    return Setup(
        experiment,
        execution,
        data,
        device,
        model,
        network=torch.compile(model, dynamic=False) if execution.compile else model,
        scaler=torch.amp.GradScaler(device.type, enabled=execution.precision == "fp16"),
        optimizer=build_optimizer(
            experiment.optimizer,
            model.parameters(),
            execution.path,
            device.type,
            rate_changes=changes_within_epochs(experiment.schedule),
            unseen=unseen_weights(model),
        ),
        train_indices=subset(data, "train", experiment.train_images),
        test_indices_epoch=subset(data, "test", experiment.test_images_epoch),
        test_indices_last=subset(data, "test", experiment.test_images_last),
        resident=residents(data, device) if execution.path == "fast" else {},
    )


def _network(experiment: Experiment, execution: Execution, device: torch.device) -> nn.Module:
    """Return the fast network where its kernels are, on the CPU; torch's layers elsewhere."""
    if execution.path == "fast" and device.type == "cpu":
        return build_fast_network(experiment, execution, device)
    return build_model(experiment).to(device).to(memory_format=MEMORY_FORMATS[execution.memory_format])


def path_numerics(execution: Execution, device: torch.device) -> dict[str, str]:
    """Return what the fast path adds to the numerics fingerprint: which of its forms this machine has.

    Compiled code is made here, before a clock runs.
    """
    if execution.path == "reference" or device.type != "cpu":
        return {}
    native = kernels()
    return {
        "network_kernels": "none" if native is None else native.form,
        "augmentation_kernels": "none" if load_kernels() is None else "compiled",
    }
