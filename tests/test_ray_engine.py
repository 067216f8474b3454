"""The Ray engine without Ray: tasks that end as a script says. What Ray itself does, `make test-engines` sees."""

import os
from types import SimpleNamespace

import pytest
from fakes import ray_module
from fakes.ray_module import PENDING, FakeRay, node_row
from fakes.sessions import TIMED, TOML, delivery_of, make_runs, make_session, problem, record_of, states

from resnet18.execution.engines import ray_engine
from resnet18.execution.engines.engine import Resources
from resnet18.execution.engines.ray_engine import LOSSES, RayEngine
from resnet18.execution.lock import run_lock
from resnet18.execution.process import ReportedError
from resnet18.execution.runner import exit_code_of
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError

PART = Resources(cpus=1)


@pytest.fixture
def session(tmp_path):
    """What the runs share."""
    return make_session(tmp_path)


@pytest.fixture
def carry_out(tmp_path, session, monkeypatch):
    """Carry runs out on nodes that are not there; returns how they stand, and the module."""

    def run(script, *rows, text=TOML, seeds=1, resources=PART, at_once=None, **more):
        ray = FakeRay(script, list(rows or [node_row("a"), node_row("b")]), **more)
        run.ray = ray
        monkeypatch.setattr(ray_engine, "time", SimpleNamespace(monotonic=lambda: ray.now_s))
        runs = make_runs(tmp_path, text, seeds)
        with RayEngine(session, ray, resources, at_once) as engine:
            for one in runs:
                engine.submit(one)
            return [engine.wait() for _ in runs]

    return run


def well(task):
    return "a", delivery_of(task.job)


def all_free(session, runs):
    """Say whether nobody holds the lock of any of the runs."""
    for one in runs:
        with run_lock(session.store.results, one.run_id):
            pass
    return True


def all_but_first(outcome):
    """A script: the first task that is given out ends so, those after it well."""
    seen = []

    def script(task):
        seen.append(task)
        return outcome if len(seen) == 1 else well(task)

    return script


def test_records_that_come_back_are_in_the_store_with_their_logs(carry_out, session):
    """Each once; the locks are free."""
    finished = carry_out(well)

    assert [("ok", False)] * 2 == [(one.status, one.was_recorded) for one in finished]
    assert [(1, "ok")] * 2 == states(session)
    assert ["a word\n"] * 2 == [path.read_text() for path in session.store.logs.iterdir()]
    assert all_free(session, [one.run for one in finished])
    assert any("on address-a" in line for line in session.progress.lines)


def test_rays_own_retries_are_off(carry_out):
    """The runner gives out again, so that the user is told."""
    carry_out(well)

    assert [{"max_retries": 0, "max_calls": 0}] == carry_out.ray.declared


def test_a_task_asks_for_what_its_run_takes_and_has_as_many_threads(carry_out):
    """And says that it is not alone."""
    carry_out(well, resources=Resources(cpus=3))
    (task, _) = carry_out.ray.sent

    assert (3, 0.0, None) == tuple(task.options[key] for key in ("num_cpus", "num_gpus", "label_selector"))
    assert {"env_vars": {"OMP_NUM_THREADS": "3"}} == task.options["runtime_env"]
    assert not task.job.is_exclusive


@pytest.mark.parametrize(("text", "resources"), [(TIMED, PART), (TOML, Resources())], ids=["timed", "nothing said"])
def test_a_run_with_the_node_for_itself_does_not_say_otherwise(text, resources, carry_out):
    """It has all processors of the largest node."""
    carry_out(well, node_row("a", 4), node_row("b", 16), text=text, resources=resources)

    assert [(16, True)] * 2 == [(task.options["num_cpus"], task.job.is_exclusive) for task in carry_out.ray.sent]


def test_no_more_runs_are_out_than_may_be(carry_out):
    """`--jobs 2` of six."""
    most = []

    def script(task):
        out = [one for one in carry_out.ray.sent if one.outcome is PENDING]
        most.append(len(out))
        return well(task)

    carry_out(script, seeds=3, at_once=2)

    assert (6, 2) == (len(carry_out.ray.sent), max(most))


