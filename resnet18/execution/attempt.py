"""One attempt at a run as its parent sees it: the run's lock, a child process, and the record that it leaves.

The locks are the kernel's (flock), which lets go of them when the holder ends, however it ends; where a file system has
no flock, filelock falls back to a file that must not exist. What stands in the file beside a lock is for people only.
"""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import wait
from pathlib import Path
from time import monotonic, perf_counter_ns
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from resnet18.execution import child
from resnet18.execution.engine import Finished, Job, Message
from resnet18.execution.failure import oom_kills, record_death
from resnet18.records import disk
from resnet18.records.content import utc_now
from resnet18.records.record import Status
from resnet18.spec.errors import plain

if TYPE_CHECKING:
    from resnet18.execution.progress import Progress

STOPPED: tuple[Status, str] = ("interrupted", "stopped by the user")


class RunIsTakenError(Exception):
    """Another runner carries the run out; the text says which."""


@contextmanager
def run_lock(results: Path, run_id: str, wait_s: float = 0.0) -> Iterator[str]:
    """Hold the lock of a run, and yield who left it behind: "" where its last holder let go of it.

    Raises:
        RunIsTakenError: another process holds it, and did not let go of it in time.
        OSError: the results directory cannot be written.
    """
    disk.make_folder(results / "locks")
    path = results / "locks" / f"{run_id}.lock"
    holder = path.with_suffix(".holder")
    lock = FileLock(path)
    try:
        lock.acquire(timeout=wait_s)
    except Timeout:
        raise RunIsTakenError(_said_in(holder) or "another runner") from None
    try:
        left_by = _said_in(holder)
        disk.replace(holder, f"process {os.getpid()} of {socket.gethostname()} since {utc_now()}".encode())
        yield left_by
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _said_in(holder: Path) -> str:
    try:
        return plain(holder.read_text(encoding="utf-8", errors="replace")[:200])
    except OSError:
        return ""


def claim(job: Job, progress: "Progress", held: ExitStack) -> Job | Finished:
    """Hold a run's lock and return its next attempt; or return how the run stands that another runner has."""
    run = job.run
    try:
        left_by = held.enter_context(run_lock(job.results, run.run_id))
    except RunIsTakenError as error:
        progress.end(run, None, f"left to {error}")
        return Finished(run, None)
    if (status := job.recorded()) is not None:
        progress.end(run, status, "another runner has recorded it")
        return Finished(run, status, was_recorded=True)
    if left_by:
        progress.note(run, f"taken over from {left_by}, which is gone")
    return job.next()


class Attempt:
    """An attempt that goes on in a child process; `held` is let go of when that is gone."""

    def __init__(self, job: Job, tell: Callable[[Message], None], held: ExitStack | None = None) -> None:
        self.job, self._tell, self._held = job, tell, held or ExitStack()
        self.status: Status | None = None
        """How it ended, once the child is gone."""
        self._saved: Status | None = None
        self._is_asked_to_stop = False
        self._start, self._start_ns, self._kills = utc_now(), perf_counter_ns(), oom_kills()
        self._process, self.connection = child.start(job, job.store.log_path(job.run.run_id, job.attempt))
        limit_s = job.policy.time_limit_s
        self.end_s = None if limit_s is None else monotonic() + limit_s + child.GRACE_S

    def read(self) -> None:
        """Take the next message, or the child's end."""
        try:
            message = Message.model_validate_json(self.connection.recv_bytes())
        except (EOFError, OSError):  # OSError: it was killed in the middle of a message
            self._process.join()
            ended = ending(self._process.exitcode or 0, self._kills, oom_kills())
            self.end(*(STOPPED if self._is_asked_to_stop else ended))
            return
        if message.done is not None:
            self._saved = message.done
        else:
            self._tell(message)

    def ask_to_stop(self) -> None:
        """Ask the child to finish its step, save a checkpoint and leave its record."""
        self._is_asked_to_stop = True
        self._process.terminate()

    def hear_out(self, end_s: float) -> None:
        """Take what the child says until it is gone, or until that time of the monotonic clock."""
        while self.status is None and self.connection.poll(max(0.0, end_s - monotonic())):
            self.read()

    def end(self, status: Status, cause: str) -> None:
        """End the child at once; where it left no record, write one that says this."""
        child.kill(self._process)
        if self.status is None:
            wall_s = (perf_counter_ns() - self._start_ns) / 1e9
            self.status = self._saved or record_death(self.job, status, cause, start=self._start, wall_s=wall_s)

    def close(self) -> None:
        """Leave no process behind, and let go of what was held."""
        with self._held, self.connection:
            child.kill(self._process)


def ending(exit_code: int, kills_before: int | None, kills_after: int | None) -> tuple[Status, str]:
    """Return the status of a child that left no record, and how it ended, in words."""
    if exit_code >= 0:
        return "crashed", f"the process ended with exit code {exit_code}"
    if exit_code == -signal.SIGKILL and None not in {kills_before, kills_after} and kills_before != kills_after:
        return "oom_host", "the kernel killed the process: memory had run out"
    return "crashed", f"the process was killed by {signal.Signals(-exit_code).name}"


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
                attempt.end(*STOPPED)
        raise
    finally:
        for attempt in going:
            attempt.close()


def wait_for(going: list[Attempt], at_most_s: float | None = None) -> list[Attempt]:
    """Wait until some of the attempts say something; take out and return those that have ended."""
    ends_s = [attempt.end_s - monotonic() for attempt in going if attempt.end_s is not None]
    timeout_s = min([*ends_s, *([] if at_most_s is None else [at_most_s])], default=None)
    ready = wait([attempt.connection for attempt in going], None if timeout_s is None else max(0.0, timeout_s))
    for attempt in going:
        if attempt.connection in ready:
            attempt.read()
        elif attempt.end_s is not None and monotonic() > attempt.end_s:
            attempt.end("timeout", "the time limit was over, and the process did not end by itself")
    ended = [attempt for attempt in going if attempt.status is not None]
    for attempt in ended:
        going.remove(attempt)
        attempt.close()
    return ended


def carry_out(job: Job, tell: Callable[[Message], None]) -> None:
    """Carry out one attempt in a child process, which leaves its record in the job's results."""
    with attempts() as going:
        going.append(Attempt(job, tell))
        while going:
            wait_for(going)
