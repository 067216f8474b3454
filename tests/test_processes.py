"""The processes of a command: whatever is done to one of them, the others stop, go on or end with it."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from resnet18.execution import attempt, processes
from resnet18.measure import host
from resnet18.records.store import Store
from resnet18.spec.errors import EnvironmentMissingError

HERE = Path(__file__).parent
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a child that dies with its runner is Linux's")


def program(folder, runs=1, **variables):
    path = os.pathsep.join([str(HERE), str(HERE.parent)])
    command = [sys.executable, "-m", "fakes.waiting", str(folder), str(runs)]
    return command, {**os.environ, "PYTHONPATH": path, **variables}


class Command:
    """A command that has begun its first run, and the processes that belong to it."""

    def __init__(self, folder, runs, ignored):
        def settle():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)
            if signal.SIGINT not in ignored:
                signal.signal(signal.SIGINT, signal.default_int_handler)

        command, variables = program(folder, runs)
        self.process = subprocess.Popen(
            command,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=settle,  # noqa: PLW1509 - no threads are here
        )
        self.wait_for_a_run()

    def wait_for_a_run(self):
        assert "waits\n" == self.process.stdout.readline()
        runner = psutil.Process(self.process.pid)
        self.helpers, everyone = runner.children(), runner.children(recursive=True)
        self.run = [process for process in everyone if process not in self.helpers]
        self.everyone = [runner, *everyone]

    def kill_server(self):
        next(process for process in self.helpers if process.children()).kill()

    def stop(self):
        self.process.send_signal(signal.SIGTSTP)
        os.waitpid(self.process.pid, os.WUNTRACED)

    def end(self):
        """Return the exit code, what is left, and what was told. Only what is killed may be outlived, for a moment."""
        code = self.process.wait(timeout=60)
        left = [helper for helper in self.helpers if code >= 0 and helper.is_running()]
        left = left or psutil.wait_procs(self.everyone, timeout=30)[1]
        return code, left, "".join(self.process.communicate())


@pytest.fixture
def start(tmp_path):
    commands = []

    def begin(runs=1, ignored=()):
        commands.append(Command(tmp_path, runs, ignored))
        return commands[-1]

    yield begin
    for command in commands:
        for process in (*command.everyone, command.process):
            if process.pid and (process is command.process or process.is_running()):
                process.kill()
        command.process.communicate()


def are_stopped(processes_):
    return {psutil.STATUS_STOPPED == process.status() for process in processes_}


def until(is_so):
    """Ask again until the kernel has done what it was asked for."""
    return next((True for _ in range(100_000) if is_so()), False)


def test_what_stops_the_runner_stops_the_run_and_what_continues_it_continues_the_run(start):
    command = start()
    command.stop()

    assert 2 == len(command.run)
    assert until(lambda: {True} == are_stopped(command.run))
    command.process.send_signal(signal.SIGCONT)
    assert until(lambda: {False} == are_stopped(command.run))


def many(number):
    """Send a signal again and again, until the command has ended."""

    def send(command):
        while command.process.poll() is None:
            command.process.send_signal(number)

    return send


def sent(*numbers):
    return lambda command: [command.process.send_signal(number) for number in numbers]


def killed_while_stopped(command):
    command.stop()
    command.process.kill()


def ended_while_stopped(command):
    command.stop()
    sent(signal.SIGTERM, signal.SIGCONT)(command)


def ended_while_helpers_stand_still(command):
    for helper in command.helpers:
        helper.suspend()
    command.process.terminate()


@pytest.mark.parametrize(
    ("act", "ignored", "exit_code"),
    [
        (sent(signal.SIGINT), (), 130),
        (sent(signal.SIGHUP), (), 129),
        (many(signal.SIGTERM), (), 143),
        (sent(signal.SIGHUP, signal.SIGINT, signal.SIGTERM), (signal.SIGHUP, signal.SIGINT), 143),
        (sent(signal.SIGKILL), (), -9),
        (killed_while_stopped, (), -9),
        (ended_while_stopped, (), 143),
        (ended_while_helpers_stand_still, (), 143),
    ],
    ids=[
        "Ctrl-C",
        "SIGHUP",
        "many signals",
        "nohup",
        "killed",
        "killed while stopped",
        "ended while stopped",
        "helpers",
    ],
)
def test_a_command_ends_with_all_its_processes_and_the_code_of_its_first_signal(act, ignored, exit_code, start):
    command = start(ignored=ignored)
    act(command)
    code, left, told = command.end()

    assert (exit_code, []) == (code, left)
    assert "Traceback" not in told


def test_a_run_that_is_ended_while_it_is_stopped_can_save_its_work(start):
    command = start()
    ended_while_stopped(command)

    assert "stops\n" in command.end()[2]


def test_a_reader_that_has_stopped_reading_holds_no_end_up(start):
    command = start()
    descriptor = os.open(f"/proc/{command.process.pid}/fd/2", os.O_WRONLY | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        while True:
            os.write(descriptor, bytes(4096))
    os.close(descriptor)
    command.process.terminate()

    assert 143 == command.process.wait(timeout=60)


def test_a_command_runs_without_any_of_its_streams(tmp_path):
    """As a daemon is started: none of its own files may get their numbers."""
    command, variables = program(tmp_path)
    process = subprocess.Popen(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command], env=variables)
    runner = psutil.Process(process.pid)
    has_begun = until(lambda: process.poll() is not None or len(runner.children(recursive=True)) >= 4)
    process.terminate()

    assert (True, 143) == (has_begun, process.wait(timeout=60))


def test_where_no_run_can_import_torch_the_command_ends_and_says_where_to_look(tmp_path):
    command, variables = program(tmp_path, WORKER_IS_MISSING="1")
    ended = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    (log,) = tmp_path.rglob("*.log")

    assert 5 == ended.returncode
    assert (
        f"this machine: no run can begin: torch cannot be imported; see {log}\n  next: allow more memory"
        in ended.stderr
    )
    assert "ModuleNotFoundError" in log.read_text(encoding="utf-8")


def test_runs_go_on_from_a_new_fork_server_where_the_last_has_died(start, tmp_path):
    command = start(runs=2)
    first = command.everyone
    command.kill_server()
    command.wait_for_a_run()
    command.process.send_signal(signal.SIGTERM)
    code, left, _ = command.end()

    assert (143, [], []) == (code, left, psutil.wait_procs(first[1:], timeout=30)[1])
    assert {"crashed", "interrupted"} == {record.status for record in Store(tmp_path).read().records}


@pytest.mark.parametrize("error", [EOFError, ConnectionRefusedError, ValueError])
def test_a_server_that_dies_of_every_start_is_an_error_of_the_environment(error, monkeypatch):
    starts = []
    monkeypatch.setattr(processes, "fork_server", lambda: starts.append("server"))

    def refuse():
        raise error("gone")

    with pytest.raises(EnvironmentMissingError, match=f"no process can be started for a run: {error.__name__}: gone"):
        processes.start(SimpleNamespace(start=refuse))
    assert ["server", "server"] == starts


def test_time_in_which_a_process_stood_still_is_found_and_slow_work_is_not(monkeypatch):
    """Ticks after 0.2 s each, but one after 3 s without work, and one after 3 s in which it worked as long."""
    times = iter([0.0, 0.2, 3.2, 3.4, 6.4])
    work = iter([0.0, 0.2, 0.2, 0.4, 3.4])
    monkeypatch.setattr(host, "monotonic", lambda: next(times))
    monkeypatch.setattr(host, "process_time", lambda: next(work))
    watch, ticks = host.HostWatch(), count()
    watch._stopped_s, watch._end = 0.0, SimpleNamespace(wait=lambda _: next(ticks) == 4)
    watch._tick()

    assert watch._stopped_s == pytest.approx(3 - host.TICK_S)


def test_a_run_that_stood_still_with_its_runner_has_time_to_save_its_work(monkeypatch):
    """The runner waits at most 9 s, until the limit is over, and is woken an hour later."""
    times = iter([1.0, 1.0, 3601.0, *[3601.0] * 9])
    child = SimpleNamespace(end_s=10.0, events=(1, 2), status=None)
    monkeypatch.setattr(attempt, "monotonic", lambda: next(times))
    monkeypatch.setattr(attempt, "wait", lambda _, timeout_s: [])

    assert [] == attempt.wait_for([child])
    assert 3601.0 + attempt.GRACE_S == child.end_s
