"""`make verify-gpu`: a list in order of worth that stops itself, goes on, and leaves one archive. No GPU is used."""

import importlib.util
import shlex
import sys
import tarfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from resnet18.cli.app import app

ROOT = Path(__file__).parents[1]
PLENTY_S = 1e6


def load_steps():
    path = ROOT / "benchmarks" / "suite" / "verify_gpu.py"
    spec = importlib.util.spec_from_file_location("gpu_steps", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


gpu = load_steps()


class Machine:
    """Notes what it is told to carry out, and ends each command as it was told: 0 unless `codes` has another."""

    def __init__(self, **codes):
        self.codes, self.carried_out = codes, []

    def __call__(self, words, log, limit_s):
        """Note the command, without the interpreter."""
        self.carried_out.append(" ".join(words[2:]))
        log.write_text("output\n", encoding="utf-8")
        return self.codes.get(log.parent.name, 0)


def make_steps(*names):
    return tuple(gpu.Step(name, f"shows {name}", (f"program {name} --to {{here}}",)) for name in names)


def test_steps_are_carried_out_in_their_order(tmp_path):
    """Each into a folder of its own, and nothing is left."""
    machine = Machine()

    assert [] == gpu.verify(make_steps("one", "two"), tmp_path / "all", None, PLENTY_S, machine)
    assert [f"program {name} --to {tmp_path / 'all' / name}" for name in ("one", "two")] == machine.carried_out


def test_what_is_done_is_not_done_again(tmp_path):
    """The same command goes on with what is left."""
    first, second = Machine(two=None), Machine()
    gpu.verify(make_steps("one", "two"), tmp_path, None, PLENTY_S, first)
    gpu.verify(make_steps("one", "two"), tmp_path, None, PLENTY_S, second)

    assert [f"program two --to {tmp_path / 'two'}"] == second.carried_out


def test_a_step_that_was_stopped_is_left_and_comes_first_the_next_time(tmp_path):
    """A run goes on from where it was saved."""
    left = gpu.verify(make_steps("one", "two"), tmp_path, None, PLENTY_S, Machine(one=None))
    again = Machine()
    gpu.verify(make_steps("one", "two", "three"), tmp_path, None, PLENTY_S, again)

    assert ["one: stopped at the limit; repeat the command to resume"] == left
    assert [f"program one --to {tmp_path / 'one'}", f"program three --to {tmp_path / 'three'}"] == again.carried_out


def test_a_step_that_failed_is_named_with_its_log_and_tried_again_last(tmp_path):
    """It must not keep the others from their time."""
    left = gpu.verify(make_steps("one", "two"), tmp_path, None, PLENTY_S, Machine(one=1))
    again = Machine()
    gpu.verify(make_steps("one", "three"), tmp_path, None, PLENTY_S, again)

    assert [f"one: exit code 1 of: program one --to {{here}} (see {tmp_path / 'one' / '1.log'})"] == left
    assert [f"program three --to {tmp_path / 'three'}", f"program one --to {tmp_path / 'one'}"] == again.carried_out


def test_a_run_that_failed_is_a_record_and_no_failure_of_the_step(tmp_path):
    """Batch 1024 is expected to run out of memory: exit code 3."""
    assert [] == gpu.verify(make_steps("card"), tmp_path, None, PLENTY_S, Machine(card=3))


def test_without_time_nothing_is_begun(tmp_path):
    """What is told to stop still needs some seconds, so the last ones are not given away."""
    machine = Machine()
    left = gpu.verify(make_steps("one"), tmp_path, None, gpu.GRACE_S, machine)

    assert (["one: no time was left"], []) == (left, machine.carried_out)


def test_full_size_is_left_out_without_photographs(tmp_path):
    """With the option that would give them."""
    step = gpu.Step("full", "rows", ("program",), works_on_embedded_data=False)

    assert ["full: needs photographs, as in DATA=imagefolder:cifar10-jpeg.tar.gz"] == gpu.verify(
        (step,), tmp_path, None, PLENTY_S, Machine()
    )


def test_one_archive_holds_all_but_checkpoints(tmp_path):
    """Beside the folder, after each step: whoever stops the machine loses one step at most."""
    folder = tmp_path / "all"
    (folder / "one" / "checkpoints").mkdir(parents=True)
    (folder / "one" / "checkpoints" / "large").touch()
    gpu.verify(make_steps("one", "two"), folder, None, PLENTY_S, Machine(two=None))

    with tarfile.open(tmp_path / "all.tar.gz") as tar:
        names = {name for name in tar.getnames() if not name.endswith("one")}
    assert {"all", "all/two", "all/endings.json", "all/one/1.log", "all/two/1.log"} == names


def test_a_command_that_is_still_at_work_at_its_limit_is_told_to_stop(tmp_path):
    """By SIGTERM, as `resnet18 run` understands it."""
    asleep = [sys.executable, "-c", "import signal; signal.pause()"]

    assert gpu.carry_out(asleep, tmp_path / "log", 0.2) is None


def test_a_command_that_ends_gives_its_exit_code_and_finds_the_suite(tmp_path):
    """Also with an interpreter in which the suite is not installed."""
    words = [sys.executable, "-c", "import resnet18, sys; print(resnet18.__file__); sys.exit(7)"]

    assert 7 == gpu.carry_out(words, tmp_path / "log", 60)
    assert str(ROOT) in (tmp_path / "log").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "command", [one for step in gpu.STEPS for one in step.commands if one.startswith("resnet18 run")]
)
def test_every_run_of_the_list_can_be_planned(command, tmp_path):
    """Cases, keys and scale are known; nothing is run. A machine without a GPU refuses to plan for one."""
    words = shlex.split(command.format(here=tmp_path, data="fashion-mnist-mini").replace("cuda", "auto"))
    result = CliRunner().invoke(app, ["plan", *words[2:]])

    assert 0 == result.exit_code, result.output
