"""Planning: how many seeds a difference takes, and which runs give the most verdicts in a given time."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from math import log, prod, sqrt
from statistics import variance
from typing import Any, NamedTuple

from scipy.special import chdtri

from resnet18.judge.checks import Comparison, compare_samples
from resnet18.judge.recorded import other_terms
from resnet18.judge.samples import Reason, Samples, printed_values, priors_of
from resnet18.judge.verdict import TO_COME, Verdict, chances_of
from resnet18.records.record import Record
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.claim import Check, Claim, Overfits, RunStatus, cases_of, orders
from resnet18.spec.errors import UnfinishedError
from resnet18.spec.experiment import FEWEST_SEEDS, TESTED_AT
from resnet18.spec.metric import METRICS, MetricFacts
from resnet18.spec.plan import Plan, Run
from resnet18.spec.resolve import Request
from resnet18.tables.metrics import FEWEST_WITH_HALVES, values_of
from resnet18.tables.selection import mixed, requests_of, select
from resnet18.tables.statistics import ALPHA, POWER, Estimate, Region, chance
from resnet18.tables.variances import Prior, Scatter

PLANNED = (0.3, 0.56, 1.0)
"""Standard deviations over seeds, in points, to plan with before there are records (docs/methodology.md)."""
PLANNED_COST = 0.05  # the same of times and memory, as logarithms
PLANNED_ARMS, PLANNED_DF = 24, 4.0
"""Cases of the report, and the degrees of freedom that they lend, to plan with before there are records."""
EXPECTED = 2.0
"""Standard deviations by which cases are expected to differ as claimed, where the report prints no values of them."""
STANDARD = MetricFacts("a quantity in standard deviations of a run", "other")
DIFFERENCES = (0.25, 0.5, 1.0, 2.0, 5.0)
LEAST_GAIN = 0.02
"""Expected verdicts for which seeds are added to a claim."""


class Spread(NamedTuple):
    """The standard deviation over seeds, pooled over the cases of one table, in the metric's unit."""

    where: str
    sigma: float
    df: int
    """Seeds beyond the first, summed over cases; 0 for a value that was assumed."""
    scatter: Scatter
    """How the variance of a difference of two of the cases is estimated."""


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
                where = f"{selection.benchmark.name}, {request.described}"
                yield Spread(where, sqrt(pooled), df, _scatter(groups, in_blocks=METRICS[metric].quantity == "seconds"))


def _values(metric: str, records: Sequence[Record]) -> list[float]:
    """Return the metric of comparable runs, where it is defined; times and memory as logarithms in percent."""
    is_cost = METRICS[metric].takes_logs
    if mixed(records, are_costs=is_cost, are_compared=True):
        return []
    values = values_of(metric, (record for record in records if not (is_cost and record.has_unreliable_times)))
    return [100 * log(value) for value in values if value > 0] if is_cost else values


def _scatter(groups: Sequence[Sequence[float]], *, in_blocks: bool) -> Scatter:
    """Return how the variance of a difference of two groups is estimated, with what the most seeds say they lend."""
    if in_blocks:
        return Scatter(in_blocks=True)
    found = [prior for prior in priors_of(groups).values() if prior.df]
    return Scatter(2, replace(found[-1], variance=2 * found[-1].variance)) if found else Scatter(2)


def planned(metric: str) -> list[Spread]:
    """Return the spreads to plan with where nothing is recorded; UnfinishedError for a metric that is no accuracy."""
    if METRICS[metric].quantity != "accuracy":
        what = "no case has two recorded seeds to take its spread from"
        raise UnfinishedError(metric, what, next_step="run some with: resnet18 run --scale small")
    where = "assumed, since no case has two recorded seeds"
    return [Spread(where, sigma, 0, Scatter(2, Prior(2 * sigma**2, PLANNED_DF, PLANNED_ARMS))) for sigma in PLANNED]


def power_rows(found: Iterable[Spread], differences: Sequence[float], metric: str, claims: int) -> list[dict[str, Any]]:
    """Return a flat row for each spread and difference, both in the metric's unit.

    Measured spreads have their 95 % interval (chi-squared). The power at each interim analysis is for the level of
    Holm's first step among so many claims of one report; `seeds` are the fewest with power .8, None where ten have not.
    """
    rows = list[dict[str, Any]]()
    for (where, sigma, df, scatter), difference in product(found, differences):
        low, high = (sigma * sqrt(df / float(chdtri(df, tail))) if df else None for tail in (0.025, 0.975))
        about: dict[str, Any] = {"where": where, "metric": metric, "unit": METRICS[metric].margin_unit, "sigma": sigma}
        about |= {"sigma_low": low, "sigma_high": high, "df": df, "difference": difference}
        true = Estimate(difference, 0.0, 0.0, FEWEST_SEEDS, 2 * sigma**2, scatter)
        powers = {n: chance(true, Region(low=0.0), n, ALPHA / claims) for n in TESTED_AT}
        seeds = next((n for n, found_power in powers.items() if found_power >= POWER), None)
        at = {f"power_{n}": found_power for n, found_power in powers.items()}
        rows.append({**about, **at, "seeds": seeds, "claims": claims})
    return rows


@dataclass
class Choice:
    """A claim under a budget, and with how many seeds it is taken."""

    benchmark: str
    claim: Claim
    cases: tuple[tuple[Run, ...], ...]
    """Runs of each of its cases, by seed."""
    left_out: Reason | None
    """Why it is left out: its runs cannot be planned, do not decide it, or take too long."""
    chances: Mapping[int, float] = field(default_factory=dict)
    """Of a verdict, by seeds of each of its cases."""
    seeds: int = 0
    """Of each of its cases; 0: it is left out."""

    def runs(self, seeds: int) -> set[str]:
        """Return the ids of its runs with so many seeds."""
        return {run.run_id for case in self.cases for run in case[:seeds]}

    @property
    def chance(self) -> float:
        """Of a verdict with the seeds that it is taken with."""
        return self.chances.get(self.seeds, 0.0)


