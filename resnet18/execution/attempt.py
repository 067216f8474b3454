"""One attempt at a run as its parent sees it: the run's lock, a fresh child process, and the record that it leaves.

The locks are the kernel's, which ends them with their holder (docs/decisions/0008).
"""

import math
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from time import monotonic, perf_counter_ns

import psutil

from resnet18.execution.job import Job, Message, ending, oom_kills, record_death
from resnet18.execution.processes import MORE_MEMORY, end_with_runner, start, stopping_together, wake_server
from resnet18.records import disk
from resnet18.records.content import utc_now
from resnet18.records.record import Status
from resnet18.spec.errors import EnvironmentMissingError, printable

GRACE_S = 5.0  # for a child to finish its step, save a checkpoint and leave its record
LATE_S = 1.0  # by so much no waiting ends too late, unless the runner itself was stopped
LONGEST_MESSAGE = 1 << 24  # bytes; an epoch's is a few thousand
CANNOT_BEGIN = 69  # EX_UNAVAILABLE
STOPPED: tuple[Status, str] = ("interrupted", "stopped with its command")


def run_lock(results: Path, run_id: str, wait_s: float = 0.0) -> AbstractContextManager[str]:
    """Return the lock of a run; see `disk.lock`."""
    disk.make_folder(results / "locks")
    return disk.lock(results / "locks" / f"{run_id}.lock", wait_s)


class ChildProcess:
    """An attempt as the parent sees it: the process in which it goes on; `held` is let go of when that is gone."""

    def __init__(self, job: Job, tell: Callable[[Message], None], held: ExitStack | None = None) -> None:
        self.job, self._tell, self._held = job, tell, held or ExitStack()
        self.status: Status | None = None  # how it ended, once the child is gone
        self._is_asked_to_stop = self._is_gone = False
        self._start, self._start_ns, self._kills = utc_now(), perf_counter_ns(), oom_kills()
        self.connection, sender = multiprocessing.Pipe(duplex=False)
        arguments = (job.model_dump_json(), sender, str(job.log))
        self._process = multiprocessing.get_context("forkserver").Process(target=_enter, args=arguments, daemon=False)
        start(self._process)
        sender.close()  # the child and its loader processes hold the other end
        self.events: tuple[Connection, int] = (self.connection, self._process.sentinel)
        limit_s = job.policy.time_limit_s
        self.end_s = math.inf if limit_s is None else monotonic() + limit_s + GRACE_S

    def hear(self, ready: Collection[object]) -> None:
        """Take the next message, or the child's end: `ready` holds the events that have come."""
        if self.connection not in ready:  # all that it said is read
            self._take_end("")
            return
        try:
            message = Message.model_validate_json(self.connection.recv_bytes(LONGEST_MESSAGE))
        except Exception as error:  # noqa: BLE001 - its end, or what is no message: nothing is read after it
            self._take_end(f": {type(error).__name__}")
        else:
            self._tell(message)

    def _take_end(self, how: str) -> None:
        """Say how the child ended; where it goes on without a word, end it."""
        self._process.join(GRACE_S)
        cause: tuple[Status, str] = ("crashed", f"the process went on, but its messages ended{how}")
        if (exit_code := self._process.exitcode) == CANNOT_BEGIN:
            what, next_step = f"no run can begin: torch cannot be imported; see {self.job.log}", MORE_MEMORY
            raise EnvironmentMissingError("this machine", what, next_step=next_step)
        if exit_code is not None:
            cause = ending(exit_code, self._kills, oom_kills())
        self.end(*(STOPPED if self._is_asked_to_stop else cause))

    def ask_to_stop(self) -> None:
        """Ask the child to finish its step, save a checkpoint and leave its record."""
        self._is_asked_to_stop = True
        self._process.terminate()
        self._signal_group(signal.SIGCONT)  # it may have been stopped by itself

    def end(self, status: Status, cause: str) -> None:
        """End the child at once; where it left no record, write one that says this."""
        self._kill()
        if self.status is None:
            wall_s = (perf_counter_ns() - self._start_ns) / 1e9
            self.status = record_death(self.job, status, cause, start=self._start, wall_s=wall_s)

    def close(self) -> None:
        """Leave no process behind and no log that says nothing, and let go of what was held."""
        with self._held, self.connection:
            self._kill()
            if self.status == "ok" and self.job.log.is_file() and self.job.log.stat().st_size == 0:
                self.job.log.unlink()

    def _kill(self) -> None:
        """End the child where it still lives, and the loader processes that it has started."""
        if not self._is_gone and self._process.pid is not None:
            self._signal_group(signal.SIGKILL)
            self._process.kill()
        wake_server()  # which tells of the end
        self._process.join()
        self._is_gone = True

    def _signal_group(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):  # it has no group yet, or nothing is left of that
            os.killpg(self._process.pid or 0, number)


