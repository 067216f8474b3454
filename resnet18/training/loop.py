"""The training loop. What the clock counts can be seen in it."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from resnet18.measure import Clock
from resnet18.spec.augmentation import Operation, clean
from resnet18.spec.experiment import LAST_EPOCHS
from resnet18.spec.forecast import EVALUATION_BATCH
from resnet18.training.device import autocast, synchronize
from resnet18.training.feed import feed, feed_training, to_device
from resnet18.training.queued import QueuedSteps
from resnet18.training.results import START, DivergedError, EpochResult, Position, Tally
from resnet18.training.setup import MEMORY_FORMATS, Setup


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
        is_last = epoch > experiment.epochs - LAST_EPOCHS
        indices = setup.test_indices_last if is_last else setup.test_indices_epoch
        with clock.scope("eval_as_published_s"):
            as_published, _ = evaluate(setup, indices, experiment.test_augmentation, epoch)
        with clock.scope("eval_clean_s"):
            cleanly, predictions = evaluate(setup, indices, clean(experiment.test_augmentation), epoch)
        rate = setup.rate_of_step(epoch, position.steps - 1)
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
    """Pass once over the training images, from a position in the epoch on; yield the position after each step.

    Raises:
        DivergedError: a loss that is no finite number; its update was not made.
    """
    setup.model.train()
    with clock.scope("train_s"), clock.scope("data_wait_s"):
        waiting = feed_training(setup, begin)
    position = begin
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

    Raises:
        DivergedError: the last update of the epoch broke the network.
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


def compile_network(setup: Setup) -> None:
    """Run the compiled network forwards and backwards on blank images, and undo what that changed.

    So the compiler's time is not booked on the first epoch.
    Both shapes of a training epoch are compiled, the full and the short last batch. Batch-norm statistics are put
    back and gradients dropped, so that training starts as it would without the compiler.
    """
    before = {name: buffer.clone() for name, buffer in setup.model.named_buffers()}
    setup.model.train()
    for count in _batch_sizes(len(setup.train_indices), setup.experiment.batch_size):
        _, loss = setup.forward(_blank(setup, count), torch.zeros(count, dtype=torch.long, device=setup.device))
        loss.backward()  # type: ignore[no-untyped-call]  # torch ships no types for it
        setup.optimizer.zero_grad()
    setup.model.eval()
    with torch.no_grad():
        for name, buffer in setup.model.named_buffers():
            buffer.copy_(before[name])
        for count in _batch_sizes(len(setup.test_indices_last), EVALUATION_BATCH):
            with autocast(setup.execution, setup.device):
                setup.network(_blank(setup, count))
    synchronize(setup.device)


def _batch_sizes(images: int, batch: int) -> list[int]:
    return [size for size in dict.fromkeys((min(batch, images), images % batch)) if size]


def _blank(setup: Setup, count: int) -> torch.Tensor:
    size = setup.experiment.image_size
    images = torch.zeros(count, 3, size, size, device=setup.device)
    return images.to(memory_format=MEMORY_FORMATS[setup.execution.memory_format])
