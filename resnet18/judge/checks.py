"""What each kind of check compares: values by case and seed, weighted sums of their means, and the regions claimed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, pairwise
from math import inf, log
from statistics import correlation, fmean
from typing import assert_never

from resnet18.judge.samples import CannotJudgeError, Reason, Runs, Samples, samples_of
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
    cases_of,
    orders,
)
from resnet18.spec.metric import MetricFacts
from resnet18.tables.statistics import POWER, Estimate, Region, contrast, paired_contrast, range_p, sequential_p

UP = Region(low=0.0)
FITTED = 90.0
"""Training accuracy in percent below which a run has not fitted its images, and cannot overfit."""
LEARNED = 0.1
"""Share of the way from guessing to 100 % that some case must reach: of runs that learn nothing, none is better."""
NamedRegion = tuple[tuple[str, ...], Region]


@dataclass(frozen=True)
class Comparison:
    """A weighted sum of means, the region in which a check says that it lies, and whether it does."""

    check: Check
    about: tuple[str, ...]
    """The cases, the case that is meant to be higher first."""
    facts: MetricFacts
    region: Region
    weights: tuple[float, ...] = ()
    """Of the cases' means."""
    remark: str = ""
    """What is compared of the metric, where it is not a mean or a difference of means."""
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
    chances: Mapping[int, float] = field(default_factory=dict)
    """Of being settled at its claim's level by each further interim analysis, if the estimate were the truth."""

    @property
    def unit(self) -> str:
        """The unit of a margin; `%`: values are logarithms, and estimates are written as ratios."""
        return self.facts.margin_unit

    @property
    def is_log(self) -> bool:
        """Whether estimates are logarithms of ratios."""
        return self.unit == "%"

    @property
    def what(self) -> str:
        """The quantity, in words."""
        return f"{self.facts.title}{self.remark}"

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
    def seeds(self) -> int | None:
        """Seeds of each case that settle it with power .8, if the estimate is the truth; None: ten do not suffice."""
        return next((n for n, found in self.chances.items() if found >= POWER), None)

    @property
    def cost(self) -> tuple[float, float]:
        """What orders comparisons by how soon they would be settled."""
        return self.seeds or inf, -max(self.chances.values(), default=0.0)


def compare(check: Check, runs: Runs) -> Iterator[Comparison]:
    """Yield the comparisons that a check amounts to, all of which must hold.

    CannotJudgeError where a value is not defined, or the situation that the check is about did not arise.
    """
    if isinstance(check, Overfits):
        fitted = runs.values(check.case, "final_train_accuracy")
        if fitted and fmean(fitted) < FITTED:
            raise CannotJudgeError(Reason("not_fitted", count=int(fmean(fitted)), of=int(FITTED)))
        regions = {"train_loss_slope": Region(high=0), "test_loss_slope": UP}
        for metric, region in {**regions, "lowest_loss_epoch": Region(high=check.turns_by + 0.5)}.items():
            part = Comparison(check, (check.case,), runs.facts(metric), region)
            yield _estimated(part, (1.0,), samples_of(runs, (check.case,), metric))
    elif not isinstance(check, RunStatus):
        facts = runs.facts(check.metric)
        samples = samples_of(runs, cases_of(check), check.metric, check.level)
        if facts.is_share and len(samples.by_case) > 1:
            _require_learning(samples, runs.chance(check.metric, cases_of(check)))
        yield from compare_samples(check, facts, samples)


def _require_learning(samples: Samples, chance: float | None) -> None:
    """Raise CannotJudgeError where the best case is hardly better than guessing."""
    best = max((fmean(values) for values in samples.by_case.values() if values), default=0.0)
    if chance is not None and best < chance + LEARNED * (100 - chance):
        raise CannotJudgeError(Reason("not_learned", what=f"{best:.1f}", count=round(chance)))


def kendall_tau(check: Ranking, runs: Runs) -> Estimate | None:
    """Return Kendall's tau between a claimed ranking and that of each seed: 1 as claimed, -1 reversed; mean over seeds.

    None of fewer than two seeds. Kendall, Biometrika 30 (1938); two equal values count as half a pair (tau-a).
    """
    seeds = list(zip(*(runs.values(case, check.metric, check.level) for case in check.cases), strict=False))
    pairs = len(check.cases) * (len(check.cases) - 1) / 2
    taus = [sum((a > b) - (a < b) for a, b in combinations(seed, 2)) / pairs for seed in seeds]
    return contrast([taus], [1], 2 / pairs) if len(taus) > 1 else None


def compare_samples(check: MetricCheck, facts: MetricFacts, samples: Samples) -> Iterator[Comparison]:
    """Yield the comparisons of a check of a metric with values, logarithms for times and memory."""
    if isinstance(check, Trend):
        yield from (_estimated(part, weights, samples) for part, weights in _trend(check, facts))
        return
    for names, region in _regions(check, is_log=facts.margin_unit == "%", samples=samples):
        part = Comparison(check, names, facts, region)
        if isinstance(check, Equivalent) and len(check.cases) > 2:
            part = replace(part, remark=f", highest and lowest of {len(check.cases)} cases", widest_of=len(check.cases))
        yield _estimated(part, [1, -1][: len(names)], samples)


def _estimated(part: Comparison, weights: Sequence[float], samples: Samples) -> Comparison:
    """Return a comparison with the weighted sum of its cases' means at each interim analysis."""
    part = replace(part, weights=tuple(weights))
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


def _trend(check: Trend, facts: MetricFacts) -> Iterator[tuple[Comparison, Sequence[float]]]:
    """Yield the change per step or doubling (a least-squares line), each step, and whether the trend flattens."""
    sign = 1 if check.direction == "rising" else -1
    places = check.places
    offsets = [place - fmean(places) for place in places]
    line = [sign * offset / sum(other**2 for other in offsets) for offset in offsets]
    per = f" per {check.per}, claimed {check.direction}"
    yield Comparison(check, check.cases, facts, UP, remark=per, falls=sign < 0), line
    # The middle of three cases has no weight in a line: a step back that is shown contradicts the trend.
    for pair in pairwise(check.cases):
        step = f", claimed {check.direction} at each step"
        yield Comparison(check, pair, facts, UP, remark=step, can_only_fail=True, falls=sign < 0), [-sign, sign]
    if check.flattens:
        first, last = (sign / (above - below) for below, above in (places[:2], places[-2:]))
        bend = [0.0] * len(places)
        for at, weight in ((0, -first), (1, first), (-2, last), (-1, -last)):
            bend[at] += weight
        flattens = f", change per {check.per}, first minus last, claimed to flatten"
        yield Comparison(check, check.cases, facts, UP, remark=flattens), bend
