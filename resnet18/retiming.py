"""`run --retime`: which runs have a time that something else went on beside, and can be timed again here."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from resnet18.analysis.sample import is_doubtful
from resnet18.records.record import Record
from resnet18.records.store import last_attempts
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.errors import SpecError
from resnet18.spec.metric import METRICS
from resnet18.spec.plan import Plan


@dataclass(frozen=True)
class Marked:
    """The runs of a plan whose times are marked, in tables that print times."""

    again: dict[str, int] = field(default_factory=dict)
    """By run id, the attempt whose time is marked: it settles the run no longer."""
    elsewhere: int = 0
    """How many come from other machines: one time taken here could not be set beside theirs."""

    @property
    def text(self) -> str:
        """What is said of them before anything runs."""
        if self.again:
            first = f"Taken again, since its time is marked: {len(self.again)} of the recorded runs."
        else:
            first = "Taken again: nothing. No recorded time of this machine is marked in a table that prints times."
        other = f" Left alone: {self.elsewhere} from other machines, to be taken again there." if self.elsewhere else ""
        return first + other


def marked_times(
    benchmarks: Collection[Benchmark], plan: Plan, records: Collection[Record], is_here: Callable[[Record], bool]
) -> Marked:
    """Return which runs `--retime` takes again; a run that did not end `ok` has no time.

    Args:
        benchmarks: whose cases are planned.
        plan: the runs that are asked for.
        records: all that there are.
        is_here: whether a record comes from a machine like this one.
    """
    timed = {one.name for one in benchmarks if any(_is_time(row.metric) for row in one.table.metrics)}
    known = last_attempts(records)
    found = [
        known[run.run_id]
        for run in plan.runs
        if run.run_id in known and timed & {label.partition("/")[0] for label in run.labels}
    ]
    marked = [record for record in found if record.status == "ok" and is_doubtful(record)]
    here = {record.run_id: record.attempt for record in marked if is_here(record)}
    return Marked(here, len(marked) - len(here))


def check_alone(jobs: int | None, engine: str) -> None:
    """Refuse to take times again where they would be marked again, or on nodes that nobody has seen.

    Raises:
        SpecError: several runs at a time, or another engine.
    """
    if engine != "local":
        raise SpecError("--retime", f"takes times on this machine, not on {engine}'s nodes", allowed=["--engine local"])
    if jobs is not None and jobs > 1:
        raise SpecError("--retime", f"needs the machine for one run at a time, not {jobs}", allowed=["--jobs 1"])


def _is_time(metric: str) -> bool:
    return METRICS[metric].quantity == "seconds"
