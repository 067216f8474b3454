"""Hypotheses: which reading of what the report leaves open lies nearest to what it printed."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from math import hypot, sqrt
from statistics import fmean
from typing import Literal

from resnet18.records.record import Record
from resnet18.spec.benchmark import Benchmark, Hypothesis
from resnet18.spec.metric import parse_printed
from resnet18.spec.resolve import Request, sub_cases
from resnet18.tables.metrics import best_accuracy
from resnet18.tables.selection import CaseRecords, Selection, case_records, is_full_size
from resnet18.tables.statistics import Estimate, contrast


@dataclass(frozen=True)
class Candidate:
    """One reported cell beside what a candidate gives."""

    name: str
    case: str
    reported: float
    """In percent."""
    runs: CaseRecords

    @property
    def values(self) -> list[float]:
        """Best accuracies as published, in percent, by seed."""
        return [best_accuracy(record) for record in self.runs.measured]

    @property
    def estimate(self) -> Estimate | None:
        """Measured less reported, in points; the standard error is that to one further run, as the report made one."""
        values = [value - self.reported for value in self.values]
        return contrast([values], [1]).for_one_more_run() if len(values) > 1 else None

    @property
    def training(self) -> str:
        """What its runs do, the schedule as the rate of every epoch where that is one number."""
        experiment, epochs = self.runs.experiment, self.runs.experiment.epochs
        rates: object = experiment.schedule
        if not experiment.schedule.changes_within_epochs:
            rates = [experiment.schedule.rate(1.0, epoch, 1, epochs) for epoch in range(epochs)]
        return f"{experiment.model_dump_json(exclude={'schedule'})} {self.runs.execution.model_dump_json()} {rates}"


@dataclass(frozen=True)
class Distance:
    """How far candidates that train alike lie from the reported cells: root mean square in points."""

    names: tuple[str, ...]
    points: float
    se: float
    """Standard error, to first order."""


@dataclass(frozen=True)
class Answer:
    """The candidates of a hypothesis, and which of them lie nearest."""

    hypothesis: Hypothesis
    candidates: tuple[Candidate, ...]
    nearest: tuple[Distance, Distance] | Literal["other terms", "too few"]
    """The nearest and the next, or why that is not said."""

    @property
    def is_resolved(self) -> bool:
        """Whether the nearest is nearer than the next by more than two standard errors."""
        if isinstance(self.nearest, str):
            return False
        first, second = self.nearest
        return second.points - first.points > 2 * hypot(first.se, second.se)


def answers_of(selection: Selection, request: Request, records: Collection[Record]) -> Iterator[Answer]:
    """Yield each of a benchmark's hypotheses of which several candidates were run; `records` are all last attempts."""
    for hypothesis in selection.benchmark.hypotheses:
        found = list(_candidates(selection.benchmark, hypothesis, request, records))
        # A scale may set the key itself: then candidates are one run, and nothing is compared.
        are_distinct = len({candidate.runs.arm_id for candidate in found}) == len(found)
        if are_distinct and len({candidate.name for candidate in found if candidate.runs.measured}) > 1:
            nearest = _nearest(found) if is_full_size(request) else "other terms"
            yield Answer(hypothesis, tuple(found), nearest)


def candidate_records(selection: Selection, request: Request, records: Collection[Record]) -> Iterator[Record]:
    """Yield the records of all candidates of a benchmark's hypotheses."""
    for hypothesis in selection.benchmark.hypotheses:
        for candidate in _candidates(selection.benchmark, hypothesis, request, records):
            yield from candidate.runs.records


def _candidates(
    benchmark: Benchmark, hypothesis: Hypothesis, request: Request, records: Collection[Record]
) -> Iterator[Candidate]:
    pairs = list(sub_cases(benchmark, hypothesis))
    extended = benchmark.model_copy(update={"cases": tuple(sub for _, _, sub in pairs)})
    for (candidate, case, _), runs in zip(pairs, case_records(extended, request, records), strict=False):
        printed = parse_printed(case.reported.get("best_accuracy", ""))
        if printed is not None:
            yield Candidate(candidate.name, case.name, printed.value, runs)


def _nearest(candidates: Sequence[Candidate]) -> tuple[Distance, Distance] | Literal["too few"]:
    """Return the nearest and the next. Of candidates that train alike one counts: two know no more."""
    alike: dict[tuple[str, ...], dict[str, list[Estimate]]] = {}
    for name in dict.fromkeys(candidate.name for candidate in candidates):
        own = [candidate for candidate in candidates if candidate.name == name]
        known = [estimate for candidate in own if (estimate := candidate.estimate)]
        by_name = alike.setdefault(tuple(candidate.training for candidate in own), {})
        by_name[name] = known if len(known) == len(own) else []
    distances = [
        _distance(tuple(by_name), known)
        for by_name in alike.values()
        if (known := next(filter(None, by_name.values()), []))
    ]
    if len(distances) < 2:
        return "too few"
    first, second, *_ = sorted(distances, key=lambda distance: (distance.points, distance.se))
    return first, second


def _distance(names: tuple[str, ...], estimates: Sequence[Estimate]) -> Distance:
    root = sqrt(fmean(estimate.value**2 for estimate in estimates))
    if not root:
        return Distance(names, 0.0, sqrt(fmean(estimate.se**2 for estimate in estimates)))
    se = sqrt(sum((estimate.value * estimate.se) ** 2 for estimate in estimates)) / (len(estimates) * root)
    return Distance(names, root, se)
