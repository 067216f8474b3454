"""Engines of clusters: what a run takes of a node, and what a node does with a job, as JSON in and JSON out."""

import os
import re
import shutil
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from pydantic import ConfigDict

from resnet18.data.source import open_data
from resnet18.execution.attempt import carry_out, run_lock
from resnet18.execution.job import Engine, Job
from resnet18.records import disk
from resnet18.records.content import file_name, parse_record
from resnet18.records.record import FINAL, Status
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError, Model, SpecError, SuiteError, disk_errors
from resnet18.spec.experiment import DataSource, data_folder
from resnet18.spec.identity import code_hash
from resnet18.spec.plan import Run

CLUSTERS = {"ray": "RayEngine", "slurm": "SlurmEngine"}
"""Each is a class of the module `NAME_engine`, which is imported only when its name is given."""
AMOUNTS = {"cpus": r"[1-9]\d{0,5}", "gpus": r"\d{1,5}|0\.\d{1,5}"}
ROOM_BYTES = 1 << 20  # for records, logs and checkpoints: a node with less is given no run
LOG_BYTES = 64 << 10  # of a log's end travel back
ENDINGS = (signal.SIGTERM, signal.SIGUSR2)  # which Slurm sends before it ends a job, the second through submitit
TAKEN_LIMIT_S = 60.0  # for a process that carries out the same run here, and is about to be ended


@dataclass(frozen=True)
class Resources:
    """What a run takes of a cluster's node."""

    cpus: int | None = None  # None: all of the node's, or as many as belong to the GPUs
    gpus: float | None = None
    """Less than one: several runs share a GPU. None: as the device of the run says."""
    whole: bool = False  # the run has the node for itself


def connect(name: str, resources: Resources, at_once: int | None) -> Engine:
    """Return the engine of a cluster, on which so many runs may go on at once, or raise a SuiteError."""
    engine: type[Any] = getattr(import_module(f"resnet18.execution.{name}_engine"), CLUSTERS[name])
    return cast("Engine", engine(resources, at_once))


def parse_resources(text: str | None) -> Resources:
    """Return what `--resources cpus=4,gpus=0.5` means; SpecError where it means nothing."""
    found = dict(part.partition("=")[::2] for part in (text or "").split(",") if part)
    if not all(key in AMOUNTS and re.fullmatch(AMOUNTS[key], value) for key, value in found.items()):
        allowed = ["cpus=N", "gpus=N", "gpus=0.5", "cpus=N,gpus=N"]
        raise SpecError(f"--resources {text}", "names no resources", allowed=allowed)
    cpus, gpus = found.get("cpus"), found.get("gpus")
    return Resources(None if cpus is None else int(cpus), None if gpus is None else float(gpus))


def resources_of(run: Run, wanted: Resources, *, has_gpus: bool) -> Resources:
    """Return what a run takes of a node; SpecError where it names a GPU by its number.

    A timed run takes the whole node. Another takes what the user wants: by default the whole node where it uses no GPU,
    and else one GPU. On `auto` it uses one where there are any.
    """
    kind, _, number = run.execution.device.partition(":")
    if number:
        where, what = f"{run.labels[0]}: device {run.execution.device}", "names a GPU; a cluster gives a run its own"
        raise SpecError(where, what, allowed=["auto", "cpu", "cuda"])
    gpus = 1.0 if kind == "cuda" or (kind == "auto" and has_gpus) else 0.0
    if run.is_timed:
        return Resources(None, gpus, whole=True)
    if gpus and wanted.gpus is not None:
        gpus = wanted.gpus
    return Resources(wanted.cpus, gpus, whole=wanted.cpus is None and gpus == 0)


class Delivery(Model):
    """What a node sends back: a record and what lies beside it, or the error for which it cannot carry runs out."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    record: bytes = b""  # JSON, as it is stored
    picture: bytes | None = None  # PNG, where the run left one
    log: bytes = b""
    where: str = ""
    what: str = ""
    next_step: str = ""
    exit_code: int = 0

    @classmethod
    def of(cls, error: SuiteError) -> "Delivery":
        """Return what is sent instead of raising."""
        return cls(where=error.where, what=error.what, next_step=error.next_step, exit_code=error.exit_code)

    @property
    def error(self) -> SuiteError | None:
        """What is to be raised, or said, where it has arrived."""
        if not self.exit_code:
            return None
        error = SuiteError(self.where, self.what, next_step=self.next_step)
        error.exit_code = self.exit_code
        return error

    def keep(self, job: Job) -> Status:
        """Write what came back into the job's results, the record last, and return its status or raise a SuiteError."""
        run_id, store = job.run.run_id, job.store
        what, next_step = "a record cannot be kept", "make room, then repeat the command"
        with disk_errors(EnvironmentMissingError, str(store.results), what, next_step):
            if self.log:
                disk.replace(job.log, self.log)
            if self.picture is not None:
                disk.replace(store.picture_path(run_id, job.attempt), self.picture)
            return store.keep(run_id, job.attempt, self.record).status


