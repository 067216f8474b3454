"""Numbers computed from a record. None of them is ever stored."""

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import pairwise
from math import inf, log
from statistics import fmean, linear_regression, median
from typing import NamedTuple

from resnet18.records.content import differ_in_code, knows_machine
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


def percent(score: Score) -> float:
    """Return the accuracy in percent: of 58 among 100 exactly 58, which 100 times 0.58 is not."""
    return 100 * score.correct / score.images


def best_accuracy(record: Record) -> float:
    """Return the highest test accuracy in percent, as published: the test set itself chose the epoch."""
    return max(percent(epoch.as_published) for epoch in record.epochs)


def clean_accuracy(record: Record) -> float:
    """Return the median test accuracy of the last three epochs in percent, on images only resized and normalized."""
    return median(percent(epoch.clean) for epoch in record.epochs[-LAST_EPOCHS:])


def train_s(record: Record) -> float:
    """Return the seconds of training alone, waiting for data included (the scope of Table 4)."""
    return sum(epoch.train_s for epoch in record.epochs)


def whole_program_s(record: Record) -> float:
    """Return the seconds of training, its statistics and the as-published evaluation (the scope of Tables 2 and 3)."""
    return sum(epoch.train_s + (epoch.statistics_s or 0) + epoch.eval_as_published_s for epoch in record.epochs)


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


def loss_slope(losses: Sequence[float]) -> float | None:
    """Return the slope of the loss over epochs as a ratio's logarithm per epoch, of at least three.

    A loss near 0 falls by ever smaller steps, and its logarithm does not (docs/methodology.md).
    """
    logs = [log(max(loss, LEAST_LOSS)) for loss in losses]
    return linear_regression(range(len(logs)), logs).slope if len(logs) >= FEWEST else None


