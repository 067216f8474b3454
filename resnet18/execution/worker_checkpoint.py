"""When an attempt saves how far it has come, where it goes on, and when it ends between two steps."""

import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from pydantic import ValidationError

from resnet18.execution.job import Job, Stop
from resnet18.execution.worker_ending import InterruptedRunError, TimeLimitError
from resnet18.execution.worker_record import add_seconds
from resnet18.measure.clock import Clock
from resnet18.records.checkpoints import Checkpoint, Checkpoints, Head
from resnet18.records.content import utc_now
from resnet18.records.record import Epoch, Segment
from resnet18.spec.data import path_from_text
from resnet18.spec.errors import IntegrityError
from resnet18.spec.identity import run_id
from resnet18.training.checkpoint import Moment, restore, snapshot
from resnet18.training.results import START, Position
from resnet18.training.setup import Setup


class Attempt:
    """One attempt at a run, from its begin on.

    Args:
        job: what to run.
        stop: asks for an early end.
        tell: hands a note to the user.
    """

    def __init__(self, job: Job, stop: Stop, tell: Callable[[str], None]) -> None:
        self.job, self.stop, self.tell = job, stop, tell
        self.facts: dict[str, Any] = {"time": {}, "flags": [] if job.is_exclusive else ["not_exclusive"]}
        """Values under the record's own keys, each noted as soon as it is known: a failure keeps what came before."""
        self.reasons: dict[str, str] = {}
        """Why a key is null."""
        self._earlier: tuple[Segment, ...] = ()
        self._start, self._start_ns = utc_now(), time.perf_counter_ns()
        self._saved_ns = self._start_ns
        self.checkpoints = Checkpoints(path_from_text(job.results), run_id(job.spec.experiment, job.spec.execution))

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The stretches of work that led here, this one the last."""
        return (*self._earlier, Segment(start=self._start, end=utc_now()))

    @property
    def elapsed_s(self) -> float:
        """Seconds since this attempt began."""
        return (time.perf_counter_ns() - self._start_ns) / 1e9

    def begin(self, setup: Setup, clock: Clock) -> Position:
        """Return where to begin: where the last checkpoint stands, if there is one that fits, else at the first step.

        One that fits is of the same code, data and numerics: under others the rest would be another run's.
        """
        checkpoint, refused = self.checkpoints.latest()
        for error in refused:
            self.tell(f"{error.where} {error.what}")
        if checkpoint is None:
            return START
        try:
            self._check(checkpoint.head)
            moment = Moment.model_validate(checkpoint.head.training)
            position = restore(setup, clock, moment, checkpoint.arrays)
        except (IntegrityError, ValidationError) as error:
            self.tell(f"begins anew: {str(error).splitlines()[0]}")
            return START
        self._earlier = checkpoint.head.segments
        self.facts["epochs"] = [asdict(epoch) for epoch in checkpoint.head.epochs]
        self.facts["flags"].append("resumed")
        add_seconds(self.facts, checkpoint.head.time)
        self.tell(f"goes on in epoch {position.epoch} after step {position.steps}")
        return position

    def _check(self, head: Head) -> None:
        """Raise IntegrityError for a checkpoint of other code, data or numerics."""
        own = {"code": self.job.identity.code_hash, "data": self.job.identity.data_sha256, **self.facts["numerics"]}
        given = {"code": head.code_hash, "data": head.data_sha256, **head.numerics}
        if differing := [key for key in {**own, **given} if own.get(key) != given.get(key)]:
            raise IntegrityError("checkpoint", f"was made under other {', '.join(differing)}")
        if len(head.epochs) != head.training.get("epoch", 0) - 1:
            raise IntegrityError("checkpoint", "lacks epochs")

    def after(self, setup: Setup, clock: Clock, position: Position) -> None:
        """Save a checkpoint where one is due, and end the attempt where it is time to.

        Raises:
            InterruptedRunError: the user asked for it.
            TimeLimitError: it has taken as long as it may.
        """
        limit_s = self.job.time_limit_s
        is_late = limit_s is not None and self.elapsed_s > limit_s
        is_due = (time.perf_counter_ns() - self._saved_ns) / 1e9 >= self.job.checkpoint_every_s
        if is_due or is_late or self.stop.is_requested:
            self._save(setup, clock, position)
        place = f"in epoch {position.epoch} after step {position.steps}; the same command goes on from there"
        if self.stop.is_requested:
            raise InterruptedRunError(f"stopped by the user {place}")
        if is_late:
            raise TimeLimitError(f"the time limit of {limit_s:g} s was over {place}")

    def _save(self, setup: Setup, clock: Clock, position: Position) -> None:
        """Write a checkpoint. Where that fails the run goes on: the last one stands."""
        start_ns = time.perf_counter_ns()
        moment, arrays = snapshot(setup, position, clock)
        head = Head(
            run_id=self.checkpoints.run_id,
            code_hash=self.job.identity.code_hash,
            data_sha256=self.job.identity.data_sha256,
            numerics=self.facts["numerics"],
            segments=self.segments,
            epochs=tuple(Epoch(**epoch) for epoch in self.facts["epochs"]),
            time={**self.facts["time"], "wall_s": self.facts["time"].get("wall_s", 0.0) + self.elapsed_s},
            training=moment.model_dump(),
        )
        try:
            self.checkpoints.save(Checkpoint(head, arrays))
        except (OSError, IntegrityError) as error:
            traceback.print_exc()
            self.tell(f"no checkpoint could be written: {error}")
        self._saved_ns = time.perf_counter_ns()
        add_seconds(self.facts, {"checkpoint_s": (self._saved_ns - start_ns) / 1e9})
