"""What each kind of check compares: values by case and seed, weighted sums of their means, and the regions claimed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, pairwise
from math import inf, log
from statistics import correlation

from resnet18.judge.reason import CannotJudgeError, Reason, check_costs, measured_in_order
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
from resnet18.tables.metrics import (
    FEWEST_WITH_HALVES,
    comparable_epochs,
    optimizer_form,
    resolution,
    second_half,
    value_of,
)
from resnet18.tables.selection import CaseRecords
from resnet18.tables.statistics import Estimate, Region, contrast, paired_contrast, sequential_p


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
    """Of a margin; `%`: estimates are logarithms, and are written as ratios."""
    estimates: dict[int, Estimate]
    """By interim analysis: of seeds 0 to n - 1. With fewer than three seeds there is none."""
    can_only_fail: bool = False
    """The claim does not need it to hold, but falls where the opposite is shown."""
    falls: bool = False
    """The estimate counts a fall as positive: it is written with the other sign."""
    correlation: float | None = None
    """Of the two cases over seeds, where they are paired."""
    forms: tuple[str, ...] = ()
    """Of the cases' optimizers, where times of several forms are compared."""
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


@dataclass(frozen=True)
class Sample:
    """Values by case, in the order of seeds; logarithms where the unit is `%`."""

    check: Check
    what: str
    unit: str
    values: Mapping[str, Sequence[float]]
    resolution: float = 0.0
    """The step of the values."""
    forms: Mapping[str, set[str]] = field(default_factory=dict)
    """Of each case's optimizers, where the values are times."""

    def comparison(self, cases: Sequence[str], weights: Sequence[float], region: Region, what: str = "") -> Comparison:
        """Return the weighted sum of the cases' means at each interim analysis, and the region that it is held to."""
        values = [self.values[name] for name in cases]
        seeds = min(map(len, self.values.values()))
        tested_at = [n for n in TESTED_AT if n <= seeds]
        is_paired = isinstance(self.check, MetricCheck) and self.check.paired
        method, paired_correlation = paired_contrast if is_paired else contrast, None
        if is_paired and len(cases) == 2 and tested_at:
            pair = [found[: tested_at[-1]] for found in values]
            paired_correlation = correlation(*pair) if all(len(set(found)) > 1 for found in pair) else 0.0
        forms = sorted(set().union(*(self.forms.get(name, set()) for name in cases)) - {""})
        return Comparison(
            check=self.check,
            about=tuple(cases),
            what=what or self.what,
            region=region,
            unit=self.unit,
            estimates={n: method([found[:n] for found in values], weights, self.resolution) for n in tested_at},
            correlation=paired_correlation,
            forms=tuple(forms) if len(forms) > 1 else (),
        )


def sample_of(check: MetricCheck, cases: Sequence[CaseRecords]) -> Sample:
    """Return the values of a check's metric; CannotJudgeError where they cannot be compared, or have no noise."""
    facts = METRICS[check.metric]
    unit = MARGIN_UNITS[facts.quantity]
    runs = {case.name: measured_in_order(case) for case in cases}
    if unit == "%":
        check_costs(cases, are_times=facts.quantity == "seconds")
    forms: dict[str, set[str]] = {}
    if facts.quantity == "seconds":
        forms = {name: {optimizer_form(record) for record in records} for name, records in runs.items()}
    step = max((resolution(check.metric, record) for records in runs.values() for record in records), default=0.0)
    values = {name: [_value(check, record, unit) for record in records] for name, records in runs.items()}
    if not step and any(len(found) > 1 and len(set(found)) == 1 for found in values.values()):
        raise CannotJudgeError(Reason("no_noise", metric=check.metric))
    return Sample(check, facts.title, unit, values, step, forms)


def _value(check: MetricCheck, record: Record, unit: str) -> float:
    value = value_of(check.metric, record, check.level)
    if value is None:
        raise CannotJudgeError(Reason("undefined", metric=check.metric))
    if unit == "%" and value <= 0:
        raise CannotJudgeError(Reason("no_ratio", metric=check.metric, what=f"{value:g}"))
    return log(value) if unit == "%" else value


