"""The training steps of the fast path on an accelerator: the host queues them, and waits for none.

Loss and hits of each step stay on the device, and are read together: once an epoch, or about once a second where an
epoch takes longer, so that a run can be stopped and saved. On CUDA a whole step is one graph: a small batch costs one
launch instead of hundreds.
"""

import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from resnet18.measure import Clock
from resnet18.training.feed import feed_training, to_device
from resnet18.training.results import Position
from resnet18.training.setup import Setup

READ_EVERY_S = 1.0
FIRST_STEPS = 8
"""Before the first reading, when the time of a step is unknown."""
WARM_UP = 3
"""Steps before a capture: libraries choose their algorithms, and optimizers make their state."""
Step = Callable[[Tensor, Tensor], Tensor]
"""Takes images and labels; makes a training step; returns figures of it."""


class QueuedSteps:
    """Trains epoch after epoch. It keeps the captured step, and how many steps to queue."""

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
    captured once. The short last batch of an epoch is made eagerly.

    Args:
        step: what to capture. It must not wait for the device.
        setup: whose optimizer the step uses.
    """

    def __init__(self, step: Step, setup: Setup) -> None:
        self.step, self.setup = step, setup
        self.warm = 0
        self.rates: list[float | int] = []  # what the graph holds of them: numbers, and where tensors lie

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        """Make the step; the figures are a copy of their own."""
        if len(labels) != self.setup.experiment.batch_size:
            return self.step(images, labels)
        if self.warm < WARM_UP:
            self.warm += 1
            return self._aside(images, labels)
        held = [group["lr"] for group in self.setup.optimizer.param_groups]
        rates = [rate.data_ptr() if isinstance(rate, Tensor) else rate for rate in held]
        if rates != self.rates:
            self._capture(images, labels)
            self.rates = rates
        self.images.copy_(images)
        self.labels.copy_(labels)
        self.graph.replay()
        return self.figures.clone()

    def _aside(self, images: Tensor, labels: Tensor) -> Tensor:
        here, side = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch ships no types for it
        side.wait_stream(here)
        with torch.cuda.stream(side):
            figures = self.step(images, labels)
        here.wait_stream(side)
        return figures

    def _capture(self, images: Tensor, labels: Tensor) -> None:
        """Record the step on buffers of its own. Nothing is computed yet."""
        self.images, self.labels = images.clone(), labels.clone()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.figures = self.step(self.images, self.labels)
