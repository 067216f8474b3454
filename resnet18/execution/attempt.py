"""One attempt at a run as its parent sees it: a child process that ends with a record, or has one written for it."""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter_ns

from resnet18.execution import process
from resnet18.execution.failure import failure_facts
from resnet18.execution.job import Job, Message, Place, RunDone
from resnet18.execution.oom_kill import oom_kills
from resnet18.execution.origin import Origin
from resnet18.execution.policy import DEFAULT, Policy
from resnet18.execution.progress import Progress
from resnet18.records.content import build_record, utc_now
from resnet18.records.record import RecordSpec, Segment, Status
from resnet18.records.store import Store
from resnet18.spec.data import path_from_text, path_to_text
from resnet18.spec.identity import run_id
from resnet18.spec.plan import Run
from resnet18.spec.resolve import Request


@dataclass(frozen=True)
class Session:
    """What all runs of one command share."""

    request: Request
    place: Place
    origin: Origin
    store: Store
    progress: Progress
    policy: Policy = DEFAULT

    def recorded(self, run: Run) -> Status | None:
        """Return the status of the record by which a run is done by now, None where there is none."""
        record = self.store.done(run.run_id, *self.origin.hashes(run, keep_stale=self.policy.keep_stale))
        if record is None or record.attempt <= self.policy.again.get(run.run_id, 0):
            return None
        return record.status


@dataclass(frozen=True)
class Begin:
    """When an attempt began, and what the kernel had counted by then."""

    start: str
    start_ns: int
    kills: int | None


def run_once(run: Run, session: Session, gpu: str | None = None) -> Status:
    """Carry out one attempt here, on this GPU, telling the progress of it, and return how it ended."""
    job = job_of(run, session).model_copy(update={"gpus": gpu})
    status = attend(job, lambda message: _pass_on(message, session.progress))
    session.progress.end(status, session.store.log_path(run.run_id, job.attempt))
    return status


def attend(job: Job, tell: Callable[[Message], None]) -> Status:
    """Carry out one attempt in a child process and return how it ended; if that dies without a record, write one.

    Raises:
        OSError: no record can be written.
    """
    store = Store(path_from_text(job.results))
    log = store.log_path(run_id(job.spec.experiment, job.spec.execution), job.attempt)
    begin, done = Begin(utc_now(), perf_counter_ns(), oom_kills()), list[RunDone]()

    def listen(message: Message) -> None:
        if message.done is not None:
            done.append(message.done)
        tell(message)

    try:
        exit_code = process.run(job, log, listen)
        ending = _ending(exit_code, begin.kills, oom_kills())
    except TimeoutError:
        ending = ("timeout", "the time limit was over, and the process did not end by itself")
    except (KeyboardInterrupt, SystemExit):
        if not done:
            record_death(job, store, "interrupted", "stopped by the user", begin)
        raise
    return done[0].status if done else record_death(job, store, *ending, begin)


def job_of(run: Run, session: Session) -> Job:
    """Return the next attempt at a run."""
    return Job(
        attempt=session.store.attempts(run.run_id) + 1,
        scale=session.request.scale,
        spec=RecordSpec(
            experiment=run.experiment,
            execution=run.execution,
            overrides=session.request.overrides,
            assumptions=run.assumptions,
        ),
        identity=session.origin.identity(run),
        place=session.place,
        results=path_to_text(session.store.results.resolve()),
        checkpoint_every_s=session.policy.checkpoint_every_s,
        time_limit_s=session.policy.time_limit_s,
        is_exclusive=session.policy.is_exclusive,
        keep_stale=session.policy.keep_stale,
    )


def _pass_on(message: Message, progress: Progress) -> None:
    if message.epoch is not None:
        progress.epoch(message.epoch)
    if message.note is not None:
        progress.note(message.note)


def record_death(job: Job, store: Store, status: Status, cause: str, begin: Begin | None = None) -> Status:
    """Write the record of a child that could not write its own, and return its status.

    Where the child had saved its record and died before it could say so, that one counts. Without a begin nobody saw
    the attempt: it is recorded with the present as its only time.
    """
    begin = begin or Begin(utc_now(), perf_counter_ns(), None)
    failure, reasons = failure_facts(status, "unknown", cause)
    record = build_record(
        spec=job.spec,
        scale=job.scale,
        attempt=job.attempt,
        status=status,
        identity=job.identity,
        segments=(Segment(start=begin.start, end=utc_now()),),
        facts={"time": {"wall_s": (perf_counter_ns() - begin.start_ns) / 1e9}, "failure": failure},
        reasons=reasons,
    )
    try:
        store.save(record)
    except FileExistsError:
        return store.load(record.run_id, job.attempt).status
    return status


def _ending(exit_code: int, kills_before: int | None, kills_after: int | None) -> tuple[Status, str]:
    """Return the status of a child that left no record, and how it ended, in words."""
    is_counted = kills_before is not None and kills_after is not None and kills_after > kills_before
    if exit_code == -signal.SIGKILL and is_counted:
        return "oom_host", "the kernel killed the process: memory had run out"
    return "crashed", _cause(exit_code)


def _cause(exit_code: int) -> str:
    """Return how a child ended, in words."""
    if exit_code >= 0:
        return f"the process ended with exit code {exit_code}"
    return f"the process was killed by {signal.Signals(-exit_code).name}"
