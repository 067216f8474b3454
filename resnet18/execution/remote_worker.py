"""What a node of a cluster does with a job that an engine has brought: a JSON text in, a JSON text back."""

import base64
import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from resnet18.data.source import open_data
from resnet18.execution.attempt import RunIsTakenError, carry_out, run_lock
from resnet18.execution.engine import Job
from resnet18.records import disk
from resnet18.records.content import LIMIT, file_name, parse_record
from resnet18.records.record import FINAL, Status
from resnet18.spec.data import DataSource, data_home
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError, SuiteError
from resnet18.spec.identity import code_hash
from resnet18.spec.strict import Items, Model

ROOM_BYTES = 1 << 20
"""A node without so much room for records, logs and checkpoints is given no run. A record takes far less."""
LOG_BYTES = 64 << 10
"""How much of a log's end travels back."""
ENDINGS = (signal.SIGTERM, signal.SIGUSR2)
"""What Slurm sends before it ends a job, and what submitit lets it send before that."""
TAKEN_LIMIT_S = 60.0
"""How long a process that carries out the same run here, and is about to be ended, is waited for."""


class Problem(Model):
    """Why a node cannot carry runs out, on its way to the runner."""

    where: str
    what: str
    allowed: Items[str]
    next_step: str
    exit_code: int

    @classmethod
    def of(cls, error: SuiteError) -> "Problem":
        """Return what is sent instead of raising."""
        return cls(**{key: getattr(error, key) for key in cls.model_fields})


class ReportedError(SuiteError):
    """A problem, raised where it has arrived."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.where, problem.what, allowed=problem.allowed, next_step=problem.next_step)
        self.exit_code = problem.exit_code


class Delivery(Model):
    """What a node sends back: a record and what lies beside it, or why runs cannot be carried out there."""

    record: str = ""
    """JSON, as it is stored."""
    picture: str | None = None
    """PNG in base64, where the run left one."""
    log: str = ""
    problem: Problem | None = None

    def keep(self, job: Job) -> Status:
        """Write what came back into the job's results, the record last, and return its status.

        Raises:
            EnvironmentMissingError: there is no room for it.
            IntegrityError: it is no record, or that of another attempt.
        """
        run_id, store = job.run.run_id, job.store
        try:
            if self.log:
                disk.replace(store.log_path(run_id, job.attempt), self.log.encode())
            if self.picture is not None:
                store.save_picture(run_id, job.attempt, base64.b64decode(self.picture))
            return store.keep(run_id, job.attempt, self.record.encode()).status
        except OSError as error:
            raise EnvironmentMissingError(
                str(store.results),
                f"a record that came back cannot be kept: {error.strerror}",
                next_step="make room, then repeat the command to run what is missing",
            ) from None


def carry_out_apart(text: str) -> str:
    """Carry out a job on a node that shares no folder with the runner, and return a `Delivery`.

    The node keeps a results folder of its own for the run, so that a run that was lost with its process goes on from
    its checkpoint when it comes back, and a record that was written but not delivered is delivered then.
    """
    job = Job.model_validate_json(text)
    scratch = data_home() / "scratch"
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES")  # the fork server knows those of the first job
    job = job.model_copy(update={"results": scratch / job.run.run_id, "gpus": gpus})
    try:
        with _alone(scratch, job):  # not in the run's own folder, which is removed before the lock is let go
            check_fit(job)
            if job.recorded() is None or job.store.attempts(job.run.run_id) != job.attempt:
                for path in job.store.folder.glob("*.json"):  # of other attempts, code or data
                    path.unlink()
                with suppress(KeyboardInterrupt):  # cancelled: the record, which says so, is delivered
                    carry_out(job, lambda _: None)
            delivery = _packed(job)
    except SuiteError as error:
        delivery = Delivery(problem=Problem.of(error))
    except OSError as error:
        missing = EnvironmentMissingError(_here(), f"{job.results} cannot be written: {error.strerror}")
        delivery = Delivery(problem=Problem.of(missing))
    return delivery.model_dump_json()


def carry_out_here(text: str) -> None:
    """Carry out a job in the results directory that the nodes share; what becomes of it is read there.

    A job that was lost with its node is begun again, as Slurm does, and finds a checkpoint, or the record.
    """
    for number in ENDINGS:  # the run saves a checkpoint, and is recorded as interrupted
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    job = Job.model_validate_json(text)
    problem = problem_path(job)
    try:
        check_fit(job)
    except SuiteError as error:
        disk.replace(problem, Problem.of(error).model_dump_json().encode())
        return
    problem.unlink(missing_ok=True)
    with _alone(job.results, job):
        if job.recorded() is None:
            carry_out(job.next(), lambda _: None)


def problem_path(job: Job) -> Path:
    """Return where a node that shares the results says why it cannot carry a run out."""
    return job.results / "slurm" / f"{job.run.run_id}.problem"


def check_fit(job: Job) -> None:
    """Raise a SuiteError where a run cannot be carried out here: no room on the disk, other code, other data."""
    job.store.make_writable(ROOM_BYTES)
    if code_hash(job.run.experiment, job.run.execution) != job.identity.code_hash:
        raise EnvironmentMissingError(
            _here(), "has another version of resnet18", next_step="install the version that the runner has"
        )
    if _data_sha256(job.source, job.identity.data_sha256) != job.identity.data_sha256:
        raise IntegrityError(
            f"{_here()}: data set {job.source.label}", "has other pixels or labels here", next_step="copy it again"
        )


@cache
def _data_sha256(source: DataSource, expected: str | None) -> str:  # noqa: ARG001 - another hash looks again
    """Return the hash of the data set that this node has. Read once in a process: it has many images."""
    return open_data(source, verify=True).sha256


@contextmanager
def _alone(folder: Path, job: Job) -> Iterator[None]:
    """Hold the run's lock; a task that was given up, but has not ended yet, may hold it still, for a minute at most."""
    try:
        with run_lock(folder, job.run.run_id, wait_s=TAKEN_LIMIT_S):
            yield
    except RunIsTakenError as error:
        raise EnvironmentMissingError(_here(), f"carries the run out already: {error}") from None


def _packed(job: Job) -> Delivery:
    """Return what the attempt left, and remove it here, save a checkpoint that the run may go on from."""
    run_id, store = job.run.run_id, job.store
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
