"""The child process of one run: it trains, measures, and writes the run's record."""

import time
import traceback
from collections.abc import Collection

import torch

from resnet18.data.source import open_data
from resnet18.execution.engine import Job, Message
from resnet18.execution.worker_attempt import Send, WorkerAttempt
from resnet18.measure import Clock
from resnet18.measure.device_watch import DeviceWatch
from resnet18.measure.disturbance import disturbances
from resnet18.measure.environment import numerics
from resnet18.measure.host import HostWatch
from resnet18.records.arrays import encode_picture
from resnet18.records.record import FINAL, Status
from resnet18.spec.errors import IntegrityError
from resnet18.training.device import carried_out, memory_capped, ready_device, synchronize
from resnet18.training.loop import lap, train
from resnet18.training.native import path_numerics
from resnet18.training.results import (
    Conclusion,
    EpochResult,
    Position,
    conclude,
    learned_nothing,
    parameter_count,
)
from resnet18.training.setup import Setup, compile_network, form_of, set_up


def run_job(job: Job, send: Send, stops: Collection[int] = ()) -> None:
    """Carry out one attempt, from the last checkpoint on, and save its record, however it ends.

    The runner is sent a message after each epoch, and when the record is saved. Where `stops`, the signals that ask for
    an end, is not empty any more, the attempt ends between two steps.
    """
    attempt = WorkerAttempt(job, send, stops)
    end: Conclusion | None = None
    try:
        device = ready_device(job.run.execution)
        with memory_capped(job.run.execution, device):  # lifted before the record is written, which takes memory
            end = _measured(attempt, device)
        status: Status = "ok"
    except Exception as error:  # noqa: BLE001 - a failure is a record, not a traceback
        traceback.print_exc()  # into the log beside the records
        status = attempt.fail(error)
    record = attempt.record(status)
    if end is not None and job.source.leaves_pictures:
        try:  # before the record: no reader finds that without its picture
            job.store.save_picture(record.run_id, record.attempt, encode_picture(end.sample_images))
        except Exception:  # noqa: BLE001 - hours of training are worth more than a picture of six images
            traceback.print_exc()
    job.store.save(record)
    if status in FINAL:
        attempt.checkpoints.clear()
    send(Message(done=status))


def _measured(attempt: WorkerAttempt, device: torch.device) -> Conclusion | None:
    """Train under watch, and note what was seen, however the training ended."""
    facts, execution = attempt.facts, carried_out(attempt.job.run.execution, device)
    form = form_of(attempt.job.run.experiment.optimizer, execution.path, device.type)
    facts["numerics"] = {**numerics(execution, device), **path_numerics(execution, device), "optimizer_form": form}
    watch = DeviceWatch(device)
    try:
        with watch:
            return _train(attempt, device)
    finally:  # monitoring masks no error of the run
        found = watch.facts()
        facts["memory"], facts["energy_j"] = found.memory, found.energy_j
        facts["numerics"] |= found.numerics
        facts["conditions"] = {**facts.get("conditions", {}), **found.conditions}
        attempt.reasons.update(found.reasons)
        threads = torch.get_num_threads() if device.type == "cpu" else 1
        seconds = [epoch.train_s for epoch in attempt.epochs or ()]
        facts["unreliable_because"] = disturbances(facts["conditions"], seconds, threads=threads)
        facts["flags"] += ["unreliable"] if facts["unreliable_because"] else []


def _train(attempt: WorkerAttempt, device: torch.device) -> Conclusion | None:
    """Train, from the last checkpoint on."""
    job, start_ns = attempt.job, time.perf_counter_ns()
    data = open_data(job.source, verify=False)
    if data.sha256 != job.identity.data_sha256:
        raise IntegrityError(f"data set {data.label}", "was changed after the runner had opened it")
    setup = set_up(job.run.experiment, job.run.execution, data, device)
    clock = Clock(lambda: synchronize(device))
    begin = attempt.begin(setup, clock)
    attempt.facts.update(classes=setup.data.classes, parameters=parameter_count(setup.model))
    attempt.add_seconds({"prepare_s": (time.perf_counter_ns() - start_ns) / 1e9, "checkpoint_s": 0.0})
    if setup.runs_ahead:
        reason = "the fast path reads loss and hits with the step, which it does not wait for"
        attempt.reasons["time.statistics_s"] = reason
    if setup.execution.compile:
        start_ns = time.perf_counter_ns()
        compile_network(setup)
        attempt.add_seconds({"compile_s": (time.perf_counter_ns() - start_ns) / 1e9})
    result = _train_watched(attempt, setup, clock, begin)
    if result is None:
        return None
    if learned_nothing(setup, result):
        attempt.facts["flags"].append("no_learning")
    end = conclude(setup, result.predictions)
    attempt.conclude(end)
    return end


def _train_watched(attempt: WorkerAttempt, setup: Setup, clock: Clock, begin: Position) -> EpochResult | None:
    """Train while the host is watched, and return what the last epoch gave."""
    result, host = None, HostWatch()
    try:
        with host:
            for moment in train(setup, clock, begin):
                if isinstance(moment, EpochResult):
                    result = moment
                    attempt.after_epoch(result)
                else:
                    attempt.after_step(setup, clock, moment)
    finally:  # an epoch that broke off has cost time too
        attempt.add_seconds(lap(setup, clock))
        attempt.facts["conditions"], unknown = host.facts()
        attempt.reasons.update(unknown)
    return result