@contextmanager
def child_processes() -> Iterator[list[ChildProcess]]:
    """Yield the list of child processes that go on. However it is left, none is.

    An interrupt, like any error, asks the children to finish their steps and leave their records, for which they have a
    few seconds; a second one ends them at once.
    """
    going: list[ChildProcess] = []
    try:
        with stopping_together():
            yield going
    except BaseException:
        try:
            for child in going:
                child.ask_to_stop()
            end_s = monotonic() + GRACE_S
            while going and monotonic() < end_s:
                wait_for(going, end_s - monotonic())
        finally:
            for child in going:
                child.end(*STOPPED)
        raise
    finally:
        for child in going:
            child.close()


def wait_for(going: list[ChildProcess], at_most_s: float = math.inf) -> list[ChildProcess]:
    """Wait until some of the children say something; take out and return those that have ended."""
    timeout_s = min([at_most_s, *(child.end_s - monotonic() for child in going)])
    begin_s, timeout_s = monotonic(), max(0.0, timeout_s)
    events = [event for child in going for event in child.events]
    ready = {*wait(events, None if timeout_s == math.inf else timeout_s)}
    was_stopped = monotonic() > begin_s + timeout_s + LATE_S  # and the children with us: they may yet save their work
    for child in going:
        if was_stopped:
            child.end_s = max(child.end_s, monotonic() + GRACE_S)
        if not ready.isdisjoint(child.events):
            child.hear(ready)
        elif monotonic() > child.end_s:
            child.end("timeout", "the time limit was over, and the process did not end by itself")
    ended = [child for child in going if child.status is not None]
    for child in ended:
        going.remove(child)
        child.close()
    return ended


def carry_out(job: Job, tell: Callable[[Message], None], limit_s: float = math.inf) -> None:
    """Carry out one attempt in a child process, which leaves its record; at the limit it is killed and leaves none."""
    end_s = monotonic() + limit_s
    with child_processes() as going:
        going.append(ChildProcess(job, tell))
        while going and (left_s := end_s - monotonic()) > 0:
            wait_for(going, left_s)


def _enter(text: str, sender: Connection, log: str) -> None:
    """Start of the child: everything heavy is imported here, not in the runner."""
    descriptor = disk.open_plain(Path(log), os.O_WRONLY | os.O_CREAT)
    os.ftruncate(descriptor, 0)
    os.dup2(descriptor, 1)  # libraries print there without Python's knowledge
    os.dup2(descriptor, 2)
    os.close(descriptor)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the runner, which decides
    end_with_runner()
    try:
        from resnet18.execution import worker  # noqa: PLC0415 - it imports torch, which the runner does without
    except (ImportError, OSError, MemoryError):
        sys.stderr.write(printable(traceback.format_exc()))  # to the log
        sys.exit(CANNOT_BEGIN)

    def send(message: Message) -> None:
        try:
            sender.send_bytes(message.model_dump_json().encode())
        except OSError:  # the runner is gone, and the next one will start this run again: leave no second record
            raise SystemExit(1) from None

    job = Job.model_validate_json(text)
    if job.gpus is not None:  # torch is imported, but has not looked for GPUs yet
        os.environ["CUDA_VISIBLE_DEVICES"] = job.gpus
    if job.processors:
        psutil.Process().cpu_affinity(list(job.processors))
    stops: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stops.append(number))
    worker.run_job(job, send, stops)
