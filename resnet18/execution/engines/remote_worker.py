"""What a node of a cluster does with a job that an engine has brought: a JSON text in, a JSON text back."""

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import FrameType

from resnet18.execution import process
from resnet18.execution.attempt import attend
from resnet18.execution.engines.delivery import packed
from resnet18.execution.job import DataQuestion, Delivery, Job, Message, Problem
from resnet18.execution.lock import RunIsTakenError, run_lock
from resnet18.records import disk
from resnet18.records.store import Store
from resnet18.spec.data import data_home, path_from_text, path_to_text
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError, SuiteError
from resnet18.spec.identity import code_hash, run_id

ROOM_BYTES = 1 << 20
"""A node without so much room for records, logs and checkpoints is given no run. A record takes far less."""
ENDINGS = (signal.SIGTERM, signal.SIGUSR2)
"""What Slurm sends before it ends a job, and what submitit lets it send before that."""
TAKEN_LIMIT_S = 60.0
"""How long a process that carries out the same run here, and is about to be ended, is waited for."""


def carry_out_apart(text: str) -> str:
    """Carry out a job on a node that shares no folder with the runner, and return a `Delivery`.

    The node keeps a results folder of its own for the run, so that a run that was lost with its process goes on from
    its checkpoint when it comes back, and a record that was written but not delivered is delivered then.
    """
    job = Job.model_validate_json(text)
    run = run_id(job.spec.experiment, job.spec.execution)
    scratch = data_home() / "scratch"
    store = Store(scratch / run)
    job = job.model_copy(update={"results": path_to_text(store.results)})
    notes: list[str] = []
    try:
        with _alone(scratch, run):  # not in the run's own folder, which is removed before the lock is let go
            check_fit(job, store)
            if not _is_undelivered(job, run, store):
                _carry_out(job, notes)
            return packed(job, run, store, notes).model_dump_json()
    except SuiteError as error:
        return Delivery(problem=Problem.of(error)).model_dump_json()
    except OSError as error:
        where, what = f"node {socket.gethostname()}", f"{store.results} cannot be written: {error.strerror}"
        return Delivery(problem=Problem.of(EnvironmentMissingError(where, what))).model_dump_json()


def carry_out_here(text: str) -> None:
    """Carry out a job in the results directory that the nodes share; what becomes of it is read there.

    Whoever starts again a job that was lost with its node, as Slurm does, finds a checkpoint, or the record.
    """
    for number in ENDINGS:
        signal.signal(number, _end)
    job = Job.model_validate_json(text)
    run = run_id(job.spec.experiment, job.spec.execution)
    store = Store(path_from_text(job.results))
    problem = store.results / "slurm" / f"{run}.problem"
    hashes = (None, None) if job.keep_stale else (job.identity.code_hash, job.identity.data_sha256)
    try:
        check_fit(job, store)
    except SuiteError as error:
        disk.replace(problem, Problem.of(error).model_dump_json().encode())
        return
    problem.unlink(missing_ok=True)
    with _alone(store.results, run):
        if store.done(run, *hashes) is None:
            attend(job.model_copy(update={"attempt": store.attempts(run) + 1}), lambda _: None)


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature that signal asks for
    """End as a wish to stop: the run saves a checkpoint, and is recorded as interrupted."""
    sys.exit(128 + number)


def check_fit(job: Job, store: Store) -> None:
    """Prove that a run can be carried out here: room on the disk, the same code, the same data.

    Raises:
        SuiteError: it cannot, for a reason that has nothing to do with the run.
    """
    node = f"node {socket.gethostname()}"
    store.make_writable(ROOM_BYTES)
    if code_hash(job.spec.experiment, job.spec.execution) != job.identity.code_hash:
        raise EnvironmentMissingError(
            node, "has another version of resnet18", next_step="install the version that the runner has"
        )
    if _data_sha256(job.place.model_dump_json(), job.identity.data_sha256 or "") != job.identity.data_sha256:
        raise IntegrityError(
            f"{node}: data set {job.place.label}", "has other pixels or labels here", next_step="copy it again"
        )


@cache
def _data_sha256(place: str, expected: str) -> str:  # noqa: ARG001 - another one expected is another question
    """Return the hash of the data set that this node has. Asked once in a process: it reads all of the images."""
    question = DataQuestion.model_validate_json(f'{{"place": {place}, "train_sizes": [], "test_sizes": []}}')
    try:
        return process.ask(question).sha256
    except RuntimeError as error:  # killed for want of memory, say: the next node may have more
        raise EnvironmentMissingError(f"node {socket.gethostname()}", str(error)) from None


@contextmanager
def _alone(scratch: Path, run: str) -> Iterator[None]:
    """Hold the run's lock; a task that was given up, but has not ended yet, may hold it still.

    Raises:
        EnvironmentMissingError: it still does after a minute.
    """
    give_up_s = time.monotonic() + TAKEN_LIMIT_S
    while True:
        try:
            with run_lock(scratch, run):
                yield
                return
        except RunIsTakenError as error:
            if time.monotonic() > give_up_s:
                raise EnvironmentMissingError(
                    f"node {socket.gethostname()}", f"carries the run out already: {error}"
                ) from None
            time.sleep(0.2)


def _is_undelivered(job: Job, run: str, store: Store) -> bool:
    """Say whether the record of this attempt is here, and remove those that are of no use any more.

    One that was interrupted is of none: whoever wished that is gone, and the run is asked for again.
    """
    for path in store.folder.glob(f"{run}.*.json"):
        with suppress(IntegrityError):
            record = store.load(run, int(path.name.split(".")[1]))
            is_asked_for = (record.attempt, record.fingerprint.identity) == (job.attempt, job.identity)
            if is_asked_for and record.status != "interrupted":
                return True
        path.unlink()
    return False


def _carry_out(job: Job, notes: list[str]) -> None:
    def tell(message: Message) -> None:
        if message.note is not None:
            notes.append(message.note)

    with suppress(KeyboardInterrupt):  # cancelled: the record, which says so, is delivered
        attend(job.model_copy(update={"gpus": os.environ.get("CUDA_VISIBLE_DEVICES")}), tell)
