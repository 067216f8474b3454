"""A fresh child process for each run and each question.

Children are forked from a server process that has imported torch but started neither threads nor CUDA, so a child
starts in hundredths of a second instead of seconds. Where the system has no such server, children are spawned.
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
from multiprocessing.context import ForkServerContext, SpawnContext
from pathlib import Path
from time import monotonic
from types import ModuleType

import psutil

from resnet18.execution.messages import DataQuestion, Job, Message, Problem, Stop, TimingQuestion
from resnet18.spec.errors import SuiteError, UnfinishedError
from resnet18.spec.plan import Run

GRACE_S = 5.0
"""How long a child may take to finish its step, save a checkpoint and leave its record."""
PRELOADED = ["resnet18.execution.worker"]
OF_REFERENCE = ["torch._dynamo", "resnet18.training.reference"]
"""What only the reference path imports: torch's own optimizers need the first, operations on PIL images the second."""
SPINS = 10_000
"""Half a millisecond: as fast as GNU OpenMP's own 300,000 on a quiet machine (docs/decisions/0014)."""


class Child:
    """A child process that is asked something, and what it says; what it prints goes to a log, if there is one."""

    def __init__(self, question: Job | DataQuestion | TimingQuestion, log: Path | None = None) -> None:
        context = _context()
        self.connection, sender = context.Pipe(duplex=False)
        arguments = (type(question).__name__, question.model_dump_json(), sender, log and str(log))
        self._process = context.Process(target=_enter, args=arguments, daemon=False)
        with _without_main_module():
            self._process.start()
        sender.close()  # the child holds the only open end: when it ends, however it ends, reading ends

    def read(self) -> Message | None:
        """Wait for its next message and return it; None when the child is gone."""
        try:
            return Message.model_validate_json(self.connection.recv_bytes())
        except (EOFError, OSError):  # OSError: it was killed in the middle of a message
            return None

    def messages(self, end_s: float | None = None) -> Iterator[Message]:
        """Yield messages until the child is gone.

        Raises:
            TimeoutError: it is still there at that time of the monotonic clock.
        """
        while True:
            if not self.connection.poll(None if end_s is None else max(0.0, end_s - monotonic())):
                raise TimeoutError
            if (message := self.read()) is None:
                return
            yield message

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


def _context(*, is_reference: bool = False) -> ForkServerContext | SpawnContext:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
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


def _enter(kind: str, text: str, sender: Connection, log: str | None) -> None:
    """Start of the child: everything heavy is imported here, not in the runner."""
    from resnet18.execution import worker  # noqa: PLC0415 - it imports torch, which the runner does without

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the runner, which decides
    _die_with_the_parent()  # the fork server ends with the runner, however that died
    os.setpgid(0, 0)  # with its loader processes it can be killed as one group

    def send(message: Message) -> None:
        try:
            sender.send_bytes(message.model_dump_json().encode())
        except OSError:  # the runner is gone, and the next one will start this run again: leave no second record
            raise SystemExit(1) from None

    if log is not None:
        _redirect_output(log)
    if kind == "Job":
        job = Job.model_validate_json(text)
        if job.gpus is not None:  # torch is imported, but has not looked for GPUs yet
            os.environ["CUDA_VISIBLE_DEVICES"] = job.gpus
        if job.processors:
            psutil.Process().cpu_affinity(list(job.processors))
        stop = Stop()
        signal.signal(signal.SIGTERM, lambda _number, _frame: stop.request())
        worker.run_job(job, send, stop)
        return
    for message in _answers(kind, text):
        send(message)


def _answers(kind: str, text: str) -> Iterator[Message]:
    """Yield a worker's answers to a question, of which the last is the best, or the error that it met."""
    from resnet18.execution import worker  # noqa: PLC0415 - torch, as above

    try:
        if kind == "TimingQuestion":
            for timing in worker.time_steps(TimingQuestion.model_validate_json(text)):
                yield Message(timing=timing)
        else:
            yield Message(answer=worker.answer(DataQuestion.model_validate_json(text)))
    except SuiteError as error:
        yield Message(problem=Problem.of(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, the runner says it in a line
        yield Message(problem=Problem.of(UnfinishedError("data set", f"{type(error).__name__}: {error}")))


def _die_with_the_parent() -> None:
    """Ask Linux to kill this process when its parent ends; elsewhere a pipe that closes tells."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _redirect_output(log: str) -> None:
    """Send what the child prints, libraries included, to a file."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
