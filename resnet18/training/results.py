"""What training hands out: its position between two steps, the result of an epoch, and what a finished network is."""

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from resnet18.training.fast.state import full_state
from resnet18.training.model import CLASSES
from resnet18.training.setup import Setup

SAMPLES = 6
LEAST_STEPS = 1_000
"""Updates before a network is expected to show anything: a smoke run makes 64, and slow optimizers need more."""
DEVIATIONS = 3
"""Binomial standard errors above chance that no guessing reaches (once in 700 times)."""


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

    def after_step(self, mean_loss: float, correct: int, images: int) -> "Position":
        """Return the position after one more step.

        Raises:
            DivergedError: the loss is no finite number.
        """
        if not math.isfinite(mean_loss):
            where = f"epoch {self.epoch}, step {self.steps + 1} (the loss before: {self.last_loss})"
            raise DivergedError(f"loss {mean_loss} in {where}")
        return Position(self.epoch, self.steps + 1, self.tally.add(mean_loss, correct, images), mean_loss)


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


@dataclass(frozen=True)
class Conclusion:
    """Results of the last epoch, on clean test images."""

    confusion: tuple[tuple[int, ...], ...]
    """Counts [label][prediction]."""
    samples: tuple[tuple[int, int, int], ...]
    """(index in the original test set, label, prediction) of six images spread evenly over the test subset."""
    sample_images: NDArray[np.uint8]
    """[6, side, side, 3]: the samples' pixels, as the data set stores them."""
    parameters_sha256: str
    predictions_sha256: str


def conclude(setup: Setup, predictions: NDArray[np.uint8]) -> Conclusion:
    """Return the results, given the predicted class [n] of each image of the last test subset."""
    indices = setup.test_indices_last
    labels = setup.data.test.labels[indices]
    confusion = np.zeros((len(setup.data.classes), CLASSES), dtype=np.int64)
    np.add.at(confusion, (labels, predictions), 1)
    spread = np.linspace(0, len(indices) - 1, SAMPLES).astype(int)
    return Conclusion(
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        samples=tuple((int(indices[at]), int(labels[at]), int(predictions[at])) for at in spread),
        sample_images=setup.data.test.images[indices[spread]],
        parameters_sha256=parameters_sha256(setup.model),
        predictions_sha256=hashlib.sha256(predictions.tobytes()).hexdigest(),
    )


def parameters_sha256(model: nn.Module) -> str:
    """Return the SHA-256 of all parameters and buffers, unseen weights too: names, then little-endian bytes."""
    total = hashlib.sha256()
    for name, tensor in full_state(model).items():
        total.update(f"{name} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()


def parameter_count(model: nn.Module) -> int:
    """Return the number of trainable parameters, unseen weights too."""
    whole = full_state(model)
    return sum(whole[name].numel() for name, _ in model.named_parameters())


def learned_nothing(setup: Setup, last: EpochResult) -> bool:
    """Return whether the last epoch told neither training nor clean test images apart, given time enough."""
    if last.epoch * last.steps < LEAST_STEPS:
        return False
    return is_at_chance(last.train, setup.data.train.labels[setup.train_indices]) and is_at_chance(
        last.clean, setup.data.test.labels[setup.test_indices_last]
    )


def is_at_chance(tally: Tally, labels: NDArray[np.integer]) -> bool:
    """Return whether the hits are no more than always naming the commonest label would get, by three errors."""
    chance = float(np.bincount(labels).max()) / len(labels)
    error = math.sqrt(tally.images * chance * (1 - chance))
    return tally.correct <= tally.images * chance + DEVIATIONS * error
