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
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType

import psutil

from resnet18.execution.engine import Job, Message
from resnet18.spec.plan import Run

GRACE_S = 5.0
"""How long a child may take to finish its step, save a checkpoint and leave its record."""
PRELOADED = ["resnet18.execution.worker"]
OF_REFERENCE = ["torch._dynamo", "torchvision.transforms.functional"]
"""What only the reference path imports: torch's own optimizers need the first, operations on PIL images the second."""
SPINS = 10_000
"""Half a millisecond: as fast as GNU OpenMP's own 300,000 on a quiet machine (docs/decisions/0014)."""


def start(job: Job, log: Path) -> tuple[BaseProcess, Connection]:
    """Start a process that carries out a job, with its output in a log; return it, and where its messages arrive."""
    context = _context()
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_enter, args=(job.model_dump_json(), sender, str(log)), daemon=False)
    with _without_main_module():
        process.start()
    sender.close()  # the child holds the only open end: when it ends, however it ends, reading ends
    return process, receiver


def kill(process: BaseProcess) -> None:
    """End a child that still lives, and the loader processes that it has started, at once."""
    if process.is_alive() and process.pid is not None:
        with suppress(ProcessLookupError):  # it has not made itself the first of a group yet
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
    process.join()


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
