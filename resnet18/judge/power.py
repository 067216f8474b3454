"""How many seeds a difference takes, from the variance of the runs that are recorded."""

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from math import inf, log, sqrt
from statistics import variance
from typing import Any

from scipy.special import chdtri

from resnet18.records.record import Record
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.errors import UnfinishedError
from resnet18.spec.metric import MARGIN_UNITS, METRICS
from resnet18.tables.metrics import installation, mixed_machines, value_of
from resnet18.tables.selection import requests_of, select
from resnet18.tables.statistics import ALPHA, MOST_SEEDS, POWER, power

PLANNED = (0.3, 0.56, 1.0)
"""Standard deviations over seeds, in points, to plan with before there are records (docs/methodology.md)."""
DIFFERENCES = (0.25, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True)
class Spread:
    """The standard deviation over seeds, pooled over the cases of one table."""

    where: str
    sigma: float
    """In the metric's unit."""
    df: int
    """Seeds beyond the first, summed over cases; 0 for a value that was assumed."""

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the standard deviation (chi-squared), None where nothing was measured."""
        if not self.df:
            return None
        low, high = (self.sigma * sqrt(self.df / float(chdtri(self.df, tail))) for tail in (0.025, 0.975))
        return low, high


def spreads(benchmarks: Collection[Benchmark], records: Collection[Record], metric: str) -> Iterator[Spread]:
    """Yield the spread of a metric in every table that has two seeds of a case, by request."""
    seen = set[frozenset[str]]()
    for request in requests_of(records):
        for selection in select(benchmarks, request, records):
            runs = frozenset(record.run_id for record in selection.measured)
            groups = [group for case in selection.cases if len(group := _values(metric, case.measured)) > 1]
            if not groups or runs in seen:  # an option that changed nothing asks for the same runs
                continue
            seen.add(runs)
            df = sum(len(group) - 1 for group in groups)
            pooled = sum((len(group) - 1) * variance(group) for group in groups) / df
            yield Spread(f"{selection.benchmark.name}, {request.described}", sqrt(pooled), df)


def _values(metric: str, records: Sequence[Record]) -> list[float]:
    """Return the metric of runs where it is defined; times and memory as logarithms in percent.

    Nothing where runs differ in more than their seeds: code, data, or, for times and memory, the installation.
    """
    is_cost = MARGIN_UNITS[METRICS[metric].quantity] == "%"
    identities = [record.fingerprint.identity for record in records]
    is_mixed = mixed_machines(records) is not None or len({installation(record) for record in records}) > 1
    if len({(made_by.code_hash, made_by.data_sha256) for made_by in identities}) > 1 or (is_cost and is_mixed):
        return []
    reliable = [record for record in records if not (is_cost and record.has_unreliable_times)]
    values = [value for record in reliable if (value := value_of(metric, record)) is not None]
    return [100 * log(value) for value in values if value > 0] if is_cost else values


def planned(metric: str) -> list[Spread]:
    """Return the spreads to plan with where nothing is recorded.

    Raises:
        UnfinishedError: the metric is no accuracy: what to expect of others is not known.
    """
    if METRICS[metric].quantity != "accuracy":
        raise UnfinishedError(
            metric,
            "no case has two recorded seeds to take its spread from",
            next_step="run some with: resnet18 run --scale small",
        )
    return [Spread("assumed, since no case has two recorded seeds", sigma, 0) for sigma in PLANNED]


def seeds_for(difference: float, sigma: float, alpha: float = ALPHA) -> int | None:
    """Return the seeds of each of two cases that show a difference with power .8 (two-sided t test).

    None: more than `MOST_SEEDS`. With a standard deviation of 0 two seeds do.
    """
    if not sigma:
        return 2
    distance = difference / (sigma * sqrt(2))

    def enough(n: int) -> bool:
        return power(distance, inf, n, 2 * n - 2, alpha / 2) >= POWER

    return bisect_left(range(2, MOST_SEEDS), True, key=enough) + 2 if enough(MOST_SEEDS) else None


def power_rows(found: Sequence[Spread], differences: Sequence[float], metric: str, claims: int) -> list[dict[str, Any]]:
    """Return a flat row for each spread and difference.

    Args:
        found: spreads.
        differences: in the metric's unit.
        metric: what is compared.
        claims: of one report; `seeds_corrected` is for the level of Holm's first step among so many.
    """
    return [
        {
            "where": spread.where,
            "metric": metric,
            "unit": MARGIN_UNITS[METRICS[metric].quantity],
            "sigma": spread.sigma,
            "sigma_low": spread.interval[0] if spread.interval else None,
            "sigma_high": spread.interval[1] if spread.interval else None,
            "df": spread.df,
            "difference": difference,
            "seeds": seeds_for(difference, spread.sigma),
            "seeds_corrected": seeds_for(difference, spread.sigma, ALPHA / claims),
            "claims": claims,
        }
        for spread in found
        for difference in differences
    ]
