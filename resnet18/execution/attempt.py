"""One attempt at a run as its parent sees it: a child process that leaves a record, or has one written for it."""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import wait
from time import monotonic, perf_counter_ns
from typing import TYPE_CHECKING

from resnet18.execution import child
from resnet18.execution.child import Child
from resnet18.execution.engine import Finished
from resnet18.execution.failure import failure_facts, oom_kills
from resnet18.execution.lock import RunIsTakenError, run_lock
from resnet18.execution.messages import Job, Message
from resnet18.records.content import build_record, utc_now
from resnet18.records.record import Segment, Status
from resnet18.records.store import Store

if TYPE_CHECKING:
    from resnet18.execution.progress import Progress

Tell = Callable[[Message], None]
STOPPED: tuple[Status, str] = ("interrupted", "stopped by the user")


class Attempt:
    """An attempt that goes on in a child process; `held` is let go of when that is gone."""

    def __init__(self, job: Job, tell: Tell, held: ExitStack | None = None) -> None:
        self.job, self._held = job, held or ExitStack()
        self.status: Status | None = None
        """How it ended, once the child is gone."""
        self._saved: Status | None = None
        self._is_asked_to_stop = False
        self._tell = tell
        self._start, self._start_ns, self._kills = utc_now(), perf_counter_ns(), oom_kills()
        self._child = Child(job, Store(job.results).log_path(job.run.run_id, job.attempt))
        self.connection = self._child.connection
        limit_s = job.policy.time_limit_s
        self.end_s = None if limit_s is None else monotonic() + limit_s + child.GRACE_S

    def read(self) -> None:
        """Take the next message, or the child's end: without a record of its own, one is written for it."""
        message = self._child.read()
        if message is None:
            ending = _ending(self._child.wait(), self._kills, oom_kills())
            self._end(*(STOPPED if self._is_asked_to_stop else ending))
        elif message.done is not None:
            self._saved = message.done
        else:
            self._tell(message)

    def end_late(self) -> None:
        """End a child that has not ended by itself a few seconds after its time limit."""
        self._child.kill()
        self._end("timeout", "the time limit was over, and the process did not end by itself")

    def ask_to_stop(self) -> None:
        """Ask the child to finish its step, save a checkpoint and leave its record."""
        self._is_asked_to_stop = True
        self._child.ask_to_stop()

    def hear_out(self, end_s: float) -> None:
        """Take what the child says until it is gone, or until that time of the monotonic clock."""
        while self.status is None and self.connection.poll(max(0.0, end_s - monotonic())):
            self.read()

    def stop(self) -> None:
        """End the child at once, and record as interrupted what left no record."""
        self._child.kill()
        if self.status is None:
            self._end(*STOPPED)

    def close(self) -> None:
        """Leave no process behind, and let go of what was held."""
        with self._held:
            self._child.kill()

    def _end(self, status: Status, cause: str) -> None:
        wall_s = (perf_counter_ns() - self._start_ns) / 1e9
        store = Store(self.job.results)
        self.status = self._saved or record_death(self.job, store, status, cause, start=self._start, wall_s=wall_s)


@contextmanager
def attempts() -> Iterator[list[Attempt]]:
    """Yield the list of attempts that go on. However it is left, no child is.

    An interrupt (KeyboardInterrupt, SystemExit) asks the children to finish their steps and leave their records, for
    which they have a few seconds; a second one ends them at once.
    """
    going: list[Attempt] = []
    try:
        yield going
    except (KeyboardInterrupt, SystemExit):
        try:
            for attempt in going:
                attempt.ask_to_stop()
            end_s = monotonic() + child.GRACE_S
            for attempt in going:
                attempt.hear_out(end_s)
        finally:
            for attempt in going:
                attempt.stop()
        raise
    finally:
        for attempt in going:
            attempt.close()


def wait_for(going: list[Attempt], at_most_s: float | None = None) -> list[Attempt]:
    """Wait until some of the attempts say something; take out and return those that have ended."""
    ends_s = [attempt.end_s - monotonic() for attempt in going if attempt.end_s is not None]
    timeout_s = min((one for one in (at_most_s, *ends_s) if one is not None), default=None)
    ready = wait([attempt.connection for attempt in going], None if timeout_s is None else max(0.0, timeout_s))
    for attempt in going:
        if attempt.connection in ready:
            attempt.read()
        elif attempt.end_s is not None and monotonic() > attempt.end_s:
            attempt.end_late()
    ended = [attempt for attempt in going if attempt.status is not None]
    for attempt in ended:
        going.remove(attempt)
        attempt.close()
    return ended


def carry_out(job: Job, tell: Tell) -> Status:
    """Carry out one attempt in a child process, and return how it ended."""
    with attempts() as going:
        going.append(Attempt(job, tell))
        while not (ended := wait_for(going)):
            pass
    return ended[0].status or "crashed"


def claim(job: Job, store: Store, progress: "Progress", held: ExitStack) -> Job | Finished:
    """Hold a run's lock and return its next attempt; or return how the run stands that another runner has."""
    run = job.run
    try:
        left_by = held.enter_context(run_lock(store.results, run.run_id))
    except RunIsTakenError as error:
        progress.end(run, None, f"left to {error}")
        return Finished(run, None)
    if (status := job.recorded(store)) is not None:
        progress.end(run, status, "another runner has recorded it")
        return Finished(run, status, was_recorded=True)
    if left_by:
        progress.note(run, f"taken over from {left_by}, which is gone")
    return job.next(store)


def record_death(
    job: Job, store: Store, status: Status, cause: str, *, start: str | None = None, wall_s: float = 0.0
) -> Status:
    """Write the record of a child that could not write its own, and return its status.

    Where the child had saved its record and died before it could say so, that record counts.
    """
    failure, reasons = failure_facts(status, "unknown", cause)
    record = build_record(
        spec=job.spec,
        scale=job.request.scale,
        attempt=job.attempt,
        status=status,
        identity=job.identity,
        segments=(Segment(start=start or utc_now(), end=utc_now()),),
        facts={"time": {"wall_s": wall_s}, "failure": failure},
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
    if exit_code >= 0:
        return "crashed", f"the process ended with exit code {exit_code}"
    return "crashed", f"the process was killed by {signal.Signals(-exit_code).name}"
