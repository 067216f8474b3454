"""One attempt at a run as its parent sees it: the run's lock, a fresh child process, and the record that it leaves.

Children are forked from a server process that has imported torch but started neither threads nor CUDA: a child starts
in hundredths of a second. The locks are the kernel's, which ends them with their holder (docs/decisions/0008).
"""

import ctypes
import math
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from pathlib import Path
from time import monotonic, perf_counter_ns
from types import ModuleType

import psutil
from filelock import FileLock, Timeout

from resnet18.execution.failure import ending, oom_kills, record_death
from resnet18.execution.job import Job, Message
from resnet18.records import disk
from resnet18.records.content import utc_now
from resnet18.records.record import Status
from resnet18.spec.errors import plain
from resnet18.spec.plan import Run

GRACE_S = 5.0  # for a child to finish its step, save a checkpoint and leave its record
PRELOADED = ["resnet18.execution.worker"]
OF_REFERENCE = ["torch._dynamo", "torchvision.transforms.functional"]
"""What only the reference path imports: torch's own optimizers need the first, operations on PIL images the second."""
SPINS = 10_000  # half a millisecond: as fast as GNU OpenMP's own 300,000 on a quiet machine (docs/decisions/0014)
STOPPED: tuple[Status, str] = ("interrupted", "stopped by the user")


class RunIsTakenError(Exception):
    """Another runner carries the run out; the text says which."""


@contextmanager
def run_lock(results: Path, run_id: str, wait_s: float = 0.0) -> Iterator[str]:
    """Hold the lock of a run, or raise RunIsTakenError; yield who left it behind, "" where nobody did."""
    disk.make_folder(results / "locks")
    lock, holder = FileLock(results / "locks" / f"{run_id}.lock"), results / "locks" / f"{run_id}.holder"
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


class ChildProcess:
    """An attempt as the parent sees it: the process in which it goes on; `held` is let go of when that is gone."""

    def __init__(self, job: Job, tell: Callable[[Message], None], held: ExitStack | None = None) -> None:
        self.job, self._tell, self._held = job, tell, held or ExitStack()
        self.status: Status | None = None  # how it ended, once the child is gone
        self._is_asked_to_stop = False
        self._start, self._start_ns, self._kills = utc_now(), perf_counter_ns(), oom_kills()
        context = fork_server()
        self.connection, sender = context.Pipe(duplex=False)
        self._process = context.Process(target=_enter, args=(job.model_dump_json(), sender, str(job.log)), daemon=False)
        main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
        try:  # the child would import the caller's program, Ray's worker for example, and needs nothing of it
            self._process.start()
        finally:
            sys.modules["__main__"] = main
        sender.close()  # the child holds the only open end: when it ends, however it ends, reading ends
        limit_s = job.policy.time_limit_s
        self.end_s = math.inf if limit_s is None else monotonic() + limit_s + GRACE_S

    def read(self) -> None:
        """Take the next message, or the child's end."""
        try:
            message = Message.model_validate_json(self.connection.recv_bytes())
        except (EOFError, OSError):  # OSError: it was killed in the middle of a message
            self._process.join()
            ended = ending(self._process.exitcode or 0, self._kills, oom_kills())
            self.end(*(STOPPED if self._is_asked_to_stop else ended))
            return
        self._tell(message)

    def ask_to_stop(self) -> None:
        """Ask the child to finish its step, save a checkpoint and leave its record."""
        self._is_asked_to_stop = True
        self._process.terminate()

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
        if self._process.is_alive() and self._process.pid is not None:
            with suppress(ProcessLookupError):  # it has not made itself the first of a group yet
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.kill()
        self._process.join()


@contextmanager
def child_processes() -> Iterator[list[ChildProcess]]:
    """Yield the list of child processes that go on. However it is left, none is.

    An interrupt (KeyboardInterrupt, SystemExit) asks the children to finish their steps and leave their records, for
    which they have a few seconds; a second one ends them at once.
    """
    going: list[ChildProcess] = []
    try:
        yield going
    except (KeyboardInterrupt, SystemExit):
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
    ready = wait([child.connection for child in going], None if timeout_s == math.inf else max(0.0, timeout_s))
    for child in going:
        if child.connection in ready:
            child.read()
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


def spin_briefly() -> None:
    """Let waiting threads of GNU OpenMP, which torch loads, sleep soon, unless the user has chosen how they wait."""
    if not os.environ.keys() & {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}:
        os.environ["GOMP_SPINCOUNT"] = str(SPINS)


def fork_server(runs: Collection[Run] = ()) -> ForkServerContext:
    """Start the process that children are forked from, which imports what these runs need, unless it is there."""
    spin_briefly()  # before the server loads torch
    context = multiprocessing.get_context("forkserver")
    is_reference = any(run.execution.path == "reference" for run in runs)
    context.set_forkserver_preload([*PRELOADED, *(OF_REFERENCE if is_reference else [])])
    if threading.current_thread() is threading.main_thread():  # only it may set handlers, and only it gets Ctrl-C
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited by the server that starts
        try:
            forkserver.ensure_running()
        finally:
            signal.signal(signal.SIGINT, handler)
    return context


def _enter(text: str, sender: Connection, log: str) -> None:
    """Start of the child: everything heavy is imported here, not in the runner."""
    from resnet18.execution import worker  # noqa: PLC0415 - it imports torch, which the runner does without

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the runner, which decides
    if sys.platform == "linux":  # the fork server ends with the runner, however that died; elsewhere a pipe tells
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    os.setpgid(0, 0)  # with its loader processes it can be killed as one group

    def send(message: Message) -> None:
        try:
            sender.send_bytes(message.model_dump_json().encode())
        except OSError:  # the runner is gone, and the next one will start this run again: leave no second record
            raise SystemExit(1) from None

    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
    os.dup2(descriptor, 1)  # libraries print there without Python's knowledge
    os.dup2(descriptor, 2)
    os.close(descriptor)
    job = Job.model_validate_json(text)
    if job.gpus is not None:  # torch is imported, but has not looked for GPUs yet
        os.environ["CUDA_VISIBLE_DEVICES"] = job.gpus
    if job.processors:
        psutil.Process().cpu_affinity(list(job.processors))
    stops: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stops.append(number))
    worker.run_job(job, send, stops)
