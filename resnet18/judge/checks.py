"""What each kind of check compares: values by case and seed, weighted sums of their means, and the regions claimed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, pairwise
from math import inf, log
from statistics import correlation, linear_regression
from typing import assert_never

from resnet18.judge.reason import CannotJudgeError, Reason, measured_in_order
from resnet18.records.record import Record
from resnet18.spec.claim import (
    Check,
    Close,
    Difference,
    Equivalent,
    MetricCheck,
    Overfits,
    Ranking,
    Ratio,
    RunStatus,
    Trend,
    orders,
)
from resnet18.spec.experiment import TESTED_AT
from resnet18.spec.metric import MARGIN_UNITS, METRICS
from resnet18.tables.metrics import FEWEST_WITH_HALVES, comparable_epochs, resolution, second_half, value_of
from resnet18.tables.selection import CaseRecords
from resnet18.tables.statistics import Estimate, Region, contrast, paired_contrast, sequential_p

UP = Region(low=0.0)
NamedRegion = tuple[tuple[str, ...], Region]


@dataclass(frozen=True)
class Comparison:
    """A weighted sum of means, the region in which a check says that it lies, and whether it does."""

    check: Check
    about: tuple[str, ...]
    """The cases, the case that is meant to be higher first."""
    what: str
    """The quantity, in words."""
    region: Region
    unit: str
    """Of a margin; `%`: values are logarithms, and estimates are written as ratios."""
    estimates: Mapping[int, Estimate] = field(default_factory=dict)
    """By interim analysis: of seeds 0 to n - 1. With fewer than three seeds there is none."""
    can_only_fail: bool = False
    """The claim does not need it to hold, but falls where the opposite is shown."""
    falls: bool = False
    """The estimate counts a fall as positive: it is written with the other sign."""
    correlation: float | None = None
    """Of the two cases over seeds, where they are paired."""
    holds: bool | None = None
    """What it says at its claim's level; None: open."""
    seeds: int | None = None
    """Seeds of each case that would settle it if the estimate were the truth; None: more than `MOST_SEEDS`."""

    @property
    def is_log(self) -> bool:
        """Whether estimates are logarithms of ratios."""
        return self.unit == "%"

    @property
    def against_one_run(self) -> bool:
        """Whether the region is about one run of the report: only a further run that does not fit refutes the claim."""
        return isinstance(self.check, Close) and self.check.reported is not None

    @property
    def last(self) -> Estimate:
        """The estimate of the last interim analysis."""
        return self.estimates[max(self.estimates)]

    @property
    def is_inside(self) -> bool:
        """Whether the last estimate agrees with the claim."""
        return self.region.low < self.last.value < self.region.high

    @property
    def p_for(self) -> float:
        """The p for the claim, over all interim analyses."""
        return sequential_p({n: self.region.p_inside(found) for n, found in self.estimates.items()})

    @property
    def p_against(self) -> float:
        """The p against the claim, over all interim analyses."""
        met = {n: found.for_one_more_run() if self.against_one_run else found for n, found in self.estimates.items()}
        return sequential_p({n: self.region.p_outside(found) for n, found in met.items()})

    @property
    def counts(self) -> bool:
        """Whether the claim waits for it: a comparison that can only fail counts where it does."""
        return self.holds is False or not self.can_only_fail

    @property
    def cost(self) -> float:
        """Its seeds as a number that can be ordered."""
        return inf if self.seeds is None else self.seeds


def compare(check: Check, cases: Sequence[CaseRecords]) -> Iterator[Comparison]:
    """Yield the comparisons that a check amounts to, all of which must hold.

    CannotJudgeError where a value is not defined or has no noise.
    """
    runs = {case.name: measured_in_order(case) for case in cases}
    if isinstance(check, Overfits):
        yield from _overfits(check, runs[check.case])
    elif not isinstance(check, RunStatus):
        facts = METRICS[check.metric]
        unit = MARGIN_UNITS[facts.quantity]
        step = max((resolution(check.metric, record) for records in runs.values() for record in records), default=0.0)
        values = {name: [_value(check, record, unit) for record in records] for name, records in runs.items()}
        if not step and any(len(found) > 1 and len(set(found)) == 1 for found in values.values()):
            raise CannotJudgeError(Reason("no_noise", metric=check.metric))
        parts: Iterable[tuple[Comparison, Sequence[float]]]
        if isinstance(check, Trend):
            parts = _trend(check, facts.title, unit)
        else:
            regions = _regions(check, is_log=unit == "%")
            parts = ((Comparison(check, names, facts.title, of, unit), [1, -1][: len(names)]) for names, of in regions)
        for part, weights in parts:
            yield _estimated(part, weights, values, step)


