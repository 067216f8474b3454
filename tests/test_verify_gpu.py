"""`make verify-gpu`: a list in order of worth that stops itself, goes on, and leaves one archive. No GPU is used."""

import importlib
import shlex
import sys
import tarfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from resnet18.cli.app import app

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks" / "suite"))
gpu = importlib.import_module("verify_gpu")


def verify(folder, *names, limit_s=1e6, **codes):
    """Carry out steps, whose commands end as told, 0 if nothing is said; return what is left and what was run."""
    ran = []

    def run(words, log, limit_s):
        ran.append(log.parent.name)
        assert ["program", log.parent.name, "--to", str(log.parent)] == words[2:]
        log.write_text("output\n", encoding="utf-8")
        return codes.get(log.parent.name, 0)

    steps = [gpu.Step(name, f"shows {name}", (f"program {name} --to {{here}}",)) for name in names]
    return gpu.verify(steps, folder, None, limit_s, run), ran


@pytest.mark.parametrize(
    ("code", "left", "again"),
    [
        (0, [], ["three"]),
        (None, ["one: stopped at the limit; repeat the command to resume"], ["one", "three"]),
        (1, ["one: exit code 1 of: program one --to {{here}} (see {0}/one/1.log)"], ["three", "one"]),
        (3, [], ["three"]),
    ],
    ids=["ended", "stopped", "failed", "a run failed"],
)
def test_steps_run_in_order_and_the_same_command_goes_on_with_what_is_left(code, left, again, tmp_path):
    """A stopped step comes first: it resumes. A failed one comes last: the others must have their time.

    A run that failed is a record and no failure of its step: batch 1024 is expected to run out of memory.
    """
    told, ran = verify(tmp_path, "one", "two", one=code)

    assert ([line.format(tmp_path) for line in left], ["one", "two"][: len(ran)]) == (told, ran)
    assert again == verify(tmp_path, "one", "two", "three")[1]


def test_without_time_nothing_is_begun(tmp_path):
    assert (["one: no time was left"], []) == verify(tmp_path, "one", limit_s=gpu.GRACE_S)


def test_full_size_is_left_out_without_photographs(tmp_path):
    step = gpu.Step("full", "rows", ("program",), works_on_embedded_data=False)
    left = gpu.verify((step,), tmp_path, None, 1e6, lambda *_: 1 / 0)

    assert ["full: needs photographs, as in DATA=imagefolder:cifar10-jpeg.tar.gz"] == left


def test_one_archive_holds_all_but_checkpoints(tmp_path):
    """Written after each step: whoever stops the machine loses a step at most."""
    (tmp_path / "all" / "one" / "checkpoints").mkdir(parents=True)
    (tmp_path / "all" / "one" / "checkpoints" / "large").touch()
    verify(tmp_path / "all", "one", "two", two=None)

    with tarfile.open(tmp_path / "all.tar.gz") as tar:
        names = {name for name in tar.getnames() if not name.endswith("one")}
    assert {"all", "all/two", "all/two/1.log", "all/endings.json", "all/one/1.log"} == names


def test_a_command_that_is_still_at_work_at_its_limit_is_told_to_stop(tmp_path):
    asleep = [sys.executable, "-c", "import signal; signal.pause()"]

    assert gpu.carry_out(asleep, tmp_path / "log", 0.2) is None


def test_a_command_that_ends_gives_its_exit_code_and_finds_the_suite(tmp_path):
    words = [sys.executable, "-c", "import resnet18, sys; print(resnet18.__file__); sys.exit(7)"]

    assert 7 == gpu.carry_out(words, tmp_path / "log", 60)
    assert str(ROOT) in (tmp_path / "log").read_text(encoding="utf-8")


RUNS = [command for step in gpu.STEPS for command in step.commands if command.startswith("resnet18 run")]


@pytest.mark.parametrize("command", RUNS)
def test_every_run_of_the_list_can_be_planned(command, tmp_path):
    """Cases, keys and scale are known; nothing is run. A machine without a GPU refuses to plan for one."""
    words = shlex.split(command.format(here=tmp_path, data="fashion-mnist-mini").replace("cuda", "auto"))
    result = CliRunner().invoke(app, ["plan", *words[2:]])

    assert 0 == result.exit_code, result.output
