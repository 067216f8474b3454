"""What groups say together of the variance of a single run: moderated variances (Smyth, SAGMB 3, 2004), guarded."""

from dataclasses import dataclass, replace
from functools import lru_cache
from math import inf, isinf

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, polygamma, psi

Floats = NDArray[np.float64]
DRAWS = 1_000
"""Of what seeds not yet run may show; a chance is their mean."""


@dataclass(frozen=True)
class Prior:
    """What the groups of a report say together of the variance of a single run; arrays where there are many reports."""

    variance: float | Floats = 0.0
    df: float | Floats = 0.0
    """Degrees of freedom that they lend to a group; 0: none, and the test is Welch's."""
    groups: float = inf
    """As many as there are, the group itself among them: no estimate has more degrees of freedom than all of them."""

    def moderate(self, own: float | Floats, df: int) -> tuple[float | Floats, float | Floats]:
        """Return the variance of a group and its degrees of freedom; nothing shrinks below the group's own variance."""
        weight = 1 - df / (self.df + df)
        moderated = weight * self.variance + (1 - weight) * own
        return np.maximum(moderated, own), np.minimum(self.df + df, self.groups * df)


WELCH = Prior()


def prior_of(variances: Floats, df: int) -> Prior:
    """Return the prior of groups with equal degrees of freedom: a scaled inverse chi-square (Smyth 2004, section 6.2).

    Groups lie along the last axis, reports along others. Where the variances differ by no more than chance, the groups
    have one variance: they lend all that they have.
    """
    groups = variances.shape[-1]
    if groups < 2:
        return WELCH
    shifted = np.log(variances) - psi(df / 2) + np.log(df / 2)
    excess = shifted.var(axis=-1, ddof=1) - polygamma(1, df / 2)
    is_one = excess <= 0
    half = _inverse_trigamma(np.where(is_one, 1.0, excess))
    unequal = np.exp(shifted.mean(axis=-1) + psi(half) - np.log(half))
    # [()] makes a number of an array without axes.
    return Prior(np.where(is_one, variances.mean(axis=-1), unequal)[()], np.where(is_one, inf, 2 * half)[()], groups)


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
    in_blocks: bool = False
    """One variance of all groups, seed by seed, and not below that of the sum itself."""

    def drawn(self, variance: float, n: int) -> tuple[Floats, Floats]:
        """Return variances, and their degrees of freedom, that n seeds may show where single runs have this one."""
        count, df = max(1, round(self.groups)), n - 1
        lenders = max(count, round(self.prior.groups)) if self.prior.df else count
        shares = _shares_of_variance(lenders, df)
        own = variance * shares[:count]
        if self.in_blocks:
            return np.maximum(own[0], own.mean(axis=0)), np.full(DRAWS, float(count * df))
        prior = WELCH
        if self.prior.df:
            prior = _priors(count, lenders, float(self.prior.df), df)
            prior = replace(prior, variance=prior.variance * self.prior.variance)
        moderated, dfs = prior.moderate(own, df)
        own = np.asarray(moderated)
        total = own.sum(axis=0)
        return total / count, np.minimum(total**2 / (own**2).sum(axis=0) * dfs, prior.groups * df)


@lru_cache(maxsize=64)
def _shares_of_variance(groups: int, df: int) -> Floats:
    """Return sample variances over the true one, of each group in each draw: every share of probability once."""
    random = np.random.default_rng(groups)
    shares = random.permuted(np.tile((np.arange(DRAWS) + 0.5) / DRAWS, (groups, 1)), axis=1)
    return np.asarray(chdtri(df, shares) / df)


@lru_cache(maxsize=256)
def _priors(count: int, lenders: int, df: float, own_df: int) -> Prior:
    """Return the prior of each draw, its variance over the true one.

    The variances of all lenders but the first, whose sum is in question, are inverse chi-square with `df`.
    """
    variances = _shares_of_variance(lenders, own_df).copy()
    if not isinf(df):
        variances[count:] *= df / np.random.default_rng(lenders).chisquare(df, (lenders - count, DRAWS))
    return prior_of(variances.T, own_df)
