"""The Slurm engine without Slurm: jobs that end as a test says, and a clock that only the engine's sleep moves."""

import json
from types import SimpleNamespace

import pytest
from fakes.sessions import ON_GPU, TIMED, TOML, make_runs, make_session, record_of, states
from fakes.slurm import FakeSlurm

from resnet18.execution.attempt import job_of
from resnet18.execution.engines import slurm_engine
from resnet18.execution.engines.engine import Needs, Resources
from resnet18.execution.engines.slurm_engine import ASK_S, LAG_S, SlurmEngine
from resnet18.execution.job import Problem
from resnet18.execution.lock import run_lock
from resnet18.execution.process import ReportedError
from resnet18.spec.errors import EnvironmentMissingError
from resnet18.spec.identity import run_id

PART = Resources(cpus=1)


@pytest.fixture
def session(tmp_path):
    """What the runs share."""
    return make_session(tmp_path)


@pytest.fixture
def start(tmp_path, session, monkeypatch):
    """Carry runs out under a Slurm that is not there; returns how they stand."""

    def run(slurm, text=TOML, seeds=1, resources=PART, at_once=None, *, has_gpus=False):
        for name in ("submit", "queued", "end"):
            monkeypatch.setattr(slurm_engine.slurm_queue, name, getattr(slurm, name))
        monkeypatch.setattr(slurm_engine, "time", SimpleNamespace(monotonic=slurm.monotonic, sleep=slurm.sleep))
        runs = make_runs(tmp_path, text, seeds)
        with SlurmEngine(session, resources, at_once, has_gpus=has_gpus) as engine:
            for one in runs:
                engine.submit(one)
            return [engine.wait() for _ in runs]

    return run


@pytest.fixture
def leave(session):
    """What a job does that ends with a record, and what Slurm knows of it then."""

    def end(job, status="ok", **changes):
        session.store.save(record_of(job, status, **changes))
        return ""

    return end


def gone(job):
    return ""


def statuses(finished):
    return [one.status for one in finished]


def problem_file(session, run, what="is full"):
    path = session.store.results / "slurm" / f"{run}.problem"
    path.parent.mkdir(exist_ok=True)
    path.write_text(Problem.of(EnvironmentMissingError("node x", what)).model_dump_json(), encoding="utf-8")
    return path


def id_of(job):
    return run_id(job.spec.experiment, job.spec.execution)


def test_runs_are_done_when_their_records_are_there(start, leave, session):
    """Whatever Slurm knows by then."""
    finished = start(FakeSlurm(leave))

    assert ["ok", "ok"] == statuses(finished)
    assert [False, False] == [one.was_recorded for one in finished]


def test_runs_that_need_the_same_are_one_array(start, leave):
    """What needs a GPU is another one."""
    slurm = FakeSlurm(leave)
    text = TOML.replace(
        "experiment = { batch_size = 8 }", 'execution = { device = "cuda" }\nexperiment = { batch_size = 8 }'
    )
    start(slurm, text, seeds=3, at_once=2)

    assert [(3, Needs(whole=False, cpus=1, gpus=1), 2), (3, Needs(whole=False, cpus=1, gpus=0), 2)] == [
        (len(array.jobs), array.wanted, array.at_once) for array in slurm.arrays
    ]


def test_no_array_is_larger_than_slurm_takes(start, leave, monkeypatch):
    """Five runs in arrays of two at most."""
    monkeypatch.setattr(slurm_engine, "LARGEST_ARRAY", 2)
    slurm = FakeSlurm(leave)
    start(slurm, TOML[: TOML.index('[[case]]\nname = "16"')], seeds=5)

    assert [2, 2, 1] == [len(array.jobs) for array in slurm.arrays]
    assert 3 == len({array.name for array in slurm.arrays})


@pytest.mark.parametrize(
    ("text", "resources", "alone"),
    [(TOML, PART, False), (TOML, Resources(), True), (TIMED, PART, True), (ON_GPU, Resources(), False)],
)
def test_jobs_say_whether_they_have_the_node_for_themselves(text, resources, alone, start, leave):
    """As they asked for."""
    slurm = FakeSlurm(leave)
    start(slurm, text, resources=resources)

    assert {(alone, alone)} == {(one.wanted.whole, job.is_exclusive) for one in slurm.arrays for job in one.jobs}


def test_what_an_array_holds_is_written_before_it_is_submitted(start, leave, session):
    """A runner that dies in between has submitted nothing that nobody knows of."""
    seen = []

    class Looking(FakeSlurm):
        def submit(self, folder, *rest):
            seen.append(json.loads((folder / "array.json").read_text()))
            super().submit(folder, *rest)

    slurm = Looking(leave)
    start(slurm)

    assert [{"name": slurm.arrays[0].name, "run_ids": [id_of(job) for job in slurm.arrays[0].jobs]}] == seen


