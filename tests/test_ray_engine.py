"""The Ray engine without Ray: tasks that end as a script says. What Ray itself does, `make test-engines` sees."""

import os
import sys
from collections import Counter
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from builders import make_run
from fakes.disk import FaultyOs
from fakes.jobs import ON_GPU, TIMED, TOML, Quiet, delivery_of, jobs_of, problem, record_of, states

from resnet18.execution import ray_engine
from resnet18.execution.attempt import run_lock
from resnet18.execution.cluster import Resources
from resnet18.execution.job import Job
from resnet18.execution.ray_engine import RETRIES, RayEngine
from resnet18.execution.runner import exit_code_of
from resnet18.records import disk
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError, SuiteError

PART = Resources(cpus=1)
PENDING = object()  # a task that has not ended


class RayError(Exception):
    """A process or a node is gone, or the task was cancelled before it began."""


class RayTaskError(RayError):
    """The task raised an exception."""


class OutOfMemoryError(RayError):
    """Ray ended the worker for want of memory."""


@dataclass(eq=False)
class Task:
    """A task that was given out, and the reference to what it will return."""

    job: Job
    options: dict
    outcome: object = PENDING
    was_cancelled: bool = False


class FakeRay:
    """The module `ray`, as far as the engine uses it.

    Args:
        script: says how a task ends: with (node, text), an exception, or not yet (`PENDING`); asked at every wait.
        rows: the nodes, as `node_row` makes them.
        at_cancel: the same as `script`, for a task that is cancelled.
    """

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError, OutOfMemoryError=OutOfMemoryError)

    def __init__(self, script, rows, at_cancel=None):
        self.script, self.rows, self.at_cancel = script, rows, at_cancel or (lambda task: RayError("cancelled"))
        self.sent = []

    def nodes(self):
        return self.rows

    def remote(self, **options):
        return lambda function: SimpleNamespace(
            options=lambda **more: SimpleNamespace(remote=lambda text: self._send(text, {**options, **more}))
        )

    def _send(self, text, options):
        self.sent.append(Task(Job.model_validate_json(text), options))
        return self.sent[-1]

    def wait(self, refs, *, num_returns=1, timeout=None):
        for task in refs:
            if task.outcome is PENDING:
                task.outcome = self.script(task)
        back = [task for task in refs if task.outcome is not PENDING][:num_returns]
        assert back or timeout, "the engine waits for ever"
        return back, [task for task in refs if task not in back]

    def get(self, task):
        """Return what a task returned, with its node's address, or raise what it raised."""
        if isinstance(task.outcome, BaseException):
            raise task.outcome
        node, text = task.outcome
        return node, f"address-{node}", text

    def cancel(self, task, *, force=False):
        assert not force
        task.was_cancelled = True
        if task.outcome is PENDING:
            task.outcome = self.at_cancel(task)


def node_row(name, cpus=4, gpus=0, *, alive=True):
    resources = {"CPU": float(cpus), **({"GPU": float(gpus)} if gpus else {})}
    return {"NodeID": name, "NodeManagerAddress": f"address-{name}", "Alive": alive, "Resources": resources}


@pytest.fixture
def carry_out(tmp_path, store, monkeypatch):
    """Carry runs out on nodes that are not there; returns how they stand, and the module."""

    def run(script, *rows, text=TOML, seeds=1, resources=PART, at_once=None, **more):
        run.ray = ray = FakeRay(script, list(rows or [node_row("a"), node_row("b")]), **more)
        run.progress = Quiet()
        monkeypatch.setattr(ray_engine, "connected", lambda: ray)
        run.jobs = jobs_of(tmp_path, text, seeds)
        return RayEngine(resources, at_once).carry_out(run.jobs, run.progress)

    yield run
    for job in run.jobs:  # whatever has happened, no lock is held
        with run_lock(store.results, job.run.run_id):
            pass


def well(task):
    return "a", delivery_of(task.job)


def told(carry_out, words):
    return sum(words in line for line in carry_out.progress.lines)