def carry_out_apart(text: str) -> str:
    """Carry out a job on a node that shares no folder with the runner, and return a `Delivery`.

    The node keeps a results folder of its own for the run, so that a run that was lost with its process goes on from
    its checkpoint when it comes back, and a record that was written but not delivered is delivered then.
    """
    job, scratch = Job.model_validate_json(text), data_folder() / "scratch"
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES")  # the fork server knows those of the first job
    run_id = job.run.run_id
    job = job.model_copy(update={"results": scratch / run_id, "gpus": gpus})
    error: SuiteError
    try:
        with (
            disk_errors(EnvironmentMissingError, _here(), f"{job.results} cannot be written"),
            run_lock(scratch, run_id, wait_s=TAKEN_LIMIT_S),  # not in its own folder, which is removed while it is held
        ):
            check_fit(job)
            if job.recorded() is None or job.store.attempts(run_id) != job.attempt:
                for path in job.store.folder.glob("*.json"):  # of other attempts, code or data
                    path.unlink()
                with suppress(KeyboardInterrupt):  # cancelled: the record, which says so, is delivered
                    carry_out(job, lambda _: None)
            return _packed(job).model_dump_json()
    except disk.LockIsTakenError as holder:
        error = EnvironmentMissingError(_here(), f"carries the run out already: {holder}")
    except SuiteError as refusal:
        error = refusal
    return Delivery.of(error).model_dump_json()


def carry_out_here(text: str) -> None:
    """Carry out a job in the results directory that the nodes share, where Slurm may have begun it before."""
    for number in ENDINGS:  # the run saves a checkpoint, and is recorded as interrupted
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    job = Job.model_validate_json(text)
    try:
        check_fit(job)
    except SuiteError as error:
        disk.replace(problem_path(job), Delivery.of(error).model_dump_json().encode())
        return
    problem_path(job).unlink(missing_ok=True)
    with run_lock(job.results, job.run.run_id, wait_s=TAKEN_LIMIT_S):
        if job.recorded() is None:
            carry_out(job.next(), lambda _: None)


def problem_path(job: Job) -> Path:
    """Return where a node that shares the results says why it cannot carry a run out."""
    return job.results / "slurm" / f"{job.run.run_id}.problem"


def check_fit(job: Job) -> None:
    """Raise a SuiteError where a run cannot be carried out here: no room on the disk, other code, other data."""
    job.store.make_writable(ROOM_BYTES)
    if code_hash(job.run.experiment, job.run.execution) != job.identity.code_hash:
        next_step = "install the version that the runner has"
        raise EnvironmentMissingError(_here(), "has another version of resnet18", next_step=next_step)
    if _data_sha256(job.source, job.identity.data_sha256) != job.identity.data_sha256:
        where, what = f"{_here()}: data set {job.source.label}", "has other pixels or labels here"
        raise IntegrityError(where, what, next_step="copy it again")


@cache
def _data_sha256(source: DataSource, expected: str | None) -> str:  # noqa: ARG001 - another hash looks again
    """Return the hash of the data set that this node has. Read once in a process: it has many images."""
    return open_data(source, verify=True).sha256


def _packed(job: Job) -> Delivery:
    """Return what the attempt left, and remove it here, save a checkpoint that the run may go on from."""
    store = job.store
    record = disk.read(store.folder / file_name(job.run.run_id, job.attempt))
    picture = store.picture_path(job.run.run_id, job.attempt)
    log = b""
    with suppress(FileNotFoundError), os.fdopen(disk.open_plain(job.log, os.O_RDONLY), "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - LOG_BYTES))
        log = file.read()
    delivery = Delivery(record=record, picture=disk.read(picture) if picture.exists() else None, log=log)
    is_final = parse_record(record, file_name(job.run.run_id, job.attempt)).status in FINAL
    for folder in (store.results,) if is_final else (store.folder, store.logs):
        shutil.rmtree(folder, ignore_errors=True)
    return delivery


def _here() -> str:
    return f"node {socket.gethostname()}"
