"""What no single key shows: claims, hypotheses and printed facts name cases that exist, and agree with each other."""

from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from typing import TypeVar

from resnet18.spec.benchmark import Benchmark
from resnet18.spec.claim import Claim, Difference, Equivalent, MetricCheck, Overfits, RunStatus, cases_of, orders
from resnet18.spec.errors import SpecError, did_you_mean
from resnet18.spec.experiment import Experiment
from resnet18.spec.hypothesis import sub_cases
from resnet18.spec.metric import METRICS
from resnet18.spec.optimizer import Cosine
from resnet18.spec.resolve import Request, resolve

T = TypeVar("T")


def check_consistency(benchmark: Benchmark, where: str) -> None:
    """Raise SpecError for what contradicts something else in the file."""
    _check_names(benchmark, where)
    if (claim := _repeated(claim.id for claim in benchmark.claims)) is not None:
        raise SpecError(f'{where}: claim "{claim}"', "two claims have this id")
    _check_orders(benchmark, where)
    _check_hypotheses(benchmark, where)


def check_ids_differ(benchmarks: Iterable[Benchmark]) -> None:
    """Raise SpecError if two tables of one report have claims of one id: a verdict is found by it."""
    ids = ((one.report_name, claim.id) for one in benchmarks for claim in one.claims)
    if (found := _repeated(ids)) is not None:
        raise SpecError(
            f'claim "{found[1]}"',
            f'two tables of the report "{found[0]}" have a claim with this id',
            next_step="rename one of them, or the key `report` of a file",
        )


def check_warm_up(experiment: Experiment, where: str) -> None:
    """Raise SpecError if a case of full size would end before its warm-up does; a small scale may cut it short."""
    schedule, epochs = experiment.schedule, experiment.epochs
    if isinstance(schedule, Cosine) and schedule.warmup_epochs >= epochs:
        raise SpecError(
            f"{where}: schedule.warmup_epochs", f"{schedule.warmup_epochs:g} epochs of warm-up leave none of {epochs}"
        )


def _repeated(names: Iterable[T]) -> T | None:
    seen = set[T]()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def _check_names(benchmark: Benchmark, where: str) -> None:
    cases = [case.name for case in benchmark.cases]
    metrics = [row.metric for row in benchmark.table.metrics]
    for place, name in _named_cases(benchmark):
        if name not in cases:
            raise SpecError(f"{where}: {place}", f'unknown case "{name}"{did_you_mean(name, cases)}', allowed=cases)
    judged = [*METRICS] if benchmark.can_run else [*metrics, *METRICS]
    for claim, check in _of_metrics(benchmark):
        if check.metric not in judged:
            place = f'{where}: claim "{claim.id}"'
            raise SpecError(
                place, f'unknown metric "{check.metric}"{did_you_mean(check.metric, judged)}', allowed=judged
            )
    for place, name in _named_metrics(benchmark):
        if name not in metrics:
            raise SpecError(
                f"{where}: {place}",
                f'no row of the table has the metric "{name}"{did_you_mean(name, metrics)}',
                allowed=metrics,
            )


def _named_cases(benchmark: Benchmark) -> Iterator[tuple[str, str]]:
    """Yield (place, case name) wherever the file refers to a case."""
    printed = benchmark.printed
    if benchmark.table.speed_up_over is not None:
        yield "table.speed_up_over", benchmark.table.speed_up_over
    for claim in benchmark.claims:
        for check in claim.checks:
            yield from ((f'claim "{claim.id}"', name) for name in cases_of(check))
    for hypothesis in benchmark.hypotheses:
        yield from ((f'hypothesis "{hypothesis.key}"', name) for name in hypothesis.cases)
    for derived in printed.derived:
        yield from ((f'printed.derived "{derived.name}"', name) for name in (derived.of, derived.to))
    for rate in printed.rates:
        yield from (("printed.rate", name) for name in rate.cases)
    yield from (("printed.memory", memory.case) for memory in printed.memory)
    for work in printed.same_work:
        yield from (("printed.same_work", name) for name in work.cases)


def _named_metrics(benchmark: Benchmark) -> Iterator[tuple[str, str]]:
    """Yield (place, metric) wherever the file refers to a row of its table."""
    for case in benchmark.cases:
        yield from ((f'case "{case.name}": reported', name) for name in case.reported)
    yield from ((f'printed.derived "{one.name}"', one.metric) for one in benchmark.printed.derived)
    yield from (("printed.same_work", one.metric) for one in benchmark.printed.same_work)


def _check_orders(benchmark: Benchmark, where: str) -> None:
    """Refuse claims that cannot all hold: an order that runs in a circle, a difference beyond an equivalence."""
    checks = _of_metrics(benchmark)
    for metric, level in {(check.metric, check.level) for _, check in checks}:
        below: dict[str, set[str]] = {}
        same = [check for _, check in checks if (check.metric, check.level) == (metric, level)]
        for higher, lower in (pair for check in same for pair in orders(check)):
            below.setdefault(higher, set()).add(lower)
        try:
            TopologicalSorter(below).prepare()
        except CycleError as error:
            circle = '" > "'.join(reversed(error.args[1]))
            raise SpecError(f"{where}: claims on {metric}", f'contradict each other: "{circle}"') from None
    for claim, check in checks:
        for other, equal in checks:
            if isinstance(check, Difference) and isinstance(equal, Equivalent) and _exceeds(check, equal):
                raise SpecError(
                    f'{where}: claim "{claim.id}"',
                    f'contradicts claim "{other.id}": at least {check.by:g} is not below {equal.margin:g}',
                )


def _exceeds(check: Difference, equal: Equivalent) -> bool:
    """Say whether a difference is asserted between cases that are said to be equal within less."""
    about_the_same = check.metric == equal.metric and {check.case, check.than} <= set(equal.cases)
    return about_the_same and check.by >= equal.margin


def _of_metrics(benchmark: Benchmark) -> list[tuple[Claim, MetricCheck]]:
    return [
        (claim, check)
        for claim in benchmark.claims
        for check in claim.checks
        if not isinstance(check, RunStatus | Overfits)
    ]


def _check_hypotheses(benchmark: Benchmark, where: str) -> None:
    """Resolve every sub-case, so that a wrong candidate is found before anything runs."""
    for hypothesis in benchmark.hypotheses:
        for candidate, _, case in sub_cases(benchmark, hypothesis):
            place = f'{where}: hypothesis "{hypothesis.key}", candidate "{candidate.name}"'
            resolve(benchmark, case, Request(scale="paper"), seed=0, where=place)
