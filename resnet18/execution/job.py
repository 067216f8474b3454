"""A job is one attempt at a run: what an engine is given, what it gives back, and how an attempt can fail."""

import re
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from resnet18.records.content import build_record, utc_now
from resnet18.records.record import Epoch, Identity, Record, RecordSpec, Segment, Status
from resnet18.records.store import Store, is_done
from resnet18.spec.errors import IntegrityError, Items, Model
from resnet18.spec.experiment import DataSource, PathAsText, data_folder
from resnet18.spec.metric import UNITS
from resnet18.spec.plan import Run
from resnet18.spec.redaction import redacted
from resnet18.spec.resolve import Request

if TYPE_CHECKING:
    from resnet18.execution.progress import Progress

CHECKPOINT_EVERY_S = 60.0  # how much work a power loss may cost; writing a checkpoint takes well under a second
STATUSES: dict[str, Status] = {
    "InterruptedRunError": "interrupted",
    "TimeLimitError": "timeout",
    "UnsupportedError": "unsupported",
    "DivergedError": "diverged",
    "OutOfMemoryError": "oom_device",
    "MemoryError": "oom_host",
}
"""By the name of an exception or a base of it: torch and training are not imported here."""
# Of libraries under torch, which raise no torch.OutOfMemoryError. Read in issue threads, not seen on hardware.
DEVICE_IS_FULL = ("CUDA error: out of memory", "MPS backend out of memory", "CUDNN_STATUS_ALLOC", "CUBLAS_STATUS_ALLOC")
# Of torch's allocator, and of a system that cannot fork.
HOST_IS_FULL = ("can't allocate memory", "[Errno 12] Cannot allocate memory")
# Of oneDNN, whatever failed: want of memory where a cap is in force, and nothing certain elsewhere.
ONEDNN_FAILED = ("could not create a primitive", "could not create a memory object", "could not execute a primitive")
LOST, OF_SERVER = 255, ", or with the process that it was forked from"  # multiprocessing then gives this code, too
_SIZE = r"(?P<number>\d{1,20}(?:\.\d{1,9})?) (?P<unit>bytes|KiB|MiB|GiB)"
SIZES = {
    "requested_bytes": re.compile(rf"(?:ried to allocate|Unable to allocate) {_SIZE}"),
    "free_bytes": re.compile(rf"of which {_SIZE} is free"),
}
"""As torch's allocators of CUDA, XPU and the CPU say it, and numpy."""


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
        """Return the next attempt at the run; IntegrityError where no number is left for one."""
        return self.model_copy(update={"attempt": self.store.next_attempt(self.run.run_id)})

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


class InterruptedRunError(Exception):
    """The user asked the run to stop; it did so between two steps."""


class TimeLimitError(Exception):
    """The attempt has taken as long as it may."""


def classify(error: Exception, *, is_capped: bool = False) -> Status:
    """Return the status that an exception amounts to, under a `memory_cap` or without one."""
    for kind in type(error).__mro__:
        if kind.__name__ in STATUSES:
            return STATUSES[kind.__name__]
    if any(words in str(error) for words in DEVICE_IS_FULL):
        return "oom_device"
    host_is_full = HOST_IS_FULL + (ONEDNN_FAILED if is_capped else ())
    return "oom_host" if any(words in str(error) for words in host_is_full) else "crashed"


def record_death(job: Job, status: Status, cause: str, *, start: str | None = None, wall_s: float = 0.0) -> Status:
    """Write the record of a process that could not, unless it has left its own; return the status of that record."""
    start = start or utc_now()
    segment = Segment(start=start, end=utc_now(start))
    facts = {"status": status, "segments": (segment,), "time": {"wall_s": wall_s}}
    record = job.record({**facts, "failure": failure_facts(status, "unknown", cause)})
    if job.store.attempts(record.run_id) >= job.attempt:  # under the record's id: a trial's run has that of the whole
        return job.store.load(record.run_id, job.attempt).status
    job.store.save(record)
    return status


def ending(exit_code: int, kills_before: int | None, kills_after: int | None) -> tuple[Status, str]:
    """Return the status of a child that left no record, and how it ended, in words."""
    if exit_code >= 0:
        return "crashed", f"the process ended with exit code {exit_code}{OF_SERVER if exit_code == LOST else ''}"
    if exit_code == -signal.SIGKILL and None not in {kills_before, kills_after} and kills_before != kills_after:
        return "oom_host", "the kernel killed the process: memory had run out"
    names = {one.value: one.name for one in signal.Signals}  # not every real-time signal has one
    return "crashed", f"the process was killed by {names.get(-exit_code, f'signal {-exit_code}')}"


def oom_kills(counters: Path = Path("/proc/vmstat")) -> int | None:
    """Return how many processes of this machine the kernel has killed for want of memory; None where it is unknown.

    Source: mm/oom_kill.c of the kernel. The counter rises before the signal is sent, in a control group too.
    """
    try:
        lines = counters.read_text(encoding="ascii", errors="replace").splitlines()
        return int(dict(line.split(maxsplit=1) for line in lines)["oom_kill"])
    except (OSError, ValueError, KeyError):
        return None


def failure_facts(status: Status, phase: str, message: str) -> dict[str, Any]:
    """Return the record's `failure`, with the bytes that the message names where memory had run out."""
    facts: dict[str, Any] = {"phase": phase, "message": message, **dict.fromkeys(SIZES)}
    for key, pattern in SIZES.items() if status in {"oom_device", "oom_host"} else ():
        if found := pattern.search(message):
            unit = UNITS["B" if found["unit"] == "bytes" else found["unit"]]
            facts[key] = round(Decimal(found["number"]) * int(unit))
    return facts


def failure_of(error: Exception, phase: str, *, is_capped: bool) -> tuple[Status, dict[str, Any]]:
    """Return the status that an exception amounts to, and the record's `failure`."""
    status = classify(error, is_capped=is_capped)
    return status, failure_facts(status, phase, error_text(error))


def error_text(error: BaseException) -> str:
    """Return an error and what it came from."""
    text, cause = f"{type(error).__name__}: {error}", error.__cause__
    while cause is not None:  # only there does torch say how a loader process died
        text, cause = f"{text}, from {type(cause).__name__}: {cause}", cause.__cause__
    return text