def test_a_lost_run_is_given_out_again_so_often_and_then_recorded(carry_out, session):
    """As crashed: whoever kills its process three times more will do so again."""
    finished = carry_out(lambda task: ray_module.WorkerCrashedError("gone") if task.label == "8/0" else well(task))
    record = next(one for one in session.store.read().records if one.status == "crashed")

    assert {"ok", "crashed"} == {one.status for one in finished}
    assert LOSSES + 1 == sum(task.label == "8/0" for task in carry_out.ray.sent)
    assert LOSSES == sum(
        "was lost (WorkerCrashedError), and is given out again" in one for one in session.progress.lines
    )
    assert f"its process or node was lost {LOSSES + 1} times (WorkerCrashedError)" == record.failure.message
    assert 3 == exit_code_of(tuple(finished))


def test_a_run_that_is_lost_once_keeps_its_attempt(carry_out, session):
    """Its checkpoint on that node is of the same attempt."""
    carry_out(all_but_first(ray_module.NodeDiedError("gone")))

    assert [1, 1, 1] == [task.job.attempt for task in carry_out.ray.sent]
    assert [(1, "ok")] * 2 == states(session)


def test_a_run_that_ray_ends_for_want_of_memory_is_recorded_as_that(carry_out, session):
    """Not given out again: the next node would have no more."""
    carry_out(all_but_first(ray_module.OutOfMemoryError("Task was killed due to low memory\nand a table")))

    assert [(1, "oom_host"), (1, "ok")] == sorted(states(session), reverse=True)
    assert 2 == len(carry_out.ray.sent)
    failed = next(one for one in session.store.read().records if one.status == "oom_host")
    assert "Ray ended the run: Task was killed due to low memory" == failed.failure.message


def test_a_node_with_a_problem_gets_no_more_runs(carry_out, session):
    """The run goes elsewhere, and whatever is given out after it too; the user is told once."""
    excluding = {"ray.io/node-id": "!in(a)"}

    def script(task):
        return ("b", delivery_of(task.job)) if task.options["label_selector"] else ("a", problem())

    finished = carry_out(script)

    assert ["ok", "ok"] == [one.status for one in finished]
    assert [None, None, excluding, excluding] == [task.options["label_selector"] for task in carry_out.ray.sent]
    assert 1 == sum("address-a gets no more runs: node x: is full" in line for line in session.progress.lines)


@pytest.mark.parametrize(("error", "code"), [(EnvironmentMissingError, 5), (IntegrityError, 4)])
def test_where_no_fit_node_is_left_the_problem_is_the_commands(error, code, carry_out, session, tmp_path):
    """With its exit code; the locks are free."""
    with pytest.raises(ReportedError, match="node x: other pixels") as raised:
        carry_out(lambda task: ("a", problem("other pixels", error)), node_row("a"))

    assert code == raised.value.exit_code
    assert [] == states(session)
    assert all_free(session, make_runs(tmp_path))


def test_an_exception_on_a_node_is_said_with_the_next_step(carry_out, session, tmp_path):
    """The package is missing there, or another."""
    with pytest.raises(EnvironmentMissingError) as raised:
        carry_out(
            lambda task: ray_module.RayTaskError("Traceback\n  File\nModuleNotFoundError: No module 'resnet18'\n")
        )

    assert "a node cannot carry runs out: ModuleNotFoundError: No module 'resnet18'" in str(raised.value)
    assert "install the same version of resnet18 on every node" == raised.value.next_step
    assert all_free(session, make_runs(tmp_path))


def test_a_run_that_another_runner_holds_is_left_to_it(carry_out, session, tmp_path):
    """Exit code 75 says that not all are there."""
    with run_lock(session.store.results, make_runs(tmp_path)[0].run_id):
        finished = carry_out(well)

    assert {None, "ok"} == {one.status for one in finished}
    assert 75 == exit_code_of(tuple(finished))
    assert any(f"left to process {os.getpid()}" in line for line in session.progress.lines)


def test_a_run_that_was_recorded_meanwhile_is_not_given_out(carry_out, session, tmp_path):
    """Between the look at the records and its turn."""
    before = make_runs(tmp_path)[0]
    session.store.save(record_of(ray_engine.job_of(before, session)))
    finished = carry_out(well)

    assert [True, False] == [one.was_recorded for one in finished]
    assert 1 == len(carry_out.ray.sent)
