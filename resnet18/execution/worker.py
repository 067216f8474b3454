"""The child process of one run: it trains, measures, and writes the run's record."""

import time
import traceback
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from resnet18.data.dataset import DataSet
from resnet18.data.source import open_data
from resnet18.execution.failure import failure_facts
from resnet18.execution.job import DataAnswer, DataQuestion, Job, Message, RunDone, Stop
from resnet18.execution.worker_checkpoint import Attempt
from resnet18.execution.worker_ending import classify, told
from resnet18.execution.worker_questions import check_torch, look_at_data
from resnet18.execution.worker_record import add_seconds, conclusion, epoch_done, epoch_entry, forget_costs, phase
from resnet18.measure.clock import Clock
from resnet18.measure.device_watch import DeviceWatch
from resnet18.measure.disturbance import disturbances
from resnet18.measure.environment import numerics
from resnet18.measure.host import HostWatch
from resnet18.records.content import build_record
from resnet18.records.picture import encode_picture
from resnet18.records.record import FINAL, Record, Status
from resnet18.records.store import Store
from resnet18.spec.data import path_from_text
from resnet18.spec.errors import IntegrityError
from resnet18.spec.experiment import Execution
from resnet18.training.device import carried_out, memory_capped, ready_device, synchronize
from resnet18.training.loop import compile_network, lap, train
from resnet18.training.optimizers import form_of
from resnet18.training.results import Conclusion, EpochResult, Position, conclude, learned_nothing, parameter_count
from resnet18.training.setup import Setup, path_numerics, set_up

Send = Callable[[Message], None]


def answer_question(question: DataQuestion) -> DataAnswer:
    """Open and check the data set, and tell the numerics where asked to.

    Raises:
        SuiteError: it is missing, damaged, or too small.
    """
    check_torch()
    answer = look_at_data(question)
    if question.execution is None:
        return answer
    return answer.model_copy(update={"numerics": _numerics(question.execution, ready_device(question.execution))})


def _numerics(asked: Execution, device: torch.device) -> dict[str, str | int | bool]:
    """Return the numerics fingerprint of what runs; compiled code is made on the way."""
    execution = carried_out(asked, device)
    return {**numerics(execution, device), **path_numerics(execution, device)}


def run_job(job: Job, send: Send, stop: Stop | None = None) -> None:
    """Carry out one attempt, from the last checkpoint on, and save its record, however it ends.

    Args:
        job: what to run.
        send: hands a message to the runner: one after each epoch, and one when the record is saved.
        stop: asks for an end between two steps; nobody does if left out.
    """
    attempt = Attempt(job, stop or Stop(), lambda text: send(Message(note=text)))
    facts, reasons = attempt.facts, attempt.reasons
    end: Conclusion | None = None
    try:
        device = ready_device(job.spec.execution)
        with memory_capped(job.spec.execution, device):  # lifted before the record is written, which takes memory
            end = _measured(attempt, device, send)
        status: Status = "ok"
    except Exception as error:  # noqa: BLE001 - a failure is a record, not a traceback
        traceback.print_exc()  # into the log beside the records
        status = classify(error, is_capped=job.spec.execution.memory_cap is not None)
        facts["failure"], unsaid = failure_facts(status, phase(facts), told(error, job))
        reasons.update(unsaid)
    add_seconds(facts, {"wall_s": attempt.elapsed_s})
    record = build_record(
        spec=job.spec,
        scale=job.scale,
        attempt=job.attempt,
        status=status,
        identity=job.identity,
        segments=attempt.segments,
        facts=facts,
        reasons=reasons,
    )
    store = Store(path_from_text(job.results))
    if end is not None and job.place.source.leaves_pictures:
        _leave_picture(store, record, end.sample_images)
    store.save(record)
    if status in FINAL:
        attempt.checkpoints.clear()
    send(Message(done=RunDone(attempt=job.attempt, status=status)))


def _leave_picture(store: Store, record: Record, images: NDArray[np.uint8]) -> None:
    """Write the sample images [6, side, side, 3] first, so that no reader finds an `ok` record before its picture."""
    try:
        store.save_picture(record.run_id, record.attempt, encode_picture(images))
    except Exception:  # noqa: BLE001 - hours of training are worth more than a picture of six images
        traceback.print_exc()


