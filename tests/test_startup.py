"""What a command waits for before it does anything: which libraries it imports, in processes of their own."""

import subprocess
import sys

import pytest
from builders import TINY_ARGUMENTS

PLANS = {"torch", "torchvision", "numpy", "scipy", "pandas", "matplotlib", "rich"}
"""None of these takes less than a tenth of a second."""
TRAINS = {"torchvision", "torch._dynamo", "sympy"}
"""With torch itself they would take twice as long."""
HERE = """
import sys
from resnet18.execution import job, runner, worker
from resnet18.cli.app import app
def carry_out(engine, jobs, progress):
    return [worker.run_job(one, print) or job.Finished(one.run, "ok") for one in jobs]
runner.LocalEngine.carry_out = carry_out
"""
"""Lets a run happen in the process itself, so that its modules can be looked at."""


@pytest.fixture
def imported(tmp_path):
    """Return which of some libraries a command has imported when it ends."""

    def call(libraries, *words, before="from resnet18.cli.app import app"):
        code = f"{before}\nimport sys\ntry:\n    app({list(words)})\nfinally:\n    print('have', *sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
        return libraries & set(done.stdout.splitlines()[-1].split())

    return call


@pytest.mark.parametrize("command", ["plan", "audit"])
def test_a_plan_and_an_audit_are_made_without_a_library_that_takes_long(command, imported):
    """A plan takes about three times as long as to import typer and pydantic."""
    assert set() == imported(PLANS, command)


def test_a_run_on_the_fast_path_needs_neither_torchvision_nor_torchs_compiler(imported):
    """The reference path does: PIL's operations are torchvision's, and torch's optimizers keep the compiler out."""
    assert set() == imported(TRAINS, "run", "basic", *TINY_ARGUMENTS, before=HERE)
    assert TRAINS == imported(TRAINS, "run", "basic", *TINY_ARGUMENTS, "-o", "path=reference", before=HERE)


def test_what_is_recorded_is_reported_without_torch(imported):
    """No process is started, either: the data are read by the runner."""
    imported(set(), "run", "basic", *TINY_ARGUMENTS)
    before = "from resnet18.cli.app import app\nfrom resnet18.execution import runner\nrunner.fork_server = None"

    assert set() == imported({"torch", "torchvision"}, "run", "basic", *TINY_ARGUMENTS, before=before)
