"""The Slurm engine without Slurm: jobs that end as a test says."""

import json
import sys
from types import SimpleNamespace

import pytest
from fakes.jobs import ON_GPU, TOML, Quiet, jobs_of, problem, record_of

from resnet18.execution import slurm_engine
from resnet18.execution.attempt import run_lock
from resnet18.execution.cluster import Resources, carry_out_here, connect, problem_path
from resnet18.execution.job import Job
from resnet18.execution.slurm_engine import LAG_S, LOOK_S, SlurmEngine
from resnet18.records import disk
from resnet18.spec.errors import EnvironmentMissingError, LockedError, SpecError, SuiteError

PART = Resources(cpus=1)
BOTH = ON_GPU.replace('device = "cuda"', 'device = "cpu"', 1)


class FakeSlurm:
    """Stands for `submit`, `queued` and `answer` of the engine, and for the time: it passes where the engine sleeps.

    Args:
        begins: called with each job when its array is submitted; what it returns is the task's state, "" for gone.
    """

    def __init__(self, begins=lambda job: ""):
        self.begins, self.slept = begins, lambda: None  # called whenever the engine sleeps: what happens meanwhile
        self.now_s, self.is_silent = 1000.0, False
        self.arrays, self.tasks = [], {}

    def submit(self, folder, texts, wanted, at_once):
        jobs = [Job.model_validate_json(text) for text in texts]
        written = json.loads((folder / "array.json").read_text())
        assert written == [job.run.run_id for job in jobs], "what an array holds is not written before it is submitted"
        self.arrays.append(SimpleNamespace(name=folder.name, jobs=jobs, wanted=wanted, at_once=at_once))
        for index, job in enumerate(jobs):
            if state := self.begins(job):
                self.tasks[folder.name, index] = state

    def queued(self, arrays):
        if arrays and self.is_silent:
            raise EnvironmentMissingError("--engine slurm", "squeue: Socket timed out")
        return {key for key, state in self.tasks.items() if key[0] in arrays and state != "CG"}

    def answer(self, command):
        if self.is_silent:
            raise EnvironmentMissingError("--engine slurm", f"{command[0]}: no answer")

    def end(self, leave):
        """Let the jobs of the first array leave something, and forget all tasks."""
        for job in self.arrays[0].jobs if self.tasks else ():
            leave(job)
        self.tasks.clear()

    def monotonic(self):
        return self.now_s

    def sleep(self, seconds):
        assert self.now_s < 100_000, "the engine waits for ever"
        self.now_s += seconds
        self.slept()


@pytest.fixture
def start(tmp_path, store, monkeypatch):
    """Carry runs out under a Slurm that is not there; returns how they stand."""
    monkeypatch.setitem(sys.modules, "submitit", SimpleNamespace())
    monkeypatch.setattr(slurm_engine, "most_gpus", lambda: 0)

    def run(slurm, text=TOML, seeds=1, resources=PART, at_once=None):
        for name in ("submit", "queued", "answer"):
            monkeypatch.setattr(slurm_engine, name, getattr(slurm, name))
        monkeypatch.setattr(slurm_engine, "time", SimpleNamespace(monotonic=slurm.monotonic, sleep=slurm.sleep))
        run.progress = Quiet()
        finished = SlurmEngine(resources, at_once).carry_out(jobs_of(tmp_path, text, seeds), run.progress)
        return [one.status for one in finished]

    return run


@pytest.fixture
def leave(store):
    """What a job does that ends with a record, and what Slurm knows of it then."""

    def end(job, status="ok", **changes):
        store.save(record_of(job, status, **changes))
        return ""

    return end


def test_runs_that_need_the_same_are_one_array_and_done_when_their_records_are_there(start, leave):
    slurm = FakeSlurm(leave)

    assert ["ok"] * 6 == start(slurm, BOTH, seeds=3, at_once=2)
    assert [(3, Resources(1, 0.0), 2), (3, Resources(1, 1.0), 2)] == [
        (len(array.jobs), array.wanted, array.at_once) for array in slurm.arrays
    ]


