"""The training loop. What the clock counts can be seen in it.

On an accelerator the host of the fast path queues steps and waits for none (`QueuedSteps`): loss and hits stay on the
device, and are read once an epoch, or about once a second where an epoch takes longer, so that a run can be stopped
and saved. On CUDA a whole step is one graph: a small batch costs one launch instead of hundreds.
"""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from resnet18.measure import Clock
from resnet18.records.record import Epoch
from resnet18.spec.augmentation import Operation, clean
from resnet18.spec.experiment import LAST_EPOCHS
from resnet18.training.device import autocast
from resnet18.training.feed import feed, feed_training, to_device
from resnet18.training.results import START, DivergedError, EpochEnd, Position, Tally
from resnet18.training.setup import EVALUATION_BATCH, Setup

READ_EVERY_S = 1.0
FIRST_STEPS = 8
"""Before the first reading, when the time of a step is unknown."""
WARM_UP = 3
"""Steps before a capture: libraries choose their algorithms, and optimizers make their state."""


def train(setup: Setup, clock: Clock, begin: Position = START) -> Iterator[Position | EpochEnd]:
    """Train, and yield the position after each step (each reading of queued ones), and each epoch's end.

    Whoever takes them may stop here, or save the position and begin again there: the results are the same.
    Raises DivergedError at a loss that is no finite number.
    """
    experiment = setup.experiment
    queued = QueuedSteps(setup) if setup.runs_ahead else None
    for epoch in range(begin.epoch, experiment.epochs + 1):
        reached = start = begin if epoch == begin.epoch else Position(epoch)
        for reached in queued.epoch(clock, start) if queued else train_epoch(setup, clock, start):
            yield reached
        is_last = epoch > experiment.epochs - LAST_EPOCHS
        indices = setup.test_indices_last if is_last else setup.test_indices_epoch
        with clock.scope("eval_as_published_s"):
            as_published, _ = evaluate(setup, indices, experiment.test_augmentation, epoch)
        with clock.scope("eval_clean_s"):
            cleanly, predictions = evaluate(setup, indices, clean(experiment.test_augmentation), epoch)
        result = Epoch(
            epoch=epoch,
            learning_rate=setup.rate_of_step(epoch, reached.steps - 1),
            steps=reached.steps,
            train=reached.tally.score,
            as_published=as_published.score,
            clean=cleanly.score,
            **lap(setup, clock),
        )
        yield EpochEnd(result, predictions)


def lap(setup: Setup, clock: Clock) -> dict[str, Any]:
    """Return seconds by scope since the last lap; None for statistics where no step is waited for."""
    return clock.lap() | ({"statistics_s": None} if setup.runs_ahead else {})


def train_epoch(setup: Setup, clock: Clock, position: Position) -> Iterator[Position]:
    """Pass once over the training images, from a position in the epoch on; yield the position after each step.

    Raises DivergedError at a loss that is no finite number; its update was not made.
    """
    setup.model.train()
    with clock.scope("train_s"), clock.scope("data_wait_s"):
        waiting = feed_training(setup, position)
    while True:
        with clock.scope("train_s"):
            with clock.scope("data_wait_s"):
                batch = next(waiting, None)
            if batch is None:
                return
            images, labels = to_device(batch, setup)
            del batch  # in another memory format it would stay beside its copy
            setup.set_rate_of_step(position.epoch, position.steps)
            setup.optimizer.zero_grad()
            logits, loss = setup.forward(images, labels)
        with clock.scope("statistics_s"):
            mean_loss = loss.item()
            correct = int((logits.argmax(1) == labels).sum().item())
        position = position.after_step(mean_loss, correct, len(labels))
        with clock.scope("train_s"):
            setup.update(loss)
        yield position


