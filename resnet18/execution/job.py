"""A job is one attempt at a run: what an engine is given, and what it gives back."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from resnet18.records.content import build_record
from resnet18.records.record import Epoch, Identity, Record, RecordSpec, Status
from resnet18.records.store import Store, is_done
from resnet18.spec.errors import IntegrityError, Items, Model
from resnet18.spec.experiment import DataSource, PathAsText, data_folder
from resnet18.spec.plan import Run
from resnet18.spec.redaction import redacted
from resnet18.spec.resolve import Request

if TYPE_CHECKING:
    from resnet18.execution.progress import Progress

CHECKPOINT_EVERY_S = 60.0  # how much work a power loss may cost; writing a checkpoint takes well under a second


@dataclass(frozen=True)
class Policy:
    """What counts as done already, how often an attempt is saved, and when it is stopped."""

    keep_stale: bool = False
    checkpoint_every_s: float = CHECKPOINT_EVERY_S
    time_limit_s: float | None = None  # after it an attempt is stopped between two steps, and recorded as `timeout`
    again: Mapping[str, int] = field(default_factory=dict)
    """By run id, an attempt by which the run is no longer done: a later one counts."""


DEFAULT = Policy()


class Job(Model):
    """One attempt at a run. It travels to the run's process as JSON, so that nothing of ours is pickled."""

    run: Run
    request: Request
    source: DataSource
    identity: Identity
    results: PathAsText  # the results directory, absolute
    policy: Policy = DEFAULT
    attempt: int = 1
    is_exclusive: bool = True  # False: other runs go on beside it, and the record says so
    processors: Items[int] = ()  # those that the run may use; empty: those that its parent may use
    gpus: str | None = None  # what CUDA_VISIBLE_DEVICES says to the run; None: what it says already

    @property
    def store(self) -> Store:
        """Where the record goes."""
        return Store(self.results)

    @property
    def log(self) -> Path:
        """Where the output of the attempt goes."""
        return self.store.logs / f"{self.run.run_id}.{self.attempt}.log"

    def is_done_by(self, record: Record | None) -> bool:
        """Say whether the run is done by its last record: of this code and data, and not to be taken again."""
        hashes = (None, None) if self.policy.keep_stale else (self.identity.code_hash, self.identity.data_sha256)
        again = self.policy.again.get(self.run.run_id, 0)
        return record is not None and is_done(record, *hashes) and record.attempt > again

    def recorded(self) -> Status | None:
        """Return the status of the record by which the run is done by now; None where there is no such record."""
        with suppress(IntegrityError):  # there is none, or a damaged one
            record = self.store.load(self.run.run_id, self.store.attempts(self.run.run_id))
            return record.status if self.is_done_by(record) else None
        return None

    def next(self) -> "Job":
        """Return the next attempt at the run."""
        return self.model_copy(update={"attempt": self.store.attempts(self.run.run_id) + 1})

    def record(self, facts: Mapping[str, Any], reasons: Mapping[str, str] | None = None) -> Record:
        """Return the record of this attempt; for what is known of it see `records.content.build_record`.

        What libraries said is redacted.
        """
        places = [self.results, data_folder(), *([] if self.source.path is None else [self.source.path.parent])]
        public = partial(redacted, folders=[str(place) for place in places])
        reasons = {key: public(text) for key, text in (reasons or {}).items()}
        if failure := facts.get("failure"):
            facts = {**facts, "failure": {**failure, "message": public(failure["message"])}}
        run, asked = self.run, self.request
        spec = RecordSpec(
            experiment=run.experiment, execution=run.execution, overrides=asked.overrides, assumptions=run.assumptions
        )
        return build_record(spec, self.identity, {**facts, "scale": asked.scale, "attempt": self.attempt}, reasons)


class Message(Model):
    """What a child tells: something that the user must know, or what an epoch gave."""

    note: str | None = None
    epoch: Epoch | None = None


@dataclass(frozen=True)
class Finished:
    """How a run of the plan stands when the command ends."""

    run: Run
    status: Status | None  # None: another runner is carrying it out
    was_recorded: bool = False  # it was done before the engine came to it


class Engine(Protocol):
    """Carries runs out, and knows the devices that a run can have there."""

    devices: Mapping[str, int] | None  # how many there are of each kind; None: those of this machine

    def prepare(self, runs: Sequence[Run]) -> None:
        """Get ready for runs that are about to come, while the caller reads the data set."""

    def carry_out(self, jobs: Sequence[Job], progress: "Progress") -> list[Finished]:
        """Carry out runs, and return how each of them stands; an interrupt leaves records that say so."""
