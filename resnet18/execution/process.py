"""One fresh child process for each run, whatever engine brought it to this machine.

Children are forked from a server process that has imported torch but started neither threads nor CUDA, so a child
starts in hundredths of a second instead of seconds. Where the system has no such server, children are spawned.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import monotonic
from types import FrameType, ModuleType

from resnet18.execution.job import (
    DataAnswer,
    DataQuestion,
    Job,
    Message,
    Problem,
    Stop,
    TimingAnswer,
    TimingQuestion,
)
from resnet18.execution.parent_death import die_with_the_parent
from resnet18.execution.waiting import spin_briefly
from resnet18.spec.errors import SuiteError, UnfinishedError
from resnet18.spec.plan import Run

GRACE_S = 5.0
"""How long a child may take to finish its step, save a checkpoint and leave its record."""
PRELOADED = ["resnet18.execution.worker"]
OF_REFERENCE = ["torch._dynamo", "resnet18.training.reference"]
"""What only the reference path imports: torch's own optimizers need the first, operations on PIL images the second."""


class ReportedError(SuiteError):
    """An error that a worker met and the user can mend."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.where, problem.what, allowed=problem.allowed, next_step=problem.next_step)
        self.exit_code = problem.exit_code


def begin(runs: Collection[Run]) -> None:
    """Start the process that these runs are forked from: it imports torch while the caller does something else."""
    _context(is_reference=any(run.execution.path == "reference" for run in runs))


def ask(question: DataQuestion) -> DataAnswer:
    """Return a worker's answer about the data set.

    Raises:
        ReportedError: the data set is missing, damaged or too small.
        RuntimeError: the worker died.
    """
    messages: list[Message] = []
    exit_code = _in_child("question", question.model_dump_json(), None, messages.append)
    for message in messages:
        if message.problem:
            raise ReportedError(message.problem)
        if message.answer:
            return message.answer
    raise RuntimeError(f"the process that opens the data set ended with exit code {exit_code}")


def time_steps(question: TimingQuestion, limit_s: float) -> TimingAnswer | None:
    """Return how long a few steps take in a child process, as far as it comes; None where it comes to no step."""
    messages: list[Message] = []
    with suppress(TimeoutError):
        _in_child("timing", question.model_dump_json(), Path(os.devnull), messages.append, monotonic() + limit_s)
    return next((message.timing for message in reversed(messages) if message.timing), None)


def run(job: Job, log: Path, on_message: Callable[[Message], None]) -> int:
    """Carry out a job in a child process and return its exit code (negative: killed by that signal).

    A signal to this process (KeyboardInterrupt, SystemExit) asks the child to finish its step, save a checkpoint and
    leave its record, for which it has a few seconds; a second one ends it at once. So does a job's time limit.

    Args:
        job: the attempt.
        log: file for whatever the child prints.
        on_message: called with each message, in order.

    Raises:
        TimeoutError: the child had not ended a few seconds after the job's time limit.
    """
    end_s = None if job.time_limit_s is None else monotonic() + job.time_limit_s + GRACE_S
    return _in_child("job", job.model_dump_json(), log, on_message, end_s)


def _in_child(
    kind: str, payload: str, log: Path | None, on_message: Callable[[Message], None], end_s: float | None = None
) -> int:
    context = _context()
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(
        target=_enter, args=(kind, payload, sender, None if log is None else str(log)), daemon=False
    )
    with _without_main_module():
        child.start()
    sender.close()  # the child holds the only open end: when it ends, however it ends, reading ends
    try:
        for message in _messages(receiver, end_s):
            on_message(message)
        child.join()
    except (KeyboardInterrupt, SystemExit):
        child.terminate()
        with suppress(TimeoutError):
            for message in _messages(receiver, monotonic() + GRACE_S):
                on_message(message)
            child.join()
        raise
    finally:
        _end(child)
        receiver.close()
    return child.exitcode or 0


@contextmanager
def _without_main_module() -> Iterator[None]:
    """Keep a child from importing what the caller's program is, of which it needs nothing: Ray's worker, say."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _end(child: BaseProcess) -> None:
    """Kill a child that still lives, and the loader processes that it has started."""
    if child.is_alive() and child.pid is not None:
        with suppress(ProcessLookupError):  # it has not made itself the first of a group yet
            os.killpg(child.pid, signal.SIGKILL)
        child.kill()
    child.join()


def _messages(receiver: Connection, end_s: float | None) -> Iterator[Message]:
    """Yield messages until the child is gone.

    Raises:
        TimeoutError: it is still there at that time of the monotonic clock.
    """
    while True:
        if not receiver.poll(None if end_s is None else max(0.0, end_s - monotonic())):
            raise TimeoutError
        try:
            text = receiver.recv_bytes()
        except (EOFError, OSError):  # OSError: it was killed in the middle of a message
            return
        yield Message.model_validate_json(text)


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


def _enter(kind: str, payload: str, sender: Connection, log: str | None) -> None:
    """Start of the child: everything heavy is imported here, not in the runner."""
    from resnet18.execution import worker  # noqa: PLC0415 - it imports torch, which the runner does without

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the runner, which decides
    die_with_the_parent()  # the fork server ends with the runner, however that died
    os.setpgid(0, 0)  # with its loader processes it can be killed as one group

    def send(message: Message) -> None:
        try:
            sender.send_bytes(message.model_dump_json().encode())
        except OSError:  # the runner is gone, and the next one will start this run again: leave no second record
            raise SystemExit(1) from None

    if log is not None:
        _redirect_output(log)
    if kind == "job":
        job = Job.model_validate_json(payload)
        if job.gpus is not None:  # torch is imported, but has not looked for GPUs yet
            os.environ["CUDA_VISIBLE_DEVICES"] = job.gpus
        worker.run_job(job, send, _stop_on_request())
        return
    for message in _answers(kind, payload):
        send(message)


def _answers(kind: str, payload: str) -> Iterator[Message]:
    """Yield a worker's answers to a question, of which the last is the best, or the error that it met."""
    from resnet18.execution import worker, worker_timing  # noqa: PLC0415 - torch, as above

    try:
        if kind == "timing":
            for timing in worker_timing.answer_timing(TimingQuestion.model_validate_json(payload)):
                yield Message(timing=timing)
        else:
            yield Message(answer=worker.answer_question(DataQuestion.model_validate_json(payload)))
    except SuiteError as error:
        yield Message(problem=Problem.of(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, the runner says it in a line
        yield Message(problem=Problem.of(UnfinishedError("data set", f"{type(error).__name__}: {error}")))


def _stop_on_request() -> Stop:
    """Return a stop sign that SIGTERM sets."""
    stop = Stop()

    def ask_to_stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature that signal asks for
        stop.is_requested = True

    signal.signal(signal.SIGTERM, ask_to_stop)
    return stop


def _redirect_output(log: str) -> None:
    """Send what the child prints, libraries included, to a file."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
