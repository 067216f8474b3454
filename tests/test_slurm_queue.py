"""What Slurm's programs answer, and how an array is submitted: shell scripts, and a stand-in for submitit."""

import sys
from types import ModuleType

import pytest
from fakes.slurm import programs

from resnet18.execution.engines import slurm_queue
from resnet18.execution.engines.engine import Needs
from resnet18.execution.engines.remote_worker import carry_out_here
from resnet18.execution.engines.slurm_queue import Queued
from resnet18.spec.errors import EnvironmentMissingError, SpecError


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Put programs on the PATH that do what their scripts say."""
    folder = tmp_path / "bin"
    folder.mkdir()
    return lambda **scripts: monkeypatch.setenv("PATH", programs(folder, **scripts))


@pytest.mark.parametrize(
    ("listed", "most"),
    [
        ("gpu:4", 4),
        ("gpu:a100:4(S:0-1)", 4),
        ("gpu:nvidia_a100_3g.20gb:7", 7),
        ("(null)", 0),
        ("", 0),
        ("gpu:a:2,gpu:b:1", 2),
        ("(null)\ngpu:2\nshard:64,gpu:v100:8(S:0)", 8),
        ("gpu_mem:32000", 0),
        ("vgpu:16", 0),
    ],
)
def test_the_most_gpus_of_a_node_are_read_from_what_sinfo_lists(listed, most, slurm):
    """In each of its forms; a resource that only sounds like one is none."""
    slurm(sinfo=f"cat <<'END'\n{listed}\nEND")

    assert most == slurm_queue.most_gpus()


@pytest.mark.parametrize(
    ("line", "task"),
    [
        ("x|3|R|None", Queued("x", 3, "R", "None")),
        ("x|N/A|PD|Priority", Queued("x", 0, "PD", "Priority")),
        (
            "x|0|PD|ReqNodeNotAvail, UnavailableNodes:n[1-3]",
            Queued("x", 0, "PD", "ReqNodeNotAvail, UnavailableNodes:n[1-3]"),
        ),
        ("x|1|PD|a|b \\ ' %s", Queued("x", 1, "PD", "a|b \\ ' %s")),
        ("x|1|PD|", Queued("x", 1, "PD", "")),
    ],
)
def test_a_task_is_a_line_of_squeue(line, task, slurm):
    """Whatever the reason says."""
    slurm(squeue=f"cat <<'END'\n{line}\nEND")

    assert [task] == slurm_queue.queued(["x"])


def test_a_reason_that_is_no_utf8_is_a_reason(slurm):
    """An administrator may have written it."""
    slurm(squeue=r"printf 'x|1|PD|\344\n'")

    assert [Queued("x", 1, "PD", "\N{REPLACEMENT CHARACTER}")] == slurm_queue.queued(["x"])


def test_lines_that_are_no_tasks_are_left_out(slurm):
    """Warnings, say."""
    slurm(squeue="echo 'a warning'; echo; echo 'x|2|R|None'")

    assert [Queued("x", 2, "R", "None")] == slurm_queue.queued(["x"])


def test_squeue_is_asked_by_name_and_for_each_task(slurm, tmp_path):
    """A task that Slurm has forgotten is no error then."""
    slurm(squeue=f'echo "$@" > {tmp_path}/asked')
    slurm_queue.queued(["x", "y"])

    assert "--noheader --array --name=x,y --format=%j|%K|%t|%r\n" == (tmp_path / "asked").read_text()


def test_without_arrays_nobody_is_asked(monkeypatch, tmp_path):
    """There may be no Slurm."""
    monkeypatch.setenv("PATH", str(tmp_path))

    assert [] == slurm_queue.queued([])


def test_an_array_is_ended_by_its_name(slurm, tmp_path):
    """All of its tasks."""
    slurm(scancel=f'echo "$@" > {tmp_path}/asked')
    slurm_queue.end("x")

    assert "--name=x\n" == (tmp_path / "asked").read_text()


CALLS = {
    "sinfo": slurm_queue.most_gpus,
    "squeue": lambda: slurm_queue.queued(["x"]),
    "scancel": lambda: slurm_queue.end("x"),
}


@pytest.mark.parametrize("program", CALLS)
def test_a_program_that_is_missing_is_named(program, monkeypatch, tmp_path):
    """Jobs cannot be submitted from such a machine."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentMissingError, match=f"--engine slurm: {program} is not on PATH") as raised:
        CALLS[program]()

    assert 5 == raised.value.exit_code


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'slurm_load: no contact' >&2; echo more >&2; exit 1", "slurm_load: no contact"),
        ("echo 'on the wrong stream'; exit 1", "on the wrong stream"),
        ("echo >&2; exit 3", "exit code 3"),
        ("exit 4", "exit code 4"),
    ],
)
@pytest.mark.parametrize("program", CALLS)
def test_a_program_that_fails_is_quoted(program, script, words, slurm):
    """Its first line, or its exit code where it says nothing."""
    slurm(**{program: script})
    with pytest.raises(EnvironmentMissingError) as raised:
        CALLS[program]()

    assert f"{program}: {words}" == raised.value.what