def late_slope(losses: Sequence[float]) -> float | None:
    """Return the slope of the loss over the later half of its epochs, of at least five."""
    return loss_slope(losses[len(losses) // 2 :])


def lowest_epoch(losses: Sequence[float]) -> float | None:
    """Return the epoch of the lowest loss, counted from 1; None of fewer than five epochs."""
    return 1.0 + losses.index(min(losses)) if len(losses) >= FEWEST_WITH_HALVES else None


def _accuracies(record: Record) -> list[float]:
    return [percent(epoch.clean) for epoch in comparable_epochs(record)]


def _test_losses(record: Record) -> list[float]:
    return [epoch.clean.loss for epoch in comparable_epochs(record)]


def epochs_to(curve: Sequence[float], level: float) -> float | None:
    """Return the first epoch at a level in percent, infinity where none reaches it; None of fewer than five epochs."""
    reached = (epoch for epoch, accuracy in enumerate(curve, 1) if accuracy >= level)
    return float(next(reached, inf)) if len(curve) >= FEWEST_WITH_HALVES else None


def jitter(curve: Sequence[float]) -> float | None:
    """Return the standard deviation of an epoch's accuracy about a smooth curve, in points.

    Second differences of independent noise have six times its variance, and a straight line has none
    (von Neumann, 1941, for first differences).
    """
    second = [first - 2 * middle + last for first, middle, last in zip(curve, curve[1:], curve[2:], strict=False)]
    return (fmean(change**2 for change in second) / 6) ** 0.5 if len(second) >= FEWEST else None


def late_gain(curve: Sequence[float]) -> float | None:
    """Return the mean accuracy of the last quarter of epochs minus that of the quarter before; None of fewer than 8."""
    quarter = len(curve) // 4
    return fmean(curve[-quarter:]) - fmean(curve[-2 * quarter : -quarter]) if quarter >= 2 else None


def _gain_at_cut(record: Record, which: int) -> float | None:
    """Return the gain in points from the epochs just before a cut of the rate to those just after it."""
    epochs = comparable_epochs(record)
    cuts = [at for at, (before, after) in enumerate(pairwise(epochs), 1) if after.learning_rate < before.learning_rate]
    if not cuts:
        return None
    start, cut, end = list(zip([0, *cuts], cuts, [*cuts[1:], len(epochs)], strict=False))[which]
    before, after = (
        [percent(epoch.clean) for epoch in part]
        for part in (epochs[max(start, cut - WINDOW) : cut], epochs[cut : min(end, cut + WINDOW)])
    )
    return fmean(after) - fmean(before) if min(len(before), len(after)) >= FEWEST else None


def drop(losses: Sequence[float]) -> float | None:
    """Return by how much the loss fell from the first epoch to the last; an epoch is not compared with itself."""
    return losses[0] - losses[-1] if len(losses) > 1 else None


FUNCTIONS: dict[str, Callable[[Record], float | None]] = {
    "best_accuracy": best_accuracy,
    "clean_accuracy": clean_accuracy,
    "train_s": train_s,
    "whole_program_s": whole_program_s,
    "process_peak_bytes": lambda record: record.memory.process_peak_bytes,
    "final_train_accuracy": lambda record: percent(record.epochs[-1].train),
    "final_train_loss": lambda record: record.epochs[-1].train.loss,
    "train_loss_drop": lambda record: drop([epoch.train.loss for epoch in record.epochs]),
    "test_loss_drop": lambda record: drop(_test_losses(record)),
    "train_loss_slope": lambda record: late_slope([epoch.train.loss for epoch in comparable_epochs(record)]),
    "test_loss_slope": lambda record: late_slope(_test_losses(record)),
    "lowest_loss_epoch": lambda record: lowest_epoch(_test_losses(record)),
    "generalization_gap": lambda record: percent(record.epochs[-1].train) - clean_accuracy(record),
    "epochs": lambda record: float(len(record.epochs)),
    "epochs_to_plateau": lambda record: epochs_to(curve := _accuracies(record), max(curve) - PLATEAU_POINTS),
    "jitter": lambda record: jitter(_accuracies(record)),
    "late_gain": lambda record: late_gain(_accuracies(record)),
    "gain_at_first_cut": lambda record: _gain_at_cut(record, 0),
    "gain_at_last_cut": lambda record: _gain_at_cut(record, -1),
}
"""Of each metric, but for `epochs_to_level`: its value of a run."""


def value_of(metric: str, record: Record, level: float | None = None) -> float | None:
    """Return a metric: accuracies in percent, times in s, memory in bytes, losses in nats; None where not defined."""
    return epochs_to(_accuracies(record), level) if level is not None else FUNCTIONS[metric](record)


def values_of(metric: str, records: Iterable[Record]) -> list[float]:
    """Return a metric of those runs for which it is defined."""
    return [value for record in records if (value := value_of(metric, record)) is not None]


def resolution(metric: str, record: Record) -> float:
    """Return the step in which a metric can change: runs that agree to it may still differ by less."""
    if METRICS[metric].quantity == "accuracy":
        return 100 / record.epochs[-1].clean.images
    return STEPS[METRICS[metric].quantity]


STEPS: dict[Quantity, float] = {"epochs": 1.0, "seconds": 1e-3, "bytes": 4_096.0, "loss": 1e-6, "slope": 1e-6}
"""Of metrics that are no accuracy: a clock's tick, a page of memory, and the rounding of losses in single precision."""
TIME_METRICS = {
    "train_s": "training alone, without statistics and evaluation",
    "whole_program_s": "whole program: training, statistics and the as-published evaluation",
}
"""Times that tables print, and what each of them counts."""
MIXED = {
    "several_data_sets": "several data sets of one name",
    "several_codes": "several versions of the code",
    "unknown_machine": "an unknown machine",
    "several_machines": "several machines or installations",
}
"""Where results come from that must not be put together, by code."""
LIBRARIES = ("torch", "cuda", "cudnn", "driver")


def mixed(records: Collection[Record], *, are_costs: bool, are_compared: bool = False) -> str | None:
    """Return why results of runs must not be put together, or not be compared, as a code of `MIXED`.

    Times and memory must come from one machine with one number of threads for each case, and from one machine with one
    set of libraries for each device. Two unknown machines need not be the same.
    """
    if len({record.fingerprint.identity.data_sha256 for record in records}) > 1:
        return "several_data_sets"
    if are_compared and differ_in_code(records):
        return "several_codes"
    if not are_costs or len(records) < 2:
        return None
    if not all(knows_machine(record.fingerprint.numerics) for record in records):
        return "unknown_machine"
    found = dict[str, set[tuple[object, ...]]]()
    for record in records:
        numerics = record.fingerprint.numerics or {}
        place = _model(record), *map(numerics.get, LIBRARIES)
        found.setdefault(record.spec.execution.device, set()).add(place)
        found.setdefault(record.arm_id, set()).add((*place, numerics.get("threads")))
    return "several_machines" if any(len(places) > 1 for places in found.values()) else None


def machine(record: Record) -> str:
    """Return the GPU or processor of a run, with its threads."""
    threads = (record.fingerprint.numerics or {}).get("threads")
    return f"{_model(record)}, {threads} {'thread' if threads == 1 else 'threads'}" if threads else _model(record)


def _model(record: Record) -> str:
    numerics = record.fingerprint.numerics or {}
    known = numerics.get("gpu_model") or numerics.get("cpu_model")
    return str(known) if knows_machine(numerics) else "unknown machine"


def optimizer_form(record: Record) -> str:
    """Return in which form the optimizer ran (loop, foreach, fused): each takes its own time."""
    return str((record.fingerprint.numerics or {}).get("optimizer_form", ""))