def test_an_interrupted_record_ends_the_wait_only_when_slurm_forgets_the_task(start, leave):
    slurm = FakeSlurm(lambda job: leave(job, "interrupted") or "PD")

    def go_on():
        if slurm.now_s > 1000 + 3 * LAG_S:
            slurm.end(lambda job: leave(job.model_copy(update={"attempt": 2})))

    slurm.slept = go_on

    assert ["ok", "ok"] == start(slurm)
    assert ["interrupted"] * 2 == start(FakeSlurm(lambda job: leave(job, "interrupted")))


def test_a_run_that_another_process_carries_out_is_left_to_it_and_one_that_left_nothing_is_recorded(
    start, store, tmp_path
):
    slurm = FakeSlurm()
    with run_lock(store.results, jobs_of(tmp_path)[0].run.run_id):
        assert [None, "crashed"] == start(slurm)
    assert LAG_S < slurm.now_s - 1000 < LAG_S + 3 * LOOK_S


def test_what_a_node_found_is_the_commands_error_but_not_what_was_found_long_ago(start, store, tmp_path):
    def fail(job):
        problem_path(job).parent.mkdir(exist_ok=True)
        problem_path(job).write_text(problem(), encoding="utf-8")
        return ""

    for job in jobs_of(tmp_path):
        fail(job)
    assert ["crashed"] * 2 == start(FakeSlurm())
    with pytest.raises(SuiteError, match="node x: is full") as raised:
        start(FakeSlurm(fail))

    assert 5 == raised.value.exit_code


def test_a_slurm_that_does_not_answer_is_said_and_waited_out(start, leave):
    slurm = FakeSlurm(lambda job: "R")

    def meanwhile():
        slurm.is_silent = slurm.now_s < 1000 + 3 * LOOK_S
        slurm.end(leave)

    slurm.slept = meanwhile

    assert ["ok", "ok"] == start(slurm)
    assert "squeue: Socket timed out; asking again" in start.progress.lines


def test_an_interrupt_that_slurm_does_not_answer_names_every_array_that_goes_on(start):
    slurm = FakeSlurm(lambda job: "R")

    def interrupt():
        slurm.is_silent = True
        raise KeyboardInterrupt

    slurm.slept = interrupt
    with pytest.raises(KeyboardInterrupt):
        start(slurm, BOTH)

    assert [f"scancel: no answer; {name} goes on" for name in sorted(array.name for array in slurm.arrays)] == (
        start.progress.lines[-2:]
    )


@pytest.mark.parametrize("how", ["completing", "gone", "on its way out", "of other code"])
def test_what_ended_without_a_record_of_use_meanwhile_is_submitted_anew(how, start, leave, store):
    """A first command submitted it, and was ended as a lost terminal ends it."""
    slurm = FakeSlurm(lambda job: "R")
    slurm.slept = lambda: sys.exit(129)
    with pytest.raises(SystemExit):
        start(slurm)
    slurm.slept = lambda: None
    if how == "of other code":
        slurm.slept = lambda: slurm.end(lambda job: leave(job, code="0" * 64))
    elif how == "on its way out":
        slurm.slept = slurm.tasks.clear
    else:
        slurm.tasks = {key: "CG" for key in slurm.tasks if how == "completing"}
    slurm.begins, lost_s = leave, slurm.now_s

    assert ["ok", "ok"] == start(slurm)
    assert (slurm.now_s - lost_s > LAG_S) == (how == "on its way out"), "a record may be seen late"
    assert [2, 2] == [len(array.jobs) for array in slurm.arrays]
    left = {path.parent.name for path in (store.results / "slurm").glob("*/array.json")}
    assert slurm.arrays[1].name in left
    assert (how in {"on its way out", "of other code"}) == (slurm.arrays[0].name in left)


def test_a_second_runner_is_refused(start, leave, store):
    (store.results / "slurm").mkdir()
    held = disk.lock(store.results / "slurm" / "lock")
    with held, pytest.raises(LockedError, match="another runner waits") as raised:
        start(FakeSlurm(leave))

    assert 75 == raised.value.exit_code


