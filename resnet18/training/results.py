"""What training hands out: where it stands between two steps, and what an epoch gave."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


class DivergedError(Exception):
    """The loss became infinite or no number: the network is lost."""


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
    """Of the epoch's last step."""
    steps: int
    train: Tally
    as_published: Tally
    clean: Tally
    seconds: dict[str, float]
    """By scope, those that can be told apart."""
    predictions: NDArray[np.uint8]
    """Predicted class of each evaluated test image (clean)."""
