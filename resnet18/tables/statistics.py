"""Statistics of few seeds: Student intervals, Welch's t, equivalence, interim analyses, Holm, sample sizes.

Everything is an estimate of a weighted sum of means, with its standard error and degrees of freedom, and a region in
which a claim says the true value lies. Sources: Welch, Biometrika 34 (1947) with Satterthwaite's degrees of freedom;
Schuirmann's two one-sided tests (1987); Holm, Scand. J. Statist. 6 (1979). docs/methodology.md explains the choices.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import inf, isinf, sqrt
from operator import mul
from statistics import fmean, variance

import numpy as np
from numpy.typing import NDArray
from scipy.special import nctdtrinc, ndtr, stdtr, stdtrit

from resnet18.spec.experiment import TESTED_AT
from resnet18.tables.variances import DRAWS, WELCH, Prior, Scatter

ALPHA = 0.05
POWER = 0.8


@dataclass(frozen=True)
class Estimate:
    """A weighted sum of means of independent groups."""

    value: float
    se: float
    """Standard error."""
    df: float
    """Degrees of freedom of the standard error."""
    n: int
    """Seeds in the smallest group."""
    run_variance: float
    """Variance of the same sum of single runs, n times se² for groups of n."""
    scatter: Scatter = field(default=Scatter(), compare=False)
    """How the standard error is estimated."""
    is_least: bool = False
    """The true value may be larger, since a value is only known to lie above; `is_most`: it may be smaller."""
    is_most: bool = False

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return Student's interval of the sum."""
        half = float(stdtrit(self.df, 0.5 + confidence / 2)) * self.se
        return self.value - half, self.value + half

    def for_one_more_run(self) -> "Estimate":
        """Return the same with the standard error of the difference to one further run (prediction)."""
        return replace(self, se=sqrt(self.se**2 + self.run_variance))

    def p_above(self, bound: float) -> float:
        """Return the one-sided p of the hypothesis that the true value is at most `bound`."""
        if self.is_most and bound > -inf:
            return 1.0
        if self.se == 0:
            return float(self.value <= bound)
        return float(stdtr(self.df, (bound - self.value) / self.se))

    def p_below(self, bound: float) -> float:
        """Return the one-sided p of the hypothesis that the true value is at least `bound`."""
        return replace(self, value=-self.value, is_least=self.is_most, is_most=self.is_least).p_above(-bound)


def contrast(
    groups: Sequence[Sequence[float]], weights: Sequence[float], resolution: float = 0.0, prior: Prior = WELCH
) -> Estimate:
    """Return the weighted sum of the groups' means, with Satterthwaite's degrees of freedom.

    Weights (1, -1) give a difference. Groups hold values by seed, at least 2 in each.
    """
    least = resolution**2 / 12  # a variance below that of rounding to the step of the values is not believed
    moderated = [prior.moderate(max(variance(group), least), len(group) - 1) for group in groups]
    spreads = [weight**2 * float(found) for weight, (found, _) in zip(weights, moderated, strict=True)]
    counts = [len(group) for group in groups]
    parts = [spread / n for spread, n in zip(spreads, counts, strict=True)]
    squared, squares = sum(parts), sum(part**2 for part in parts)
    below = sum(part**2 / float(df) for part, (_, df) in zip(parts, moderated, strict=True))
    alike = squared**2 / squares if squares else len(groups)
    lent = replace(prior, variance=prior.variance * sum(weight**2 for weight in weights))
    return Estimate(
        value=sum(map(mul, weights, map(fmean, groups))),
        se=sqrt(squared),
        df=min(squared**2 / below, prior.groups * (min(counts) - 1)) if below else sum(counts) - len(counts),
        n=min(counts),
        run_variance=sum(spreads),
        scatter=Scatter(alike, lent),
    )


def paired_contrast(groups: Sequence[Sequence[float]], weights: Sequence[float], resolution: float = 0.0) -> Estimate:
    """Return the same for groups of equal seeds: the sum is taken seed by seed, then averaged (paired t)."""
    sums = [sum(map(mul, weights, row)) for row in zip(*groups, strict=True)]
    return contrast([sums], [1.0], resolution)


def blocked_contrast(
    blocks: Sequence[Sequence[float]],
    groups: Sequence[Sequence[float]],
    weights: Sequence[float],
    resolution: float = 0.0,
) -> Estimate:
    """Return the weighted sum of groups that ran seed by seed, as rows of `blocks`, which hold every group that did.

    A drift of the machine moves all runs of a seed alike. The variance is that of the residuals of seed and group over
    all blocks, on (k - 1)(n - 1) degrees of freedom, and neither below that of the sums themselves, seed by seed, nor
    below that of rounding to the resolution.
    """
    table = np.array(blocks)
    residuals = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    df = (len(table) - 1) * (table.shape[1] - 1)
    sums = [sum(map(mul, weights, row)) for row in zip(*groups, strict=True)]
    scale = sum(weight**2 for weight in weights)
    spread = max(variance(sums), scale * float((residuals**2).sum()) / df, scale * resolution**2 / 12)
    scatter = Scatter(len(table) - 1, in_blocks=True)
    return Estimate(fmean(sums), sqrt(spread / len(sums)), df, len(sums), spread, scatter)


