"""The training loop. What the clock counts can be seen in it."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from resnet18.measure.clock import Clock
from resnet18.spec.augmentation import Operation, clean
from resnet18.training.device import autocast
from resnet18.training.feed import feed, feed_training, to_device
from resnet18.training.queued import QueuedSteps
from resnet18.training.ranks import of_all, part, share_buffers, summed
from resnet18.training.rates import rate_of_step, set_rate_of_step
from resnet18.training.results import START, DivergedError, EpochResult, Position, Tally
from resnet18.training.setup import Setup

EVALUATION_BATCH = 100


def train(setup: Setup, clock: Clock, begin: Position = START) -> Iterator[Position | EpochResult]:
    """Train, and yield the position between steps and the result after each epoch, as soon as they are there.

    Steps that are queued on a device (`queued`) have a position after each reading, all others after each of them.

    Whoever takes them may stop here, or save the position and begin again there: the results are the same.

    Raises:
        DivergedError: a loss that is no finite number.
    """
    experiment = setup.experiment
    queued = QueuedSteps(setup) if setup.runs_ahead else None
    for epoch in range(begin.epoch, experiment.epochs + 1):
        position = begin if epoch == begin.epoch else Position(epoch)
        steps = queued.epoch(clock, position) if queued else train_epoch(setup, clock, position)
        for after_a_step in steps:
            position = after_a_step
            yield position
        indices = setup.test_indices_last if epoch == experiment.epochs else setup.test_indices_epoch
        with clock.scope("eval_as_published_s"):
            as_published, _ = evaluate(setup, indices, experiment.test_augmentation, epoch)
        with clock.scope("eval_clean_s"):
            cleanly, predictions = evaluate(setup, indices, clean(experiment.test_augmentation), epoch)
        rate = rate_of_step(setup, epoch, position.steps - 1)
        yield EpochResult(
            epoch, rate, position.steps, position.tally, as_published, cleanly, lap(setup, clock), predictions
        )


def lap(setup: Setup, clock: Clock) -> dict[str, float]:
    """Return seconds by scope since the last lap, without that of statistics where no step is waited for."""
    seconds = clock.lap()
    if setup.runs_ahead:
        del seconds["statistics_s"]
    return seconds


def train_epoch(setup: Setup, clock: Clock, begin: Position) -> Iterator[Position]:
    """Pass once over the training images, from a position in the epoch on; yield the position after each step."""
    setup.model.train()
    with clock.scope("train_s"), clock.scope("data_wait_s"):
        waiting = feed_training(setup, begin)
    tally, steps, last_loss = begin.tally, begin.steps, begin.last_loss
    while True:
        with clock.scope("train_s"):
            with clock.scope("data_wait_s"):
                batch = next(waiting, None)
            if batch is None:
                return
            images, labels = to_device(batch, setup)
            del batch  # in another memory format it would stay beside its copy
            set_rate_of_step(setup, begin.epoch, steps)
            setup.optimizer.zero_grad()
            with autocast(setup.execution, setup.device):
                logits = setup.network(images)
                loss = _loss(setup, logits, labels, count := _images_of_step(setup, steps))
        with clock.scope("statistics_s"):
            mean_loss, correct = _read(setup, loss, logits, labels)
        if not math.isfinite(mean_loss):
            raise DivergedError(
                f"loss {mean_loss} in epoch {begin.epoch}, step {steps + 1} (the loss before: {last_loss})"
            )
        with clock.scope("train_s"):
            setup.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # torch ships no types for it
            setup.scaler.step(setup.optimizer)
            setup.scaler.update()
        tally, steps, last_loss = tally.add(mean_loss, correct, count), steps + 1, mean_loss
        yield Position(begin.epoch, steps, tally, last_loss)


def _images_of_step(setup: Setup, step: int) -> int:
    """Return how many images a step of an epoch has, counted from 0, over all ranks."""
    size = setup.experiment.batch_size
    return min(size, len(setup.train_indices) - step * size)


def _loss(setup: Setup, logits: Tensor, labels: Tensor, images: int) -> Tensor:
    """Return the mean loss over a batch of so many images; of several ranks, what has this as its mean over them.

    Each of N ranks gives N / images times the sum of its own, whatever the size of its part: the gradients, of which
    DistributedDataParallel takes the mean, are then those of the whole batch's mean.
    """
    smoothing = setup.experiment.label_smoothing
    if setup.ranks.count == 1:
        return cross_entropy(logits, labels, label_smoothing=smoothing)
    return cross_entropy(logits, labels, reduction="sum", label_smoothing=smoothing) * (setup.ranks.count / images)


def _read(setup: Setup, loss: Tensor, logits: Tensor, labels: Tensor) -> tuple[float, int]:
    """Return mean loss and hits of a batch, over all ranks, and the same on each of them."""
    if setup.ranks.count == 1:
        return loss.item(), int((logits.argmax(1) == labels).sum().item())
    own = torch.stack((loss.detach().double(), (logits.argmax(1) == labels).sum().double()))
    losses, hits = zip(*of_all(own, setup.ranks).tolist(), strict=True)
    return sum(losses) / len(losses), int(sum(hits))


@torch.no_grad()
def evaluate(
    setup: Setup, indices: NDArray[np.int64], operations: tuple[Operation, ...], epoch: int
) -> tuple[Tally, NDArray[np.uint8]]:
    """Score test images; return the sums and the predicted classes, in the order of `indices`.

    Several ranks share the batches out, and have the same answer: that of one process with the same parameters.

    Raises:
        DivergedError: the last update of the epoch broke the network.
    """
    setup.model.eval()
    share_buffers(setup.model, setup.ranks)
    counts = [min(EVALUATION_BATCH, len(indices) - start) for start in range(0, len(indices), EVALUATION_BATCH)]
    figures = torch.zeros(len(counts), 2, device=setup.device)
    predictions = torch.zeros(len(indices), dtype=torch.uint8, device=setup.device)
    own = part(len(counts), setup.ranks)
    images_of = [slice(at * EVALUATION_BATCH, at * EVALUATION_BATCH + count) for at, count in enumerate(counts)]
    ours = indices[own.start * EVALUATION_BATCH : own.stop * EVALUATION_BATCH]
    for number, batch in enumerate(feed(setup, "test", ours, operations, epoch, EVALUATION_BATCH), start=own.start):
        images, labels = to_device(batch, setup)
        del batch
        with autocast(setup.execution, setup.device):
            logits = setup.scored(images)
        logits = logits.float()
        predicted = logits.argmax(1)
        figures[number] = torch.stack((cross_entropy(logits, labels), (predicted == labels).sum().float()))
        predictions[images_of[number]] = predicted
    tally = Tally()
    for (mean_loss, correct), count in zip(summed(figures, setup.ranks).cpu().tolist(), counts, strict=True):
        tally = tally.add(mean_loss, int(correct), count)
    if not math.isfinite(tally.loss_sum):
        raise DivergedError(f"test loss {tally.loss_sum / tally.images} after epoch {epoch}")
    return tally, summed(predictions, setup.ranks).cpu().numpy()