def test_an_interrupted_record_does_not_end_the_wait_while_slurm_knows_the_task(start, leave, session):
    """Its node was taken for another's job, say: Slurm begins it again."""
    slurm = FakeSlurm(lambda job: leave(job, "interrupted") or "PD")

    def go_on():
        if slurm.now_s > 1000 + 3 * LAG_S:
            for job in slurm.arrays[0].jobs:
                if session.store.attempts(id_of(job)) == 1:
                    leave(job.model_copy(update={"attempt": 2}))

    slurm.slept = go_on

    assert ["ok", "ok"] == statuses(start(slurm))


def test_an_interrupted_record_ends_the_wait_when_slurm_forgets_the_task(start, leave):
    """The job's time was over."""
    assert ["interrupted"] * 2 == statuses(start(FakeSlurm(lambda job: leave(job, "interrupted"))))


def test_a_record_of_an_earlier_attempt_ends_no_wait(start, leave, session, tmp_path):
    """It crashed once; this command tries again."""
    for run in make_runs(tmp_path):
        leave(job_of(run, session), "crashed")

    assert ["ok", "ok"] == statuses(start(FakeSlurm(leave)))
    assert [(1, "crashed"), (2, "ok")] * 2 == states(session)


def test_a_job_that_is_gone_without_a_record_is_recorded_with_its_last_words(start, leave, session):
    """Not before a record could have been seen; without the place where they were said."""
    slurm = FakeSlurm(lambda job: gone(job) if job.spec.experiment.batch_size == 8 else leave(job))

    def speak():
        (slurm.arrays[0].folder / "7_0_0_log.err").write_text("a line\nslurmstepd: /srv/lab/run.sh: Killed\n")

    slurm.slept = speak
    finished = start(slurm)
    record = next(one for one in session.store.read().records if one.status == "crashed")

    assert ["ok", "crashed"] == statuses(finished)
    assert "the job ended without a record: slurmstepd: …/run.sh: Killed" == record.failure.message
    assert LAG_S < slurm.now_s - 1000 < LAG_S + 3 * ASK_S


def test_a_run_that_another_process_carries_out_is_left_to_it(start, session, tmp_path):
    """Its job is gone from Slurm, and it goes on."""
    with run_lock(session.store.results, make_runs(tmp_path)[0].run_id):
        finished = start(FakeSlurm(gone))

    assert [None, "crashed"] == statuses(finished)


def test_what_a_node_found_is_the_commands_error(start, session):
    """With its exit code."""
    slurm = FakeSlurm(lambda job: problem_file(session, id_of(job)) and "")
    with pytest.raises(ReportedError, match="node x: is full") as raised:
        start(slurm)

    assert 5 == raised.value.exit_code
    assert [] == states(session)


def test_a_slurm_that_does_not_answer_is_said_and_waited_out(start, leave, session):
    """The records may come all the same."""
    slurm = FakeSlurm(lambda job: "R", is_silent=True)

    def meanwhile():
        if slurm.now_s > 1000 + 3 * ASK_S and not states(session):
            for job in slurm.arrays[0].jobs:
                leave(job)

    slurm.slept = meanwhile

    assert ["ok", "ok"] == statuses(start(slurm))
    assert "squeue: Socket timed out; waiting for the records all the same" in session.progress.lines


def test_why_runs_wait_is_said_once(start, leave, session):
    """And again when the reason is another; that others come first is no reason."""
    slurm = FakeSlurm(lambda job: "PD")
    reasons = {0: "Priority", 30: "Resources", 60: "ReqNodeNotAvail", 90: "None"}

    def meanwhile():
        for after_s, reason in reasons.items():
            if slurm.now_s >= 1000 + after_s:
                slurm.reason = reason
        if slurm.now_s > 1120 and not states(session):
            for job in slurm.arrays[0].jobs:
                leave(job)

    slurm.slept = meanwhile
    start(slurm)

    said = [line for line in session.progress.lines if "wait in Slurm" in line]
    assert ["2 runs wait in Slurm: Resources", "2 runs wait in Slurm: ReqNodeNotAvail"] == said


def test_slurm_is_not_asked_more_often_than_it_is_fair(start, leave, session):
    """It has others to serve."""
    slurm = FakeSlurm(lambda job: "R")
    slurm.slept = lambda: [leave(job) for job in slurm.arrays[0].jobs] if slurm.now_s == 1600 else None
    start(slurm)

    assert slurm.asked <= 2 + 600 / ASK_S


def test_a_record_that_is_not_whole_yet_is_looked_at_again(start, leave, session):
    """Another node's file, of which this one has not seen all."""
    paths = []

    def torn(job):
        leave(job)
        path = session.store.folder / f"{id_of(job)}.1.json"
        paths.append((path, path.read_bytes()))
        path.write_bytes(b"{")
        return "R"

    slurm = FakeSlurm(torn)
    slurm.slept = lambda: [path.write_bytes(content) for path, content in paths]

    assert ["ok", "ok"] == statuses(start(slurm))
