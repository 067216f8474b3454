"""Planning: how many seeds a difference takes, and which runs give the most verdicts in a given time."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log, sqrt
from statistics import variance
from typing import Any, NamedTuple

from scipy.special import chdtri

from resnet18.judge.reason import Reason
from resnet18.judge.recorded import other_terms
from resnet18.records.record import Record
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.claim import Check, Claim, Overfits, RunStatus, cases_of, is_about_a_value
from resnet18.spec.errors import UnfinishedError
from resnet18.spec.experiment import TESTED_AT
from resnet18.spec.metric import MARGIN_UNITS, METRICS
from resnet18.spec.plan import Plan, Run
from resnet18.spec.resolve import Request
from resnet18.tables.metrics import FEWEST_WITH_HALVES, mixed, values_of
from resnet18.tables.selection import requests_of, select
from resnet18.tables.statistics import ALPHA, seeds_for

PLANNED = (0.3, 0.56, 1.0)
"""Standard deviations over seeds, in points, to plan with before there are records (docs/methodology.md)."""
DIFFERENCES = (0.25, 0.5, 1.0, 2.0, 5.0)


class Spread(NamedTuple):
    """The standard deviation over seeds, pooled over the cases of one table, in the metric's unit."""

    where: str
    sigma: float
    df: int
    """Seeds beyond the first, summed over cases; 0 for a value that was assumed."""


def spreads(benchmarks: Collection[Benchmark], records: Collection[Record], metric: str) -> Iterator[Spread]:
    """Yield the spread of a metric in every table that has two seeds of a case, by request."""
    seen = set[frozenset[str]]()
    for request in requests_of(records):
        for selection in select(benchmarks, request, records):
            runs = frozenset(record.run_id for record in selection.measured)
            groups = [group for case in selection.cases if len(group := _values(metric, case.measured)) > 1]
            if groups and runs not in seen:  # an option that changed nothing asks for the same runs
                seen.add(runs)
                df = sum(len(group) - 1 for group in groups)
                pooled = sum((len(group) - 1) * variance(group) for group in groups) / df
                yield Spread(f"{selection.benchmark.name}, {request.described}", sqrt(pooled), df)


def _values(metric: str, records: Sequence[Record]) -> list[float]:
    """Return the metric of comparable runs, where it is defined; times and memory as logarithms in percent."""
    is_cost = MARGIN_UNITS[METRICS[metric].quantity] == "%"
    if mixed(records, are_costs=is_cost, are_compared=True):
        return []
    values = values_of(metric, (record for record in records if not (is_cost and record.has_unreliable_times)))
    return [100 * log(value) for value in values if value > 0] if is_cost else values


def planned(metric: str) -> list[Spread]:
    """Return the spreads to plan with where nothing is recorded; UnfinishedError for a metric that is no accuracy."""
    if METRICS[metric].quantity != "accuracy":
        what = "no case has two recorded seeds to take its spread from"
        raise UnfinishedError(metric, what, next_step="run some with: resnet18 run --scale small")
    return [Spread("assumed, since no case has two recorded seeds", sigma, 0) for sigma in PLANNED]


def power_rows(found: Iterable[Spread], differences: Sequence[float], metric: str, claims: int) -> list[dict[str, Any]]:
    """Return a flat row for each spread and difference, both in the metric's unit.

    Measured spreads have their 95 % interval (chi-squared). `seeds_corrected` is for the level of Holm's first step
    among so many claims of one report.
    """
    rows = list[dict[str, Any]]()
    for where, sigma, df in found:
        low, high = (sigma * sqrt(df / float(chdtri(df, tail))) if df else None for tail in (0.025, 0.975))
        unit = MARGIN_UNITS[METRICS[metric].quantity]
        about: dict[str, Any] = {"where": where, "metric": metric, "unit": unit, "sigma": sigma}
        about |= {"sigma_low": low, "sigma_high": high, "df": df}
        for difference in differences:
            alone, among = (seeds_for(difference, sigma, alpha) for alpha in (ALPHA, ALPHA / claims))
            rows.append({**about, "difference": difference, "seeds": alone, "seeds_corrected": among, "claims": claims})
    return rows


