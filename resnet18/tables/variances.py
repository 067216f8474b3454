"""What groups say together of the variance of a single run: moderated variances (Smyth, SAGMB 3, 2004), guarded."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf, isinf
from statistics import variance

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, polygamma, psi

Floats = NDArray[np.float64]
DRAWS = 1_000
"""Of what seeds not yet run may show; a chance is their mean."""


@dataclass(frozen=True)
class Prior:
    """What the groups of a report say together of the variance of a single run."""

    variance: float = 0.0
    df: float = 0.0
    """Degrees of freedom that they lend to a group; 0: none, and the test is Welch's."""
    most_df: float = inf
    """Those of all groups together: no estimate has more."""

    def moderate(self, group: Sequence[float], resolution: float = 0.0) -> tuple[float, float]:
        """Return the variance of a group and its degrees of freedom; nothing shrinks below the group's own variance.

        `resolution` is the step of the values: a variance below that of rounding to it, step²/12, is not believed.
        """
        own, df = max(variance(group), resolution**2 / 12), len(group) - 1
        if isinf(self.df):
            return max(self.variance, own), self.most_df
        return max((self.df * self.variance + df * own) / (self.df + df), own), min(self.df + df, self.most_df)


WELCH = Prior()


def prior_of(variances: Sequence[float], df: int) -> Prior:
    """Return the prior of groups with equal degrees of freedom: a scaled inverse chi-square (Smyth 2004, section 6.2).

    Where the variances differ by no more than chance, the groups have one variance: they lend all that they have.
    """
    if len(variances) < 2:
        return WELCH
    fitted_variance, lent = fitted(np.array(variances), df)
    return Prior(float(fitted_variance), float(lent), df * len(variances))


def fitted(variances: Floats, df: int) -> tuple[Floats, Floats]:
    """Return the variance of the prior and its degrees of freedom; groups along the last axis, sets along others."""
    shifted = np.log(variances) - psi(df / 2) + np.log(df / 2)
    excess = shifted.var(axis=-1, ddof=1) - polygamma(1, df / 2)
    is_one = excess <= 0
    half = _inverse_trigamma(np.where(is_one, 1.0, excess))
    unequal = np.exp(shifted.mean(axis=-1) + psi(half) - np.log(half))
    return np.where(is_one, variances.mean(axis=-1), unequal), np.where(is_one, inf, 2 * half)


def _inverse_trigamma(value: Floats) -> Floats:
    """Return x with trigamma(x) = value > 0: Newton's method on 1/trigamma, convex and nearly straight (Smyth 2004)."""
    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = polygamma(1, x)
        step = trigamma * (1 - trigamma / value) / polygamma(2, x)
        x = x + step
        if np.all(-step < 1e-9 * x):
            break
    return np.asarray(x)


@dataclass(frozen=True)
class Scatter:
    """How the variance of a weighted sum is estimated, which says how well more seeds would tell it."""

    groups: float = 1.0
    """As many groups of equal variance as have its degrees of freedom."""
    prior: Prior = WELCH
    """Of the variance of the sum of single runs."""
    lenders: float = inf
    """Groups that lend, its own among them."""
    in_blocks: bool = False
    """One variance of all groups, seed by seed, and not below that of the sum itself."""

    def drawn(self, variance: float, n: int) -> tuple[Floats, Floats]:
        """Return variances, and their degrees of freedom, that n seeds may show where single runs have this one."""
        count, df = max(1, round(self.groups)), n - 1
        lenders = max(count, round(self.lenders)) if self.prior.df else count
        shares = _shares_of_variance(lenders, df)
        own = variance * shares[:count]
        if self.in_blocks:
            return np.maximum(own[0], own.mean(axis=0)), np.full(DRAWS, float(count * df))
        lent, most_df = np.zeros(DRAWS), inf
        if self.prior.df:
            scale, lent = _priors(count, lenders, self.prior.df, df)
            most_df = float(lenders * df)
            weight = 1 / (1 + df / lent)
            own = np.maximum(weight * scale * self.prior.variance + (1 - weight) * own, own)
        total = own.sum(axis=0)
        dfs = total**2 / (own**2).sum(axis=0) * np.minimum(lent + df, most_df)
        return total / count, np.minimum(dfs, most_df)


@lru_cache(maxsize=64)
def _shares_of_variance(groups: int, df: int) -> Floats:
    """Return sample variances over the true one, of each group in each draw: every share of probability once."""
    random = np.random.default_rng(groups)
    shares = random.permuted(np.tile((np.arange(DRAWS) + 0.5) / DRAWS, (groups, 1)), axis=1)
    return np.asarray(chdtri(df, shares) / df)


@lru_cache(maxsize=256)
def _priors(count: int, lenders: int, df: float, own_df: int) -> tuple[Floats, Floats]:
    """Return in each draw the variance of the prior over the true one, and the degrees of freedom that are lent.

    The variances of all lenders but the first, whose sum is in question, are inverse chi-square with `df`.
    """
    variances = _shares_of_variance(lenders, own_df).copy()
    if not isinf(df):
        variances[count:] *= df / np.random.default_rng(lenders).chisquare(df, (lenders - count, DRAWS))
    return fitted(variances.T, own_df)