def choose(
    verdicts: Iterable[Verdict],
    plan: Plan,
    request: Request,
    seconds: Mapping[str, float],
    device: str,
    budget_s: float,
) -> list[Choice]:
    """Return with how many seeds each claim's runs are made within a time, for the most verdicts to be expected.

    `verdicts` are on what is recorded. `seconds` are of runs, by id, where known; `device` is what `auto` takes.
    """
    choices = []
    for verdict in verdicts:
        cases, reasons = list[tuple[Run, ...]](), list[Reason | None]()
        for check in verdict.claim.checks:
            reasons.append(other_terms(check, verdict.benchmark, request))
            for label in (f"{verdict.benchmark.name}/{case}" for case in cases_of(check)):
                runs = [run for run in plan.runs if label in run.labels]
                cases.append(tuple(sorted(runs, key=lambda run: run.experiment.seed)))
                reasons.append(_obstacle(check, label, cases[-1], plan, seconds, device))
        if not verdict.is_decided:
            reasons += [reason for reason in verdict.reasons if reason.code not in TO_COME]
        left_out = next(filter(None, reasons), None)
        chances = verdict_chances(verdict) if left_out is None else {}
        choices.append(Choice(verdict.benchmark.name, verdict.claim, tuple(cases), left_out, chances))
    most = len({run.experiment.seed for run in plan.runs})
    _spend(budget_s, choices, seconds, [n for n in TESTED_AT if n <= most])
    return choices


def _spend(left_s: float, choices: Sequence[Choice], seconds: Mapping[str, float], steps: Sequence[int]) -> None:
    """Set the seeds of choices: again and again those that add the most expected verdicts for their time.

    A run of several claims costs once. A claim may go from 0 to 5 seeds at once, where 3 would hardly decide it. The
    choice is greedy: another may give more.
    """
    taken = set[str]()

    def added_s(choice: Choice, seeds: int) -> float:
        return sum(seconds[run_id] for run_id in choice.runs(seeds) - taken)

    while rates := [
        (gain / max(cost_s, 1e-9), -at, seeds)  # of equal rates the first claim's
        for (at, choice), seeds in product(enumerate(choices), steps)
        if seeds > choice.seeds and (gain := choice.chances.get(seeds, 0.0) - choice.chance) >= LEAST_GAIN
        if (cost_s := added_s(choice, seeds)) <= left_s
    ]:
        _, at, seeds = max(rates)
        left_s -= added_s(choices[-at], seeds)
        taken |= choices[-at].runs(seeds)
        choices[-at].seeds = seeds
    for choice in choices:
        if choice.left_out is None and not choice.seeds:
            useful = [seeds for seeds in steps if choice.chances[seeds] >= LEAST_GAIN]
            too_long = Reason("takes_too_long", count=round(added_s(choice, min(useful, default=0))), of=round(left_s))
            choice.left_out = too_long if useful else Reason("unlikely", count=max(steps))


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


def verdict_chances(verdict: Verdict) -> dict[int, float]:
    """Return the chance of a verdict by seeds of each case, if estimates, or else printed values, were the truth."""
    if verdict.is_decided:
        least = max((part.last.n for part in verdict.comparisons), default=FEWEST_SEEDS)
        return {n: float(n >= least) for n in TESTED_AT}
    known = [part for result in verdict.results for part in result.judged]
    checks = [result.check for result in verdict.results if result.reason is not None]
    new = [part for check in checks for part in expected(check, verdict.benchmark)]
    parts = [part for part in known if part.holds is None]
    parts += [replace(part, chances=chances_of(part, verdict.level, len(known + new), after=0)) for part in new]
    failing = [part for part in parts if not part.is_inside]
    if failing:
        return {n: max(part.chances.get(n, 0.0) for part in failing) for n in TESTED_AT}
    return {n: prod(part.chances.get(n, 0.0) for part in parts if part.counts) for n in TESTED_AT}


def expected(check: Check, benchmark: Benchmark) -> list[Comparison]:
    """Return the comparisons of a check as planned before there are records: what the report prints, or as claimed."""
    if isinstance(check, RunStatus):
        return []
    if not isinstance(check, Overfits) and (values := printed_values(check, benchmark)):
        facts, sigma = METRICS[check.metric], PLANNED[1]
        if facts.takes_logs:
            values, sigma = {name: log(value) for name, value in values.items()}, PLANNED_COST
        made_up = {  # three seeds with this mean and standard deviation; those of different cases are no parallels
            name: [value + sigma * ((at + seed) % 3 - 1) for seed in range(3)]
            for at, (name, value) in enumerate(values.items())
        }
        prior = Prior(sigma**2, PLANNED_DF, PLANNED_ARMS)
        samples = Samples(made_up, {FEWEST_SEEDS: prior}, in_blocks=facts.quantity == "seconds")
        return list(compare_samples(check, facts, samples))
    scatter = Scatter(2, Prior(2.0, PLANNED_DF, PLANNED_ARMS))
    apart = Estimate(EXPECTED, 1.0, 4.0, FEWEST_SEEDS, 2.0, scatter)
    count = 3 if isinstance(check, Overfits) else len(list(orders(check))) or 1
    return [Comparison(check, (), STANDARD, Region(low=0.0), estimates={FEWEST_SEEDS: apart})] * count
