"""The child process of one run: it trains, measures, and writes the run's record, however the attempt ends."""

import sys
import time
import traceback
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from resnet18.data.source import open_data
from resnet18.execution.job import InterruptedRunError, Job, Message, TimeLimitError, failure_of
from resnet18.measure import SCOPES, Clock
from resnet18.measure.device_watch import DeviceWatch
from resnet18.measure.environment import numerics
from resnet18.measure.host import HostWatch
from resnet18.records import disk
from resnet18.records.checkpoints import Checkpoint, Checkpoints, Head, encode_picture
from resnet18.records.consistency import broken, of_epochs
from resnet18.records.content import result_hash, utc_now
from resnet18.records.record import FINAL, Epoch, Memory, Segment, Status
from resnet18.spec.errors import IntegrityError, printable
from resnet18.spec.metric import how_many
from resnet18.training.device import memory_capped, ready_device, resolve_for_device, synchronize
from resnet18.training.loop import lap, train
from resnet18.training.native import path_numerics
from resnet18.training.results import (
    START,
    Moment,
    Position,
    conclude,
    learned_nothing,
    parameter_count,
    restore,
    snapshot,
)
from resnet18.training.setup import Setup, compile_network, form_of, set_up


def run_job(job: Job, send: Callable[[Message], None], stops: Collection[int] = ()) -> None:
    """Carry out one attempt, and save its record; a signal in `stops` ends it between two steps."""
    measurement = Measurement(job, send, stops)
    status: Status = "ok"
    try:
        device = ready_device(job.run.execution)
        with memory_capped(job.run.execution, device):  # lifted before the record is written, which takes memory
            measurement.measure(device)
    except Exception as error:  # noqa: BLE001 - a failure is a record, not a traceback
        log_error()
        status = measurement.fail(error)
    measurement.save(status)


def log_error() -> None:
    """Write the traceback of the error that is being handled into the log beside the records."""
    sys.stderr.write(printable(traceback.format_exc()))


