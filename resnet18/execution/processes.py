"""The processes of a command: the fork server, what stops and continues all of them, and their end with the command.

Children are forked from a server process that has imported torch but started neither threads nor CUDA: a child starts
in hundredths of a second. docs/processes.md draws who tells and ends whom.
"""
# ruff: noqa: SLF001 - Python names no other way to end the server and the tracker of its resources

import atexit
import ctypes
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.util import get_temp_dir
from pathlib import Path
from threading import Thread, current_thread, main_thread
from types import FrameType, ModuleType
from typing import Any

import psutil

from resnet18.spec.errors import EnvironmentMissingError
from resnet18.spec.plan import Run

PRELOADED = ["resnet18.execution.worker"]
OF_REFERENCE = ["torch._dynamo", "torchvision.transforms.functional"]
"""What only the reference path imports: torch's own optimizers need the first, operations on PIL images the second."""
SPINS = 10_000  # half a millisecond: as fast as GNU OpenMP's own 300,000 on a quiet machine (docs/decisions/0014)
MORE_MEMORY = 'allow more memory or processes; this shows what torch lacks: python -c "import torch"'
STOPS = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)  # which a terminal sends, the first at Ctrl-Z


def spin_briefly() -> None:
    """Let waiting threads of GNU OpenMP, which torch loads, sleep soon, unless the user has chosen how they wait."""
    if not os.environ.keys() & {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}:
        os.environ["GOMP_SPINCOUNT"] = str(SPINS)


def shorten_sockets() -> None:
    """Let multiprocessing keep its sockets in /tmp where TMPDIR is too long for the name of a socket (107 bytes)."""
    if len(os.fsencode(given := tempfile.gettempdir())) > 107 - len("/pymp-12345678/listener-12345678"):
        tempfile.tempdir = "/tmp"  # noqa: S108 - a new folder that only this user may enter is made there
        get_temp_dir()  # it is kept, and known to every process that is started from here
        tempfile.tempdir = given


def fork_server(runs: Collection[Run] = ()) -> ForkServerContext:
    """Start the process that children are forked from, which imports what these runs need, unless it is there."""
    spin_briefly()  # before the server loads torch
    shorten_sockets()
    context = multiprocessing.get_context("forkserver")
    is_reference = any(run.execution.path == "reference" for run in runs)
    context.set_forkserver_preload([*PRELOADED, *(OF_REFERENCE if is_reference else [])])
    if current_thread() is main_thread():  # only it may set handlers, and only it gets Ctrl-C
        with _inherited():
            forkserver.ensure_running()
    atexit.unregister(end_server)
    atexit.register(end_server)  # once, before the handlers of what was imported earlier
    return context


@contextmanager
def _handling(numbers: Collection[signal.Signals], handler: Any) -> Iterator[None]:  # noqa: ANN401 - as signal.signal
    """Let a handler have these signals for a while."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextmanager
def _inherited() -> Iterator[None]:
    """Let a server that starts ignore what a terminal sends, as the runner decides, and tell nothing itself."""
    ignored = _handling((signal.SIGINT, *STOPS), signal.SIG_IGN)
    with ignored, Path(os.devnull).open("wb") as nowhere, os.fdopen(os.dup(2), "wb") as shown:
        os.dup2(nowhere.fileno(), 2)  # what the server lacks is told by the error of `start`
        try:
            yield
        finally:
            os.dup2(shown.fileno(), 2)


def start(process: ForkServerProcess) -> None:
    """Start a child; EnvironmentMissingError where that fails twice: a server that died is replaced by a new one."""
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # Ctrl-Z waits for the child, which is then stopped, too
    wake_server()
    try:  # the child would import the caller's program, Ray's worker for example, and needs nothing of it
        for is_last in (False, True):  # the second from a new server, where the first has found the server dead
            try:
                fork_server()
                return process.start()
            except Exception as error:  # noqa: BLE001 - whatever the server died of
                if is_last:
                    what = f"no process can be started for a run: {type(error).__name__}: {error}"
                    raise EnvironmentMissingError("this machine", what, next_step=MORE_MEMORY) from None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        sys.modules["__main__"] = main


def end_with_parent() -> None:
    """Let the kernel kill this process when its parent ends (Linux alone does so)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def end_with_runner() -> None:
    """Make this process the first of a group, with its loader processes to come, and let all end with the runner."""
    os.setpgid(0, 0)
    end_with_parent()  # where this process is stopped, the kernel ends it with the server
    os.close(_server()._forkserver_alive_fd)  # the server ends when the runner alone has let go of this
    runner = multiprocessing.parent_process()
    if runner is None or not runner.is_alive():
        sys.exit(1)

    def end_group() -> None:
        runner.join()
        os.killpg(0, signal.SIGKILL)

    Thread(target=end_group, name="runner-watch", daemon=True).start()


def wake_server() -> None:
    """Continue the server and the tracker where something has stopped them: both are waited for."""
    for pid in (_server()._forkserver_pid, _tracker()._pid):
        with suppress(OSError, TypeError):  # it is gone, or was never started
            os.kill(pid, signal.SIGCONT)


def _server() -> Any:  # noqa: ANN401 - Python's own, and untyped
    return forkserver._forkserver


def _tracker() -> Any:  # noqa: ANN401 - as above
    return resource_tracker._resource_tracker


def end_server() -> None:
    """End the server and the tracker of its resources at once: what ends by itself would outlive the command.

    So is a child that the runner does not know, since a signal interrupted its start: the tracker would wait for it.
    """
    wake_server()
    with suppress(OSError):  # it is gone already
        if (pid := _server()._forkserver_pid) is not None:
            os.kill(pid, signal.SIGSTOP)  # it forks no more
            _tell_children(signal.SIGKILL)
            os.kill(pid, signal.SIGKILL)
    with suppress(OSError):
        _server()._stop()
        _tracker()._stop()


def stopping_together() -> AbstractContextManager[None]:
    """Let what stops this process at a terminal stop the children, too, and what continues it continue them."""
    is_main = current_thread() is main_thread()
    ours = [number for number in STOPS if is_main and signal.getsignal(number) is signal.SIG_DFL]

    def stop(_number: int, _frame: FrameType | None) -> None:
        _tell_children(signal.SIGSTOP)
        try:
            os.kill(os.getpid(), signal.SIGSTOP)
        finally:  # what came meanwhile may end the command: its children can save their work only if they go on
            _tell_children(signal.SIGCONT)

    return _handling(ours, stop)


def _tell_children(number: int) -> None:
    """Send a signal to the children and their loader processes."""
    runner = psutil.Process()
    helpers = runner.children()  # not the fork server: stopped, it could not end with a runner that is killed
    for process in {*runner.children(recursive=True)} - {*helpers}:
        with suppress(psutil.Error):  # it has ended
            process.send_signal(number)
