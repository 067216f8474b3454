"""The values that dashboards get: one number for each case and measure, with the lowest and the highest."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from resnet18.records.record import Record
from resnet18.report.exports.rows import Row
from resnet18.spec.errors import UnfinishedError
from resnet18.tables.metrics import clean_percent, percent, train_s, whole_program_s

Runs = tuple[Record, ...]


@dataclass(frozen=True)
class Measure:
    """What is measured, from which of a case's records, and how seeds become one number."""

    key: str
    unit: str
    bigger_is_better: bool
    runs: Callable[[Row], Runs]
    value: Callable[[Record], float | None]
    middle: Callable[[Sequence[float]], float]

    @property
    def slug(self) -> str:
        """The key as Bencher writes keys."""
        return self.key.replace("_", "-")


def _measured(row: Row) -> Runs:
    return row.measured


def _costed(row: Row) -> Runs:
    return row.costed


def _timed(row: Row) -> Runs:
    return row.timed


def _best_accuracy(record: Record) -> float:
    return max(percent(epoch.as_published) for epoch in record.epochs)


def _rss_peak_bytes(record: Record) -> float | None:
    return record.memory.rss_peak_bytes


MEASURES = (
    Measure("best_accuracy", "%", True, _measured, _best_accuracy, fmean),
    Measure("clean_accuracy", "%", True, _measured, clean_percent, fmean),
    Measure("train_s", "s", False, _timed, train_s, median),
    Measure("whole_program_s", "s", False, _timed, whole_program_s, median),
    Measure("rss_peak_bytes", "bytes", False, _costed, _rss_peak_bytes, median),
)


@dataclass(frozen=True)
class Value:
    """A measure of a case over its seeds."""

    measure: Measure
    middle: float
    """The mean of accuracies, the median of times and memory."""
    low: float
    high: float
    n: int


def values_of(row: Row) -> Iterator[Value]:
    """Yield what can be said of a case."""
    for measure in MEASURES:
        found = [value for record in measure.runs(row) if (value := measure.value(record)) is not None]
        if found:
            yield Value(measure, measure.middle(found), min(found), max(found), len(found))


def json_text(content: object, entries: int) -> str:
    """Return JSON in ASCII, the same bytes whatever the machine.

    Raises:
        UnfinishedError: there are no entries: a dashboard must not take nothing for a result.
    """
    if not entries:
        raise UnfinishedError(
            "export", "no run of these benchmarks has a value for this format", next_step="`resnet18 report` shows why"
        )
    return json.dumps(content, indent=1, allow_nan=False) + "\n"