@dataclass
class Choice:
    """A claim under a budget, and with how many seeds it is taken."""

    benchmark: str
    claim: Claim
    cases: tuple[tuple[Run, ...], ...]
    """Runs of each of its cases, by seed."""
    left_out: Reason | None
    """Why no number of seeds decides it here, its runs cannot be planned, or they take too long."""
    seeds: int = 0
    """Of each of its cases; 0: it is left out."""

    def runs(self, seeds: int) -> set[str]:
        """Return the ids of its runs with so many seeds."""
        return {run.run_id for case in self.cases for run in case[:seeds]}


def choose(
    benchmarks: Iterable[Benchmark],
    plan: Plan,
    request: Request,
    seconds: Mapping[str, float],
    device: str,
    budget_s: float,
) -> list[Choice]:
    """Return with how many seeds each claim's runs are made within a time, for the most verdicts.

    Every claim is tested at the first number of seeds before one is at the next. Directions, which any data can show,
    come first, then what takes the least time; runs of another claim cost nothing. The choice is greedy: another may
    fit more in. `seconds` are of runs, by id, where known; `device` is what `auto` takes.
    """
    choices = []
    for benchmark in benchmarks:
        for claim in benchmark.claims:
            cases, reasons = list[tuple[Run, ...]](), list[Reason | None]()
            for check in claim.checks:
                reasons.append(other_terms(check, request))
                for label in (f"{benchmark.name}/{case}" for case in cases_of(check)):
                    runs = [run for run in plan.runs if label in run.labels]
                    cases.append(tuple(sorted(runs, key=lambda run: run.experiment.seed)))
                    reasons.append(_obstacle(check, label, cases[-1], plan, seconds, device))
            left_out = next(filter(None, reasons), None)
            choices.append(Choice(benchmark.name, claim, tuple(cases), left_out))
    most = len({run.experiment.seed for run in plan.runs})
    _spend(budget_s, choices, seconds, [n for n in TESTED_AT if n <= most] or [most])
    return choices


def _spend(left_s: float, choices: Sequence[Choice], seconds: Mapping[str, float], steps: Sequence[int]) -> None:
    """Set the seeds of choices, from step to step, until the time is spent."""
    taken, before = set[str](), 0

    def cost_s(choice: Choice, seeds: int) -> float:
        return sum(seconds[run_id] for run_id in choice.runs(seeds) - taken)

    for seeds in steps:
        waiting = [choice for choice in choices if choice.left_out is None and choice.seeds == before]
        while affordable := [choice for choice in waiting if cost_s(choice, seeds) <= left_s]:
            costs = [(any(map(is_about_a_value, choice.claim.checks)), cost_s(choice, seeds)) for choice in affordable]
            chosen = affordable[costs.index(min(costs))]
            waiting.remove(chosen)
            left_s -= cost_s(chosen, seeds)
            taken |= chosen.runs(seeds)
            chosen.seeds = seeds
        for choice in waiting:
            if not choice.seeds:
                choice.left_out = Reason("takes_too_long", count=round(cost_s(choice, seeds)), of=round(left_s))
        before = seeds


def _obstacle(
    check: Check, label: str, runs: tuple[Run, ...], plan: Plan, seconds: Mapping[str, float], device: str
) -> Reason | None:
    """Return why no number of seeds of a case decides a check here, or why its runs cannot be planned."""
    if not runs:
        absent = plan.not_planned.get(label)
        return Reason("no_device", what=absent) if absent else Reason("not_planned", label)
    if any(run.run_id not in seconds for run in runs):
        return Reason("time_unknown", label)
    if isinstance(check, Overfits) and runs[0].experiment.epochs < FEWEST_WITH_HALVES:
        return Reason("undefined", metric="lowest_loss_epoch")
    kind = runs[0].execution.device.partition(":")[0].replace("auto", device)
    if isinstance(check, RunStatus) and check.device.partition(":")[0] != kind:
        return Reason("other_device", label, what=check.device)
    return None