def _measured(attempt: Attempt, device: torch.device, send: Send) -> Conclusion | None:
    """Train under watch, and note what was seen, however the training ended."""
    facts, execution = attempt.facts, attempt.job.spec.execution
    optimizer = attempt.job.spec.experiment.optimizer
    facts["numerics"] = _numerics(execution, device) | {
        "optimizer_form": form_of(optimizer, execution.path, device.type)
    }
    watch = DeviceWatch(device)
    try:
        with watch:
            return _train(attempt, device, send)
    finally:  # monitoring masks no error of the run
        found = watch.facts()
        facts["memory"], facts["energy_j"] = found.memory, found.energy_j
        facts["numerics"] |= found.numerics
        facts["conditions"] = {**facts.get("conditions", {}), **found.conditions}
        attempt.reasons.update(found.reasons)
        threads = torch.get_num_threads() if device.type == "cpu" else 1
        seconds = [epoch["train_s"] for epoch in facts.get("epochs", [])]
        facts["unreliable_because"] = disturbances(facts["conditions"], seconds, threads=threads)
        facts["flags"] = [*facts.get("flags", []), *(["unreliable"] if facts["unreliable_because"] else [])]
        forget_costs(facts, attempt.reasons)


def _train(attempt: Attempt, device: torch.device, send: Send) -> Conclusion | None:
    """Train, from the last checkpoint on."""
    start_ns = time.perf_counter_ns()
    setup = set_up(attempt.job.spec.experiment, attempt.job.spec.execution, _data_of(attempt.job), device)
    clock = Clock(lambda: synchronize(device))
    begin = attempt.begin(setup, clock)
    _note_what_is_prepared(attempt, setup, start_ns)
    result = _watched(attempt, setup, clock, begin, send)
    if result is None:
        return None
    if learned_nothing(setup, result):
        attempt.facts.setdefault("flags", []).append("no_learning")
    end = conclude(setup, result.predictions)
    attempt.facts.update(conclusion(end, attempt.facts["epochs"]))
    return end


def _data_of(job: Job) -> DataSet:
    """Open a job's data set.

    Raises:
        IntegrityError: it is not the one that the runner has seen.
    """
    data = open_data(job.place.source, verify=False)
    if data.sha256 != job.identity.data_sha256:
        raise IntegrityError(f"data set {data.label}", "was changed after the runner had opened it")
    return data


def _note_what_is_prepared(attempt: Attempt, setup: Setup, start_ns: int) -> None:
    """Note what is known before the first step, and compile where the spec asks for it."""
    facts = attempt.facts
    facts.setdefault("epochs", [])
    if setup.runs_ahead:
        attempt.reasons["time.statistics_s"] = (
            "the fast path reads loss and hits with the step, which it does not wait for"
        )
    facts.update(classes=setup.data.classes, parameters=parameter_count(setup.model))
    add_seconds(facts, {"prepare_s": (time.perf_counter_ns() - start_ns) / 1e9, "checkpoint_s": 0.0})
    if setup.execution.compile:
        start_ns = time.perf_counter_ns()
        compile_network(setup)
        add_seconds(facts, {"compile_s": (time.perf_counter_ns() - start_ns) / 1e9})


def _watched(attempt: Attempt, setup: Setup, clock: Clock, begin: Position, send: Send) -> EpochResult | None:
    """Train while the host is watched, and return what the last epoch gave."""
    facts = attempt.facts
    result, host = None, HostWatch()
    try:
        with host:
            for moment in train(setup, clock, begin):
                if isinstance(moment, EpochResult):
                    result = moment
                    facts["epochs"].append(epoch_entry(result))
                    add_seconds(facts, result.seconds)
                    send(Message(epoch=epoch_done(facts["epochs"][-1])))
                else:
                    attempt.after(setup, clock, moment)
    finally:  # an epoch that broke off has cost time too
        add_seconds(facts, lap(setup, clock))
        facts["conditions"], unknown = host.facts()
        attempt.reasons.update(unknown)
    return result