def test_a_program_that_does_not_answer_is_given_up(slurm, monkeypatch):
    """After a while."""
    monkeypatch.setattr(slurm_queue, "ANSWER_LIMIT_S", 0.05)
    slurm(sinfo="exec sleep 60")
    with pytest.raises(EnvironmentMissingError, match="sinfo gave no answer in a minute"):
        slurm_queue.most_gpus()


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


def submit(tmp_path, **needs):
    wanted = Needs(**({"whole": False, "cpus": None, "gpus": 0.0} | needs))
    slurm_queue.submit(tmp_path, "x", ["{}"], wanted, 7)


@pytest.mark.parametrize(
    ("needs", "told"),
    [
        (
            {"whole": True},
            {"exclusive": True, "cpus_per_task": None, "gpus_per_node": None, "threads": "$SLURM_CPUS_ON_NODE"},
        ),
        ({"cpus": 3}, {"exclusive": None, "cpus_per_task": 3, "gpus_per_node": None, "threads": "3"}),
        (
            {"gpus": 2.0},
            {"exclusive": None, "cpus_per_task": None, "gpus_per_node": 2, "threads": "$SLURM_CPUS_ON_NODE"},
        ),
    ],
    ids=["whole", "part", "GPU"],
)
def test_slurm_is_asked_for_what_the_runs_need(needs, told, submitit, tmp_path):
    """And their threads are those of the processors."""
    submit(tmp_path, **needs)
    threads = told.pop("threads")

    assert told == {key: submitit[key] for key in told}
    assert [f"export OMP_NUM_THREADS={threads}"] == submitit["setup"]


def test_a_job_may_be_requeued_and_has_a_minute_to_save(submitit, tmp_path):
    """No time limit but Slurm's own, and no more at once than asked for."""
    submit(tmp_path)

    assert {"requeue": True, "signal": "TERM@60"} == submitit["additional_parameters"]
    assert ("x", None, 7) == (submitit["job_name"], submitit["time"], submitit["array_parallelism"])
    assert (carry_out_here, ["{}"]) == (submitit["function"], submitit["texts"])


def test_a_part_of_a_gpu_is_refused(submitit, tmp_path):
    """Slurm gives whole ones; nothing is submitted."""
    with pytest.raises(SpecError, match=r"0\.5 GPUs: Slurm gives whole ones"):
        submit(tmp_path, gpus=0.5)

    assert "texts" not in submitit


@pytest.mark.parametrize("kind", ["FailedJobError", RuntimeError, OSError])
def test_an_array_that_is_refused_is_said_in_slurms_words(kind, submitit, tmp_path):
    """The last line, where the reason stands."""
    kind = getattr(sys.modules["submitit.core.utils"], kind) if isinstance(kind, str) else kind
    submitit["raises"] = kind("sbatch: error: a\nsbatch: error: Invalid account")
    with pytest.raises(EnvironmentMissingError, match="the jobs cannot be submitted: sbatch: error: Invalid account"):
        submit(tmp_path)


def test_an_array_that_is_refused_without_a_word_is_named_by_its_error(submitit, tmp_path):
    """Better than nothing."""
    submitit["raises"] = RuntimeError(" ")
    with pytest.raises(EnvironmentMissingError, match="the jobs cannot be submitted: RuntimeError"):
        submit(tmp_path)


@pytest.mark.parametrize(
    ("files", "index", "is_only_one", "words"),
    [
        ({"7_1_0_log.err": "a\nb\n", "7_11_0_log.err": "c"}, 1, False, "b"),
        ({"7_0_log.err": "alone"}, 0, True, "alone"),
        ({"7_1_0_log.err": " \n\n"}, 1, False, ""),
        ({}, 0, False, ""),
        ({"7_0_0_log.err": "bad \udcff"}, 0, False, "bad \N{REPLACEMENT CHARACTER}"),
        (
            {"7_0_0_log.err": "python: can't open file '/srv/our lab/x.py'"},
            0,
            False,
            "python: can't open file '…/x.py'",
        ),
    ],
)
def test_the_last_words_of_a_job_are_its_last_line(files, index, is_only_one, words, tmp_path):
    """Of its own file, and without the place where they were said."""
    for name, text in files.items():
        (tmp_path / name).write_bytes(text.encode(errors="surrogateescape"))

    assert words == slurm_queue.last_words(tmp_path, index, is_only_one=is_only_one)