class Measurement:
    """An attempt as the child process sees it: what is known of it so far, under the record's own keys."""

    def __init__(self, job: Job, send: Callable[[Message], None], stops: Collection[int]) -> None:
        self.job, self._send, self._stops = job, send, stops
        self._epochs: list[Epoch] | None = None  # those that are complete; None before the first step
        self._facts: dict[str, Any] = {"time": {}, "flags": [] if job.is_exclusive else ["not_exclusive"]}
        """Each is noted as soon as it is known: a failure keeps what came before."""
        self._reasons: dict[str, str] = {}  # why a key is null
        self._earlier: tuple[Segment, ...] = ()
        self._sample_images: NDArray[Any] | None = None
        self._start, self._start_ns = utc_now(), time.perf_counter_ns()
        self._saved_ns = self._start_ns
        self._checkpoints = Checkpoints(job.results, job.run.run_id)

    @property
    def _segments(self) -> tuple[Segment, ...]:
        """The stretches of work that led here, this one the last."""
        return (*self._earlier, Segment(start=self._start, end=utc_now(self._start)))

    def _tell(self, note: str) -> None:
        self._send(Message(note=note))

    def _add_seconds(self, seconds: Mapping[str, float | None]) -> None:
        for scope, value in seconds.items():
            if value is not None:
                self._facts["time"][scope] = self._facts["time"].get(scope, 0.0) + value

    def measure(self, device: torch.device) -> None:
        """Train under watch, and note what was seen, however the training ended."""
        facts, execution = self._facts, resolve_for_device(self.job.run.execution, device)
        form = form_of(self.job.run.experiment.optimizer, execution.path, device.type)
        facts["numerics"] = {**numerics(execution, device), **path_numerics(execution, device), "optimizer_form": form}
        watch = DeviceWatch(device)
        try:
            with watch:
                self._train(device)
        finally:  # monitoring masks no error of the run
            found, unknown = watch.facts()
            facts |= {key: facts.get(key, {}) | found[key] for key in ("memory", "conditions", "numerics")}
            facts["energy_j"] = found["energy_j"]
            self._reasons |= unknown

    def _train(self, device: torch.device) -> None:
        """Train, from the last checkpoint on, and note what the trained network is."""
        job, start_ns = self.job, time.perf_counter_ns()
        data = open_data(job.source, verify=False)
        if data.sha256 != job.identity.data_sha256:
            raise IntegrityError(f"data set {data.label}", "was changed after the runner had opened it")
        setup = set_up(job.run.experiment, job.run.execution, data, device)
        clock = Clock(lambda: synchronize(device))
        begin = self._begin(setup, clock)
        self._facts |= {"classes": setup.data.classes, "parameters": parameter_count(setup.model)}
        self._add_seconds({"prepare_s": _since_s(start_ns), "checkpoint_s": 0.0})
        if setup.runs_ahead:
            reason = "the fast path reads loss and hits with the step, which it does not wait for"
            self._reasons["time.statistics_s"] = reason
        if setup.execution.compile:
            start_ns = time.perf_counter_ns()
            compile_network(setup)
            self._add_seconds({"compile_s": _since_s(start_ns)})
        end, host = None, HostWatch()
        try:
            with host:
                for reached in train(setup, clock, begin):
                    if isinstance(reached, Position):
                        self._after_step(setup, clock, reached)
                    else:
                        end, epoch = reached, reached.result
                        self._epochs = [*(self._epochs or ()), epoch]
                        self._add_seconds({scope: getattr(epoch, scope) for scope in SCOPES})
                        self._send(Message(epoch=epoch))
        finally:  # an epoch that broke off has cost time too
            self._add_seconds(lap(setup, clock))
            self._facts["conditions"], unknown = host.facts()
            self._reasons |= unknown
        if end is not None:
            facts, self._sample_images = conclude(setup, end.predictions)
            facts["result_hash"] = result_hash(tuple(self._epochs or ()), facts["confusion"], facts["summary"])
            self._facts["flags"] += ["no_learning"] if learned_nothing(setup, end.result) else []
            self._facts |= facts

    def _begin(self, setup: Setup, clock: Clock) -> Position:
        """Return where to begin: at the last checkpoint if it is of the same code, data and numerics, else at START."""
        self._epochs = []
        checkpoint, refused = self._checkpoints.latest()
        for refusal in refused:
            self._tell(f"{refusal.where} {refusal.what}")
        if checkpoint is None:
            return START
        head, identity = checkpoint.head, self.job.identity
        own = {
            "run": self.job.run.run_id,
            "code": identity.code_hash,
            "data": identity.data_sha256,
            **self._facts["numerics"],
        }
        given = {"run": head.run_id, "code": head.code_hash, "data": head.data_sha256, **head.numerics}
        if differing := [key for key in {**own, **given} if own.get(key) != given.get(key)]:
            self._tell(f"begins anew: checkpoint: was made under other {', '.join(differing)}")
            return START
        try:
            check_place(head, setup)
            position = restore(setup, clock, head.training, checkpoint.arrays)
        except IntegrityError as error:
            self._tell(f"begins anew: {error}")
            return START
        self._earlier, self._epochs = head.segments, list(head.epochs)
        self._start = max(self._start, head.segments[-1].end)  # the clock may have been set back
        self._facts["flags"].append("resumed")
        self._add_seconds(head.time)
        self._tell(f"resumes in epoch {position.epoch} after step {position.steps}")
        return position

    def _after_step(self, setup: Setup, clock: Clock, position: Position) -> None:
        """Save a checkpoint where one is due, and end the attempt by an error where it is time to."""
        policy = self.job.policy
        is_late = policy.time_limit_s is not None and _since_s(self._start_ns) > policy.time_limit_s
        if is_late or self._stops or _since_s(self._saved_ns) >= policy.checkpoint_every_s:
            self._save_checkpoint(setup, clock, position)
        place = f"in epoch {position.epoch} after step {position.steps}; repeat the command to resume there"
        if self._stops:
            raise InterruptedRunError(f"asked to stop by SIGTERM {place}")
        if is_late:
            raise TimeLimitError(f"the time limit of {policy.time_limit_s:g} s was over {place}")

    def _save_checkpoint(self, setup: Setup, clock: Clock, position: Position) -> None:
        """Write a checkpoint. Where that fails the run goes on: the last one stands."""
        start_ns = time.perf_counter_ns()
        (state, arrays), seconds = snapshot(setup, position, clock), self._facts["time"]
        head = Head(
            run_id=self.job.run.run_id,
            code_hash=self.job.identity.code_hash,
            data_sha256=self.job.identity.data_sha256,
            numerics=self._facts["numerics"],
            segments=self._segments,
            epochs=tuple(self._epochs or ()),
            time={**seconds, "wall_s": seconds.get("wall_s", 0.0) + _since_s(self._start_ns)},
            training=state,
        )
        try:
            self._checkpoints.save(Checkpoint(head, arrays))
        except (OSError, IntegrityError) as error:
            log_error()
            self._tell(f"no checkpoint could be written: {error}")
        self._saved_ns = time.perf_counter_ns()
        self._add_seconds({"checkpoint_s": _since_s(start_ns)})

    def fail(self, error: Exception) -> Status:
        """Note why the attempt ends, and return the status that the error amounts to."""
        phase = "prepare" if self._epochs is None else f"after {how_many(len(self._epochs), 'epoch')}"
        is_capped = self.job.run.execution.memory_cap is not None
        status, self._facts["failure"] = failure_of(error, phase, is_capped=is_capped)
        return status

    def save(self, status: Status) -> None:
        """Save the record, and the picture of its samples. An attempt that was resumed has no peaks and no energy."""
        job, facts = self.job, self._facts
        self._add_seconds({"wall_s": _since_s(self._start_ns)})
        if "resumed" in facts["flags"]:
            facts["memory"], facts["energy_j"] = {}, None
            keys = ("energy_j", *(f"memory.{key}" for key in Memory.model_fields))
            self._reasons |= dict.fromkeys(keys, "the run was resumed: this process did not see all of it")
        facts |= {"status": status, "segments": self._segments, "epochs": tuple(self._epochs or ())}
        record = job.record(facts, self._reasons)
        may_be_shown = job.source.path is None  # the rights to a folder's images are unknown
        if self._sample_images is not None and status == "ok" and may_be_shown:
            try:  # before the record: no reader finds that without its picture
                picture_path = job.store.picture_path(record.run_id, record.attempt)
                disk.replace(picture_path, encode_picture(self._sample_images))
            except Exception:  # noqa: BLE001 - hours of training are worth more than a picture of six images
                log_error()
        job.store.save(record)
        if status in FINAL:
            self._checkpoints.clear()


def check_place(head: Head, setup: Setup) -> None:
    """Raise IntegrityError unless the epochs and sums of a checkpoint are those that lead to its position."""
    try:
        at = TypeAdapter(Moment).validate_python(head.training).position
    except ValidationError as error:
        raise IntegrityError("checkpoint", "says no position of a training") from error
    size, images, epochs = setup.experiment.batch_size, len(setup.train_indices), setup.experiment.epochs
    is_next = at.epoch == len(head.epochs) + 1 <= epochs and 0 <= (at.steps - 1) * size < images and head.segments
    is_summed = at.tally.correct <= at.tally.images == min(at.steps * size, images)
    if not (is_next and is_summed) or broken(of_epochs(head.epochs, setup.experiment)):
        raise IntegrityError("checkpoint", "its epochs and sums do not lead to its position")


def _since_s(start_ns: int) -> float:
    return (time.perf_counter_ns() - start_ns) / 1e9