@dataclass(frozen=True)
class Region:
    """An open interval in which a claim says the true value lies."""

    low: float = -inf
    high: float = inf

    @property
    def is_direction(self) -> bool:
        """Whether it is bounded on one side alone: such a test is two-sided, its p doubled."""
        return isinf(self.low) or isinf(self.high)

    def p_inside(self, estimate: Estimate) -> float:
        """Return the p for the claim: two one-sided tests, both at full level; doubled for a direction."""
        p = max(estimate.p_above(self.low), estimate.p_below(self.high))
        return min(1.0, 2 * p) if self.is_direction else p

    def p_outside(self, estimate: Estimate) -> float:
        """Return the p against the claim: that the true value is beyond a bound, two-sided."""
        return min(1.0, 2 * min(estimate.p_below(self.low), estimate.p_above(self.high)))


@lru_cache(maxsize=64)  # Holm asks for it, and then the claim; 5 ms each
def range_p(widest: Estimate, margin: float, k: int) -> float:
    """Return the p against the claim that no two of k groups differ by more than a margin, from the widest difference.

    The range of the means is at most that of the true values plus that of the errors, which is Tukey's studentized
    range: so one test does for all pairs.
    """
    from scipy.stats import studentized_range  # noqa: PLC0415 - takes half a second to import, and is seldom needed

    beyond = abs(widest.value) - margin
    if beyond <= 0 or not widest.se:
        return float(beyond <= 0)
    return float(studentized_range.sf(beyond * sqrt(2) / widest.se, k, widest.df))


def sequential_p(p_by_seeds: Mapping[int, float]) -> float:
    """Return one p from those of the interim analyses done, valid wherever runs end (weighted Bonferroni)."""
    return min([1.0, *(p / TESTED_AT[n] for n, p in p_by_seeds.items())])


def holm_levels(ps: Sequence[float], alpha: float = ALPHA) -> list[float]:
    """Return the level that each p is held against: p <= level is what Holm's step-down procedure rejects."""
    order = sorted(range(len(ps)), key=lambda at: ps[at])
    steps = [alpha / (len(ps) - rank) for rank in range(len(ps))]
    stop = next((rank for rank, at in enumerate(order) if ps[at] > steps[rank]), len(ps))
    levels = {at: steps[min(rank, stop)] for rank, at in enumerate(order)}
    return [levels[at] for at in range(len(ps))]


def least_excess(estimate: Estimate, level: float, power: float = POWER) -> float:
    """Return how far above a bound a true value lies whose p_above is at most `level` with a chance of `power`.

    In standard errors it is the noncentrality of Student's t; the standard error is taken as the true one. Source:
    Johnson and Welch, Biometrika 31 (1940).
    """
    return estimate.se * float(nctdtrinc(estimate.df, 1 - power, stdtrit(estimate.df, 1 - level)))


def chance(
    estimate: Estimate, region: Region, n: int, alpha: float, *, one_run: bool = False, means: Sequence[float] = ()
) -> float:
    """Return the chance that the interim analysis of n seeds settles a question, if the estimate were the truth.

    Settled: shown to lie inside the region, or beyond the bound that it is beyond. `alpha` is the level over all
    interim analyses: of both sides for a direction, else of each one-sided test. `one_run`: the region is about one
    further run. `means`: of all cases where every two are claimed to be near; the estimate is of the two extremes.
    """
    k, level, is_inside = max(2, len(means)), alpha * TESTED_AT[n], region.low < estimate.value < region.high
    deviation = sqrt(estimate.run_variance / n)
    if not deviation:
        return float(estimate.value not in {region.low, region.high})
    spread, df = estimate.scatter.drawn(estimate.run_variance, n)
    if is_inside:
        tail = level / 2 if region.is_direction else level
    else:  # far in its tail, Tukey's range of k means is Bonferroni's bound over their pairs
        tail = level / (k * (k - 1))
        region = Region(high=region.low) if estimate.value <= region.low else Region(low=region.high)
    margin = stdtrit(df, 1 - tail) * np.sqrt(spread * (1 / n + one_run))
    if k > 2:
        widest = np.ptp(np.array(means)[:, None] + deviation / sqrt(2) * _normal(k), axis=0)
        return float(np.mean(widest < region.high - margin if is_inside else widest > abs(region.low) + margin))
    above = ndtr((region.high - estimate.value - margin) / deviation)
    below = ndtr((region.low - estimate.value + margin) / deviation)
    return float(np.mean(np.clip(above - below, 0, None)))


@lru_cache(maxsize=64)
def _normal(groups: int) -> NDArray[np.float64]:
    """Return the errors of so many means in each draw, in standard errors."""
    return np.random.default_rng(groups).standard_normal((groups, DRAWS))


def ratio_of_medians(above: Sequence[float], below: Sequence[float]) -> tuple[float, float, float]:
    """Return the ratio of medians with its 95 % percentile-bootstrap interval.

    The interval covers as it says from 5 values a side on (docs/methodology.md); it is of medians, never of means.
    The resamples are a fixed sequence, so that equal values give equal intervals.
    """
    random = np.random.default_rng(0)
    first, second = (np.median(random.choice(side, (4_000, len(side))), axis=1) for side in (above, below))
    low, high = np.quantile(first / second, (0.025, 0.975))
    return float(np.median(above) / np.median(below)), float(low), float(high)
