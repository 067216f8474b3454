"""An attempt as its worker sees it: where it begins, when it saves and ends, and what its record says."""

import time
import traceback
from collections.abc import Callable, Collection
from dataclasses import asdict
from typing import Any

import torch

from resnet18.execution.engine import Job, Message
from resnet18.execution.failure import failure_facts, redacted
from resnet18.measure import Clock
from resnet18.records.arrays import Checkpoint, Checkpoints, Head
from resnet18.records.content import result_hash, utc_now
from resnet18.records.record import Epoch, Memory, Record, Score, Segment, Status, Summary
from resnet18.spec.data import data_home
from resnet18.spec.errors import IntegrityError
from resnet18.training.device import UnsupportedError
from resnet18.training.results import (
    START,
    Conclusion,
    DivergedError,
    EpochResult,
    Position,
    Tally,
    restore,
    snapshot,
)
from resnet18.training.setup import Setup

Send = Callable[[Message], None]
DEVICE_IS_FULL = (
    *("CUDA error: out of memory", "MPS backend out of memory"),
    *("CUDNN_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_ALLOC_FAILED"),
)
"""Errors of libraries under torch that are not torch.OutOfMemoryError. Read in issue threads, not seen on hardware."""
HOST_IS_FULL = ("can't allocate memory", "[Errno 12] Cannot allocate memory")
"""What torch's allocator says in plain RuntimeErrors, and the system that cannot fork."""
ONEDNN_FAILED = ("could not create a primitive", "could not create a memory object", "could not execute a primitive")
"""What oneDNN says of any failure: want of memory where a cap is in force, and nothing certain elsewhere."""


class InterruptedRunError(Exception):
    """The user asked the run to stop; it did so between two steps."""


class TimeLimitError(Exception):
    """The attempt has taken as long as it may."""


STATUSES: dict[type[Exception], Status] = {
    InterruptedRunError: "interrupted",
    TimeLimitError: "timeout",
    UnsupportedError: "unsupported",
    DivergedError: "diverged",
}


