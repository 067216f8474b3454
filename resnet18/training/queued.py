"""The training steps of the fast path on an accelerator: the host queues them, and waits for none.

Loss and hits of each step stay on the device, and are read together: once an epoch, or about once a second where an
epoch takes longer, so that a run can be stopped and saved.
"""

import math
import time
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from resnet18.measure.clock import Clock
from resnet18.training.device import autocast
from resnet18.training.feed import feed_training, to_device
from resnet18.training.graph import GraphedStep
from resnet18.training.rates import set_rate_of_step
from resnet18.training.results import DivergedError, Position
from resnet18.training.setup import Setup

READ_EVERY_S = 1.0
FIRST_STEPS = 8
"""Before the first reading, when nobody knows yet how long a step takes."""


class QueuedSteps:
    """Trains epoch after epoch. It keeps what lasts from one to the next: the captured step, and the pace."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.steps_per_reading = FIRST_STEPS
        self.step = GraphedStep(self.eager_step, setup) if setup.is_graphed else self.eager_step

    def epoch(self, clock: Clock, begin: Position) -> Iterator[Position]:
        """Pass once over the training images, from a position on; yield the position after each reading.

        Raises:
            DivergedError: a loss that is no finite number. Updates after it have been made.
        """
        self.setup.model.train()
        with clock.scope("train_s"), clock.scope("data_wait_s", synchronized=False):
            waiting = feed_training(self.setup, begin)
        position = begin
        while True:
            start = time.perf_counter()
            figures: list[Tensor] = []
            counts: list[int] = []
            with clock.scope("train_s"):
                while len(figures) < self.steps_per_reading:
                    with clock.scope("data_wait_s", synchronized=False):
                        batch = next(waiting, None)
                    if batch is None:
                        break
                    images, labels = to_device(batch, self.setup)
                    del batch  # in another memory format it would stay beside its copy
                    set_rate_of_step(self.setup, position.epoch, position.steps + len(figures))
                    figures.append(self.step(images, labels))
                    counts.append(len(labels))
                if not figures:
                    return
                position = _read(position, torch.stack(figures).cpu().tolist(), counts)
            self.steps_per_reading = max(1, int(len(figures) * READ_EVERY_S / (time.perf_counter() - start)))
            yield position

    def eager_step(self, images: Tensor, labels: Tensor) -> Tensor:
        """Make one step; return float32 [2]: the mean loss, and the number of hits."""
        setup = self.setup
        setup.optimizer.zero_grad()
        with autocast(setup.execution, setup.device):
            logits = setup.network(images)
            loss = cross_entropy(logits, labels, label_smoothing=setup.experiment.label_smoothing)
        setup.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # torch ships no types for it
        setup.scaler.step(setup.optimizer)
        setup.scaler.update()
        hits = (logits.argmax(1) == labels).sum()
        return torch.stack((loss.detach().float(), hits.float()))


def _read(position: Position, figures: list[list[float]], counts: list[int]) -> Position:
    for (mean_loss, hits), count in zip(figures, counts, strict=True):
        if not math.isfinite(mean_loss):
            raise DivergedError(
                f"loss {mean_loss} in epoch {position.epoch}, step {position.steps + 1} "
                f"(the loss before: {position.last_loss})"
            )
        tally = position.tally.add(mean_loss, int(hits), count)
        position = Position(position.epoch, position.steps + 1, tally, mean_loss)
    return position
