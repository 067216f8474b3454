"""What groups say together of the variance of a single run: moderated variances (Smyth, SAGMB 3, 2004), guarded."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf, isinf, log
from statistics import fmean, variance

from scipy.special import polygamma, psi


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
    shifted = [log(found) - float(psi(df / 2)) + log(df / 2) for found in variances]
    excess = variance(shifted) - float(polygamma(1, df / 2))
    if excess <= 0:
        return Prior(fmean(variances), inf, df * len(variances))
    half = _inverse_trigamma(excess)
    return Prior(exp(fmean(shifted) + float(psi(half)) - log(half)), 2 * half, df * len(variances))


def _inverse_trigamma(value: float) -> float:
    """Return x with trigamma(x) = value > 0: Newton's method on 1/trigamma, convex and nearly straight (Smyth 2004)."""
    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, x))
        x += step
        if -step < 1e-9 * x:
            break
    return x
