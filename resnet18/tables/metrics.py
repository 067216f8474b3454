"""Numbers computed from a record. None of them is ever stored."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from math import inf, log
from operator import itemgetter
from statistics import fmean, linear_regression, median
from typing import NamedTuple

from resnet18.records.record import Epoch, Record, Score
from resnet18.spec.experiment import LAST_EPOCHS
from resnet18.spec.metric import METRICS, Quantity

PLATEAU_POINTS = 2.0
"""A run has reached its plateau when test accuracy is within this much of its own highest."""
WINDOW = 5
"""Epochs averaged on either side of a cut of the learning rate."""
FEWEST = 3
"""Epochs without which there is no window, no slope and no noise to speak of."""
LEAST_LOSS = 1e-7
"""Nats, the rounding of single precision: a lower loss has no logarithm to speak of."""
FEWEST_WITH_HALVES = 2 * FEWEST - 1
"""Epochs of which the later half has a slope; of fewer, "early" and "late" mean nothing."""

Curve = Sequence[float]
"""A value of each epoch."""


def percent(score: Score) -> float:
    """Return the accuracy in percent: of 58 among 100 exactly 58, which 100 times 0.58 is not."""
    return 100 * score.correct / score.images


CURVES: dict[str, Callable[[Epoch], float]] = {
    "train_loss": lambda epoch: epoch.train.loss,
    "test_loss": lambda epoch: epoch.clean.loss,
    "train_accuracy": lambda epoch: percent(epoch.train),
    "test_accuracy": lambda epoch: percent(epoch.clean),
}
"""What is read of every epoch, from which other metrics follow."""


def comparable_epochs(record: Record) -> Sequence[Epoch]:
    """Return the epochs that were tested on as many images as the first: at small scale the last three are not."""
    images = record.epochs[0].clean.images
    return [epoch for epoch in record.epochs if epoch.clean.images == images]


class Series(NamedTuple):
    """Mean, lowest and highest over the seeds by epoch, as long as the shortest run."""

    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def series(runs: Sequence[Sequence[Epoch]], value: Callable[[Epoch], float]) -> Series:
    """Return mean, lowest and highest over runs, for as many epochs as all of them have."""
    columns = [[value(epoch) for epoch in same] for same in zip(*runs, strict=False)]
    return Series(tuple(map(fmean, columns)), tuple(map(min, columns)), tuple(map(max, columns)))


def overfitting_epoch(records: Sequence[Record]) -> int | None:
    """Return the epoch of the lowest mean clean test loss if the loss rises from there, else None.

    It rises if that epoch is not among the last tenth, and all of the last tenth is higher by more than the seeds
    differ at that epoch; of one seed, by more than the loss moves over the epochs around it. Epochs tested on another
    number of images than the first are left out.
    """
    loss = series([comparable_epochs(record) for record in records], lambda epoch: epoch.clean.loss)
    at = loss.mean.index(min(loss.mean))
    around = loss.mean[max(at - 2, 0) : at + 3]
    noise = loss.high[at] - loss.low[at] if len(records) > 1 else max(around) - min(around)
    # The lowest of many noisy values is always low. The last tenth has its own lowest: a flat curve is not marked.
    lowest_at_the_end = min(loss.mean[len(loss.mean) * 9 // 10 :])
    return at + 1 if lowest_at_the_end - loss.mean[at] > noise else None


def images_at_the_end(records: Sequence[Record]) -> set[tuple[int, int]]:
    """Return the test images of the first and the last epoch of the shortest runs, where the two differ."""
    shortest = min(len(record.epochs) for record in records)
    images = [[epoch.as_published.images for epoch in record.epochs] for record in records]
    return {(run[0], run[-1]) for run in images if len(run) == shortest and run[0] != run[-1]}


def best_accuracy(record: Record) -> float:
    """Return the highest test accuracy in percent, as published: the test set itself chose the epoch."""
    return max(percent(epoch.as_published) for epoch in record.epochs)


def clean_accuracy(record: Record) -> float:
    """Return the median test accuracy of the last three epochs in percent, on images only resized and normalized."""
    return settled([percent(epoch.clean) for epoch in record.epochs])


def train_s(record: Record) -> float:
    """Return the seconds of training alone, waiting for data included (the scope of Table 4)."""
    return sum(epoch.train_s for epoch in record.epochs)


def _gain_at_cut(record: Record, edges: slice) -> float | None:
    """Return the gain in points from the epochs just before a cut of the rate to those just after it."""
    epochs = comparable_epochs(record)
    cuts = [at for at, (before, after) in enumerate(pairwise(epochs), 1) if after.learning_rate < before.learning_rate]
    if not cuts:
        return None
    start, cut, end = [0, *cuts, len(epochs)][edges]
    curve = [percent(epoch.clean) for epoch in epochs]
    before, after = curve[max(start, cut - WINDOW) : cut], curve[cut : min(end, cut + WINDOW)]
    return fmean(after) - fmean(before) if min(len(before), len(after)) >= FEWEST else None


FROM_RECORDS: dict[str, Callable[[Record], float | None]] = {
    "best_accuracy": best_accuracy,
    "train_s": train_s,
    "whole_program_s": lambda record: sum(
        epoch.train_s + (epoch.statistics_s or 0) + epoch.eval_as_published_s for epoch in record.epochs
    ),
    "process_peak_bytes": lambda record: record.memory.process_peak_bytes,
    "gain_at_first_cut": lambda record: _gain_at_cut(record, slice(3)),
    "gain_at_last_cut": lambda record: _gain_at_cut(record, slice(-3, None)),
}
"""Of metrics that take more than curves: their value of a run. The whole program is the scope of Tables 2 and 3."""


def settled(curve: Curve) -> float:
    """Return the median of the last three epochs."""
    return median(curve[-LAST_EPOCHS:])


def late_slope(losses: Curve) -> float | None:
    """Return the slope over the later half of epochs, of at least five, as a ratio's logarithm per epoch.

    A loss near 0 falls by ever smaller steps, and its logarithm does not (docs/methodology.md).
    """
    logs = [log(max(loss, LEAST_LOSS)) for loss in losses[len(losses) // 2 :]]
    return linear_regression(range(len(logs)), logs).slope if len(logs) >= FEWEST else None


def lowest_epoch(losses: Curve) -> float | None:
    """Return the epoch of the lowest loss, counted from 1; None of fewer than five epochs."""
    return 1.0 + losses.index(min(losses)) if len(losses) >= FEWEST_WITH_HALVES else None


def epochs_to(curve: Curve, level: float) -> float | None:
    """Return the first epoch at a level in percent, infinity where none reaches it; None of fewer than five epochs."""
    reached = (epoch for epoch, accuracy in enumerate(curve, 1) if accuracy >= level)
    return float(next(reached, inf)) if len(curve) >= FEWEST_WITH_HALVES else None


def jitter(curve: Curve) -> float | None:
    """Return the standard deviation of an epoch's accuracy about a smooth curve, in points.

    Second differences of independent noise have six times its variance, and a straight line has none
    (von Neumann, 1941, for first differences).
    """
    second = [first - 2 * middle + last for first, middle, last in zip(curve, curve[1:], curve[2:], strict=False)]
    return (fmean(change**2 for change in second) / 6) ** 0.5 if len(second) >= FEWEST else None


def late_gain(curve: Curve) -> float | None:
    """Return the mean accuracy of the last quarter of epochs minus that of the quarter before; None of fewer than 8."""
    quarter = len(curve) // 4
    return fmean(curve[-quarter:]) - fmean(curve[-2 * quarter : -quarter]) if quarter >= 2 else None


def drop(losses: Curve) -> float | None:
    """Return by how much the loss fell from the first epoch to the last; an epoch is not compared with itself."""
    return losses[0] - losses[-1] if len(losses) > 1 else None


FROM_CURVES: dict[str, tuple[tuple[str, ...], Callable[..., float | None]]] = {
    "clean_accuracy": (("test_accuracy",), settled),
    "final_train_accuracy": (("train_accuracy",), itemgetter(-1)),
    "final_train_loss": (("train_loss",), itemgetter(-1)),
    "train_loss_drop": (("train_loss",), drop),
    "test_loss_drop": (("test_loss",), drop),
    "train_loss_slope": (("train_loss",), late_slope),
    "test_loss_slope": (("test_loss",), late_slope),
    "lowest_loss_epoch": (("test_loss",), lowest_epoch),
    "generalization_gap": (("train_accuracy", "test_accuracy"), lambda train, test: train[-1] - settled(test)),
    "epochs": (("test_accuracy",), lambda curve: float(len(curve))),
    "epochs_to_level": (("test_accuracy",), epochs_to),
    "epochs_to_plateau": (("test_accuracy",), lambda curve: epochs_to(curve, max(curve) - PLATEAU_POINTS)),
    "jitter": (("test_accuracy",), jitter),
    "late_gain": (("test_accuracy",), late_gain),
}
"""Of every other metric: the curves of a run that it follows from, and the function of these."""
OF_ALL_EPOCHS = {"clean_accuracy", "final_train_accuracy", "final_train_loss", "train_loss_drop", "generalization_gap"}
OF_ALL_EPOCHS |= {"epochs"}
"""Metrics of a record that take every epoch; the others take those that are comparable."""


def value_of(metric: str, record: Record, level: float | None = None) -> float | None:
    """Return a metric: accuracies in percent, times in s, memory in bytes, losses in nats; None where not defined."""
    if metric in FROM_RECORDS:
        return FROM_RECORDS[metric](record)
    names, function = FROM_CURVES[metric]
    epochs = record.epochs if metric in OF_ALL_EPOCHS else comparable_epochs(record)
    curves = [[CURVES[name](epoch) for epoch in epochs] for name in names]
    return function(*curves) if level is None else function(*curves, level)


def values_of(metric: str, records: Iterable[Record]) -> list[float]:
    """Return a metric of those runs for which it is defined."""
    return [value for record in records if (value := value_of(metric, record)) is not None]


def resolution(metric: str, record: Record) -> float:
    """Return the step in which a metric can change: runs that agree to it may still differ by less."""
    if METRICS[metric].quantity == "accuracy":  # a level is of the last epochs, everything else of comparable ones
        return 100 / record.epochs[-1 if METRICS[metric].is_share else 0].clean.images
    return STEPS[METRICS[metric].quantity]


STEPS: dict[Quantity, float] = {"epochs": 1.0, "seconds": 1e-3, "bytes": 4_096.0, "loss": 1e-6, "slope": 1e-6}
"""Of metrics that are no accuracy: a clock's tick, a page of memory, and the rounding of losses in single precision."""
TIME_METRICS = {
    "train_s": "training alone, without statistics and evaluation",
    "whole_program_s": "whole program: training, statistics and the as-published evaluation",
}
"""Times that tables print, and what each of them counts."""
