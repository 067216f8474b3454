"""Runs that are killed at random moments, and runners that share a directory. The full counts: `make soak`."""

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from builders import TINY, make_toml
from fakes.jobs import ONE_CASE, Quiet, run_in

from resnet18.execution.job import Policy
from resnet18.records.store import Store

EPOCHS = 12
OPTIONS = (*TINY, f"epochs={EPOCHS}", "path=fast")
"""The fast path needs less of torch, so that commands start sooner."""
WITHOUT_REPORT = """
import sys, types
sys.modules["resnet18.report.report"] = types.ModuleType("nothing")  # libraries that take seconds
import resnet18.cli.run
from resnet18.__main__ import main
from resnet18.cli.options import Answer
resnet18.cli.run.reported = lambda *_: Answer({"event": "report"}, "")
main()
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a child that dies with its runner is Linux's")


@pytest.fixture
def start(tmp_path):
    """Start the command on one case of five steps an epoch, with a checkpoint after each step."""
    make_toml(tmp_path, ONE_CASE)

    def begin(*arguments, results="results"):
        command = [sys.executable, "-c", WITHOUT_REPORT, "run", "mine.toml", "--checkpoint-every", "0", "--json"]
        options = [word for option in OPTIONS for word in ("-o", option)]
        return subprocess.Popen(
            [*command, "--results", results, *options, *arguments],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return begin


def wait_for_an_epoch(process):
    """Return the event that tells of one; before it there are others."""
    return next((line for line in process.stdout if '"event": "epoch"' in line), "")


def finish(folder, results):
    """Run what is missing of the same in this process, and return the last record and what was told."""
    progress, policy = Quiet(), Policy(checkpoint_every_s=0.0)
    run_in(folder / results, ONE_CASE, overrides=OPTIONS, progress=progress, policy=policy)
    return Store(folder / results).read().records[-1], progress.lines


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The record of the same run, never stopped, and the seconds that it took."""
    folder = tmp_path_factory.mktemp("whole")
    finish(folder, "first")  # starts the process that children come from
    began = time.monotonic()
    return finish(folder, "results")[0], time.monotonic() - began


def test_a_killed_run_goes_on_and_gives_the_result_of_one_that_was_not(start, whole, tmp_path, repetitions):
    """At random moments: while it starts, trains, scores or writes a checkpoint; some are killed several times.

    Nobody saw all of a resumed run: it tells no peak of memory, and its seconds are the sum over all stretches.
    """
    record, seconds = whole
    chance, kills, number = random.Random(0), 0, 0  # noqa: S311 - no secret
    while kills < repetitions(200):
        number += 1
        results, resumed = tmp_path / f"killed-{number}", False
        for _ in range(chance.choice([1, 1, 2, 4])):
            process = start(results=results.name)
            if chance.random() < 0.8:
                wait_for_an_epoch(process)  # it trains
            try:
                process.wait(chance.uniform(0, seconds))
            except subprocess.TimeoutExpired:
                process.kill()
                kills += 1
            process.communicate()
            resumed = resumed or bool(list(results.glob("checkpoints/*.checkpoint")))
        again, _ = finish(tmp_path, results.name)

        assert ("ok", record.result_hash) == (again.status, again.result_hash)
        assert resumed == ("resumed" in again.flags) == (len(again.segments) > 1)
        assert resumed == (again.memory.rss_peak_bytes is None)
        assert again.time.train_s == pytest.approx(sum(epoch.train_s for epoch in again.epochs))
        assert [] == list(results.glob("checkpoints/*"))
        assert [] == [path.name for path in results.glob("records/*.tmp") if path.stat().st_size]  # else swept later
    print(f"{kills} kills of {number} runs")  # noqa: T201 - make soak shows it


def test_a_stopped_run_leaves_a_record_and_goes_on_from_there(start, whole, tmp_path):
    process = start()
    assert wait_for_an_epoch(process)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    (stopped,) = Store(tmp_path / "results").read().records
    again, lines = finish(tmp_path, "results")

    assert (143, "interrupted") == (process.returncode, stopped.status)
    assert "InterruptedRunError: asked to stop by SIGTERM in epoch " in stopped.failure.message
    assert 1 <= len(stopped.epochs) < EPOCHS
    assert "resumes in epoch " in lines[0]
    assert stopped.epochs == again.epochs[: len(stopped.epochs)]
    assert (2, whole[0].result_hash) == (again.attempt, again.result_hash)
    assert [segment.start for segment in stopped.segments] == [segment.start for segment in again.segments[:-1]]


def test_runners_that_share_a_directory_carry_each_run_out_once(start, tmp_path, repetitions):
    runners, seeds = (8, 40) if repetitions(8) == 8 else (3, 6)
    processes = [start("--seeds", str(seeds), "-o", "epochs=2") for _ in range(runners)]
    lines = "".join(process.communicate()[0] for process in processes).splitlines()
    events = [json.loads(line) for line in lines]
    carried_out = Counter(event["seed"] for event in events if event["event"] == "epoch" and event["epoch"] == 1)
    records = Store(tmp_path / "results").read().records

    assert dict.fromkeys(range(seeds), 1) == carried_out
    assert [(1, "ok")] * seeds == [(record.attempt, record.status) for record in records]
    assert {process.returncode for process in processes} <= {0, 75}
    print(f"{runners} runners, {seeds} runs")  # noqa: T201 - make soak shows it
