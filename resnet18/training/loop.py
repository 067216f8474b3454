"""The training loop. What the clock counts can be seen in it."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from resnet18.measure.clock import Clock
from resnet18.spec.augmentation import Operation, clean
from resnet18.spec.experiment import Execution, Experiment
from resnet18.spec.optimizer import learning_rate_factor
from resnet18.training.augment import build_pipeline
from resnet18.training.batched.pipeline import from_tables
from resnet18.training.batches import batches
from resnet18.training.dataset import DataSet, subset
from resnet18.training.device import autocast
from resnet18.training.fast_batches import fast_batches
from resnet18.training.keys import permutation
from resnet18.training.model import ResNet18, build_model
from resnet18.training.optimizers import build_optimizer, set_learning_rate

EVALUATION_BATCH = 100
MEMORY_FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


class DivergedError(Exception):
    """The loss became infinite or no number; the update that it asked for was not made."""


@dataclass(frozen=True)
class Tally:
    """Sums over a set of images."""

    loss_sum: float = 0.0
    correct: int = 0
    images: int = 0

    def add(self, mean_loss: float, correct: int, images: int) -> "Tally":
        """Return the sums with a batch added, weighted by its size: the last batch may be short."""
        return Tally(self.loss_sum + mean_loss * images, self.correct + correct, self.images + images)


@dataclass(frozen=True)
class Position:
    """Where training stands between two steps: with the tensors of the setup, all that it takes to go on."""

    epoch: int = 1
    steps: int = 0
    """Steps that this epoch has made."""
    tally: Tally = Tally()
    """Over the images of those steps."""
    last_loss: float | None = None


START = Position()


@dataclass(frozen=True)
class EpochResult:
    """What an epoch gave; the worker makes the record's entry of it."""

    epoch: int
    learning_rate: float
    steps: int
    train: Tally
    as_published: Tally
    clean: Tally
    seconds: dict[str, float]
    predictions: NDArray[np.uint8]
    """Predicted class of each evaluated test image (clean)."""


@dataclass(frozen=True)
class Setup:
    """Everything that the loop needs, built once."""

    experiment: Experiment
    execution: Execution
    data: DataSet
    device: torch.device
    model: ResNet18
    network: Callable[[Tensor], Tensor]
    """The model, compiled where the spec asks for it: what is called."""
    scaler: torch.amp.GradScaler
    """Scales the loss for fp16, whose small gradients would vanish; passes everything through otherwise."""
    optimizer: torch.optim.Optimizer
    train_indices: NDArray[np.int64]
    test_indices_epoch: NDArray[np.int64]
    test_indices_last: NDArray[np.int64]


def set_up(experiment: Experiment, execution: Execution, data: DataSet, device: torch.device) -> Setup:
    """Return the network on its device, the optimizer and the subsets."""
    model = build_model(experiment)
    model = model.to(device).to(memory_format=MEMORY_FORMATS[execution.memory_format])
    return Setup(
        experiment,
        execution,
        data,
        device,
        model,
        network=torch.compile(model, dynamic=False) if execution.compile else model,
        scaler=torch.amp.GradScaler(device.type, enabled=execution.precision == "fp16"),
        optimizer=build_optimizer(experiment.optimizer, model.parameters(), execution.path, device.type),
        train_indices=subset(data, "train", experiment.train_images),
        test_indices_epoch=subset(data, "test", experiment.test_images_epoch),
        test_indices_last=subset(data, "test", experiment.test_images_last),
    )


def train(setup: Setup, clock: Clock, begin: Position = START) -> Iterator[Position | EpochResult]:
    """Train, and yield the position after each step and the result after each epoch, as soon as they are there.

    Whoever takes them may stop here, or save the position and begin again there: the results are the same.

    Raises:
        DivergedError: a loss that is no finite number.
    """
    experiment = setup.experiment
    for epoch in range(begin.epoch, experiment.epochs + 1):
        learning_rate = experiment.optimizer.lr * learning_rate_factor(experiment.schedule, epoch)
        set_learning_rate(setup.optimizer, learning_rate)
        position = begin if epoch == begin.epoch else Position(epoch)
        for after_a_step in train_epoch(setup, clock, position):
            position = after_a_step
            yield position
        indices = setup.test_indices_last if epoch == experiment.epochs else setup.test_indices_epoch
        with clock.scope("eval_as_published_s"):
            as_published, _ = evaluate(setup, indices, experiment.test_augmentation, epoch)
        with clock.scope("eval_clean_s"):
            cleanly, predictions = evaluate(setup, indices, clean(experiment.test_augmentation), epoch)
        yield EpochResult(
            epoch, learning_rate, position.steps, position.tally, as_published, cleanly, clock.lap(), predictions
        )


