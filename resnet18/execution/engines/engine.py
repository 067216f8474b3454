"""What all engines have in common: they are given runs, and give back how each of them stands."""

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from resnet18.execution.attempt import Session
from resnet18.records.record import Status
from resnet18.spec.errors import SpecError
from resnet18.spec.experiment import Execution
from resnet18.spec.plan import Run


@dataclass(frozen=True)
class Finished:
    """How a run of the plan stands when the runner ends."""

    run: Run
    status: Status | None
    """None: another runner is carrying it out."""
    was_recorded: bool
    """It was done before the runner came to it."""

    @property
    def is_failure(self) -> bool:
        """Whether the exit code must say so. Running out of memory where the report did is a finding."""
        is_expected = self.status == "oom_device" and self.run.may_run_out_of_memory
        return self.status not in {"ok", None} and not is_expected


class Engine(Protocol):
    """Carries out runs. Whoever leaves it by an exception cancels what has not ended."""

    def submit(self, run: Run) -> None:
        """Take a run that is not done. It may begin at once, or when the engine is waited for."""

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
class Resources:
    """What a run takes of a node, as the user says it. None: what `needs` says."""

    cpus: int | None = None
    gpus: float | None = None
    """Less than one: several runs share a GPU."""


def parse_resources(text: str | None) -> Resources:
    """Return what `--resources cpus=4,gpus=0.5` means.

    Raises:
        SpecError: it means nothing.
    """
    found: dict[str, str] = dict(part.partition("=")[::2] for part in (text or "").split(",") if part)
    try:
        resources = Resources(
            int(found.pop("cpus")) if "cpus" in found else None, float(found.pop("gpus")) if "gpus" in found else None
        )
        cpus, gpus = resources.cpus, resources.gpus
        is_possible = (cpus is None or cpus >= 1) and (gpus is None or _can_be_given(gpus))
    except ValueError:
        is_possible = False
    if not is_possible or found:
        allowed = ["cpus=N", "gpus=N", "gpus=0.5", "cpus=N,gpus=N"]
        raise SpecError(f"--resources {text}", "names no resources", allowed=allowed)
    return resources


def _can_be_given(gpus: float) -> bool:
    """Say whether there is such a number of GPUs: a part of one, or whole ones."""
    return 0 <= gpus < math.inf and (gpus <= 1 or gpus % 1 == 0)


@dataclass(frozen=True)
class Needs:
    """What an engine must ask for on behalf of one run."""

    whole: bool
    """The run has the node for itself."""
    cpus: int | None
    """None: all of the node's, or as many as belong to the GPUs."""
    gpus: float


def needs(run: Run, resources: Resources, *, has_gpus: bool) -> Needs:
    """Return what a run takes.

    A timed run takes the whole node whatever the user says, since its time must mean something. Another takes what the
    user says: by default the whole node where it uses no GPU, which trains as it would on that machine alone, and else
    one GPU.

    Args:
        run: of the plan.
        resources: what the user says of a run that is not timed.
        has_gpus: whether there are GPUs, which a run on `auto` would use.

    Raises:
        SpecError: the run names a GPU by its number.
    """
    if ":" in run.execution.device:
        raise SpecError(
            f"{run.labels[0]}: device {run.execution.device}",
            "names a GPU of this machine; on a cluster a run is given its own",
            allowed=["auto", "cpu", "cuda"],
        )
    gpus = 1.0 if uses_gpu(run.execution, has_gpus=has_gpus) else 0.0
    if run.is_timed:
        return Needs(whole=True, cpus=None, gpus=gpus)
    if gpus and resources.gpus is not None:
        gpus = resources.gpus
    return Needs(whole=resources.cpus is None and gpus == 0, cpus=resources.cpus, gpus=gpus)


def uses_gpu(execution: Execution, *, has_gpus: bool) -> bool:
    """Say whether a run would have a GPU."""
    kind = execution.device.partition(":")[0]
    return kind == "cuda" or (kind == "auto" and has_gpus)
