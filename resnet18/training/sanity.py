"""Whether a network that trained to the end has learned anything: what the flag `no_learning` says."""

import math

import numpy as np
from numpy.typing import NDArray

from resnet18.training.results import EpochResult, Tally
from resnet18.training.setup import Setup

LEAST_STEPS = 1_000
"""Updates before a network is expected to show anything: a smoke run makes 64, and slow optimizers need more."""
DEVIATIONS = 3
"""Binomial standard errors above chance that no guessing reaches (once in 700 times)."""


def learned_nothing(setup: Setup, last: EpochResult) -> bool:
    """Return whether neither the training images nor the clean test images were told apart, given time enough.

    Args:
        setup: what was trained.
        last: the result of the last epoch.
    """
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