def train_epoch(setup: Setup, clock: Clock, begin: Position) -> Iterator[Position]:
    """Pass once over the training images, from a position in the epoch on; yield the position after each step."""
    setup.model.train()
    experiment = setup.experiment
    with clock.scope("train_s"), clock.scope("data_wait_s"):
        order = permutation(experiment.seed, "order", begin.epoch, setup.train_indices)
        left = order[begin.steps * experiment.batch_size :]
        waiting = _batches(setup, "train", left, experiment.augmentation, begin.epoch, experiment.batch_size)
    tally, steps, last_loss = begin.tally, begin.steps, begin.last_loss
    while True:
        with clock.scope("train_s"):
            with clock.scope("data_wait_s"):
                batch = next(waiting, None)
            if batch is None:
                return
            images, labels = _to_device(batch, setup)
            del batch  # in another memory format it would stay beside its copy
            setup.optimizer.zero_grad()
            with autocast(setup.execution, setup.device):
                logits = setup.network(images)
                loss = cross_entropy(logits, labels)
        with clock.scope("statistics_s"):
            mean_loss = loss.item()
            correct = int((logits.argmax(1) == labels).sum().item())
        if not math.isfinite(mean_loss):
            raise DivergedError(
                f"loss {mean_loss} in epoch {begin.epoch}, step {steps + 1} (the loss before: {last_loss})"
            )
        with clock.scope("train_s"):
            setup.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # torch ships no types for it
            setup.scaler.step(setup.optimizer)
            setup.scaler.update()
        tally, steps, last_loss = tally.add(mean_loss, correct, len(labels)), steps + 1, mean_loss
        yield Position(begin.epoch, steps, tally, last_loss)


@torch.no_grad()
def evaluate(
    setup: Setup, indices: NDArray[np.int64], operations: tuple[Operation, ...], epoch: int
) -> tuple[Tally, NDArray[np.uint8]]:
    """Score test images; return the sums and the predicted classes, in the order of `indices`.

    Raises:
        DivergedError: the last update of the epoch broke the network.
    """
    setup.model.eval()
    tally, predictions = Tally(), []
    for batch in _batches(setup, "test", indices, operations, epoch, EVALUATION_BATCH):
        images, labels = _to_device(batch, setup)
        del batch
        with autocast(setup.execution, setup.device):
            logits = setup.network(images)
        logits = logits.float()
        predicted = logits.argmax(1)
        correct = int((predicted == labels).sum().item())
        tally = tally.add(cross_entropy(logits, labels).item(), correct, len(labels))
        predictions.append(predicted.cpu().numpy().astype(np.uint8))
    if not math.isfinite(tally.loss_sum):
        raise DivergedError(f"test loss {tally.loss_sum / tally.images} after epoch {epoch}")
    return tally, np.concatenate(predictions)


def _batches(
    setup: Setup,
    which: Literal["train", "test"],
    order: NDArray[np.int64],
    operations: tuple[Operation, ...],
    epoch: int,
    batch_size: int,
) -> Iterator[tuple[Tensor, Tensor]]:
    split = setup.data.train if which == "train" else setup.data.test
    pipeline = build_pipeline(
        operations,
        seed=setup.experiment.seed,
        purpose=f"{which}-augmentation",
        epoch=epoch,
        images=len(split.labels),
        native=setup.data.native_size,
        size=setup.experiment.image_size,
    )
    if setup.execution.path == "reference":
        return batches(split, order, pipeline, batch_size, setup.execution.workers)
    batched = from_tables(pipeline, images=len(split.labels), native=setup.data.native_size, device=setup.device)
    return fast_batches(split, order, batched, batch_size)


def _to_device(batch: tuple[Tensor, Tensor], setup: Setup) -> tuple[Tensor, Tensor]:
    images, labels = batch
    memory_format = MEMORY_FORMATS[setup.execution.memory_format]
    return images.to(setup.device, memory_format=memory_format), labels.to(setup.device)
