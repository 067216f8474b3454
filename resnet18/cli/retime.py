"""`run --retime`: which runs have an unreliable time, and can be timed again here."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from resnet18.records.record import Record
from resnet18.records.store import is_done, last_attempts
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.claim import MetricCheck
from resnet18.spec.errors import SpecError
from resnet18.spec.identity import code_hash
from resnet18.spec.metric import METRICS
from resnet18.spec.plan import Plan


@dataclass(frozen=True)
class Unreliable:
    """The runs of a plan whose times are unreliable, in tables that print times."""

    again: dict[str, int] = field(default_factory=dict)
    """By run id, the attempt whose time is unreliable: the run is no longer done by it."""
    elsewhere: int = 0
    """How many come from other machines, or an unknown one: a time taken here could not be set beside theirs."""

    @property
    def text(self) -> str:
        """What is said of them before anything runs."""
        first = f"Unreliable times, taken again: {len(self.again)}."
        return f"{first} Of other or unknown machines, and left alone: {self.elsewhere}." if self.elsewhere else first


def unreliable_times(
    benchmarks: Collection[Benchmark], plan: Plan, records: Collection[Record], is_here: Callable[[Record], bool]
) -> Unreliable:
    """Return which runs `--retime` takes again.

    A run that did not end `ok` has no time, and one that other code recorded is run again or kept for another reason.

    Args:
        benchmarks: whose cases are planned.
        plan: the runs that are asked for.
        records: all that there are.
        is_here: whether a record comes from a machine like this one.
    """
    timed = {one.name for one in benchmarks if any(METRICS[name].quantity == "seconds" for name in _metrics(one))}
    known = last_attempts(records)
    found = [
        known[run.run_id]
        for run in plan.runs
        if run.run_id in known and timed & {label.partition("/")[0] for label in run.labels}
    ]
    unreliable = [one for one in found if one.status == "ok" and _is_of_this_code(one) and one.has_unreliable_times]
    here = {record.run_id: record.attempt for record in unreliable if is_here(record)}
    return Unreliable(here, len(unreliable) - len(here))


def check_alone(jobs: int | None, engine: str, budget: str | None) -> None:
    """Refuse to take times again where they would be unreliable again, or on nodes that nobody has seen.

    Raises:
        SpecError: several runs at a time, or another engine; or a budget, which chooses runs in its own way.
    """
    if budget is not None:
        raise SpecError("--retime", "and --budget choose runs, each in its own way", next_step="leave one of them out")
    if engine != "local":
        raise SpecError("--retime", f"takes times on this machine, not on {engine}'s nodes", allowed=["--engine local"])
    if jobs is not None and jobs > 1:
        raise SpecError("--retime", f"needs the machine for one run at a time, not {jobs}", allowed=["--jobs 1"])


def _is_of_this_code(record: Record) -> bool:
    return is_done(record, code_hash(record.spec.experiment, record.spec.execution), None)


def _metrics(benchmark: Benchmark) -> Iterator[str]:
    """Yield what a table prints, and what its claims are about."""
    yield from (row.metric for row in benchmark.table.metrics)
    yield from (check.metric for claim in benchmark.claims for check in claim.checks if isinstance(check, MetricCheck))