@torch.no_grad()
def evaluate(
    setup: Setup, indices: NDArray[np.int64], operations: tuple[Operation, ...], epoch: int
) -> tuple[Tally, NDArray[np.uint8]]:
    """Score test images; return the sums and the predicted classes, in the order of `indices`.

    Raises DivergedError where the last update of the epoch broke the network.
    """
    setup.model.eval()
    figures, predictions, counts = [], [], []
    for batch in feed(setup, "test", indices, operations, epoch, EVALUATION_BATCH):
        images, labels = to_device(batch, setup)
        del batch
        with autocast(setup.execution, setup.device):
            logits = setup.network(images)
        logits = logits.float()
        predicted = logits.argmax(1)
        figures.append(torch.stack((cross_entropy(logits, labels), (predicted == labels).sum().float())))
        predictions.append(predicted.to(torch.uint8))
        counts.append(len(labels))
    tally = Tally()
    for (mean_loss, correct), count in zip(torch.stack(figures).cpu().tolist(), counts, strict=True):
        tally = tally.add(mean_loss, int(correct), count)
    if not math.isfinite(tally.loss_sum):
        raise DivergedError(f"test loss {tally.loss_sum / tally.images} after epoch {epoch}")
    return tally, torch.cat(predictions).cpu().numpy()


class QueuedSteps:
    """Trains epoch after epoch. It keeps the captured step, and how many steps to queue."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.steps_per_reading = FIRST_STEPS
        self.step = GraphedStep(self.eager_step, setup) if setup.is_graphed else self.eager_step

    def epoch(self, clock: Clock, position: Position) -> Iterator[Position]:
        """Pass once over the training images, from a position on; yield the position after each reading.

        Raises DivergedError at a loss that is no finite number; updates after it have been made.
        """
        self.setup.model.train()
        with clock.scope("train_s"), clock.scope("data_wait_s", synchronized=False):
            waiting = feed_training(self.setup, position)
        while True:
            start = time.perf_counter()
            figures, counts = list[Tensor](), list[int]()
            with clock.scope("train_s"):
                while len(figures) < self.steps_per_reading:
                    with clock.scope("data_wait_s", synchronized=False):
                        batch = next(waiting, None)
                    if batch is None:
                        break
                    images, labels = to_device(batch, self.setup)
                    del batch  # as in `train_epoch`
                    self.setup.set_rate_of_step(position.epoch, position.steps + len(figures))
                    figures.append(self.step(images, labels))
                    counts.append(len(labels))
                if not figures:
                    return
                for (mean_loss, hits), count in zip(torch.stack(figures).cpu().tolist(), counts, strict=True):
                    position = position.after_step(mean_loss, int(hits), count)
            self.steps_per_reading = max(1, int(len(figures) * READ_EVERY_S / (time.perf_counter() - start)))
            yield position

    def eager_step(self, images: Tensor, labels: Tensor) -> Tensor:
        """Make one step; return float32 [2]: the mean loss, and the number of hits."""
        self.setup.optimizer.zero_grad()
        logits, loss = self.setup.forward(images, labels)
        self.setup.update(loss)
        hits = (logits.argmax(1) == labels).sum()
        return torch.stack((loss.detach().float(), hits.float()))


class GraphedStep:
    """A step that is captured as a CUDA graph once it is warm, and replayed from then on.

    The first steps are made eagerly on a stream of their own, as a capture needs, and are the run's real first steps,
    so nothing has to be undone. A graph holds a learning rate that is a number as a constant: another rate is another
    capture. A rate that changes within epochs is a tensor (`build_optimizer`), which is filled before each replay and
    captured once. The short last batch of an epoch is made eagerly. The step must not wait for the device.
    """

    def __init__(self, step: Callable[[Tensor, Tensor], Tensor], setup: Setup) -> None:
        self.step, self.setup = step, setup
        self.warm = 0
        self.rates: list[float | int] = []  # what the graph holds of them: numbers, and where tensors lie

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        """Make the step; the figures are a copy of their own."""
        if len(labels) != self.setup.experiment.batch_size:
            return self.step(images, labels)
        if self.warm < WARM_UP:
            self.warm += 1
            here, side = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch ships no types for it
            side.wait_stream(here)
            with torch.cuda.stream(side):
                figures = self.step(images, labels)
            here.wait_stream(side)
            return figures
        held = [group["lr"] for group in self.setup.optimizer.param_groups]
        rates = [rate.data_ptr() if isinstance(rate, Tensor) else rate for rate in held]
        if rates != self.rates:
            self._capture(images, labels)
            self.rates = rates
        self.images.copy_(images)
        self.labels.copy_(labels)
        self.graph.replay()
        return self.figures.clone()

    def _capture(self, images: Tensor, labels: Tensor) -> None:
        """Record the step on buffers of its own. Nothing is computed yet."""
        self.images, self.labels = images.clone(), labels.clone()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.figures = self.step(self.images, self.labels)
