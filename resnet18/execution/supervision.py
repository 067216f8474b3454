"""One attempt at a run as its parent sees it: a child process that ends with a record, or has one written for it."""

import signal
from dataclasses import dataclass
from time import perf_counter_ns

from resnet18.execution import local
from resnet18.execution.failure import failure_facts
from resnet18.execution.job import CHECKPOINT_EVERY_S, Job, Message, Place, RunDone
from resnet18.execution.kernel import oom_kills
from resnet18.execution.progress import Progress
from resnet18.records.build import build_record, utc_now
from resnet18.records.record import Identity, RecordSpec, Segment, Status
from resnet18.records.store import Store
from resnet18.spec.data import path_to_text
from resnet18.spec.plan import Run
from resnet18.spec.resolve import Request


@dataclass(frozen=True)
class Policy:
    """What counts as done already, how an attempt is saved and given up, and whether it has the machine for itself."""

    keep_stale: bool = False
    checkpoint_every_s: float = CHECKPOINT_EVERY_S
    time_limit_s: float | None = None
    is_exclusive: bool = True


DEFAULT = Policy()


@dataclass(frozen=True)
class Session:
    """What all runs of one command share."""

    request: Request
    place: Place
    identity: Identity
    store: Store
    progress: Progress
    policy: Policy = DEFAULT


@dataclass(frozen=True)
class Begin:
    """When an attempt began, and what the kernel had counted by then."""

    start: str
    start_ns: int
    kills: int | None


def run_once(run: Run, session: Session) -> Status:
    """Carry out one attempt and return how it ended. If the child dies without a record, one is written for it."""
    store, progress = session.store, session.progress
    job = _job(run, session)
    log = store.log_path(run.run_id, job.attempt)
    begin, done = Begin(utc_now(), perf_counter_ns(), oom_kills()), list[RunDone]()
    try:
        exit_code = local.run(job, log, lambda message: _pass_on(message, progress, done))
        ending = _ending(exit_code, begin.kills, oom_kills())
    except TimeoutError:
        ending = ("timeout", "the time limit was over, and the process did not end by itself")
    except (KeyboardInterrupt, SystemExit):
        if not done:
            _record_death(job, store, begin, "interrupted", "stopped by the user")
        raise
    status = done[0].status if done else _record_death(job, store, begin, *ending)
    progress.end(status, log)
    return status


def _job(run: Run, session: Session) -> Job:
    return Job(
        attempt=session.store.attempts(run.run_id) + 1,
        scale=session.request.scale,
        spec=RecordSpec(
            experiment=run.experiment,
            execution=run.execution,
            overrides=session.request.overrides,
            assumptions=run.assumptions,
        ),
        identity=session.identity,
        place=session.place,
        results=path_to_text(session.store.results.resolve()),
        checkpoint_every_s=session.policy.checkpoint_every_s,
        time_limit_s=session.policy.time_limit_s,
        is_exclusive=session.policy.is_exclusive,
    )


def _pass_on(message: Message, progress: Progress, done: list[RunDone]) -> None:
    if message.epoch is not None:
        progress.epoch(message.epoch)
    if message.note is not None:
        progress.note(message.note)
    if message.done is not None:
        done.append(message.done)


def _record_death(job: Job, store: Store, begin: Begin, status: Status, cause: str) -> Status:
    """Write the record of a child that could not write its own, and return its status.

    Where the child had saved its record and died before it could say so, that one counts.
    """
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
