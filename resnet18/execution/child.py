"""A fresh child process for each run and each question, and what it says.

Children are forked from a server process that has imported torch but started neither threads nor CUDA, so a child
starts in hundredths of a second instead of seconds.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from time import monotonic
from types import ModuleType
from typing import Annotated

import psutil
from pydantic import Field

from resnet18.execution.engine import Job
from resnet18.records.record import Epoch, Status
from resnet18.spec.data import DataSource
from resnet18.spec.errors import UnfinishedError
from resnet18.spec.experiment import Execution, Experiment
from resnet18.spec.plan import Run
from resnet18.spec.strict import Model

GRACE_S = 5.0
"""How long a child may take to finish its step, save a checkpoint and leave its record."""
PRELOADED = ["resnet18.execution.worker"]
OF_REFERENCE = ["torch._dynamo", "resnet18.training.reference"]
"""What only the reference path imports: torch's own optimizers need the first, operations on PIL images the second."""
SPINS = 10_000
"""Half a millisecond: as fast as GNU OpenMP's own 300,000 on a quiet machine (docs/decisions/0014)."""
KIND_LIMIT_S = 4.0
"""For timing one kind of run, the start of its process and of its device included."""
ENOUGH_S = 1.0
"""After so many seconds of one kind of run no further step of it is timed."""
LEAST_S = 0.5
"""With less left no process is started."""


class TimingQuestion(Model):
    """How long do a few training steps of this experiment take here?"""

    source: DataSource
    experiment: Experiment
    execution: Execution
    enough_s: Annotated[float, Field(gt=0)]
    """After so many seconds no further step is begun."""


class TimingAnswer(Model):
    """The seconds for each image of an experiment on this machine; with no step timed, those of the first."""

    steps: int
    prepare_s: float
    train_image_s: float
    eval_image_s: float


class Message(Model):
    """One message from a child: exactly one of its fields is set."""

    timing: TimingAnswer | None = None
    numerics: dict[str, str | int | bool] | None = None
    note: str | None = None
    """For the user."""
    epoch: Epoch | None = None
    done: Status | None = None
    """Sent when the record is saved."""


class Child:
    """A child process that carries out a run or answers a question; what it prints goes to a log."""

    def __init__(self, question: Job | TimingQuestion | Execution, log: str | Path = os.devnull) -> None:
        context = _context()
        self.connection, sender = context.Pipe(duplex=False)
        arguments = (type(question).__name__, question.model_dump_json(), sender, str(log))
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


def numerics_here(execution: Execution) -> dict[str, str | int | bool]:
    """Return the numerics of a run that is carried out so on this machine, as far as they are known before it.

    Raises:
        UnfinishedError: the device is missing, or cannot do it.
    """
    child = Child(execution)
    try:
        message = child.read()
        if message is None or message.numerics is None:
            what = f"the process ended with exit code {child.wait()}" if message is None else str(message.note)
            raise UnfinishedError(f"device {execution.device}", what)
        return message.numerics
    finally:
        child.kill()


def timed(runs: Iterable[Run], source: DataSource, limit_s: float) -> dict[str, TimingAnswer]:
    """Return how fast runs go here, by run id; those for which no time is left, or which fail, are left out.

    So are those of which only the first step ended: on a fresh machine it compiles kernels and warms libraries, which
    may take a hundred times as long as a step does.
    """
    found: dict[str, TimingAnswer] = {}
    end_s = monotonic() + limit_s
    for run in runs:
        if (left_s := end_s - monotonic()) < LEAST_S:
            break
        enough_s = min(ENOUGH_S, left_s / 2)
        question = TimingQuestion(source=source, experiment=run.experiment, execution=run.execution, enough_s=enough_s)
        timing = time_steps(question, min(KIND_LIMIT_S, left_s))
        if timing is not None and timing.steps:
            found[run.run_id] = timing
    return found


def time_steps(question: TimingQuestion, limit_s: float) -> TimingAnswer | None:
    """Return how long a few steps take in a child process, as far as it comes; None where it comes to no step."""
    timing, end_s = None, monotonic() + limit_s
    child = Child(question)
    try:
        while child.connection.poll(max(0.0, end_s - monotonic())) and (message := child.read()) is not None:
            timing = message.timing
    finally:
        child.kill()
    return timing


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


def _enter(kind: str, text: str, sender: Connection, log: str) -> None:
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
    if kind == "Job":
        _carry_out(Job.model_validate_json(text), send)
    elif kind == "TimingQuestion":
        for timing in worker.time_steps(TimingQuestion.model_validate_json(text)):
            send(Message(timing=timing))
    else:
        try:
            send(Message(numerics=worker.numerics_of(Execution.model_validate_json(text))))
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller says it in a line
            send(Message(note=f"{type(error).__name__}: {error}"))


def _carry_out(job: Job, send: Callable[[Message], None]) -> None:
    from resnet18.execution import worker  # noqa: PLC0415 - torch, as above

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