def compare(check: Check, cases: Sequence[CaseRecords]) -> Iterator[Comparison]:
    """Yield the comparisons that a check amounts to, all of which must hold; CannotJudgeError as `sample_of`."""
    if isinstance(check, Overfits):
        yield from _overfits(check, measured_in_order(cases[0]))
    elif isinstance(check, Trend):
        yield from _trend(check, sample_of(check, cases))
    elif not isinstance(check, RunStatus):
        sample = sample_of(check, cases)
        for names, region in _regions(check, is_log=sample.unit == "%"):
            yield sample.comparison(names, [1, -1][: len(names)], region)


def _regions(check: Check, *, is_log: bool) -> Iterator[tuple[tuple[str, ...], Region]]:
    """Yield a case with the region of its mean, or two with that of the first's less the second's."""

    def widened(margin: float) -> float:
        return log(1 + margin / 100) if is_log else margin

    match check:
        case Difference(than=None, than_value=float(bound), by=by):
            yield (check.case,), Region(low=bound + by) if check.kind == "greater" else Region(high=bound - by)
        case Difference(by=by):
            yield from ((pair, Region(low=widened(by))) for pair in orders(check))
        case Ranking():
            yield from ((pair, Region(low=0.0)) for pair in orders(check))
        case Equivalent():
            margin = widened(check.margin)
            yield from ((pair, Region(-margin, margin)) for pair in combinations(check.cases, 2))
        case Ratio():
            yield (check.case, check.to), Region(log(check.low), log(check.high))
        case Close():
            low, high = (log(end) if is_log else end for end in check.target)
            yield (check.case,), Region(low - widened(check.margin), high + widened(check.margin))


def _trend(check: Trend, sample: Sample) -> Iterator[Comparison]:
    """Yield the change per step (a least-squares line through the means), each step, and whether the trend flattens."""
    count, sign = len(check.cases), 1 if check.direction == "rising" else -1
    places = _centered(count)
    line = [sign * place / sum(other**2 for other in places) for place in places]
    up, title = Region(low=0.0), sample.what
    per_step = sample.comparison(check.cases, line, up, f"{title} per step, {check.direction}")
    yield replace(per_step, falls=sign < 0)
    # The middle of three cases has no weight in a line: a step back that is shown contradicts the trend.
    for pair in pairwise(check.cases):
        step = sample.comparison(pair, [-sign, sign], up, f"{title}, {check.direction} step by step")
        yield replace(step, can_only_fail=True)
    if check.flattens:
        bend = [0.0] * count
        for at, weight in ((0, -sign), (1, sign), (-2, sign), (-1, -sign)):
            bend[at] += weight
        yield sample.comparison(check.cases, bend, up, f"{title}, more at the first step than at the last")


def _centered(count: int) -> list[float]:
    """Return places at equal steps of 1 about 0: weights of a least-squares slope, but for their sum of squares."""
    return [at - (count - 1) / 2 for at in range(count)]


def _overfits(check: Overfits, records: Sequence[Record]) -> Iterator[Comparison]:
    halves = [second_half(record) for record in records]
    if not all(halves):
        raise CannotJudgeError(Reason("too_few_epochs", count=FEWEST_WITH_HALVES))

    def slope(losses: Sequence[float]) -> float:
        places = _centered(len(losses))
        rise = sum(place * loss for place, loss in zip(places, losses, strict=True))
        return rise / sum(place**2 for place in places)

    turns = [float(min(comparable_epochs(record), key=lambda epoch: epoch.clean.loss).epoch) for record in records]
    train_slopes = [slope([epoch.train.loss for epoch in half]) for half in halves]
    test_slopes = [slope([epoch.clean.loss for epoch in half]) for half in halves]
    for what, unit, region, step, values in (
        ("training loss per epoch, second half", "nats", Region(high=0), 0, train_slopes),
        ("test loss (clean) per epoch, second half", "nats", Region(low=0), 0, test_slopes),
        ("epoch of the lowest test loss (clean)", "epochs", Region(high=check.turns_by + 0.5), 1, turns),
    ):
        yield Sample(check, what, unit, {check.case: values}, step).comparison([check.case], [1], region)
