"""The child process of one run: it trains, measures, and writes the run's record."""

import re
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._dynamo  # the first optimizer imports it: paid here once, before processes are forked
from numpy.typing import NDArray

from resnet18.execution.failure import failure_facts
from resnet18.execution.job import DataAnswer, DataQuestion, EpochDone, Job, Message, RunDone
from resnet18.measure.clock import Clock
from resnet18.measure.contamination import contamination
from resnet18.measure.environment import numerics
from resnet18.measure.host import watch_host
from resnet18.measure.nvml import watch_device
from resnet18.records.build import build_record, utc_now
from resnet18.records.hashes import result_hash
from resnet18.records.picture import encode_picture
from resnet18.records.record import Epoch, Outcome, Record, Score, Segment, Status
from resnet18.records.store import Store
from resnet18.spec.data import data_home
from resnet18.spec.errors import IntegrityError
from resnet18.training.chance import learned_nothing
from resnet18.training.compilation import compile_network
from resnet18.training.dataset import subset
from resnet18.training.device import UnsupportedError, ready_device, synchronize
from resnet18.training.loop import DivergedError, EpochResult, Tally, set_up, train
from resnet18.training.memory_cap import memory_capped
from resnet18.training.model import parameter_count
from resnet18.training.outcome import Conclusion, conclude
from resnet18.training.source import open_data

DEVICE_IS_FULL = (
    "CUDA error: out of memory",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "MPS backend out of memory",
)
"""Errors of libraries under torch that are not torch.OutOfMemoryError. Read in issue threads, not seen on hardware."""
HOST_IS_FULL = (
    "can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "[Errno 12] Cannot allocate memory",
)
"""What torch's allocator says in plain RuntimeErrors (the second on Windows), and the system that cannot fork."""
CANNOT_BE_HAD = ("could not create a primitive", "could not create a memory object", "could not execute a primitive")
"""What oneDNN says of any failure: want of memory where a cap is in force, and nothing certain elsewhere."""
Send = Callable[[Message], None]


def answer_question(question: DataQuestion) -> DataAnswer:
    """Open and check the data set, decoding it where no decoded copy is kept.

    Raises:
        SuiteError: it is missing, damaged, or too small.
    """
    data = open_data(question.place.source, verify=True)
    for size in question.train_sizes:
        subset(data, "train", size)
    for size in question.test_sizes:
        subset(data, "test", size)
    return DataAnswer(sha256=data.sha256, train_images=len(data.train.labels))


def run_job(job: Job, send: Send) -> None:
    """Carry out one attempt and save its record, however it ends.

    Args:
        job: what to run.
        send: hands a message to the runner: one after each epoch, and one when the record is saved.
    """
    start, start_ns = utc_now(), time.perf_counter_ns()
    facts: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    end: Conclusion | None = None
    try:
        device = ready_device(job.spec.execution)
        with memory_capped(job.spec.execution, device):  # lifted before the record is written, which takes memory too
            end = _measured(job, device, send, facts, reasons)
        status: Status = "ok"
    except Exception as error:  # noqa: BLE001 - a failure is a record, not a traceback
        traceback.print_exc()  # into the log beside the records
        status = classify(error, is_capped=job.spec.execution.memory_cap is not None)
        message = without_folders(_in_words(error), job)
        facts["failure"], unsaid = failure_facts(status, _phase(facts), message)
        reasons.update(unsaid)
    facts.setdefault("time", {})["wall_s"] = (time.perf_counter_ns() - start_ns) / 1e9
    record = build_record(
        spec=job.spec,
        scale=job.scale,
        attempt=job.attempt,
        status=status,
        identity=job.identity,
        segments=(Segment(start=start, end=utc_now()),),
        facts=facts,
        reasons=reasons,
    )
    store = Store(Path(job.results))
    if end is not None and job.place.source.leaves_pictures:
        _leave_picture(store, record, end.sample_images)
    store.save(record)
    send(Message(done=RunDone(attempt=job.attempt, status=status)))


def _leave_picture(store: Store, record: Record, images: NDArray[np.uint8]) -> None:
    """Write the sample images [6, side, side, 3] first, so that no reader finds an `ok` record before its picture."""
    try:
        store.save_picture(record.run_id, record.attempt, encode_picture(images))
    except Exception:  # noqa: BLE001 - hours of training are worth more than a picture of six images
        traceback.print_exc()


def _measured(
    job: Job, device: torch.device, send: Send, facts: dict[str, Any], reasons: dict[str, str]
) -> Conclusion | None:
    """Train under watch, and note what was seen, however the training ended."""
    facts["numerics"] = numerics(job.spec.execution, device)
    watch = watch_device(device)
    try:
        with watch:
            return _train(job, device, send, facts, reasons)
    finally:  # monitoring masks no error of the run
        found = watch.facts()
        facts["memory"], facts["energy_j"] = found.memory, found.energy_j
        facts["numerics"] |= found.numerics
        facts["conditions"] = {**facts.get("conditions", {}), **found.conditions}
        reasons.update(found.reasons)
        threads = torch.get_num_threads() if device.type == "cpu" else 1
        seconds = [epoch["train_s"] for epoch in facts.get("epochs", [])]
        facts["contamination"] = contamination(facts["conditions"], seconds, threads=threads)
        facts["flags"] = [*facts.get("flags", []), *(["contaminated"] if facts["contamination"] else [])]


