"""`run --retime`: which runs have an unreliable time, and can be timed again here."""

from collections.abc import Callable, Collection

from resnet18.records.record import Record
from resnet18.records.store import is_done, last_attempts
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.claim import MetricCheck
from resnet18.spec.errors import SpecError
from resnet18.spec.identity import code_hash
from resnet18.spec.metric import METRICS
from resnet18.spec.plan import Plan


def unreliable_times(
    benchmarks: Collection[Benchmark], plan: Plan, records: Collection[Record], is_here: Callable[[Record], bool]
) -> tuple[dict[str, int], int]:
    """Return the attempts whose times `--retime` takes again, by run, and how many it leaves alone.

    Left alone are those of other machines, or an unknown machine: a time taken here could not be set beside them. A run
    that did not end `ok` has no time, and a run that other code recorded is run again or kept for another reason.
    `is_here` says whether a record comes from a machine like this one.
    """
    timed = {benchmark.name for benchmark in benchmarks if _has_times(benchmark)}
    known = last_attempts(records)
    unreliable = [
        record
        for run in plan.runs
        if (record := known.get(run.run_id)) and any(label.partition("/")[0] in timed for label in run.labels)
        if record.status == "ok" and record.has_unreliable_times
        if is_done(record, code_hash(run.experiment, run.execution))
    ]
    here = {record.run_id: record.attempt for record in unreliable if is_here(record)}
    return here, len(unreliable) - len(here)


def _has_times(benchmark: Benchmark) -> bool:
    """Say whether a table prints times, or has claims on some."""
    checks = [check for claim in benchmark.claims for check in claim.checks]
    metrics = [row.metric for row in benchmark.table.metrics]
    metrics += [check.metric for check in checks if isinstance(check, MetricCheck)]
    return any(METRICS[metric].quantity == "seconds" for metric in metrics)


def check_alone(jobs: int | None, engine: str, budget: str | None) -> None:
    """Refuse to take times again where they would be unreliable again, or on a cluster's unknown nodes.

    Raises:
        SpecError: several runs at a time, another engine, or a budget, which chooses runs in its own way.
    """
    if budget is not None:
        raise SpecError("--retime", "and --budget choose runs, each in its own way", next_step="leave one of them out")
    if engine != "local":
        raise SpecError("--retime", f"takes times on this machine, not on {engine}'s nodes", allowed=["--engine local"])
    if jobs is not None and jobs > 1:
        raise SpecError("--retime", f"needs the machine for one run at a time, not {jobs}", allowed=["--jobs 1"])
