"""Statistics of few seeds: Student intervals, Welch's t, equivalence, interim analyses, Holm, sample sizes.

Everything is an estimate of a weighted sum of means, with its standard error and degrees of freedom, and a region in
which a claim says the true value lies. Sources: Welch, Biometrika 34 (1947) with Satterthwaite's degrees of freedom;
Schuirmann's two one-sided tests (1987); Holm, Scand. J. Statist. 6 (1979). docs/methodology.md explains the choices.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, isinf, sqrt
from operator import mul
from statistics import fmean, variance

import numpy as np
from scipy.special import chdtri, ndtr, stdtr, stdtrit

from resnet18.spec.experiment import TESTED_AT
from resnet18.tables.variances import WELCH, Prior

ALPHA = 0.05
POWER = 0.8
MOST_SEEDS = 1_000
# Midpoints of 500 equal shares of probability: an expectation over s is a mean over its quantiles. The noncentral t
# of scipy is not used: far in its tail it returns nan, and sample sizes jump.
_SHARES = (np.arange(500) + 0.5) / 500


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

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return Student's interval of the sum."""
        half = float(stdtrit(self.df, 0.5 + confidence / 2)) * self.se
        return self.value - half, self.value + half

    def for_one_more_run(self) -> "Estimate":
        """Return the same with the standard error of the difference to one further run (prediction)."""
        return replace(self, se=sqrt(self.se**2 + self.run_variance))

    def p_above(self, bound: float) -> float:
        """Return the one-sided p of the hypothesis that the true value is at most `bound`."""
        if self.se == 0:
            return float(self.value <= bound)
        return float(stdtr(self.df, (bound - self.value) / self.se))

    def p_below(self, bound: float) -> float:
        """Return the one-sided p of the hypothesis that the true value is at least `bound`."""
        return replace(self, value=-self.value).p_above(-bound)


def contrast(
    groups: Sequence[Sequence[float]], weights: Sequence[float], resolution: float = 0.0, prior: Prior = WELCH
) -> Estimate:
    """Return the weighted sum of the groups' means, with Satterthwaite's degrees of freedom.

    Weights (1, -1) give a difference. Groups hold values by seed, at least 2 in each.
    """
    moderated = [prior.moderate(group, resolution) for group in groups]
    spreads = [weight**2 * found for weight, (found, _) in zip(weights, moderated, strict=True)]
    counts = [len(group) for group in groups]
    parts = [spread / n for spread, n in zip(spreads, counts, strict=True)]
    squared = sum(parts)
    below = sum(part**2 / df for part, (_, df) in zip(parts, moderated, strict=True))
    return Estimate(
        value=sum(map(mul, weights, map(fmean, groups))),
        se=sqrt(squared),
        df=min(squared**2 / below, prior.most_df) if below else sum(counts) - len(counts),
        n=min(counts),
        run_variance=sum(spreads),
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
    return Estimate(fmean(sums), sqrt(spread / len(sums)), df, len(sums), spread)


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


def power(distance_low: float, distance_high: float, n: float, df: float, alpha: float) -> float:
    """Return the chance that an estimate of n seeds proves to lie inside its region, at a one-sided level.

    Distances are those of the true value from the two bounds, in standard deviations of a single run's sum; `df` are
    the degrees of freedom of the standard error, which is that of a single run over the root of n.
    """
    scaled = np.sqrt(chdtri(df, 1 - _SHARES) / df)
    margin = float(stdtrit(df, 1 - alpha)) * scaled
    inside = ndtr(distance_high * sqrt(n) - margin) - ndtr(margin - distance_low * sqrt(n))
    return float(np.mean(np.clip(inside, 0, None)))


def seeds_needed(estimate: Estimate, region: Region, alpha: float, *, one_run: bool = False) -> int | None:
    """Return the seeds of each case that settle a question with power .8, if the estimate were the truth.

    Settled: shown to lie inside the region, or beyond the bound that it is beyond. The next interim analysis that
    suffices, else a number beyond the last; None: more than `MOST_SEEDS`. `alpha` is the level over all interim
    analyses: of both sides for a direction, else of each one-sided test. `one_run`: the region is about one further
    run, whose own scatter no number of seeds takes away.
    """
    if estimate.value <= region.low:
        region = Region(high=region.low)
    elif estimate.value >= region.high:
        region = Region(low=region.high)
    one_sided = alpha / 2 if region.is_direction else alpha
    deviation = sqrt(estimate.run_variance)
    below, above = (
        abs(bound - estimate.value) / deviation if deviation else inf for bound in (region.low, region.high)
    )
    per_seed = estimate.df / (estimate.n - 1)

    def enough(n: int, share: float) -> bool:
        runs = n / (n + 1) if one_run else n
        return power(below, above, runs, per_seed * (n - 1), one_sided * share) >= POWER

    for n, share in TESTED_AT.items():
        if n > estimate.n and enough(n, share):
            return n
    last = max(TESTED_AT)
    return _fewest(lambda n: enough(n, TESTED_AT[last]), max(last, estimate.n) + 1)


def _fewest(enough: Callable[[int], bool], least: int) -> int | None:
    """Return the fewest seeds that are enough, at least so many; None: more than `MOST_SEEDS`."""
    if not enough(MOST_SEEDS):
        return None
    numbers = range(least, MOST_SEEDS)
    return least + bisect_left(numbers, True, key=enough)


def seeds_for(difference: float, sigma: float, alpha: float = ALPHA) -> int | None:
    """Return the seeds of each of two cases that show a difference with power .8 (two-sided t test).

    None: more than `MOST_SEEDS`. With a standard deviation of 0 two seeds do.
    """
    if not sigma:
        return 2
    distance = difference / (sigma * sqrt(2))
    return _fewest(lambda n: power(distance, inf, n, 2 * n - 2, alpha / 2) >= POWER, 2)


def ratio_of_medians(above: Sequence[float], below: Sequence[float]) -> tuple[float, float, float]:
    """Return the ratio of medians with its 95 % percentile-bootstrap interval.

    The interval covers as it says from 5 values a side on (docs/methodology.md); it is of medians, never of means.
    The resamples are a fixed sequence, so that equal values give equal intervals.
    """
    random = np.random.default_rng(0)
    first, second = (np.median(random.choice(side, (4_000, len(side))), axis=1) for side in (above, below))
    low, high = np.quantile(first / second, (0.025, 0.975))
    return float(np.median(above) / np.median(below)), float(low), float(high)
