"""A fresh child process for each run, and what it says.

Children are forked from a server process that has imported torch but started neither threads nor CUDA, so a child
starts in hundredths of a second instead of seconds.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Collection, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from types import ModuleType

import psutil

from resnet18.execution.engine import Job
from resnet18.records.record import Epoch, Status
from resnet18.spec.plan import Run
from resnet18.spec.strict import Model

GRACE_S = 5.0
"""How long a child may take to finish its step, save a checkpoint and leave its record."""
PRELOADED = ["resnet18.execution.worker"]
OF_REFERENCE = ["torch._dynamo", "resnet18.training.reference"]
"""What only the reference path imports: torch's own optimizers need the first, operations on PIL images the second."""
SPINS = 10_000
"""Half a millisecond: as fast as GNU OpenMP's own 300,000 on a quiet machine (docs/decisions/0014)."""


class Message(Model):
    """One message from a child: exactly one of its fields is set."""

    note: str | None = None
    """For the user."""
    epoch: Epoch | None = None
    done: Status | None = None
    """Sent when the record is saved."""


class Child:
    """A child process that carries out a job; what it prints goes to a log."""

    def __init__(self, job: Job, log: Path) -> None:
        context = _context()
        self.connection, sender = context.Pipe(duplex=False)
        self._process = context.Process(target=_enter, args=(job.model_dump_json(), sender, str(log)), daemon=False)
        with _without_main_module():
            self._process.start()
        sender.close()  # the child holds the only open end: when it ends, however it ends, reading ends

    def read(self) -> Message | None:
        """Wait for its next message and return it; None when the child is gone."""
        try:
            return Message.model_validate_json(self.connection.recv_bytes())
        except (EOFError, OSError):  # OSError: it was killed in the middle of a message
            return None

    def ask_to_stop(self) -> None:
        """Ask for an end between two steps."""
        self._process.terminate()

    def wait(self) -> int:
        """Wait until a child that has nothing more to say is gone, and return its exit code."""
        self._process.join()
        return self._process.exitcode or 0

    def kill(self) -> None:
        """End a child that still lives, and the loader processes that it has started, at once."""
        if self._process.is_alive() and self._process.pid is not None:
            with suppress(ProcessLookupError):  # it has not made itself the first of a group yet
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.kill()
        self._process.join()
        self.connection.close()


def start_server(runs: Collection[Run]) -> None:
    """Start the process that these runs are forked from: it imports torch while the caller does something else."""
    _context(is_reference=any(run.execution.path == "reference" for run in runs))


def spin_briefly(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let waiting threads sleep soon, unless the user has chosen how they wait. It changes no result.

    GNU OpenMP reads the variable when torch loads it; processes that start later inherit it.
    """
    if not environment.keys() & {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}:
        environment["GOMP_SPINCOUNT"] = str(SPINS)


@contextmanager
def _without_main_module() -> Iterator[None]:
    """Keep a child from importing what the caller's program is, of which it needs nothing: Ray's worker, say."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _context(*, is_reference: bool = False) -> ForkServerContext:
    spin_briefly()  # before the server loads torch
    context = multiprocessing.get_context("forkserver")
    # The server reads this when it starts. It changes nothing for one that runs already.
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
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    os.setpgid(0, 0)  # with its loader processes it can be killed as one group

    def send(message: Message) -> None:
        try:
            sender.send_bytes(message.model_dump_json().encode())
        except OSError:  # the runner is gone, and the next one will start this run again: leave no second record
            raise SystemExit(1) from None

    _redirect_output(log)
    job = Job.model_validate_json(text)
    if job.gpus is not None:  # torch is imported, but has not looked for GPUs yet
        os.environ["CUDA_VISIBLE_DEVICES"] = job.gpus
    if job.processors:
        psutil.Process().cpu_affinity(list(job.processors))
    stops: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stops.append(number))
    worker.run_job(job, send, stops)


def _redirect_output(log: str) -> None:
    """Send what the child prints, libraries included, to a file."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