def _value(check: MetricCheck, record: Record, unit: str) -> float:
    value = value_of(check.metric, record, check.level)
    if value is None:
        raise CannotJudgeError(Reason("undefined", metric=check.metric))
    if unit == "%" and value <= 0:
        raise CannotJudgeError(Reason("no_ratio", metric=check.metric, what=f"{value:g}"))
    return log(value) if unit == "%" else value


def _estimated(
    part: Comparison, weights: Sequence[float], values: Mapping[str, Sequence[float]], step: float
) -> Comparison:
    """Return a comparison with the weighted sum of its cases' means at each interim analysis."""
    seeds, is_paired = min(map(len, values.values())), isinstance(part.check, MetricCheck) and part.check.paired
    method, groups = paired_contrast if is_paired else contrast, [values[name] for name in part.about]
    estimates = {n: method([found[:n] for found in groups], weights, step) for n in TESTED_AT if n <= seeds}
    if is_paired and len(groups) == 2 and estimates:
        pair = [found[: max(estimates)] for found in groups]
        rho = correlation(*pair) if all(len(set(found)) > 1 for found in pair) else 0.0
        part = replace(part, correlation=rho)
    return replace(part, estimates=estimates)


def _regions(check: Difference | Ranking | Equivalent | Ratio | Close, *, is_log: bool) -> Iterator[NamedRegion]:
    """Yield a case with the region of its mean, or two with that of the first's less the second's."""

    def widened(margin: float) -> float:
        return log(1 + margin / 100) if is_log else margin

    match check:
        case Difference(than=None, than_value=float(bound), by=by):
            yield (check.case,), Region(low=bound + by) if check.kind == "greater" else Region(high=bound - by)
        case Difference(by=by):
            yield from ((pair, Region(low=widened(by))) for pair in orders(check))
        case Ranking():
            yield from ((pair, UP) for pair in orders(check))
        case Equivalent():
            margin = widened(check.margin)
            yield from ((pair, Region(-margin, margin)) for pair in combinations(check.cases, 2))
        case Ratio():
            yield (check.case, check.to), Region(log(check.low), log(check.high))
        case Close():
            low, high = (log(end) if is_log else end for end in check.target)
            yield (check.case,), Region(low - widened(check.margin), high + widened(check.margin))
        case _:
            assert_never(check)


def _trend(check: Trend, title: str, unit: str) -> Iterator[tuple[Comparison, Sequence[float]]]:
    """Yield the change per step (a least-squares line through the means), each step, and whether the trend flattens."""
    sign = 1 if check.direction == "rising" else -1
    places = [at - (len(check.cases) - 1) / 2 for at in range(len(check.cases))]
    line = [sign * place / sum(other**2 for other in places) for place in places]
    per_step = f"{title} per step, claimed {check.direction}"
    yield Comparison(check, check.cases, per_step, UP, unit, falls=sign < 0), line
    # The middle of three cases has no weight in a line: a step back that is shown contradicts the trend.
    for pair in pairwise(check.cases):
        step = f"{title}, claimed {check.direction} at each step"
        yield Comparison(check, pair, step, UP, unit, can_only_fail=True, falls=sign < 0), [-sign, sign]
    if check.flattens:
        bend = [0.0] * len(places)
        for at, weight in ((0, -sign), (1, sign), (-2, sign), (-1, -sign)):
            bend[at] += weight
        yield Comparison(check, check.cases, f"{title}, claimed to flatten", UP, unit), bend


def _overfits(check: Overfits, records: Sequence[Record]) -> Iterator[Comparison]:
    halves = [second_half(record) for record in records]
    if not all(halves):
        raise CannotJudgeError(Reason("too_few_epochs", count=FEWEST_WITH_HALVES))

    def slope(losses: Sequence[float]) -> float:
        return linear_regression(range(len(losses)), losses).slope

    turns = [float(min(comparable_epochs(record), key=lambda epoch: epoch.clean.loss).epoch) for record in records]
    train_slopes = [slope([epoch.train.loss for epoch in half]) for half in halves]
    test_slopes = [slope([epoch.clean.loss for epoch in half]) for half in halves]
    for what, unit, region, step, values in (
        ("training loss per epoch, second half", "nats", Region(high=0), 0, train_slopes),
        ("test loss (clean) per epoch, second half", "nats", UP, 0, test_slopes),
        ("epoch of the lowest test loss (clean)", "epochs", Region(high=check.turns_by + 0.5), 1, turns),
    ):
        yield _estimated(Comparison(check, (check.case,), what, region, unit), [1], {check.case: values}, step)