def _train(
    job: Job, device: torch.device, send: Send, facts: dict[str, Any], reasons: dict[str, str]
) -> Conclusion | None:
    """Train, and note each fact as soon as it is known, so that a failure keeps what came before it."""
    start_ns = time.perf_counter_ns()
    data = open_data(job.place.source, verify=False)
    if data.sha256 != job.identity.data_sha256:
        raise IntegrityError(f"data set {data.label}", "was changed after the runner had opened it")
    setup = set_up(job.spec.experiment, job.spec.execution, data, device)
    clock = Clock(lambda: synchronize(device))
    facts.update(classes=data.classes, parameters=parameter_count(setup.model), epochs=[])
    facts["time"] = {"prepare_s": (time.perf_counter_ns() - start_ns) / 1e9}
    if job.spec.execution.compile:
        start_ns = time.perf_counter_ns()
        compile_network(setup)
        facts["time"]["compile_s"] = (time.perf_counter_ns() - start_ns) / 1e9
    result, host = None, watch_host()
    try:
        with host:
            for result in train(setup, clock):
                facts["epochs"].append(epoch_entry(result))
                facts["time"].update(_total_seconds(facts["time"], result.seconds))
                send(Message(epoch=_progress(facts["epochs"][-1])))
    finally:  # an epoch that broke off has cost time too
        facts["time"].update(_total_seconds(facts["time"], clock.lap()))
        seen = host.facts()
        facts["conditions"] = seen.conditions
        reasons.update(seen.reasons)
    if result is None:
        return None
    if learned_nothing(setup, result):
        facts.setdefault("flags", []).append("no_learning")
    end = conclude(setup, result.predictions)
    facts.update(_conclusion(end, facts["epochs"]))
    return end


def _in_words(error: BaseException) -> str:
    """Return kind and text of an error, and of what it came from: only there does torch say how a loader died."""
    text = f"{type(error).__name__}: {error}"
    return text if error.__cause__ is None else f"{text}, from {_in_words(error.__cause__)}"


def without_folders(message: str, job: Job) -> str:
    """Return an error text, paths cut to their last name: records hold no path, and at most 2,000 characters."""
    roots = [
        job.results,
        str(data_home()),
        str(Path.home()),
        str(Path(job.place.path).parent) if job.place.path else "",
    ]
    for root in roots:
        message = message.replace(f"{root}/", "…/") if root else message
    message = re.sub(r"'/[^'\n]*/([^'/\n]+)'", r"'…/\1'", message)  # quoted, as Python prints paths: may hold spaces
    return re.sub(r"(?<![\w.])/(?:[^/\s'\":]+/)+", "…/", message)[:2_000]


def classify(error: Exception, *, is_capped: bool = False) -> Status:
    """Return the status that an exception amounts to, under a `memory_cap` or without one."""
    if isinstance(error, UnsupportedError):
        return "unsupported"
    if isinstance(error, DivergedError):
        return "diverged"
    if isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in DEVICE_IS_FULL):
        return "oom_device"
    host_is_full = HOST_IS_FULL + (CANNOT_BE_HAD if is_capped else ())
    if isinstance(error, MemoryError) or any(text in str(error) for text in host_is_full):
        return "oom_host"
    return "crashed"


def epoch_entry(result: EpochResult) -> dict[str, Any]:
    """Return the record's entry of an epoch."""
    entry = Epoch(
        epoch=result.epoch,
        learning_rate=result.learning_rate,
        steps=result.steps,
        train=_score(result.train),
        as_published=_score(result.as_published),
        clean=_score(result.clean),
        **result.seconds,
    )
    return asdict(entry)


def _score(tally: Tally) -> Score:
    return Score(loss=tally.loss_sum / tally.images, correct=tally.correct, images=tally.images)


def _total_seconds(time_so_far: dict[str, float], seconds: dict[str, float]) -> dict[str, float]:
    return {scope: time_so_far.get(scope, 0.0) + value for scope, value in seconds.items()}


def _progress(entry: dict[str, Any]) -> EpochDone:
    epoch = Epoch(**entry)
    return EpochDone(
        epoch=epoch.epoch,
        train_loss=epoch.train.loss,
        train_accuracy=epoch.train.accuracy,
        test_accuracy=epoch.as_published.accuracy,
        seconds=epoch.train_s + (epoch.statistics_s or 0) + epoch.eval_as_published_s + epoch.eval_clean_s,
    )


def _conclusion(end: Conclusion, epochs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what is known only at the end: confusion, samples, digests and the result hash."""
    outcome = Outcome(parameters_sha256=end.parameters_sha256, predictions_sha256=end.predictions_sha256)
    return {
        "confusion": end.confusion,
        "samples": [{"index": index, "label": label, "prediction": guess} for index, label, guess in end.samples],
        "outcome": outcome.model_dump(),
        "result_hash": result_hash(tuple(Epoch(**epoch) for epoch in epochs), end.confusion, outcome),
    }


def _phase(facts: dict[str, Any]) -> str:
    """Say how far the attempt had come."""
    if "epochs" not in facts:
        return "prepare"
    return f"after {len(facts['epochs'])} epochs"
