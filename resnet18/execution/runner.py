"""The runner: takes a plan and carries it out, one child process and one record for each run."""

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns

from filelock import FileLock, Timeout

from resnet18.execution import git, local
from resnet18.execution.failure import failure_facts
from resnet18.execution.job import DataQuestion, Job, Message, Place, RunDone
from resnet18.execution.kernel import oom_kills
from resnet18.execution.progress import Progress
from resnet18.records.build import build_record, utc_now
from resnet18.records.record import Identity, Record, RecordSpec, Segment, Status
from resnet18.records.store import Store, is_done, last_attempts
from resnet18.spec.data import DataSource
from resnet18.spec.errors import LockedError
from resnet18.spec.identity import code_hash
from resnet18.spec.plan import Plan, Run, check_last_batch
from resnet18.spec.resolve import Request


@dataclass(frozen=True)
class Finished:
    """How a run of the plan stands when the runner ends."""

    run: Run
    status: Status
    was_recorded: bool
    """A record settled it before the runner started."""

    @property
    def is_failure(self) -> bool:
        """Whether the exit code must say so. Running out of memory where the report did is a finding."""
        return self.status != "ok" and not (self.status == "oom_device" and self.run.may_run_out_of_memory)


def run_plan(
    plan: Plan, request: Request, source: DataSource, store: Store, progress: Progress, *, keep_stale: bool = False
) -> tuple[Finished, ...]:
    """Carry out every run of the plan that no record settles, and return how all of them stand.

    Raises:
        EnvironmentMissingError: the results directory cannot be written, or the data set is missing.
        IntegrityError: the data set is damaged.
        SpecError: the data set is too small for the plan.
        LockedError: another runner uses the results directory.
    """
    store.make_writable()
    with _lock(store.results):
        place = Place.of(source)
        answer = local.ask(_question(plan, place))
        _check_last_batches(plan, answer.train_images)
        identity = Identity(code_hash=code_hash(), commit=git.commit(), dirty=git.is_dirty(), data_sha256=answer.sha256)
        settled = settled_runs(plan, store, None if keep_stale else identity)
        finished = [
            Finished(run, settled[run.run_id].status, was_recorded=True) for run in plan.runs if run.run_id in settled
        ]
        pending = [run for run in plan.runs if run.run_id not in settled]
        session = Session(request, place, identity, store, progress)
        with progress.of(pending):
            finished += [Finished(run, run_once(run, session), was_recorded=False) for run in pending]
    return tuple(finished)


def exit_code_of(finished: tuple[Finished, ...]) -> int:
    """Return 0, or 3 where a run did not end ok or there was nothing to run."""
    return 3 if not finished or any(one.is_failure for one in finished) else 0


def summary(finished: tuple[Finished, ...], plan: Plan) -> str:
    """Return what happened, in a few lines."""
    counts = Counter(one.status for one in finished)
    before = sum(one.was_recorded for one in finished)
    lines = [
        f"{len(finished)} runs ({before} recorded before): "
        + (", ".join(f"{count} {status}" for status, count in counts.items()) or "nothing was measured")
    ]
    lines += [f"not run: {one.label}: {one.reason}" for one in plan.not_planned]
    return "\n".join(lines)


def settled_runs(plan: Plan, store: Store, identity: Identity | None) -> dict[str, Record]:
    """Return the record of each run of the plan that needs no further attempt; without identity, stale ones count."""
    known = last_attempts(store.read().records)
    code, data = (None, None) if identity is None else (identity.code_hash, identity.data_sha256)
    return {
        run.run_id: known[run.run_id]
        for run in plan.runs
        if run.run_id in known and is_done(known[run.run_id], code, data)
    }


@dataclass(frozen=True)
class Session:
    """What all runs of one command share."""

    request: Request
    place: Place
    identity: Identity
    store: Store
    progress: Progress


def run_once(run: Run, session: Session) -> Status:
    """Carry out one attempt and return how it ended. If the child dies without a record, one is written for it."""
    store, progress = session.store, session.progress
    job = Job(
        attempt=store.attempts(run.run_id) + 1,
        scale=session.request.scale,
        spec=RecordSpec(
            experiment=run.experiment,
            execution=run.execution,
            overrides=session.request.overrides,
            assumptions=run.assumptions,
        ),
        identity=session.identity,
        place=session.place,
        results=str(store.results.resolve()),
    )
    log = store.log_path(run.run_id, job.attempt)
    start, start_ns, kills = utc_now(), perf_counter_ns(), oom_kills()
    done: list[RunDone] = []

    def listen(message: Message) -> None:
        if message.epoch is not None:
            progress.epoch(message.epoch)
        if message.done is not None:
            done.append(message.done)

    def record_death(status: Status, cause: str) -> Status:
        segment = Segment(start=start, end=utc_now())
        wall_s = (perf_counter_ns() - start_ns) / 1e9
        try:
            store.save(_record_of_the_dead(job, status, cause, segment, wall_s))
        except FileExistsError:  # the child had saved its own, and died before it could say so
            return store.load(run.run_id, job.attempt).status
        return status

    progress.start(run)
    try:
        exit_code = local.run(job, log, listen)
    except (KeyboardInterrupt, SystemExit):
        record_death("interrupted", "stopped by the user")
        raise
    status = done[0].status if done else record_death(*_ending(exit_code, kills, oom_kills()))
    progress.end(status, log)
    return status


def _record_of_the_dead(job: Job, status: Status, cause: str, segment: Segment, wall_s: float) -> Record:
    """Return the record of a child that could not write its own."""
    failure, reasons = failure_facts(status, "unknown", cause)
    return build_record(
        spec=job.spec,
        scale=job.scale,
        attempt=job.attempt,
        status=status,
        identity=job.identity,
        segments=(segment,),
        facts={"time": {"wall_s": wall_s}, "failure": failure},
        reasons=reasons,
    )


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


def _question(plan: Plan, place: Place) -> DataQuestion:
    experiments = [run.experiment for run in plan.runs]
    return DataQuestion(
        place=place,
        train_sizes=tuple(dict.fromkeys(one.train_images for one in experiments)),
        test_sizes=tuple(
            dict.fromkeys(size for one in experiments for size in (one.test_images_epoch, one.test_images_last))
        ),
    )


def _check_last_batches(plan: Plan, train_images: int) -> None:
    """Refuse what the plan could not know: how many images "all" are."""
    for run in plan.runs:
        if run.experiment.train_images == "all":
            check_last_batch(run.labels[0], run.experiment, train_images)


@contextmanager
def _lock(results: Path) -> Iterator[None]:
    """Keep a second runner out of the results directory."""
    lock = FileLock(results / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise LockedError(
            str(results),
            "another run is using this results directory",
            next_step="wait for it, or choose --results DIR",
        ) from None
    try:
        yield
    finally:
        lock.release()
