"""What a check says of one metric of one case."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "regression", "not compared", "missing"]


@dataclass(frozen=True)
class Finding:
    """One line of a check."""

    case: str
    metric: str
    verdict: Verdict
    """`not compared`: this comparison cannot be made here, and others stand for the case. `missing`: a record that the
    check needs is not there, so that nothing must pass on it.
    """
    says: str


@dataclass(frozen=True)
class Suspicion:
    """A metric that is judged by statistics: the verdict waits for all others (Holm)."""

    case: str
    metric: str
    p: float
    """Chance of data as far from no change as these, if there is none."""
    says: str
