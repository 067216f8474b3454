"""The Slurm engine: arrays of jobs, waited for by looking at the records, which all nodes write to one place.

Whatever is known of a run is in the results directory: its record, or the array that it was submitted with. So a runner
that was killed, or whose terminal is gone, is started again and waits on; the jobs have never noticed.
"""

import secrets
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from resnet18.execution.attempt import Session, job_of, record_death
from resnet18.execution.engines import slurm_queue
from resnet18.execution.engines.engine import Finished, Needs, Resources, Site, needs
from resnet18.execution.engines.slurm_arrays import Array, left_over
from resnet18.execution.engines.slurm_queue import Queued
from resnet18.execution.job import Problem
from resnet18.execution.lock import RunIsTakenError, run_lock
from resnet18.execution.process import ReportedError
from resnet18.records import disk
from resnet18.records.record import FINAL, Status
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError, LockedError
from resnet18.spec.plan import Run

LOOK_S = 1.0
"""How often the records are looked at."""
ASK_S = 10.0
"""How often Slurm is asked, which has others to serve."""
LAG_S = 60.0
"""How long a record may take to be seen here after its job has ended: NFS keeps what a folder holds for so long."""
LARGEST_ARRAY = 1_000
"""Slurm's own default (MaxArraySize 1001)."""


@dataclass(frozen=True)
class Flight:
    """A run that waits or goes on in Slurm."""

    run: Run
    array: Array
    index: int
    """In the array."""
    first_attempt: int
    """Records of earlier ones are of earlier commands."""
    is_ours: bool = True
    """Submitted by this command, and not by one before it."""


def connect(resources: Resources, at_once: int | None) -> Site:
    """Look at the Slurm that this machine submits to.

    Raises:
        EnvironmentMissingError: there is none, or submitit is not installed.
    """
    try:
        import submitit  # noqa: F401, PLC0415 - only whether it is there
    except ImportError:
        raise slurm_queue.not_installed() from None
    gpus = slurm_queue.most_gpus()

    @contextmanager
    def opened(session: Session) -> Iterator[SlurmEngine]:
        folder = session.store.results / "slurm"
        disk.make_folder(folder)
        try:
            lock = FileLock(folder / "lock").acquire(timeout=0)
        except Timeout:
            raise LockedError(str(session.store.results), "another runner waits for Slurm's jobs here") from None
        with lock, SlurmEngine(session, resources, at_once, has_gpus=gpus > 0) as engine:
            yield engine

    return Site({"cpu": 1, **({"cuda": gpus} if gpus else {})}, opened)