@pytest.mark.parametrize(
    ("listed", "devices"),
    [
        ("gpu:nvidia_a100_3g.20gb:7", {"cpu": 1, "cuda": 7}),
        ("(null)\ngpu:2\nshard:64,gpu:v100:8(S:0-1)", {"cpu": 1, "cuda": 8}),
        ("gpu_mem:32000", {"cpu": 1}),
        ("vgpu:16", {"cpu": 1}),
        ("", {"cpu": 1}),
    ],
)
def test_the_devices_are_those_of_the_node_with_the_most(listed, devices, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", SimpleNamespace())
    monkeypatch.setattr(slurm_engine, "answer", lambda command: listed)

    assert devices == connect("slurm", Resources(), None).devices


@pytest.mark.parametrize(
    ("lines", "tasks"),
    [
        ("x|N/A|PD", {("x", 0)}),
        ("a warning\n\nx|2|R\nx|3|CG", {("x", 2)}),
    ],
)
def test_a_task_is_a_line_of_squeue(lines, tasks, monkeypatch):
    monkeypatch.setattr(slurm_engine, "answer", lambda command: lines)

    assert tasks == slurm_engine.queued(["x"])


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["sh", "-c", "echo 'slurm_load: no contact' >&2; echo more >&2; exit 1"], "sh: slurm_load: no contact"),
        (["sh", "-c", "exit 4"], "returned non-zero exit status 4"),
        (["sleep", "60"], "timed out after 0.5 seconds"),
        (["no-such-program"], "No such file or directory"),
    ],
)
def test_a_program_that_fails_is_quoted(command, words, monkeypatch):
    monkeypatch.setattr(slurm_engine, "ANSWER_LIMIT_S", 0.5)
    with pytest.raises(EnvironmentMissingError) as raised:
        slurm_engine.answer(command)

    assert (5, True) == (raised.value.exit_code, words in raised.value.what)


@pytest.fixture
def submit(tmp_path, monkeypatch):
    """Submit to a submitit that remembers; returns what it was told."""

    def call(wanted):
        told = {}

        def map_array(function, texts):
            told.update(function=function, texts=texts)

        executor = SimpleNamespace(update_parameters=lambda **parameters: told.update(parameters), map_array=map_array)
        monkeypatch.setitem(sys.modules, "submitit.core.utils", SimpleNamespace(FailedJobError=RuntimeError))
        monkeypatch.setitem(sys.modules, "submitit.slurm.slurm", SimpleNamespace(SlurmExecutor=lambda folder: executor))
        slurm_engine.submit(tmp_path / "x", ["{}"], wanted, 7)
        return told

    return call


@pytest.mark.parametrize(
    ("wanted", "asked", "threads"),
    [
        (Resources(gpus=0.0, whole=True), (True, None, None), "$SLURM_CPUS_ON_NODE"),
        (Resources(3, 0.0), (None, 3, None), "3"),
        (Resources(gpus=2.0), (None, None, 2), "$SLURM_CPUS_ON_NODE"),
    ],
    ids=["whole", "part", "GPU"],
)
def test_slurm_is_asked_for_what_the_runs_need(wanted, asked, threads, submit):
    told = submit(wanted)

    assert asked == tuple(told[key] for key in ("exclusive", "cpus_per_task", "gpus_per_node"))
    assert [f"export OMP_NUM_THREADS={threads}"] == told["setup"]
    assert {"requeue": True, "signal": "TERM@60"} == told["additional_parameters"]
    assert ("x", None, 7) == (told["job_name"], told["time"], told["array_parallelism"])
    assert (carry_out_here, ["{}"]) == (told["function"], told["texts"])


def test_a_part_of_a_gpu_is_refused(submit):
    with pytest.raises(SpecError, match=r"0\.5 GPUs: Slurm gives whole ones"):
        submit(Resources(gpus=0.5))