def test_records_come_back_with_their_logs_and_no_more_runs_are_out_than_may_be(carry_out, store):
    """A run that fails is not given out again."""
    most = []

    def script(task):
        most.append(sum(one.outcome is PENDING for one in carry_out.ray.sent))
        return "a", delivery_of(task.job, "ok" if len(carry_out.ray.sent) > 2 else "diverged")

    finished = carry_out(script, seeds=3, at_once=2)

    assert {("ok", False): 4, ("diverged", False): 2} == Counter((one.status, one.was_recorded) for one in finished)
    assert ["a word\n"] * 6 == [path.read_text() for path in store.logs.iterdir()]
    assert (6, 2, 6) == (len(carry_out.ray.sent), max(most), told(carry_out, "on address-a"))
    assert {RETRIES} == {task.options["max_retries"] for task in carry_out.ray.sent}


@pytest.mark.parametrize(
    ("rows", "text", "resources", "cpus", "gpus"),
    [
        ((4, 16), TOML, Resources(cpus=3), 3, 0),
        ((4, 16), TOML, Resources(), 16, 0),
        ((4, 16), TIMED, PART, 16, 0),
        (((16, 4),), ON_GPU, Resources(), 4, 1),
        (((64, 4), (8, 1)), ON_GPU, Resources(gpus=0.5), 8, 0.5),
        (((64, 4), (8, 1)), ON_GPU, Resources(gpus=0.01), 1, 0.01),
        (((64, 4), (8, 1)), ON_GPU, Resources(cpus=2, gpus=2), 2, 2),
    ],
)
def test_a_task_asks_for_what_its_run_takes_and_has_as_many_threads(rows, text, resources, cpus, gpus, carry_out):
    nodes = [node_row(f"n{at}", *(row if isinstance(row, tuple) else (row,))) for at, row in enumerate(rows)]
    carry_out(well, *nodes, text=text, resources=resources)
    options = carry_out.ray.sent[0].options

    assert (cpus, gpus, None) == tuple(options[key] for key in ("num_cpus", "num_gpus", "label_selector"))
    assert {"env_vars": {"OMP_NUM_THREADS": str(cpus)}} == options["runtime_env"]


@pytest.mark.parametrize(
    ("text", "resources", "words"),
    [
        (TOML, Resources(cpus=9), r"no node has the 9 CPUs that mine/8 needs \(nodes: address-a: 4 CPUs, 0 GPUs, "),
        (ON_GPU, PART, "no node has the 1 CPUs and 1 GPUs that mine/8 needs"),
    ],
)
def test_what_no_node_has_is_refused_before_anything_is_given_out(text, resources, words, carry_out):
    rows = [node_row("a"), node_row("b"), node_row("c", 64, 1, alive=False), node_row("d", 0, 1)]
    with pytest.raises(EnvironmentMissingError, match=words):
        carry_out(well, *rows, text=text, resources=resources)

    assert [] == carry_out.ray.sent


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (RayError("gone"), "crashed", f"was lost {RETRIES + 1} times (RayError)"),
        (OutOfMemoryError("killed due to low memory\nand a table"), "oom_host", "killed due to low memory"),
    ],
)
def test_a_run_that_ray_gives_up_is_recorded_and_the_others_go_on(error, status, words, carry_out, store):
    finished = carry_out(lambda task: error if task is carry_out.ray.sent[0] else well(task))

    assert ({status, "ok"}, 3) == ({one.status for one in finished}, exit_code_of(finished))
    assert [True] == [words in one.failure.message for one in store.read().records if one.status == status]


@pytest.mark.parametrize(
    ("outcome", "code", "words"),
    [
        (("a", problem("is full", EnvironmentMissingError)), 5, ("node x", "is full", "")),
        (("a", problem("other pixels", IntegrityError)), 4, ("node x", "other pixels", "")),
        (
            RayTaskError("Traceback\n  File\nModuleNotFoundError: No module 'resnet18'\n"),
            5,
            (
                "--engine ray",
                "a node cannot carry runs out: ModuleNotFoundError: No module 'resnet18'",
                "install the same version of resnet18 on every node",
            ),
        ),
    ],
    ids=["no room", "other data", "an exception"],
)
def test_where_no_fit_node_is_left_the_problem_is_the_commands(outcome, code, words, carry_out, store):
    with pytest.raises(SuiteError) as raised:
        carry_out(lambda task: outcome, node_row("a"))

    assert (code, words) == (raised.value.exit_code, (raised.value.where, raised.value.what, raised.value.next_step))
    assert [] == states(store)


