"""What a job of Slurm does, in the results directory that all nodes share."""

import multiprocessing
import os
import signal

import pytest
from fakes.sessions import make_runs, make_session, record_of, states
from test_node import origin

from resnet18.execution import process
from resnet18.execution.attempt import job_of
from resnet18.execution.engines import remote_worker as node
from resnet18.execution.engines.remote_worker import ENDINGS, carry_out_here
from resnet18.execution.job import Problem
from resnet18.execution.lock import run_lock
from resnet18.records.checkpoints import Checkpoints
from resnet18.spec.errors import EnvironmentMissingError
from resnet18.spec.identity import run_id

__all__ = ["origin"]  # a fixture


@pytest.fixture(autouse=True)
def handlers():
    """Leave the signals as they were."""
    before = {number: signal.getsignal(number) for number in ENDINGS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def session(tmp_path, origin):
    """A results directory, with the code and the data that are here."""
    return make_session(tmp_path, origin)


@pytest.fixture
def job(tmp_path, session):
    """The first attempt at a tiny run."""
    (session.store.results / "slurm").mkdir()
    return job_of(make_runs(tmp_path)[0], session)


def carry_out(job):
    carry_out_here(job.model_dump_json())


def problem_of(session, job):
    path = session.store.results / "slurm" / f"{run_id(job.spec.experiment, job.spec.execution)}.problem"
    return Problem.model_validate_json(path.read_bytes()) if path.exists() else None


def longer(job, epochs):
    experiment = job.spec.experiment.model_copy(update={"epochs": epochs})
    return job.model_copy(update={"spec": job.spec.model_copy(update={"experiment": experiment})})


def test_a_run_leaves_its_record_in_the_results(job, session):
    """Really; no problem, and the lock is free."""
    carry_out(job)

    assert [(1, "ok")] == states(session)
    assert problem_of(session, job) is None
    with run_lock(session.store.results, run_id(job.spec.experiment, job.spec.execution)):
        pass


def test_it_takes_the_next_number_whatever_it_was_told(job, session):
    """A job that Slurm began again finds what the first one left."""
    session.store.save(record_of(job, "interrupted"))
    carry_out(job)

    assert [(1, "interrupted"), (2, "ok")] == states(session)


@pytest.mark.parametrize(("changes", "keep_stale"), [({}, False), ({"code": "0" * 64}, True)], ids=["fresh", "stale"])
def test_where_the_run_is_done_it_does_nothing(changes, keep_stale, job, session, monkeypatch):
    """Slurm began it again though it was done, or the user keeps what is stale."""
    session.store.save(record_of(job, **changes))
    monkeypatch.setattr(node, "attend", lambda *_: 1 / 0)
    carry_out(job.model_copy(update={"keep_stale": keep_stale}))

    assert [(1, "ok")] == states(session)


def test_a_node_with_other_code_leaves_a_problem_and_no_record(job, session):
    """The runner says it."""
    carry_out(job.model_copy(update={"identity": job.identity.model_copy(update={"code_hash": "0" * 64})}))

    assert [] == states(session)
    assert (5, "has another version of resnet18") == (problem_of(session, job).exit_code, problem_of(session, job).what)


def test_a_problem_that_was_mended_is_removed(job, session):
    """By the next job that finds its node fit."""
    other = job.model_copy(update={"identity": job.identity.model_copy(update={"code_hash": "0" * 64})})
    carry_out(other)
    carry_out(job)

    assert problem_of(session, job) is None


@pytest.mark.parametrize("number", ENDINGS, ids=str)
def test_a_signal_of_slurm_ends_it_with_a_checkpoint_and_a_record(number, job, session, monkeypatch):
    """Before the time is over, or when somebody else needs the node; begun again, it goes on from there."""
    original = process.run

    def run(job, log, on_message):
        def listen(message):
            if message.epoch is not None:
                os.kill(os.getpid(), number)
            on_message(message)

        return original(job, log, listen)

    long = longer(job, 2000)
    monkeypatch.setattr(process, "run", run)
    with pytest.raises(SystemExit) as raised:
        carry_out(long)

    assert 128 + number == raised.value.code
    assert [(1, "interrupted")] == states(session)
    assert Checkpoints(session.store.results, run_id(long.spec.experiment, long.spec.execution)).files()
    assert [] == multiprocessing.active_children()


def test_a_run_that_goes_on_elsewhere_is_no_second_time_begun(job, session, monkeypatch):
    """Slurm thought its node dead; after a minute the second job ends with a word."""
    monkeypatch.setattr(node, "TAKEN_LIMIT_S", -1.0)
    with (
        run_lock(session.store.results, run_id(job.spec.experiment, job.spec.execution)),
        pytest.raises(EnvironmentMissingError, match=f"carries the run out already: process {os.getpid()}"),
    ):
        carry_out(job)

    assert [] == states(session)
