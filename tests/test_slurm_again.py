"""Jobs of Slurm outlive their runner, unless Ctrl-C ends them, and the next command waits for them: without Slurm."""

import sys
from types import SimpleNamespace

import pytest
from fakes.sessions import ON_GPU, make_runs, states
from fakes.slurm import FakeSlurm
from test_slurm_engine import PART, gone, id_of, leave, problem_file, session, start, statuses

from resnet18.execution.engines import slurm_engine
from resnet18.execution.engines.slurm_engine import LAG_S
from resnet18.spec.errors import EnvironmentMissingError, LockedError

__all__ = ["leave", "session", "start"]  # fixtures


def lose_terminal(start, slurm):
    """A runner submits, and is ended as a lost terminal ends it."""
    slurm.slept = lambda: (_ for _ in ()).throw(SystemExit(129))
    with pytest.raises(SystemExit):
        start(slurm)
    slurm.slept = lambda: None


def test_a_lost_terminal_ends_no_job(start, session):
    """The user is told."""
    slurm = FakeSlurm(lambda job: "R")
    lose_terminal(start, slurm)

    assert [] == slurm.ended
    assert "the jobs stay in Slurm; the same command waits for them again" == session.progress.lines[-1]


def test_an_interrupt_ends_every_array(start, session):
    """Ctrl-C, and nothing but it."""
    slurm = FakeSlurm(lambda job: "R")
    slurm.slept = lambda: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        start(slurm, ON_GPU.replace('device = "cuda"', 'device = "cpu"', 1))

    assert sorted(array.name for array in slurm.arrays) == sorted(slurm.ended)
    assert 2 == len(slurm.ended)


def test_an_interrupt_is_one_though_slurm_does_not_answer(start, session):
    """Each array is tried, and each failure said: those jobs go on."""
    slurm = FakeSlurm(lambda job: "R")
    slurm.slept = lambda: (_ for _ in ()).throw(KeyboardInterrupt)

    def refuse(name):
        raise EnvironmentMissingError("--engine slurm", f"scancel: no answer for {name}")

    slurm.end = refuse
    with pytest.raises(KeyboardInterrupt):
        start(slurm, ON_GPU.replace('device = "cuda"', 'device = "cpu"', 1))

    assert 2 == sum("scancel: no answer" in line for line in session.progress.lines)


def test_what_is_in_the_queue_already_is_waited_for_and_not_submitted_again(start, leave, session):
    """By the same command, given again."""
    slurm = FakeSlurm(lambda job: "R")
    lose_terminal(start, slurm)
    slurm.slept = lambda: [leave(job) for job in slurm.arrays[0].jobs] if not states(session) else None
    finished = start(slurm)

    assert ["ok", "ok"] == statuses(finished)
    assert 1 == len(slurm.arrays)
    assert "2 runs are in Slurm already" in session.progress.lines


@pytest.mark.parametrize("state", ["CG", ""], ids=["completing", "gone"])
def test_what_ended_without_a_record_meanwhile_is_submitted_anew(state, start, leave, session):
    """Nobody waited for it; the old array is forgotten."""
    slurm = FakeSlurm(lambda job: "R")
    lose_terminal(start, slurm)
    slurm.tasks = {key: state for key in slurm.tasks if state}
    slurm.begins = leave
    start(slurm)

    assert [2, 2] == [len(array.jobs) for array in slurm.arrays]
    assert [f"{slurm.arrays[1].name}/array.json"] == [
        path.relative_to(session.store.results / "slurm").as_posix()
        for path in (session.store.results / "slurm").glob("*/array.json")
    ]


def test_what_was_on_its_way_out_is_submitted_anew(start, leave, session):
    """It was seen in the queue, and left it without a record."""
    slurm = FakeSlurm(lambda job: "R")
    lose_terminal(start, slurm)
    slurm.begins, slurm.slept = leave, slurm.tasks.clear
    finished = start(slurm)

    assert ["ok", "ok"] == statuses(finished)
    assert [2, 2] == [len(array.jobs) for array in slurm.arrays]


def test_what_is_submitted_anew_is_missed_no_sooner_than_before(start, leave, session):
    """The second job's record may take as long to be seen as the first one's."""
    slurm = FakeSlurm(lambda job: "R")
    lose_terminal(start, slurm)
    anew = []

    def begin(job):
        anew.append((job, slurm.now_s))
        return ""

    def meanwhile():
        slurm.tasks.clear()
        for job, begun_s in anew:
            if slurm.now_s - begun_s > LAG_S / 2 and not session.store.attempts(id_of(job)):
                leave(job)

    slurm.begins, slurm.slept = begin, meanwhile

    assert ["ok", "ok"] == statuses(start(slurm))


def test_by_a_record_of_other_code_a_run_of_an_earlier_command_is_not_done(start, leave, session):
    """The job was in the queue when the code was changed: the run is submitted anew."""
    slurm = FakeSlurm(lambda job: "R")
    lose_terminal(start, slurm)
    old = slurm.arrays[0].jobs
    slurm.begins = leave
    slurm.slept = lambda: [leave(job, code="0" * 64) for job in old] if not states(session) else None
    finished = start(slurm)

    assert ["ok", "ok"] == statuses(finished)
    assert [1, 1, 2, 2] == sorted(attempt for attempt, _ in states(session))


def test_what_a_node_found_long_ago_is_not_said_again(start, session, tmp_path):
    """It was mended; this job died of something else."""
    for run in make_runs(tmp_path):
        problem_file(session, run.run_id)

    assert ["crashed"] * 2 == statuses(start(FakeSlurm(gone)))


def test_a_second_runner_is_refused(session, monkeypatch):
    """Both would submit the same runs; exit code 75."""
    monkeypatch.setitem(sys.modules, "submitit", SimpleNamespace())
    monkeypatch.setattr(slurm_engine.slurm_queue, "most_gpus", lambda: 0)
    monkeypatch.setattr(slurm_engine.slurm_queue, "queued", lambda arrays: [])
    site = slurm_engine.connect(PART, None)
    with site.open(session), pytest.raises(LockedError, match="another runner waits") as raised, site.open(session):
        pass

    assert 75 == raised.value.exit_code
    with site.open(session):  # the first one let go
        pass
