"""What training needs, built once: the network on its device, the optimizer, the subsets, the stored images."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from resnet18.data.dataset import DataSet, subset
from resnet18.spec.experiment import Execution, Experiment
from resnet18.spec.optimizer import Optimizer, TorchOptimizer
from resnet18.training.device import autocast, resolve_for_device, synchronize
from resnet18.training.fast import build_fast_network
from resnet18.training.fast.trimmed import trimmed_layers
from resnet18.training.model import build_model

EVALUATION_BATCH = 100  # images that are evaluated at once
MEMORY_FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
WRAPPED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
"""Methods that torch keeps its compiler out of, by a wrapper whose first call imports the compiler: a second."""


@dataclass(frozen=True)
class Setup:
    """One run's spec, data, network, optimizer and device, as `train` and `evaluate` take them."""

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
    stored: dict[str, list[Tensor]]
    """Copies of all of `train` and `test` on an accelerator: uint8 [n, side, side, 3], and int64 labels [n]."""

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
        """Give the optimizer the rate of the step that comes now: a number, or the content of a tensor."""
        rate = self.rate_of_step(epoch, step)
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate


def set_up(experiment: Experiment, execution: Execution, data: DataSet, device: torch.device) -> Setup:
    """Return the network on its device, the optimizer, the subsets and the stored images.

    The fast path has a network of its own on the CPU, and torch's layers elsewhere.
    Raises UnsupportedError where the device lacks the precision.
    """
    execution = resolve_for_device(execution, device)
    model: nn.Module
    if execution.path == "fast" and device.type == "cpu":
        model = build_fast_network(experiment, execution.precision)
    else:
        model = build_model(experiment).to(device).to(memory_format=MEMORY_FORMATS[execution.memory_format])
    splits = {"train": data.train, "test": data.test} if execution.path == "fast" and device.type != "cpu" else {}
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
            unseen=[layer.unseen for layer in trimmed_layers(model).values()],
        ),
        train_indices=subset(data, "train", experiment.train_images),
        test_indices_epoch=subset(data, "test", experiment.test_images_epoch),
        test_indices_last=subset(data, "test", experiment.test_images_last),
        stored={
            name: [torch.tensor(split.images, device=device), torch.tensor(split.labels, device=device).long()]
            for name, split in splits.items()
        },
    )


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
    `unseen` are the weights of a fast network that get no gradient: weight decay moves them all the same.
    """
    parameters = list(parameters)
    torch_class: type[torch.optim.Optimizer] = getattr(torch.optim, type(spec).__name__)
    values = spec.model_dump(exclude={"name"})
    form = form_of(spec, path, device_type)
    values |= {"fused": True} if form == "fused" else {"foreach": form == "foreach"}
    if path == "fast" and device_type == "cpu":
        optimizer = _without_compiler(torch_class)([{"params": parameters}], **values)
        if unseen and any(getattr(spec, key) for key in spec.decays):
            optimizer.add_param_group({"params": list(unseen)})
            zeros = [torch.zeros_like(weight) for weight in unseen]

            def set_gradients(*_: object) -> None:
                for weight, zero in zip(unseen, zeros, strict=True):
                    weight.grad = zero

            optimizer.register_step_pre_hook(set_gradients)
        return optimizer
    if path == "fast" and device_type == "cuda":
        values |= {"capturable": True} if spec.counts_steps else {}
        values |= {"lr": torch.tensor(spec.lr, device=parameters[0].device)} if rate_changes else {}
    return torch_class(parameters, **values)


def _without_compiler(torch_class: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    """Return a class of torch's that does the same and never imports torch's compiler."""
    step = torch.no_grad()(inspect.unwrap(torch_class.step))
    plain = {name: inspect.unwrap(getattr(torch_class, name)) for name in WRAPPED}
    return type(torch_class.__name__, (torch_class,), {**plain, "step": step})


def compile_network(setup: Setup) -> None:
    """Run the compiled network on blank batches, so that the compiler's time is not booked on the first epoch.

    Full and short last batches of training and of the test are compiled. Batch-norm statistics are put back and
    gradients dropped, so that training starts as it would without the compiler.
    """
    before = {name: buffer.clone() for name, buffer in setup.model.named_buffers()}
    setup.model.train()
    for images in _blank_batches(setup, len(setup.train_indices), setup.experiment.batch_size):
        _, loss = setup.forward(images, torch.zeros(len(images), dtype=torch.long, device=setup.device))
        loss.backward()  # type: ignore[no-untyped-call]  # torch ships no types for it
        setup.optimizer.zero_grad()
    setup.model.eval()
    with torch.no_grad():
        for name, buffer in setup.model.named_buffers():
            buffer.copy_(before[name])
        for images in _blank_batches(setup, len(setup.test_indices_last), EVALUATION_BATCH):
            with autocast(setup.execution, setup.device):
                setup.network(images)
    synchronize(setup.device)


def _blank_batches(setup: Setup, images: int, batch: int) -> list[Tensor]:
    side, memory_format = setup.experiment.image_size, MEMORY_FORMATS[setup.execution.memory_format]
    sizes = [size for size in dict.fromkeys((min(batch, images), images % batch)) if size]
    return [torch.zeros(n, 3, side, side, device=setup.device).to(memory_format=memory_format) for n in sizes]