class SlurmEngine:
    """Submits runs in arrays, and waits for their records.

    Args:
        session: what the runs share.
        resources: what a run takes of a node.
        at_once: how many of an array may run at once.
        has_gpus: whether any node has GPUs.
    """

    def __init__(self, session: Session, resources: Resources, at_once: int | None, *, has_gpus: bool) -> None:
        self._session, self._resources, self._at_once, self._has_gpus = session, resources, at_once, has_gpus
        self._folder = session.store.results / "slurm"
        self._new: list[Run] = []
        self._flying: dict[str, Flight] = {}
        self._ended: deque[Finished] = deque()
        self._gone_s: dict[str, float] = {}
        """When a run was first missed in Slurm's queue."""
        self._waits = ""
        self._asked_s = 0.0
        self._left = left_over(self._folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Only Ctrl-C ends the jobs: a lost terminal is no reason to."""
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self.cancel()
        elif kind is not None and self._flying:
            self._session.progress.say("the jobs stay in Slurm; the same command waits for them again")

    def submit(self, run: Run) -> None:
        """Take a run; one that an earlier command has submitted, and that has not ended, is waited for again."""
        array = self._left.get(run.run_id)
        if array is None:
            self._new.append(run)
            return
        first_attempt = self._session.store.attempts(run.run_id) + 1
        index = array.run_ids.index(run.run_id)
        self._flying[run.run_id] = Flight(run, array, index, first_attempt, is_ours=False)

    def wait(self) -> Finished:
        """Return the next run that has left a record, or has ended without one."""
        if self._left and self._flying:
            self._session.progress.say(f"{len(self._flying)} runs are in Slurm already")
        self._left = {}
        while not self._ended:
            self._submit_new()
            self._look()
            if not self._ended:
                time.sleep(LOOK_S)
        return self._ended.popleft()

    def cancel(self) -> None:
        """Ask Slurm to end the jobs; those that run save a checkpoint, and leave a record that says so."""
        for name in sorted({flight.array.name for flight in self._flying.values()}):
            try:
                slurm_queue.end(name)
            except EnvironmentMissingError as error:  # the others are ended all the same
                self._session.progress.say(f"{error.what}; {name} goes on")
        self._flying.clear()

    def _submit_new(self) -> None:
        by_needs: dict[Needs, list[Run]] = {}
        for run in self._new:
            by_needs.setdefault(needs(run, self._resources, has_gpus=self._has_gpus), []).append(run)
        self._new = []
        for wanted, runs in by_needs.items():
            for start in range(0, len(runs), LARGEST_ARRAY):
                self._submit_array(runs[start : start + LARGEST_ARRAY], wanted)

    def _submit_array(self, runs: Sequence[Run], wanted: Needs) -> None:
        """Submit runs as one array. What it holds is written first: a runner that dies then has submitted nothing."""
        session = self._session
        array = Array(name=f"resnet18-{secrets.token_hex(4)}", run_ids=tuple(run.run_id for run in runs))
        folder = (self._folder / array.name).resolve()
        disk.make_folder(folder)
        disk.write_new(folder / "array.json", array.model_dump_json().encode())
        for run in runs:  # what a node found for an earlier command
            self._problem(run.run_id).unlink(missing_ok=True)
        jobs = [job_of(run, session).model_copy(update={"is_exclusive": wanted.whole}) for run in runs]
        texts = [job.model_dump_json() for job in jobs]
        slurm_queue.submit(folder, array.name, texts, wanted, self._at_once or LARGEST_ARRAY)
        for index, (run, job) in enumerate(zip(runs, jobs, strict=True)):
            self._flying[run.run_id] = Flight(run, array, index, job.attempt)
        session.progress.say(f"{len(runs)} runs are submitted as {array.name}")

    def _look(self) -> None:
        """Take in the records that have come, and ask Slurm now and then for runs that will leave none."""
        for run_id, attempt in self._attempts().items():
            flight = self._flying[run_id]
            status = self._status(run_id, attempt) if attempt >= flight.first_attempt else None
            if status in {None, "interrupted"}:  # an interrupted one Slurm may begin again
                continue
            if status in FINAL and not flight.is_ours and self._session.recorded(flight.run) is None:
                self._again(flight)  # its job was in the queue when the code or the data were changed
            else:
                self._finish(flight, status)
        if self._flying and time.monotonic() - self._asked_s > ASK_S:
            self._asked_s = time.monotonic()
            self._ask()

    def _attempts(self) -> dict[str, int]:
        """Return the last attempt that left a record, by run: one look at the folder, however many runs there are."""
        last: dict[str, int] = {}
        for path in self._session.store.folder.iterdir():
            run_id, _, rest = path.name.partition(".")
            number, _, ending = rest.partition(".")
            if run_id in self._flying and ending == "json" and number.isdecimal():
                last[run_id] = max(last.get(run_id, 0), int(number))
        return last

    def _status(self, run_id: str, attempt: int) -> Status | None:
        try:
            return self._session.store.load(run_id, attempt).status
        except IntegrityError:  # another node's file, not all of it seen yet
            return None

    def _ask(self) -> None:
        """Miss the runs that Slurm has forgotten, and say why others wait."""
        try:
            tasks = slurm_queue.queued(sorted({flight.array.name for flight in self._flying.values()}))
        except EnvironmentMissingError as error:
            self._session.progress.say(f"{error.what}; waiting for the records all the same")
            return
        known = {(task.array, task.index) for task in tasks}
        for run_id, flight in list(self._flying.items()):
            if (flight.array.name, flight.index) in known:
                self._gone_s.pop(run_id, None)
            elif time.monotonic() - self._gone_s.setdefault(run_id, time.monotonic()) > LAG_S:
                self._missed(flight)
        self._say_why_they_wait(tasks)

    def _say_why_they_wait(self, tasks: Sequence[Queued]) -> None:
        reasons = {task.reason for task in tasks if task.state == "PD"} - {"None", "Priority"}
        if (text := ", ".join(sorted(reasons))) and text != self._waits:
            count = sum(task.state == "PD" for task in tasks)
            self._session.progress.say(f"{count} runs wait in Slurm: {text}")
        self._waits = text

    def _missed(self, flight: Flight) -> None:
        """Deal with a run whose job is gone: it was stopped, found its node unfit, or died without a word."""
        run_id, session = flight.run.run_id, self._session
        attempt = session.store.attempts(run_id)
        if attempt >= flight.first_attempt:
            status = self._status(run_id, attempt)
            self._finish(flight, status or "crashed", "" if status else ": its record is damaged")
            return
        if not flight.is_ours:  # it was on its way out when this command came
            self._again(flight)
            return
        problem = self._problem(run_id)
        if problem.is_file():
            raise ReportedError(Problem.model_validate_json(problem.read_bytes()))
        folder = self._folder / flight.array.name
        words = slurm_queue.last_words(folder, flight.index, is_only_one=len(flight.array.run_ids) == 1)
        cause = f"the job ended without a record{f': {words}' if words else ''}"
        try:
            with run_lock(session.store.results, run_id):
                job = job_of(flight.run, session)
                self._finish(flight, record_death(job, session.store, "crashed", cause), f": {cause}")
        except RunIsTakenError as error:
            self._finish(flight, None, f", left to {error}")

    def _again(self, flight: Flight) -> None:
        """Submit a run of an earlier command anew."""
        run = self._flying.pop(flight.run.run_id).run
        self._gone_s.pop(run.run_id, None)
        self._new.append(run)

    def _problem(self, run_id: str) -> Path:
        """Return where a node says why it cannot carry a run out."""
        return self._folder / f"{run_id}.problem"

    def _finish(self, flight: Flight, status: Status | None, text: str = "") -> None:
        self._flying.pop(flight.run.run_id)
        self._session.progress.came_back(flight.run, status, text)
        self._ended.append(Finished(flight.run, status, was_recorded=False))
