"""The whole training step as one CUDA graph: a small batch costs one launch instead of hundreds.

The first steps are made eagerly on a stream of their own, as a capture needs, and are the run's real first steps, so
nothing has to be undone. A graph holds a learning rate that is a number as a constant: another rate is another capture.
One that changes within epochs is a tensor (`build_optimizer`), which is filled before each replay and captured once.
Batches of another size, the short last one of an epoch, are made eagerly.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from resnet18.training.setup import Setup

WARM_UP = 3
"""Steps before the capture: libraries choose their algorithms, and optimizers make their state."""
Step = Callable[[Tensor, Tensor], Tensor]
"""Takes images and labels; makes a training step; returns figures of it."""


class GraphedStep:
    """A step that is captured once it is warm, and replayed from then on.

    Args:
        step: what to capture. It must not wait for the device.
        setup: whose optimizer the step uses.
    """

    def __init__(self, step: Step, setup: Setup) -> None:
        self.step, self.setup = step, setup
        self.warm = 0
        self.rates: list[float | int] = []
        """What the graph holds of learning rates: numbers, and where tensors lie."""

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        """Make the step; the figures are a copy of their own."""
        if len(labels) != self.setup.experiment.batch_size:
            return self.step(images, labels)
        if self.warm < WARM_UP:
            self.warm += 1
            return self._aside(images, labels)
        rates = [_held(group["lr"]) for group in self.setup.optimizer.param_groups]
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


def _held(rate: float | Tensor) -> float | int:
    """Return what a graph holds of a rate; a tensor's value is read on the device, and no host waits for it."""
    return rate.data_ptr() if isinstance(rate, Tensor) else rate
