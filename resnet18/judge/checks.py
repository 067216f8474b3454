"""What each kind of check compares: values by case and seed, weighted sums of their means, and the regions claimed."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, pairwise
from math import inf, log
from statistics import correlation, linear_regression
from typing import assert_never

from resnet18.judge.reason import CannotJudgeError, Reason, measured_in_order
from resnet18.judge.samples import Samples, samples_of
from resnet18.records.record import Epoch, Record
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
from resnet18.spec.metric import MARGIN_UNITS, METRICS
from resnet18.tables.metrics import FEWEST_WITH_HALVES, comparable_epochs, resolution, second_half, value_of
from resnet18.tables.selection import CaseRecords
from resnet18.tables.statistics import Estimate, Region, paired_contrast, range_p, sequential_p

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
    pairs: tuple[Mapping[int, Estimate], ...] = ()
    """Estimates of every pair of three or more cases that are claimed to be near: these are the furthest apart."""
    widest_of: int = 2
    """Cases of which the two are the highest and the lowest."""
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
        every = self.pairs or (self.estimates,)  # of a closer pair less may be known
        return sequential_p({n: max(self.region.p_inside(pair[n]) for pair in every) for n in self.estimates})

    @property
    def p_against(self) -> float:
        """The p against the claim, over all interim analyses."""
        if self.widest_of > 2:
            return sequential_p(
                {n: range_p(found, self.region.high, self.widest_of) for n, found in self.estimates.items()}
            )
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


def compare(check: Check, cases: Sequence[CaseRecords], chapter: Collection[CaseRecords]) -> Iterator[Comparison]:
    """Yield the comparisons that a check amounts to, all of which must hold; a chapter has the cases of all tables.

    CannotJudgeError where a value is not defined or has no noise.
    """
    if isinstance(check, Overfits):
        yield from _overfits(check, cases, chapter)
    elif not isinstance(check, RunStatus):
        facts = METRICS[check.metric]
        unit = MARGIN_UNITS[facts.quantity]
        records = [record for case in cases for record in measured_in_order(case)]
        step = max((resolution(check.metric, record) for record in records), default=0.0)

        def value(record: Record) -> float:
            found = value_of(check.metric, record, check.level)
            if found is None:
                raise CannotJudgeError(Reason("undefined", metric=check.metric))
            if unit == "%" and found <= 0:
                raise CannotJudgeError(Reason("no_ratio", metric=check.metric, what=f"{found:g}"))
            return log(found) if unit == "%" else found

        samples = samples_of(cases, chapter, value, step, in_blocks=facts.quantity == "seconds")
        if not step and any(len(found) > 1 and len(set(found)) == 1 for found in samples.by_case.values()):
            raise CannotJudgeError(Reason("no_noise", metric=check.metric))
        for part, weights in _parts(check, facts.title, unit, samples):
            yield _estimated(part, weights, samples)


def _parts(check: MetricCheck, title: str, unit: str, samples: Samples) -> Iterator[tuple[Comparison, Sequence[float]]]:
    """Yield comparisons without estimates, and the weights of their cases."""
    if isinstance(check, Trend):
        yield from _trend(check, title, unit)
        return
    for names, region in _regions(check, is_log=unit == "%", samples=samples):
        part = Comparison(check, names, title, region, unit)
        if isinstance(check, Equivalent) and len(check.cases) > 2:
            what = f"{title}, highest and lowest of {len(check.cases)} cases"
            part = replace(part, what=what, widest_of=len(check.cases))
        yield part, [1, -1][: len(names)]


def _estimated(part: Comparison, weights: Sequence[float], samples: Samples) -> Comparison:
    """Return a comparison with the weighted sum of its cases' means at each interim analysis."""
    looks = samples.looks
    if isinstance(part.check, Equivalent) and part.widest_of > 2:
        every = combinations(part.check.cases, 2)
        pairs = tuple({n: samples.estimate(pair, weights, n) for n in looks} for pair in every)
        widest = {n: samples.estimate(samples.extremes(n), weights, n) for n in looks}
        return replace(part, estimates=widest, pairs=pairs)
    if isinstance(part.check, MetricCheck) and part.check.paired:
        groups = [samples.by_case[name] for name in part.about]
        estimates = {n: paired_contrast([found[:n] for found in groups], weights, samples.step) for n in looks}
        pair = [found[: max(looks)] for found in groups] if looks and len(groups) == 2 else []
        rho = correlation(*pair) if pair and all(len(set(found)) > 1 for found in pair) else 0.0
        return replace(part, estimates=estimates, correlation=rho if pair else None)
    return replace(part, estimates={n: samples.estimate(part.about, weights, n) for n in looks})


def _regions(
    check: Difference | Ranking | Equivalent | Ratio | Close, *, is_log: bool, samples: Samples
) -> Iterator[NamedRegion]:
    """Yield a case with the region of its mean, or two with that of the first's less the second's.

    Many cases are near each other where the highest is near the lowest: one comparison, not one for each pair.
    """

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
            yield (samples.extremes(max(samples.looks)) if samples.looks else check.cases[:2]), Region(-margin, margin)
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


def _overfits(check: Overfits, cases: Sequence[CaseRecords], chapter: Collection[CaseRecords]) -> Iterator[Comparison]:
    def half_of(record: Record) -> Sequence[Epoch]:
        if not (half := second_half(record)):
            raise CannotJudgeError(Reason("too_few_epochs", count=FEWEST_WITH_HALVES))
        return half

    def slope(losses: Sequence[float]) -> float:
        return linear_regression(range(len(losses)), losses).slope

    def turn(record: Record) -> float:
        half_of(record)
        return float(min(comparable_epochs(record), key=lambda epoch: epoch.clean.loss).epoch)

    quantities: Iterable[tuple[str, str, Region, float, Callable[[Record], float]]] = (
        ("training loss per epoch, second half", "nats", Region(high=0), 0,
         lambda record: slope([epoch.train.loss for epoch in half_of(record)])),
        ("test loss (clean) per epoch, second half", "nats", UP, 0,
         lambda record: slope([epoch.clean.loss for epoch in half_of(record)])),
        ("epoch of the lowest test loss (clean)", "epochs", Region(high=check.turns_by + 0.5), 1, turn),
    )  # fmt: skip
    for what, unit, region, step, value in quantities:
        part = Comparison(check, (check.case,), what, region, unit)
        yield _estimated(part, [1], samples_of(cases, chapter, value, step))
