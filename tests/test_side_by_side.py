"""`--jobs N`: runners beside each other share the work, and compared times are taken alone."""

import os
import subprocess
import sys

import pytest
from builders import TINY, TINY_ARGUMENTS, TOML, make_benchmark, make_toml
from typer.testing import CliRunner

from resnet18.cli.app import app
from resnet18.cli.request import usable_processors
from resnet18.cli.run import Orders, _progress
from resnet18.execution.side_by_side import pin, shares, without_timed_runs
from resnet18.records.store import Store
from resnet18.spec.errors import SpecError
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request

TIMED = TOML.replace('case_title = "Batch"', 'case_title = "Batch"\nspeed_up_over = "8"')
FEW = len(usable_processors()) < 2


@pytest.mark.parametrize(
    ("jobs", "groups"), [(1, [[2, 3, 5, 7]]), (2, [[2, 3], [5, 7]]), (3, [[2], [3], [5]]), (4, [[2], [3], [5], [7]])]
)
def test_processors_are_shared_out_evenly(jobs, groups):
    """Without overlap; what does not divide stays idle."""
    assert groups == shares(jobs, {7, 5, 3, 2})


def test_more_runners_than_processors_are_refused():
    """Their threads would stand in each other's way."""
    with pytest.raises(SpecError, match=r"--jobs 3: .*\(allowed: 1 to 2\)"):
        shares(3, {0, 1})


@pytest.mark.parametrize("text", ["", "x", "0,x", "-1", "9" * 40, "1000000"])
def test_processors_that_cannot_be_used_are_refused(text):
    """By name."""
    with pytest.raises(SpecError, match="--on-processors"):
        pin(text)


def test_runs_whose_times_are_compared_are_left_out(tmp_path):
    """They need the machine for themselves."""
    request = Request(overrides=TINY)
    timed, others = (plan([make_benchmark(tmp_path, text)], request, [0], {"cpu": 1}) for text in (TIMED, TOML))

    assert ((), 2) == (without_timed_runs(timed).runs, len(without_timed_runs(others).runs))


@pytest.mark.skipif(FEW, reason="needs two processors")
@pytest.mark.parametrize(("text", "flag"), [(TOML, True), (TIMED, False)], ids=["side by side", "timed"])
def test_runs_side_by_side_say_so_and_timed_ones_run_alone(text, flag, tmp_path):
    """Every run once, with one thread on a processor of its own; times of the first kind are unreliable."""
    command = [sys.executable, "-m", "resnet18", "run", str(make_toml(tmp_path, text)), "--jobs", "2", "--seeds", "2"]
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [*command, *TINY_ARGUMENTS[:-2]], cwd=tmp_path, capture_output=True, text=True, check=False, env=environment
    )
    records = Store(tmp_path / "results" / "local").read().records

    assert 0 == done.returncode, done.stdout + done.stderr
    assert [1] * 4 == [record.attempt for record in records]
    assert {flag} == {"not_exclusive" in record.flags for record in records}
    assert {1 if flag else 2} == {record.fingerprint.numerics["threads"] for record in records}
    assert done.stdout.rstrip().endswith("README.md and report.html")
    assert "left to" not in done.stdout


@pytest.mark.skipif(FEW, reason="needs two processors")
def test_the_times_that_are_announced_are_those_of_as_many_runs_at_a_time(tmp_path, monkeypatch):
    """As `--jobs` says."""
    heard = []

    def stop_here(*_, jobs, **__):
        heard.append(jobs)
        raise SpecError("here", "is enough")

    monkeypatch.setattr("resnet18.cli.preview.preview", stop_here)
    for more in ([], ["--jobs", "2"]):
        words = ["run", str(make_toml(tmp_path)), "--results", str(tmp_path / "results"), *more, *TINY_ARGUMENTS]
        CliRunner().invoke(app, words)

    assert [1, 2] == heard


@pytest.mark.parametrize(("on_processors", "jobs"), [("0", 2), (None, 1)], ids=["one of two", "alone afterwards"])
def test_a_runner_counts_on_the_others_only_while_there_are_any(on_processors, jobs, tmp_path):
    """The first command carries out what is left, timed runs above all, by itself."""
    orders = Orders(tmp_path, None, 2, as_json=False, on_processors=on_processors, only=None)

    assert jobs == _progress(orders)._jobs