def test_a_node_that_cannot_carry_runs_out_gets_no_more_runs_and_the_others_get_its_runs(carry_out):
    finished = carry_out(lambda task: well(task) if task.options["label_selector"] else ("b", problem()), seeds=2)
    selectors = [task.options["label_selector"] for task in carry_out.ray.sent]

    assert ["ok"] * 4 == [one.status for one in finished]
    assert [None] * 4 + [{"ray.io/node-id": "!in(b)"}] * 4 == selectors
    assert 1 == told(carry_out, "address-b gets no more runs: node x: is full")


def test_runs_that_another_runner_holds_or_has_recorded_are_left_to_it(carry_out, store, tmp_path):
    first, second = jobs_of(tmp_path)
    store.save(record_of(second))
    with run_lock(store.results, first.run.run_id):
        finished = carry_out(well)

    assert [(None, False), ("ok", True)] == [(one.status, one.was_recorded) for one in finished]
    assert (75, []) == (exit_code_of(finished), carry_out.ray.sent)
    assert 1 == told(carry_out, f"left to process {os.getpid()}")


@pytest.mark.parametrize(
    "delivered",
    [
        lambda job: delivery_of(job, attempt=2),
        lambda job: delivery_of(job.model_copy(update={"run": make_run()})),
        lambda job: '{"record": "e30="}',
        lambda job: "{}",
    ],
    ids=["another attempt", "another run", "no record", "nothing"],
)
def test_a_delivery_that_is_not_the_runs_record_is_refused(delivered, carry_out, store):
    with pytest.raises(IntegrityError):
        carry_out(lambda task: ("a", delivered(task.job)))

    assert [] == states(store)


def test_a_full_disk_when_a_record_comes_back_is_said_and_tears_nothing(carry_out, store, monkeypatch):
    def script(task):
        monkeypatch.setattr(disk, "os", FaultyOs(1, persistent=True))
        return well(task)

    with pytest.raises(EnvironmentMissingError, match="cannot be kept: No space left on device") as raised:
        carry_out(script)
    monkeypatch.setattr(disk, "os", os)

    assert (5, []) == (raised.value.exit_code, list(store.folder.iterdir()))


@pytest.mark.parametrize(
    ("is_back", "disk_is_full", "left"),
    [(True, False, [(1, "interrupted")]), (False, False, []), (True, True, [])],
    ids=["records come back", "a node hangs", "the disk is full"],
)
def test_an_interrupt_ends_the_command_whatever_comes_back(is_back, disk_is_full, left, carry_out, store, monkeypatch):
    """And keeps the record of a run that had begun."""

    def interrupt(task):
        if not task.was_cancelled and len(carry_out.ray.sent) == 4:
            raise KeyboardInterrupt
        return PENDING

    def end(task):
        if disk_is_full:
            monkeypatch.setattr(disk, "os", FaultyOs(1, persistent=True))
        if task is carry_out.ray.sent[0]:
            return ("a", delivery_of(task.job, "interrupted")) if is_back else PENDING
        return RayError("had not begun")

    with pytest.raises(KeyboardInterrupt):
        carry_out(interrupt, seeds=2, at_cancel=end)
    monkeypatch.setattr(disk, "os", os)

    assert [True] * 4 == [task.was_cancelled for task in carry_out.ray.sent]
    assert (left, disk_is_full) == (states(store), told(carry_out, "cannot be kept: No space left on device") == 1)


@pytest.mark.parametrize(
    ("address", "asked", "words"),
    [
        ("auto", ["auto"], r"no cluster answers at auto: nobody there\n  next: start one"),
        ("127.0.0.1:1", [], r"no cluster answers at 127\.0\.0\.1:1: "),  # Ray itself would try for minutes
    ],
)
def test_a_cluster_that_does_not_answer_is_said_with_the_way_to_start_one(address, asked, words, monkeypatch):
    tried = []

    def init(address, **_):
        tried.append(address)
        raise ConnectionError("nobody there\nand more")

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False, init=init))
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(EnvironmentMissingError, match=words):
        ray_engine.connected()

    assert asked == tried
