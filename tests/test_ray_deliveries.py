"""What comes back to the Ray engine, at the end or at an interrupt, is kept whole or refused: without Ray."""

import os

import pytest
from fakes import ray_module
from fakes.disk import FaultyOs
from fakes.ray_module import PENDING
from fakes.sessions import delivery_of, make_runs, record_of, states
from test_ray_engine import all_free, carry_out, session, well

from resnet18.records import disk
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError

__all__ = ["carry_out", "session"]  # fixtures


def test_a_record_that_comes_back_a_second_time_is_stored_once(carry_out, session):
    """The first answer was lost on its way: the record that is there counts."""

    def script(task):
        if not session.store.attempts(record_of(task.job).run_id):
            session.store.save(record_of(task.job, "diverged"))  # by whoever else
        return well(task)

    finished = carry_out(script)

    assert ["diverged", "diverged"] == [one.status for one in finished]
    assert [(1, "diverged")] * 2 == states(session)


def another_attempt(task):
    return "a", delivery_of(task.job, attempt=2)


def another_run(task):
    job = task.job
    experiment = job.spec.experiment.model_copy(update={"seed": 77})
    return "a", delivery_of(job.model_copy(update={"spec": job.spec.model_copy(update={"experiment": experiment})}))


def no_record(task):
    return "a", '{"record": "{}"}'


def nothing(task):
    return "a", "{}"


@pytest.mark.parametrize("script", [another_attempt, another_run, no_record, nothing])
def test_a_delivery_that_is_not_the_runs_record_is_refused(script, carry_out, session, tmp_path):
    """Exit code 4; nothing of it is kept as a record, and the locks are free."""
    with pytest.raises(IntegrityError):
        carry_out(script)

    assert [] == states(session)
    assert all_free(session, make_runs(tmp_path))


def test_a_full_disk_when_a_record_comes_back_is_said_and_tears_nothing(carry_out, session, tmp_path, monkeypatch):
    """The same command goes on with what is missing; the locks are free, of the other runs too."""

    def script(task):
        monkeypatch.setattr(disk, "os", FaultyOs(1, persistent=True))
        return well(task)

    with pytest.raises(EnvironmentMissingError, match="cannot be kept: No space left on device") as raised:
        carry_out(script)
    monkeypatch.setattr(disk, "os", os)

    assert 5 == raised.value.exit_code
    assert [] == list(session.store.folder.iterdir())
    assert all_free(session, make_runs(tmp_path))


def test_an_interrupt_keeps_the_records_that_say_so_and_lets_go_of_all_locks(carry_out, session, tmp_path):
    """Of the runs that had begun; those that had not leave none."""

    def interrupt(task):
        if len(carry_out.ray.sent) == 4:
            raise KeyboardInterrupt
        return PENDING

    def end(task):
        has_begun = task.label == "8/0"
        return ("a", delivery_of(task.job, "interrupted")) if has_begun else ray_module.TaskCancelledError("early")

    with pytest.raises(KeyboardInterrupt):
        carry_out(interrupt, seeds=2, at_cancel=end)

    assert [True] * 4 == [task.was_cancelled for task in carry_out.ray.sent]
    assert [(1, "interrupted")] == states(session)
    assert all_free(session, make_runs(tmp_path, seeds=2))


def test_an_interrupt_does_not_wait_for_ever_for_a_node_that_hangs(carry_out, session, tmp_path):
    """A few seconds; the locks are free though the tasks have not ended."""

    def interrupt(task):
        if carry_out.ray.now_s > 1003:
            return PENDING
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(interrupt, at_cancel=lambda task: PENDING)

    assert all_free(session, make_runs(tmp_path))


def test_an_interrupt_on_a_full_disk_lets_go_of_all_locks(carry_out, session, tmp_path, monkeypatch):
    """What could not be kept is said, and the command ends as an interrupt does."""

    def end(task):
        monkeypatch.setattr(disk, "os", FaultyOs(1, persistent=True))
        return "a", delivery_of(task.job, "interrupted")

    def interrupt(task):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(interrupt, at_cancel=end)
    monkeypatch.setattr(disk, "os", os)

    assert 2 == sum("cannot be kept: No space left on device" in line for line in session.progress.lines)
    assert all_free(session, make_runs(tmp_path))