class WorkerAttempt:
    """One attempt at a run, from its begin on: it sends messages to the runner, and may be asked to stop."""

    def __init__(self, job: Job, send: Send, stops: Collection[int]) -> None:
        self.job, self.send, self.stops = job, send, stops
        self.epochs: list[Epoch] | None = None
        """Those that are complete; None before the first step."""
        self.facts: dict[str, Any] = {"time": {}, "flags": [] if job.is_exclusive else ["not_exclusive"]}
        """Values under the record's own keys, each noted as soon as it is known: a failure keeps what came before."""
        self.reasons: dict[str, str] = {}
        """Why a key is null."""
        self._earlier: tuple[Segment, ...] = ()
        self._start, self._start_ns = utc_now(), time.perf_counter_ns()
        self._saved_ns = self._start_ns
        self.checkpoints = Checkpoints(job.results, job.run.run_id)

    @property
    def _segments(self) -> tuple[Segment, ...]:
        """The stretches of work that led here, this one the last."""
        return (*self._earlier, Segment(start=self._start, end=utc_now()))

    @property
    def _elapsed_s(self) -> float:
        return (time.perf_counter_ns() - self._start_ns) / 1e9

    def tell(self, note: str) -> None:
        """Tell the user something about the run."""
        self.send(Message(note=note))

    def add_seconds(self, seconds: dict[str, float]) -> None:
        """Add seconds by scope to the record's `time`."""
        for scope, value in seconds.items():
            self.facts["time"][scope] = self.facts["time"].get(scope, 0.0) + value

    def begin(self, setup: Setup, clock: Clock) -> Position:
        """Return where to begin: at the last checkpoint, if there is one that fits, else at the first step.

        One that fits is of the same code, data and numerics: under others the rest would be another run's.
        """
        self.epochs = []
        checkpoint, refused = self.checkpoints.latest()
        for error in refused:
            self.tell(f"{error.where} {error.what}")
        if checkpoint is None:
            return START
        head = checkpoint.head
        try:
            self._check(head)
            position = restore(setup, clock, head.training, checkpoint.arrays)
        except IntegrityError as error:
            self.tell(f"begins anew: {error}")
            return START
        self._earlier, self.epochs = head.segments, list(head.epochs)
        self.facts["flags"].append("resumed")
        self.add_seconds(head.time)
        self.tell(f"resumes in epoch {position.epoch} after step {position.steps}")
        return position

    def _check(self, head: Head) -> None:
        """Raise IntegrityError for a checkpoint of other code, data or numerics."""
        identity = self.job.identity
        own = {"code": identity.code_hash, "data": identity.data_sha256, **self.facts["numerics"]}
        given = {"code": head.code_hash, "data": head.data_sha256, **head.numerics}
        if differing := [key for key in {**own, **given} if own.get(key) != given.get(key)]:
            raise IntegrityError("checkpoint", f"was made under other {', '.join(differing)}")
        if len(head.epochs) != head.training.get("position", {}).get("epoch", 0) - 1:
            raise IntegrityError("checkpoint", "lacks epochs")

    def after_step(self, setup: Setup, clock: Clock, position: Position) -> None:
        """Save a checkpoint where one is due, and end the attempt by an error where it is time to."""
        policy = self.job.policy
        is_late = policy.time_limit_s is not None and self._elapsed_s > policy.time_limit_s
        is_due = (time.perf_counter_ns() - self._saved_ns) / 1e9 >= policy.checkpoint_every_s
        if is_due or is_late or self.stops:
            self._save(setup, clock, position)
        place = f"in epoch {position.epoch} after step {position.steps}; repeat the command to resume there"
        if self.stops:
            raise InterruptedRunError(f"stopped by the user {place}")
        if is_late:
            raise TimeLimitError(f"the time limit of {policy.time_limit_s:g} s was over {place}")

    def _save(self, setup: Setup, clock: Clock, position: Position) -> None:
        """Write a checkpoint. Where that fails the run goes on: the last one stands."""
        start_ns = time.perf_counter_ns()
        moment, arrays = snapshot(setup, position, clock)
        seconds = self.facts["time"]
        head = Head(
            run_id=self.job.run.run_id,
            code_hash=self.job.identity.code_hash,
            data_sha256=self.job.identity.data_sha256,
            numerics=self.facts["numerics"],
            segments=self._segments,
            epochs=tuple(self.epochs or ()),
            time={**seconds, "wall_s": seconds.get("wall_s", 0.0) + self._elapsed_s},
            training=moment,
        )
        try:
            self.checkpoints.save(Checkpoint(head, arrays))
        except (OSError, IntegrityError) as error:
            traceback.print_exc()
            self.tell(f"no checkpoint could be written: {error}")
        self._saved_ns = time.perf_counter_ns()
        self.add_seconds({"checkpoint_s": (self._saved_ns - start_ns) / 1e9})

    def after_epoch(self, result: EpochResult) -> None:
        """Note what an epoch gave, and tell the runner."""
        seconds: dict[str, Any] = {"statistics_s": None, **result.seconds}
        epoch = Epoch(
            epoch=result.epoch,
            learning_rate=result.learning_rate,
            steps=result.steps,
            train=_score(result.train),
            as_published=_score(result.as_published),
            clean=_score(result.clean),
            **seconds,
        )
        self.epochs = [*(self.epochs or ()), epoch]
        self.add_seconds(result.seconds)
        self.send(Message(epoch=epoch))

    def conclude(self, end: Conclusion) -> None:
        """Note what is known only at the end: confusion, samples, digests and the result hash."""
        summary = Summary(parameters_sha256=end.parameters_sha256, predictions_sha256=end.predictions_sha256)
        self.facts |= {
            "confusion": end.confusion,
            "samples": [{"index": index, "label": label, "prediction": guess} for index, label, guess in end.samples],
            "summary": summary.model_dump(),
            "result_hash": result_hash(tuple(self.epochs or ()), end.confusion, summary),
        }

    def fail(self, error: Exception) -> Status:
        """Note why the attempt ends, and return the status that the error amounts to."""
        status = classify(error, is_capped=self.job.run.execution.memory_cap is not None)
        phase = "prepare" if self.epochs is None else f"after {len(self.epochs)} epochs"
        self.facts["failure"], unsaid = failure_facts(status, phase, error_text(error, self.job))
        self.reasons.update(unsaid)
        return status

    def record(self, status: Status) -> Record:
        """Return the record of the attempt. One that was resumed has no peaks and no energy."""
        self.add_seconds({"wall_s": self._elapsed_s})
        if "resumed" in self.facts["flags"]:
            self.facts["memory"], self.facts["energy_j"] = {}, None
            keys = ("energy_j", *(f"memory.{key}" for key in Memory.model_fields))
            self.reasons.update(dict.fromkeys(keys, "the run was resumed: this process did not see all of it"))
        epochs = [asdict(epoch) for epoch in self.epochs or ()]
        return self.job.record(status, self._segments, {**self.facts, "epochs": epochs}, self.reasons)


def _score(tally: Tally) -> Score:
    return Score(loss=tally.loss_sum / tally.images, correct=tally.correct, images=tally.images)


def classify(error: Exception, *, is_capped: bool = False) -> Status:
    """Return the status that an exception amounts to, under a `memory_cap` or without one."""
    text = str(error)
    if type(error) in STATUSES:
        return STATUSES[type(error)]
    if isinstance(error, torch.OutOfMemoryError) or any(words in text for words in DEVICE_IS_FULL):
        return "oom_device"
    host_is_full = HOST_IS_FULL + (ONEDNN_FAILED if is_capped else ())
    if isinstance(error, MemoryError) or any(words in text for words in host_is_full):
        return "oom_host"
    return "crashed"


def error_text(error: BaseException, job: Job) -> str:
    """Return what a record may say of an error and of what it came from: no path, person, machine or secret."""
    text = f"{type(error).__name__}: {error}"
    cause = error.__cause__
    while cause is not None:  # only there does torch say how a loader process died
        text, cause = f"{text}, from {type(cause).__name__}: {cause}", cause.__cause__
    places = [job.results, data_home(), *([] if job.source.path is None else [job.source.path.parent])]
    return redacted(text, folders=[str(place) for place in places])
