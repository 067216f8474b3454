"""What training needs, built once: the network on its device, the optimizer, the subsets, the stored images."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from resnet18.data.dataset import DataSet, Split, subset
from resnet18.spec.experiment import Execution, Experiment
from resnet18.training.batched import augmentation_kernels
from resnet18.training.device import autocast, carried_out
from resnet18.training.fast import build_fast_network
from resnet18.training.fast.state import unseen_weights
from resnet18.training.model import build_model
from resnet18.training.native import network_kernels
from resnet18.training.optimizers import build_optimizer, set_learning_rate

MEMORY_FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
StoredImages = Callable[[NDArray[np.int64]], tuple[Tensor, Tensor]]
"""Takes indices [n] in the original data set; returns uint8 [n, side, side, 3] and int64 labels [n], on the device."""


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
    stored: dict[str, StoredImages]
    """The images of `train` and `test` where the fast path reads them."""

    @property
    def runs_ahead(self) -> bool:
        """Whether steps are queued on the device without waiting for them."""
        return self.execution.path == "fast" and self.device.type != "cpu"

    @property
    def is_graphed(self) -> bool:
        """Whether a step is one CUDA graph. Scaling fp16's loss asks the host in each step."""
        return self.runs_ahead and self.device.type == "cuda" and not self.scaler.is_enabled()

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and mean training loss of a batch on the device."""
        with autocast(self.execution, self.device):
            logits = self.network(images)
            return logits, cross_entropy(logits, labels, label_smoothing=self.experiment.label_smoothing)

    def update(self, loss: Tensor) -> None:
        """Compute the gradients of a loss and make the optimizer's step."""
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # torch ships no types for it
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def rate_of_step(self, epoch: int, step: int) -> float:
        """Return the learning rate of a step; epochs are counted from 1, the steps of an epoch from 0."""
        experiment = self.experiment
        steps = -(-len(self.train_indices) // experiment.batch_size)
        at = (epoch - 1) * steps + step
        return experiment.schedule.rate(experiment.optimizer.lr, at, steps, experiment.epochs)

    def set_rate_of_step(self, epoch: int, step: int) -> None:
        """Give the optimizer the rate of the step that comes now."""
        set_learning_rate(self.optimizer, self.rate_of_step(epoch, step))


def set_up(experiment: Experiment, execution: Execution, data: DataSet, device: torch.device) -> Setup:
    """Return the network on its device, the optimizer, the subsets and the stored images.

    Raises:
        UnsupportedError: the device lacks the precision.
    """
    execution = carried_out(execution, device)
    model = _network(experiment, execution, device)
    keep = _on_host if device.type == "cpu" else _on_device
    splits = {"train": data.train, "test": data.test} if execution.path == "fast" else {}
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
            rate_changes=experiment.schedule.changes_within_epochs,
            unseen=unseen_weights(model),
        ),
        train_indices=subset(data, "train", experiment.train_images),
        test_indices_epoch=subset(data, "test", experiment.test_images_epoch),
        test_indices_last=subset(data, "test", experiment.test_images_last),
        stored={name: keep(split, device) for name, split in splits.items()},
    )


def _network(experiment: Experiment, execution: Execution, device: torch.device) -> nn.Module:
    """Return the fast network where its kernels are, on the CPU; torch's layers elsewhere."""
    if execution.path == "fast" and device.type == "cpu":
        return build_fast_network(experiment, execution, device)
    return build_model(experiment).to(device).to(memory_format=MEMORY_FORMATS[execution.memory_format])


def _on_host(split: Split, _device: torch.device) -> StoredImages:
    """Read images where they are: in pages of the decoded file, which all processes share."""

    def take(indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(split.images[indices]), torch.from_numpy(split.labels[indices].astype(np.int64))

    return take


def _on_device(split: Split, device: torch.device) -> StoredImages:
    """Read images from a copy on the device."""
    images = torch.from_numpy(np.array(split.images)).to(device)
    labels = torch.from_numpy(split.labels.astype(np.int64)).to(device)

    def take(indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        rows = torch.from_numpy(indices).to(device)
        return images[rows], labels[rows]

    return take


def path_numerics(execution: Execution, device: torch.device) -> dict[str, str]:
    """Return what the fast path adds to the numerics fingerprint: which of its forms this machine has.

    Compiled code is made here, before a clock runs.
    """
    if execution.path == "reference" or device.type != "cpu":
        return {}
    native = network_kernels()
    return {
        "network_kernels": "none" if native is None else native.form,
        "augmentation_kernels": "none" if augmentation_kernels() is None else "compiled",
    }
