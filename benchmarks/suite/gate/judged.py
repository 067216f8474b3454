"""The gate's statistics for many simulated checks at once, and other rules to set beside them.

Arrays have one row a check and one column a case; values by seed are the last axis. tests/test_gate_simulation.py holds
these forms against resnet18.gate.statistical.
"""

from collections.abc import Callable
from functools import cache
from math import log, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from resnet18.gate.statistical import RESOLUTION

Floats = NDArray[np.float64]
Rule = Callable[[Floats, Floats, float], Floats]
"""Old accuracies, new ones and their step to the two-sided p of each case."""


def _two_sided(gap: Floats, variance: Floats, df: float | Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * stdtr(df, -np.abs(gap) / np.sqrt(variance))
    return np.where(variance == 0, np.where(gap == 0, 1.0, 0.0), p)


def _gap(old: Floats, new: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the gap of the means and the variance of each side."""
    return new.mean(-1) - old.mean(-1), old.var(-1, ddof=1), new.var(-1, ddof=1)


def of_baseline(old: Floats, new: Floats, step: float) -> Floats:
    """Return p by the spread of the baseline alone: the prediction interval."""
    gap, variance, _ = _gap(old, new)
    return _two_sided(
        gap, np.maximum(variance, step**2 / 12) * (1 / new.shape[-1] + 1 / old.shape[-1]), old.shape[-1] - 1
    )


def of_both(old: Floats, new: Floats, step: float) -> Floats:
    """Return p by the pooled spread of both sides: Student's t, the same interval with n + k - 2 degrees of freedom."""
    n, k = old.shape[-1], new.shape[-1]
    gap, before, after = _gap(old, new)
    pooled = np.maximum(((n - 1) * before + (k - 1) * after) / (n + k - 2), step**2 / 12)
    return _two_sided(gap, pooled * (1 / k + 1 / n), n + k - 2)


def of_each(old: Floats, new: Floats, step: float) -> Floats:
    """Return p by the spread of each side: Welch's t."""
    n, k = old.shape[-1], new.shape[-1]
    gap, before, after = _gap(old, new)
    before, after = np.maximum(before, step**2 / 12) / n, np.maximum(after, step**2 / 12) / k
    below = np.maximum(before**2 / (n - 1) + after**2 / (k - 1), 1e-300)
    return _two_sided(gap, before + after, np.maximum((before + after) ** 2 / below, 1e-9))


def of_ranks(old: Floats, new: Floats, step: float) -> Floats:
    """Return p by ranks: Mann-Whitney, exact without ties; the step plays no part."""
    del step
    n, k = old.shape[-1], new.shape[-1]
    pairs = new[..., :, None] - old[..., None, :]
    above = (pairs > 0).sum((-1, -2)) + 0.5 * (pairs == 0).sum((-1, -2))
    fewer = np.ceil(np.minimum(above, n * k - above)).astype(int)
    return np.minimum(1.0, 2 * _chances_of_ranks(n, k)[fewer])


@cache
def _chances_of_ranks(n: int, k: int) -> Floats:
    """Return the chance of at most u pairs, for each u: the coefficients of the Gaussian binomial, added up."""
    counts = np.ones(1)
    for i in range(1, k + 1):
        raised = np.zeros(len(counts) + n + i)
        raised[: len(counts)] = counts
        raised[n + i :] -= counts
        for at in range(i, len(raised)):
            raised[at] += raised[at - i]
        counts = raised[: i * n + 1]
    return np.cumsum(counts) / counts.sum()


RULES: dict[str, Rule] = {
    "baseline's spread": of_baseline,
    "spread of both": of_both,
    "spread of each (Welch)": of_each,
    "ranks (Mann-Whitney)": of_ranks,
}
IN_USE = "spread of both"
"""The gate's own: what `prediction` and `p_of_change` do."""
DEGREES: dict[str, Callable[[int], int]] = {
    "baseline's spread": lambda seeds: 2 * seeds - 1,
    "spread of both": lambda seeds: 3 * seeds - 2,
}
"""Of freedom, with a baseline of twice the seeds."""


def p_of_growth(logs: Floats, overlooked_percent: float) -> Floats:
    """Return the one-sided p of a growth of no more than is overlooked, by logarithms of ratios."""
    spread = np.maximum(logs.std(-1, ddof=1), RESOLUTION / sqrt(12))
    beyond = logs.mean(-1) - log(1 + overlooked_percent / 100)
    return stdtr(logs.shape[-1] - 1, -beyond / (spread / sqrt(logs.shape[-1])))


def alarms(ps: Floats, rate: float) -> NDArray[np.bool_]:
    """Return what Holm's procedure rejects in each row."""
    order = np.argsort(ps, axis=-1)
    levels = rate / np.arange(ps.shape[-1], 0, -1)
    passed = np.logical_and.accumulate(np.take_along_axis(ps, order, -1) <= levels, axis=-1)
    found = np.empty_like(passed)
    np.put_along_axis(found, order, passed, -1)
    return found
