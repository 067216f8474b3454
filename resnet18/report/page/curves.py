"""The curves of all tables as data for the page: every array once, however many tables show it."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from resnet18.records.record import Epoch, Record, Score
from resnet18.report.figures.series import images_at_the_end, overfitting_epoch, series
from resnet18.spec.scale import LAST_EPOCHS
from resnet18.tables.metrics import percent
from resnet18.tables.selection import CaseRecords

SCORES: dict[str, Callable[[Epoch], Score]] = {
    "train": lambda epoch: epoch.train,
    "published": lambda epoch: epoch.as_published,
    "clean": lambda epoch: epoch.clean,
}
MEASURES: dict[str, tuple[Callable[[Score], float], Callable[[float], float]]] = {
    "loss": (lambda score: score.loss, lambda value: float(f"{value:.4g}")),
    "accuracy": (percent, lambda value: round(value, 2)),
}
"""With how they are rounded: losses to four digits, percents to hundredths."""
MOST_VALUES = 120_000
"""Numbers in one page, at some five letters each: all tables at paper scale with five seeds take half of them."""
SHORT = 50
"""Epochs up to which none is left out."""
STEPS = (1, 2, 3, 4, 5, 10)


@dataclass
class CurveData:
    """Curves by arm, as they are filled while the page is laid out."""

    step: int
    """Of the epochs of long curves, every how many-th is kept."""
    arms: list[dict[str, Any]] = field(default_factory=list)
    charts: dict[str, list[int | None]] = field(default_factory=dict)
    """By chart: for each case its place in `arms`; None where it has no result."""
    places: dict[tuple[str, ...], int] = field(default_factory=dict)
    values: int = 0

    def add(self, name: str, arms: Sequence[CaseRecords]) -> bool:
        """Add a chart of cases with a result; say whether there was room for it, and there were curves."""
        new = {_key(arm): arm for arm in arms if arm.measured and _key(arm) not in self.places}
        size = sum(values_of(arm.measured, self.step) for arm in new.values())
        if not any(arm.measured for arm in arms) or self.values + size > MOST_VALUES:
            return False
        self.values += size
        for key, arm in new.items():
            self.places[key] = len(self.arms)
            self.arms.append(_curves(arm.measured, self.step))
        self.charts[name] = [self.places[_key(arm)] if arm.measured else None for arm in arms]
        return True

    @property
    def content(self) -> dict[str, Any]:
        """What the page's script reads."""
        return {"arms": self.arms, "charts": self.charts}


def step_for(arms: Sequence[CaseRecords]) -> int:
    """Return the smallest step between kept epochs with which all curves fit into one page, else the largest."""
    distinct = {_key(arm): arm.measured for arm in arms if arm.measured}
    sizes = {step: sum(values_of(records, step) for records in distinct.values()) for step in STEPS}
    return next((step for step, size in sizes.items() if size <= MOST_VALUES), STEPS[-1])


def values_of(records: Sequence[Record], step: int) -> int:
    """Return how many numbers the curves of one case take: its seeds and, of several, their mean."""
    lines = len(records) + (len(records) > 1)
    return 2 * len(SCORES) * lines * len(_kept([len(record.epochs) for record in records], step))


def _key(arm: CaseRecords) -> tuple[str, ...]:
    return tuple(record.record_hash for record in arm.measured)


def _kept(lengths: Collection[int], step: int) -> list[int]:
    """Return the places of the epochs that are kept: of long curves every step-th, and where a run ends."""
    longest = max(lengths)
    every = range(0, longest, 1 if longest <= SHORT else step)
    return sorted({*every, *(length - 1 for length in lengths)})


def _curves(records: Sequence[Record], step: int) -> dict[str, Any]:
    """Return a case's curves: mean over the seeds as in the figures, and each seed; rounded for a screen."""
    lengths = [len(record.epochs) for record in records]
    kept = _kept(lengths, step)
    ended = [record for record in records if len(record.epochs) == min(lengths)]
    tested_on_more = any(images_at_the_end(record) for record in ended)
    lines = {
        f"{name}_{measure}": _line(records, kept, partial(_value, score, value), rounded)
        for name, score in SCORES.items()
        for measure, (value, rounded) in MEASURES.items()
    }
    return {
        "epochs": [at + 1 for at in kept],
        "seeds": [record.seed for record in records],
        "turn": overfitting_epoch(records),
        "hollow": sum(at >= min(lengths) - LAST_EPOCHS for at in kept) if tested_on_more else 0,
        "lines": lines,
    }


def _value(score: Callable[[Epoch], Score], value: Callable[[Score], float], epoch: Epoch) -> float:
    return value(score(epoch))


def _line(
    records: Sequence[Record], kept: Sequence[int], value: Callable[[Epoch], float], rounded: Callable[[float], float]
) -> dict[str, list[Any]]:
    """Return one measure of a case: each seed's values and, of several seeds, their mean while all of them run."""
    runs = [[rounded(value(record.epochs[at])) for at in kept if at < len(record.epochs)] for record in records]
    if len(records) == 1:
        return {"runs": runs}
    mean = series([record.epochs for record in records], value).mean
    return {"runs": runs, "mean": [rounded(mean[at]) for at in kept if at < len(mean)]}
