"""What all engines have in common: they are given runs, and give back how each of them stands."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from resnet18.execution.supervision import Session
from resnet18.records.record import Status
from resnet18.spec.experiment import Execution
from resnet18.spec.plan import Run

ENGINES = ("local", "ray", "slurm")


@dataclass(frozen=True)
class Finished:
    """How a run of the plan stands when the runner ends."""

    run: Run
    status: Status | None
    """None: another runner is carrying it out."""
    was_recorded: bool
    """A record settled it before the runner came to it."""

    @property
    def is_failure(self) -> bool:
        """Whether the exit code must say so. Running out of memory where the report did is a finding."""
        is_expected = self.status == "oom_device" and self.run.may_run_out_of_memory
        return self.status not in {"ok", None} and not is_expected


class Engine(Protocol):
    """Carries out runs. Whoever leaves it by an exception cancels what has not ended."""

    def submit(self, run: Run) -> None:
        """Take a run that no record settles. It may begin at once, or when the engine is waited for."""

    def wait(self) -> Finished:
        """Return the next of the submitted runs that has ended, its record in the store.

        Raises:
            EnvironmentMissingError: no node that is left can carry out what was submitted.
        """

    def cancel(self) -> None:
        """End what goes on, as an interrupt does: saved, and recorded as interrupted. Nothing waits any more."""


Opening = Callable[[Session], AbstractContextManager[Engine]]


@dataclass(frozen=True)
class Site:
    """A place that can be reached, before anything is planned."""

    devices: Mapping[str, int]
    """Kinds of device that runs can have there, `cpu` among them, and how many of each a run can have at most."""
    open: Opening


@dataclass(frozen=True)
class Claim:
    """What a run takes of a node."""

    cpus: int | None = None
    """None: all that the node has."""
    gpus: float | None = None
    """None: one for each rank of a run that uses a GPU. Less than one: several runs share it."""


@dataclass(frozen=True)
class Needs:
    """What an engine must ask for on behalf of one run."""

    cpus: int | None
    """None: the whole node."""
    gpus: float

    @property
    def is_exclusive(self) -> bool:
        """Whether nothing else goes on beside the run."""
        return self.cpus is None


def needs(run: Run, claim: Claim, *, has_gpus: bool) -> Needs:
    """Return what a run takes: a timed one the whole node whatever is claimed, since its time must mean something.

    Args:
        run: of the plan.
        claim: what the user says of a run that is not timed.
        has_gpus: whether there are GPUs, which a run on `auto` would use.
    """
    gpus = float(run.execution.ranks) if uses_gpu(run.execution, has_gpus=has_gpus) else 0.0
    if run.is_timed:
        return Needs(None, gpus)
    return Needs(claim.cpus, claim.gpus if gpus == 1 and claim.gpus is not None else gpus)


def uses_gpu(execution: Execution, *, has_gpus: bool) -> bool:
    """Say whether a run would have a GPU."""
    kind = execution.device.partition(":")[0]
    return kind == "cuda" or (kind == "auto" and has_gpus)
