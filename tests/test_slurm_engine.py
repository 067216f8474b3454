"""The Slurm engine without Slurm: jobs that end as a test says, programs that are shell scripts."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
from fakes.jobs import ON_GPU, TOML, Quiet, jobs_of, make_store, record_of, states
from fakes.slurm import FakeSlurm, programs
from filelock import FileLock

from resnet18.execution import slurm_engine
from resnet18.execution.attempt import run_lock
from resnet18.execution.cluster import Delivery, Resources, carry_out_here, connect
from resnet18.execution.slurm_engine import LAG_S, LOOK_S, SlurmEngine
from resnet18.spec.errors import EnvironmentMissingError, LockedError, SpecError, SuiteError

PART = Resources(cpus=1)
BOTH = ON_GPU.replace('device = "cuda"', 'device = "cpu"', 1)


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path)


@pytest.fixture
def progress():
    return Quiet()


@pytest.fixture
def start(tmp_path, store, progress, monkeypatch):
    """Carry runs out under a Slurm that is not there; returns how they stand."""
    monkeypatch.setitem(sys.modules, "submitit", SimpleNamespace())
    monkeypatch.setattr(slurm_engine, "most_gpus", lambda: 0)

    def run(slurm, text=TOML, seeds=1, resources=PART, at_once=None):
        for name in ("submit", "queued", "answer"):
            monkeypatch.setattr(slurm_engine, name, getattr(slurm, name))
        monkeypatch.setattr(slurm_engine, "time", SimpleNamespace(monotonic=slurm.monotonic, sleep=slurm.sleep))
        finished = SlurmEngine(resources, at_once).carry_out(jobs_of(tmp_path, text, seeds), progress)
        return [one.status for one in finished]

    return run


@pytest.fixture
def leave(store):
    """What a job does that ends with a record, and what Slurm knows of it then."""

    def end(job, status="ok", **changes):
        store.save(record_of(job, status, **changes))
        return ""

    return end


@pytest.fixture
def later(store, leave):
    """What lets the jobs of an array leave their records once so many seconds have passed."""

    def act(slurm, seconds, **changes):
        jobs = slurm.arrays[0].jobs
        if slurm.now_s >= 1000 + seconds and not states(store):
            for job in jobs:
                leave(job, **changes)
            slurm.tasks.clear()

    return act


def gone(job):
    return ""


def problem_file(store, run_id):
    path = store.results / "slurm" / f"{run_id}.problem"
    path.parent.mkdir(exist_ok=True)
    path.write_text(Delivery.of(EnvironmentMissingError("node x", "is full")).model_dump_json(), encoding="utf-8")
    return ""


def test_runs_that_need_the_same_are_one_array_and_done_when_their_records_are_there(start, leave):
    slurm = FakeSlurm(leave)

    assert ["ok"] * 6 == start(slurm, BOTH, seeds=3, at_once=2)
    assert [(3, Resources(1, 0.0), 2), (3, Resources(1, 1.0), 2)] == [
        (len(array.jobs), array.wanted, array.at_once) for array in slurm.arrays
    ]


def test_an_interrupted_record_ends_the_wait_only_when_slurm_forgets_the_task(start, leave, store):
    slurm = FakeSlurm(lambda job: leave(job, "interrupted") or "PD")

    def go_on():
        if slurm.now_s > 1000 + 3 * LAG_S:
            for job in slurm.arrays[0].jobs:
                leave(job.model_copy(update={"attempt": 2}))
            slurm.tasks.clear()

    slurm.slept = go_on

    assert ["ok", "ok"] == start(slurm)
    assert ["interrupted"] * 2 == start(FakeSlurm(lambda job: leave(job, "interrupted")))


def test_a_job_that_is_gone_without_a_record_is_recorded_with_the_place_of_its_output(start, leave, store):
    slurm = FakeSlurm(lambda job: gone(job) if job.run.experiment.batch_size == 8 else leave(job))

    assert ["ok", "crashed"] == start(slurm)
    (failed,) = (one.failure for one in store.read().records if one.failure)
    assert f"the job ended without a record; its output is in slurm/{slurm.arrays[0].name}" == failed.message
    assert LAG_S < slurm.now_s - 1000 < LAG_S + 3 * LOOK_S


def test_a_run_that_another_process_carries_out_is_left_to_it(start, store, tmp_path):
    with run_lock(store.results, jobs_of(tmp_path)[0].run.run_id):
        assert [None, "crashed"] == start(FakeSlurm(gone))


def test_what_a_node_found_is_the_commands_error_but_not_what_was_found_long_ago(start, store, tmp_path):
    for job in jobs_of(tmp_path):
        problem_file(store, job.run.run_id)
    assert ["crashed"] * 2 == start(FakeSlurm(gone))
    with pytest.raises(SuiteError, match="node x: is full") as raised:
        start(FakeSlurm(lambda job: problem_file(store, job.run.run_id)))

    assert 5 == raised.value.exit_code
    assert [(1, "crashed")] * 2 == states(store)


def test_a_slurm_that_does_not_answer_is_said_and_waited_out(start, later, progress):
    slurm = FakeSlurm(lambda job: "R")

    def meanwhile():
        slurm.is_silent = slurm.now_s < 1000 + 3 * LOOK_S
        later(slurm, 0)

    slurm.slept = meanwhile

    assert ["ok", "ok"] == start(slurm)
    assert "squeue: Socket timed out; asking again" in progress.lines


def lose_terminal(start, slurm):
    """A command submits, and is ended as a lost terminal ends it."""
    slurm.slept = lambda: (_ for _ in ()).throw(SystemExit(129))
    with pytest.raises(SystemExit):
        start(slurm)
    slurm.slept = lambda: None


def test_jobs_outlive_a_lost_terminal_and_are_waited_for_again(start, later, progress):
    slurm = FakeSlurm(lambda job: "R")
    lose_terminal(start, slurm)
    said = progress.lines[-1]
    slurm.slept = lambda: later(slurm, 0)

    assert "the jobs stay in Slurm; the same command waits for them again" == said
    assert (["ok", "ok"], 1, []) == (start(slurm), len(slurm.arrays), slurm.ended)
    assert "2 runs are in Slurm already" in progress.lines


@pytest.mark.parametrize("is_silent", [False, True])
def test_an_interrupt_ends_every_array(is_silent, start, progress):
    slurm = FakeSlurm(lambda job: "R")

    def interrupt():
        slurm.is_silent = is_silent
        raise KeyboardInterrupt

    slurm.slept = interrupt
    with pytest.raises(KeyboardInterrupt):
        start(slurm, BOTH)

    assert (0 if is_silent else 2) == len(slurm.ended)
    assert (2 if is_silent else 0) == sum("scancel: no answer" in line for line in progress.lines)


@pytest.mark.parametrize("how", ["completing", "gone", "on its way out"])
def test_what_ended_without_a_record_meanwhile_is_submitted_anew(how, start, leave, store):
    slurm = FakeSlurm(lambda job: "R")
    lose_terminal(start, slurm)
    if how == "on its way out":
        slurm.slept = slurm.tasks.clear
    else:
        slurm.tasks = {key: "CG" for key in slurm.tasks if how == "completing"}
    slurm.begins = leave

    assert ["ok", "ok"] == start(slurm)
    assert [2, 2] == [len(array.jobs) for array in slurm.arrays]
    left = {path.parent.name for path in (store.results / "slurm").glob("*/array.json")}
    assert slurm.arrays[1].name in left
    assert (how == "on its way out") == (slurm.arrays[0].name in left)


def test_by_a_record_of_other_code_a_run_of_an_earlier_command_is_not_done(start, leave, later, store):
    slurm = FakeSlurm(lambda job: "R")
    lose_terminal(start, slurm)
    slurm.begins = leave
    slurm.slept = lambda: later(slurm, 0, code="0" * 64)

    assert ["ok", "ok"] == start(slurm)
    assert [1, 1, 2, 2] == sorted(attempt for attempt, _ in states(store))


def test_a_second_runner_is_refused(start, leave, store):
    (store.results / "slurm").mkdir()
    with FileLock(store.results / "slurm" / "lock"), pytest.raises(LockedError, match="another runner waits") as raised:
        start(FakeSlurm(leave))

    assert 75 == raised.value.exit_code
    assert ["ok", "ok"] == start(FakeSlurm(leave))


@pytest.fixture
def scripts(tmp_path, monkeypatch):
    """Put programs on the PATH that do what their scripts say."""
    folder = tmp_path / "bin"
    folder.mkdir()
    return lambda **scripts: monkeypatch.setenv("PATH", programs(folder, **scripts))


@pytest.mark.parametrize(
    ("listed", "devices"),
    [
        ("gpu:4", {"cpu": 1, "cuda": 4}),
        ("gpu:a100:4(S:0-1)", {"cpu": 1, "cuda": 4}),
        ("gpu:nvidia_a100_3g.20gb:7", {"cpu": 1, "cuda": 7}),
        ("(null)", {"cpu": 1}),
        ("", {"cpu": 1}),
        ("(null)\ngpu:2\nshard:64,gpu:v100:8(S:0)", {"cpu": 1, "cuda": 8}),
        ("gpu_mem:32000", {"cpu": 1}),
        ("vgpu:16", {"cpu": 1}),
    ],
)
def test_the_devices_are_those_of_the_node_with_the_most(listed, devices, scripts, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", ModuleType("submitit"))
    scripts(sinfo=f"cat <<'END'\n{listed}\nEND")

    assert devices == connect("slurm", Resources(), None).devices


@pytest.mark.parametrize(
    ("line", "tasks"),
    [
        ("x|3|R", {("x", 3)}),
        ("x|N/A|PD", {("x", 0)}),
        ("a warning\n\nx|2|PD", {("x", 2)}),
        ("x|3|CG", set()),
    ],
)
def test_a_task_is_a_line_of_squeue(line, tasks, scripts):
    scripts(squeue=f"cat <<'END'\n{line}\nEND")

    assert tasks == slurm_engine.queued(["x"])


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'slurm_load: no contact' >&2; echo more >&2; exit 1", "sinfo: slurm_load: no contact"),
        ("exit 4", "returned non-zero exit status 4"),
        ("exec sleep 60", "timed out after 0.5 seconds"),
        (None, "No such file or directory"),
    ],
)
def test_a_program_that_fails_is_quoted(script, words, scripts, monkeypatch):
    monkeypatch.setattr(slurm_engine, "ANSWER_LIMIT_S", 0.5)
    scripts(**({"sinfo": script} if script else {}))
    with pytest.raises(EnvironmentMissingError) as raised:
        slurm_engine.most_gpus()

    assert (5, True) == (raised.value.exit_code, words in raised.value.what)


@pytest.fixture
def submitit(monkeypatch):
    """A submitit that remembers; returns what it was told, and what `map_array` is to raise."""
    told = {"raises": None}

    class SlurmExecutor:
        def __init__(self, folder):
            told["folder"] = folder

        def update_parameters(self, **parameters):
            told.update(parameters)

        def map_array(self, function, texts):
            told.update(function=function, texts=texts)
            if told["raises"]:
                raise told["raises"]

    names = ("submitit", "submitit.core", "submitit.core.utils", "submitit.slurm", "submitit.slurm.slurm")
    modules = {name: ModuleType(name) for name in names}
    modules["submitit.core.utils"].FailedJobError = type("FailedJobError", (Exception,), {})
    modules["submitit.slurm.slurm"].SlurmExecutor = SlurmExecutor
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return told


def submit(tmp_path, wanted=PART):
    slurm_engine.submit(tmp_path / "x", ["{}"], wanted, 7)


@pytest.mark.parametrize(
    ("wanted", "told", "threads"),
    [
        (Resources(gpus=0.0, whole=True), (True, None, None), "$SLURM_CPUS_ON_NODE"),
        (Resources(3, 0.0), (None, 3, None), "3"),
        (Resources(gpus=2.0), (None, None, 2), "$SLURM_CPUS_ON_NODE"),
    ],
    ids=["whole", "part", "GPU"],
)
def test_slurm_is_asked_for_what_the_runs_need(wanted, told, threads, submitit, tmp_path):
    submit(tmp_path, wanted)

    assert told == tuple(submitit[key] for key in ("exclusive", "cpus_per_task", "gpus_per_node"))
    assert [f"export OMP_NUM_THREADS={threads}"] == submitit["setup"]
    assert {"requeue": True, "signal": "TERM@60"} == submitit["additional_parameters"]
    assert ("x", None, 7) == (submitit["job_name"], submitit["time"], submitit["array_parallelism"])
    assert (carry_out_here, ["{}"]) == (submitit["function"], submitit["texts"])


def test_a_part_of_a_gpu_is_refused(submitit, tmp_path):
    with pytest.raises(SpecError, match=r"0\.5 GPUs: Slurm gives whole ones"):
        submit(tmp_path, Resources(gpus=0.5))

    assert "texts" not in submitit


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        ("FailedJobError", "sbatch: error: a\nsbatch: error: Invalid account", "sbatch: error: Invalid account"),
        (OSError, "sbatch: not found", "sbatch: not found"),
        (RuntimeError, " ", "RuntimeError"),
    ],
)
def test_an_array_that_is_refused_is_said_in_slurms_words(kind, text, words, submitit, tmp_path):
    kind = getattr(sys.modules["submitit.core.utils"], kind) if isinstance(kind, str) else kind
    submitit["raises"] = kind(text)
    with pytest.raises(EnvironmentMissingError) as raised:
        submit(tmp_path)

    assert f"the jobs cannot be submitted: {words}" == raised.value.what
