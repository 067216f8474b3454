"""What a node of a cluster does with a job that an engine has brought: a JSON text in, a JSON text back."""

import base64
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from resnet18.execution.attempt import carry_out
from resnet18.execution.lock import RunIsTakenError, run_lock
from resnet18.execution.messages import DataQuestion, Job, Problem
from resnet18.execution.questions import ask
from resnet18.records import disk
from resnet18.records.content import LIMIT, file_name, parse_record
from resnet18.records.record import FINAL, Status
from resnet18.records.store import Store
from resnet18.spec.data import data_home
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError, SuiteError
from resnet18.spec.identity import code_hash
from resnet18.spec.strict import Model

ROOM_BYTES = 1 << 20
"""A node without so much room for records, logs and checkpoints is given no run. A record takes far less."""
LOG_BYTES = 64 << 10
"""How much of a log's end travels back."""
ENDINGS = (signal.SIGTERM, signal.SIGUSR2)
"""What Slurm sends before it ends a job, and what submitit lets it send before that."""
TAKEN_LIMIT_S = 60.0
"""How long a process that carries out the same run here, and is about to be ended, is waited for."""


class Delivery(Model):
    """What a node sends back: a record and what lies beside it, or why runs cannot be carried out there."""

    record: str | None = None
    """JSON, as it is stored."""
    picture: str | None = None
    """PNG in base64, where the run left one."""
    log: str = ""
    problem: Problem | None = None

    def keep(self, job: Job, store: Store) -> Status:
        """Write what came back into the store, the record last, and return its status.

        Raises:
            EnvironmentMissingError: there is no room for it.
            IntegrityError: it is no record, or that of another attempt.
        """
        run_id = job.run.run_id
        try:
            if self.log:
                disk.replace(store.log_path(run_id, job.attempt), self.log.encode())
            if self.picture is not None:
                store.save_picture(run_id, job.attempt, base64.b64decode(self.picture))
            return store.keep(run_id, job.attempt, (self.record or "").encode()).status
        except OSError as error:
            raise EnvironmentMissingError(
                str(store.results),
                f"a record that came back cannot be kept: {error.strerror}",
                next_step="make room; the same command goes on with what is missing",
            ) from None


def carry_out_apart(text: str) -> str:
    """Carry out a job on a node that shares no folder with the runner, and return a `Delivery`.

    The node keeps a results folder of its own for the run, so that a run that was lost with its process goes on from
    its checkpoint when it comes back, and a record that was written but not delivered is delivered then.
    """
    job = Job.model_validate_json(text)
    scratch = data_home() / "scratch"
    store = Store(scratch / job.run.run_id)
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES")  # the fork server knows those of the first job
    job = job.model_copy(update={"results": store.results, "gpus": gpus})
    try:
        with _alone(scratch, job):  # not in the run's own folder, which is removed before the lock is let go
            check_fit(job, store)
            if job.recorded(store) is None or store.attempts(job.run.run_id) != job.attempt:
                for path in store.folder.glob("*.json"):  # of other attempts, code or data
                    path.unlink()
                with suppress(KeyboardInterrupt):  # cancelled: the record, which says so, is delivered
                    carry_out(job, lambda _: None)
            return _packed(job, store).model_dump_json()
    except SuiteError as error:
        return Delivery(problem=Problem.of(error)).model_dump_json()
    except OSError as error:
        missing = EnvironmentMissingError(_here(), f"{store.results} cannot be written: {error.strerror}")
        return Delivery(problem=Problem.of(missing)).model_dump_json()


def carry_out_here(text: str) -> None:
    """Carry out a job in the results directory that the nodes share; what becomes of it is read there.

    A job that was lost with its node is begun again, as Slurm does, and finds a checkpoint, or the record.
    """
    for number in ENDINGS:  # the run saves a checkpoint, and is recorded as interrupted
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    job = Job.model_validate_json(text)
    store = Store(job.results)
    problem = problem_path(store, job)
    try:
        check_fit(job, store)
    except SuiteError as error:
        disk.replace(problem, Problem.of(error).model_dump_json().encode())
        return
    problem.unlink(missing_ok=True)
    with _alone(store.results, job):
        if job.recorded(store) is None:
            carry_out(job.next(store), lambda _: None)


def problem_path(store: Store, job: Job) -> Path:
    """Return where a node that shares the results says why it cannot carry a run out."""
    return store.results / "slurm" / f"{job.run.run_id}.problem"


def check_fit(job: Job, store: Store) -> None:
    """Raise a SuiteError where a run cannot be carried out here: no room on the disk, other code, other data."""
    store.make_writable(ROOM_BYTES)
    if code_hash(job.run.experiment, job.run.execution) != job.identity.code_hash:
        raise EnvironmentMissingError(
            _here(), "has another version of resnet18", next_step="install the version that the runner has"
        )
    question = DataQuestion(source=job.source).model_dump_json()
    if _data_sha256(question, job.identity.data_sha256) != job.identity.data_sha256:
        raise IntegrityError(
            f"{_here()}: data set {job.source.label}", "has other pixels or labels here", next_step="copy it again"
        )


@cache
def _data_sha256(question: str, expected: str | None) -> str:  # noqa: ARG001 - another hash asks again
    """Return the hash of the data set that this node has. Asked once in a process: it reads all of the images."""
    try:
        return ask(DataQuestion.model_validate_json(question)).sha256
    except RuntimeError as error:  # killed for want of memory, say: the next node may have more
        raise EnvironmentMissingError(_here(), str(error)) from None


@contextmanager
def _alone(folder: Path, job: Job) -> Iterator[None]:
    """Hold the run's lock; a task that was given up, but has not ended yet, may hold it still, for a minute at most."""
    give_up_s = time.monotonic() + TAKEN_LIMIT_S
    while True:
        try:
            with run_lock(folder, job.run.run_id):
                yield
                return
        except RunIsTakenError as error:
            if time.monotonic() > give_up_s:
                raise EnvironmentMissingError(_here(), f"carries the run out already: {error}") from None
            time.sleep(0.2)


def _packed(job: Job, store: Store) -> Delivery:
    """Return what the attempt left, and remove it here, save a checkpoint that the run may go on from."""
    run_id = job.run.run_id
    record = disk.read(store.folder / file_name(run_id, job.attempt), LIMIT)
    picture, log = store.picture_path(run_id, job.attempt), store.log_path(run_id, job.attempt)
    delivery = Delivery(
        record=record.decode(),
        picture=base64.b64encode(picture.read_bytes()).decode() if picture.is_file() else None,
        log=log.read_bytes()[-LOG_BYTES:].decode(errors="replace") if log.is_file() else "",
    )
    is_final = parse_record(record, "the record").status in FINAL
    for folder in (store.results,) if is_final else (store.folder, store.logs):
        shutil.rmtree(folder, ignore_errors=True)
    return delivery


def _here() -> str:
    return f"node {socket.gethostname()}"
