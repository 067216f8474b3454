"""What every engine is given and gives back, and what a run takes of a cluster's node."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from pydantic import Field

from resnet18.records.content import build_record
from resnet18.records.record import Epoch, Identity, Record, RecordSpec, Segment, Status
from resnet18.records.store import Store
from resnet18.spec.data import DataSource, PathAsText
from resnet18.spec.errors import SpecError, did_you_mean
from resnet18.spec.plan import Run
from resnet18.spec.resolve import Request
from resnet18.spec.strict import Items, Model

if TYPE_CHECKING:
    from resnet18.execution.progress import Progress

CLUSTERS = {"ray": "RayEngine", "slurm": "SlurmEngine"}
"""Each is a class of the module `NAME_engine`, which is imported only when its name is given."""
CHECKPOINT_EVERY_S = 60.0
"""How much work a power loss may cost. Writing a checkpoint takes well under a second."""


@dataclass(frozen=True)
class Policy:
    """What counts as done already, how often an attempt is saved, and when it is stopped."""

    keep_stale: bool = False
    checkpoint_every_s: float = CHECKPOINT_EVERY_S
    time_limit_s: float | None = None
    """After it an attempt is stopped between two steps, and recorded as `timeout`."""
    again: Mapping[str, int] = field(default_factory=dict)
    """By run id, an attempt by which the run is no longer done: a later one counts."""


DEFAULT = Policy()


class Job(Model):
    """One attempt at a run. It travels to the run's process as JSON, so that nothing of ours is pickled."""

    run: Run
    request: Request
    source: DataSource
    identity: Identity
    results: PathAsText
    """The results directory, absolute."""
    policy: Policy = DEFAULT
    attempt: Annotated[int, Field(ge=1)] = 1
    is_exclusive: bool = True
    """False: other runs go on beside it, and the record says so."""
    processors: Items[int] = ()
    """Those that the run may use; empty: those that its parent may use."""
    gpus: str | None = None
    """What CUDA_VISIBLE_DEVICES says to the run; None: what it says already."""

    @property
    def store(self) -> Store:
        """Where the record goes."""
        return Store(self.results)

    @property
    def accepted(self) -> tuple[str | None, str | None]:
        """The code and the data whose records count (`records.store.is_done`); None for any."""
        return (None, None) if self.policy.keep_stale else (self.identity.code_hash, self.identity.data_sha256)

    def recorded(self) -> Status | None:
        """Return the status of the record by which the run is done by now, None where there is none."""
        record = self.store.done(self.run.run_id, *self.accepted)
        if record is None or record.attempt <= self.policy.again.get(self.run.run_id, 0):
            return None
        return record.status

    def record(
        self, status: Status, segments: tuple[Segment, ...], facts: dict[str, Any], reasons: dict[str, str]
    ) -> Record:
        """Return the record of this attempt (`records.content.build_record`)."""
        spec = RecordSpec(
            experiment=self.run.experiment,
            execution=self.run.execution,
            overrides=self.request.overrides,
            assumptions=self.run.assumptions,
        )
        return build_record(
            spec=spec,
            scale=self.request.scale,
            attempt=self.attempt,
            status=status,
            identity=self.identity,
            segments=segments,
            facts=facts,
            reasons=reasons,
        )

    def next(self) -> "Job":
        """Return the next attempt at the run."""
        return self.model_copy(update={"attempt": self.store.attempts(self.run.run_id) + 1})


class Message(Model):
    """One message from a child: exactly one of its fields is set."""

    note: str | None = None
    """For the user."""
    epoch: Epoch | None = None
    done: Status | None = None
    """Sent when the record is saved."""


@dataclass(frozen=True)
class Finished:
    """How a run of the plan stands when the command ends."""

    run: Run
    status: Status | None
    """None: another runner is carrying it out."""
    was_recorded: bool = False
    """It was done before the engine came to it."""

    @property
    def is_failure(self) -> bool:
        """Whether the exit code must say so. Running out of memory where the report did is a finding."""
        is_expected = self.status == "oom_device" and self.run.may_run_out_of_memory
        return self.status not in {"ok", None} and not is_expected


class Engine(Protocol):
    """Carries runs out."""

    devices: Mapping[str, int] | None
    """Kinds of device that a run can have there, and how many of each; None: those of this machine."""

    def prepare(self, runs: Sequence[Run]) -> None:
        """Get ready for runs that are about to come, while the caller reads the data set."""

    def carry_out(self, jobs: Sequence[Job], progress: "Progress") -> list[Finished]:
        """Carry out runs that are not done, and return how each of them stands, its record in the store.

        An interrupt ends what goes on: saved, and recorded as interrupted.

        Raises:
            EnvironmentMissingError: no node that is left can carry out what is asked for.
        """


@dataclass(frozen=True)
class Resources:
    """What a run takes of a cluster's node."""

    cpus: int | None = None
    """None: all of the node's, or as many as belong to the GPUs."""
    gpus: float | None = None
    """Less than one: several runs share a GPU. None: as the device of the run says."""
    whole: bool = False
    """The run has the node for itself."""


def connect(name: str, resources: Resources, at_once: int | None) -> Engine:
    """Return the engine of a cluster, on which so many runs may go on at once; None: as many as there is room for.

    Raises:
        SpecError: an unknown engine.
        EnvironmentMissingError: it is not installed, or cannot be reached.
    """
    if name not in CLUSTERS:
        known = ("local", *CLUSTERS)
        raise SpecError(f"--engine {name}", f"unknown{did_you_mean(name, known)}", allowed=known)
    module = import_module(f"resnet18.execution.{name}_engine")
    engine: Engine = getattr(module, CLUSTERS[name])(resources, at_once)
    return engine


def parse_resources(text: str | None) -> Resources:
    """Return what `--resources cpus=4,gpus=0.5` means.

    Raises:
        SpecError: it means nothing.
    """
    found = dict(part.partition("=")[::2] for part in (text or "").split(",") if part)
    try:
        cpus = int(found.pop("cpus")) if "cpus" in found else None
        gpus = float(found.pop("gpus")) if "gpus" in found else None
        is_possible = cpus is None or cpus >= 1
        if gpus is not None:
            is_possible = is_possible and (0 <= gpus <= 1 or (1 < gpus < math.inf and gpus % 1 == 0))
    except ValueError:
        is_possible = False
    if not is_possible or found:
        allowed = ["cpus=N", "gpus=N", "gpus=0.5", "cpus=N,gpus=N"]
        raise SpecError(f"--resources {text}", "names no resources", allowed=allowed)
    return Resources(cpus, gpus)


def resources_of(run: Run, wanted: Resources, *, has_gpus: bool) -> Resources:
    """Return what a run takes of a node.

    A timed run takes the whole node. Another takes what the user wants: by default the whole node where it uses no GPU,
    and else one GPU. On `auto` it uses one where there are any.

    Raises:
        SpecError: the run names a GPU by its number.
    """
    kind, _, number = run.execution.device.partition(":")
    if number:
        raise SpecError(
            f"{run.labels[0]}: device {run.execution.device}",
            "names a GPU of this machine; on a cluster a run is given its own",
            allowed=["auto", "cpu", "cuda"],
        )
    gpus = 1.0 if kind == "cuda" or (kind == "auto" and has_gpus) else 0.0
    if run.is_timed:
        return Resources(None, gpus, whole=True)
    if gpus and wanted.gpus is not None:
        gpus = wanted.gpus
    return Resources(wanted.cpus, gpus, whole=wanted.cpus is None and gpus == 0)
