"""Runs that are killed at random moments, and runners that share a directory. The full counts: `make soak`."""

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from builders import TINY_ARGUMENTS, TOML, make_toml, wait_for_an_epoch

from resnet18.records.store import Store

SECOND_CASE = '[[case]]\nname = "16"'
EPOCHS = 12
STEPS_PER_EPOCH = 5
OPTIONS = [*TINY_ARGUMENTS, "-o", f"epochs={EPOCHS}"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a child that dies with its runner is Linux's")


def begin(folder, *arguments, results="results"):
    """Start the command on one case of five steps an epoch, with a checkpoint after each step."""
    path = folder / "mine.toml"
    if not path.exists():  # another one that has just started may be reading it
        make_toml(folder, TOML[: TOML.index(SECOND_CASE)])
    command = [sys.executable, "-m", "resnet18", "run", str(path), *OPTIONS, "--checkpoint-every", "0", "--json"]
    return subprocess.Popen(
        [*command, "--results", results, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def start(tmp_path):
    return lambda *arguments, **options: begin(tmp_path, *arguments, **options)


@pytest.fixture
def store(tmp_path):
    return lambda results="results": Store(tmp_path / results)


def finished(process):
    """Wait for the end, and return what was printed."""
    output, _ = process.communicate(timeout=1_800)
    return output


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The record of the same run, never stopped, and the seconds that it took."""
    folder = tmp_path_factory.mktemp("whole")
    process = begin(folder)
    wait_for_an_epoch(process)
    began = time.monotonic()
    finished(process)
    (record,) = Store(folder / "results").read().records
    return record, time.monotonic() - began


def test_a_killed_run_goes_on_and_gives_the_result_of_one_that_was_not(start, store, whole, repetitions):
    """At random moments: while it starts, trains, scores or writes a checkpoint; some are killed several times."""
    record, seconds = whole
    chance, kills, number = random.Random(0), 0, 0  # noqa: S311 - no secret
    while kills < repetitions(200):
        number += 1
        results, resumed = f"killed-{number}", False
        for _ in range(chance.choice([1, 1, 2, 4])):
            process = start(results=results)
            if chance.random() < 0.8:
                wait_for_an_epoch(process)  # it trains
            delay = chance.uniform(0, seconds)
            try:
                process.wait(delay)
            except subprocess.TimeoutExpired:
                process.kill()
                kills += 1
            process.communicate()
            resumed = resumed or bool(list(store(results).results.glob("checkpoints/*")))
        finished(start(results=results))
        (again,) = store(results).read().records

        assert ("ok", record.result_hash) == (again.status, again.result_hash)
        assert resumed == ("resumed" in again.flags) == (len(again.segments) > 1)
        assert [] == list(store(results).results.glob("checkpoints/*"))
        assert [] == [path.name for path in store(results).folder.iterdir() if path.name.endswith(".tmp")]


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_stopped_run_leaves_a_record_and_goes_on_from_there(number, exit_code, start, store, whole):
    """The step is finished and saved; the record says how far it came, and the next one lists both stretches."""
    process = start()
    assert wait_for_an_epoch(process)
    process.send_signal(number)
    finished(process)
    (stopped,) = store().read().records
    output = finished(start())
    again = store().load(stopped.run_id, 2)

    assert (exit_code, "interrupted") == (process.returncode, stopped.status)
    assert "InterruptedRunError: stopped by the user in epoch " in stopped.failure.message
    assert 1 <= len(stopped.epochs) < EPOCHS
    assert "goes on in epoch " in output
    assert stopped.epochs == again.epochs[: len(stopped.epochs)]
    assert (whole[0].result_hash, True) == (again.result_hash, "resumed" in again.flags)
    assert [segment.start for segment in stopped.segments] == [segment.start for segment in again.segments[:-1]]


def test_a_resumed_run_tells_no_peak_of_memory_and_no_energy(start, store):
    """Nobody saw all of it; its seconds are the sum over both stretches."""
    process = start()
    wait_for_an_epoch(process)
    process.kill()
    process.communicate()
    finished(start())
    (again,) = store().read().records

    assert again.memory.rss_peak_bytes is None
    assert "the run was resumed: this process did not see all of it" == again.nulls["memory.rss_peak_bytes"]
    assert again.time.train_s == pytest.approx(sum(epoch.train_s for epoch in again.epochs))
    assert again.time.checkpoint_s > 0


def test_runners_that_share_a_directory_carry_each_run_out_once(start, store, repetitions):
    """Each leaves the others' runs alone; what one of them was still at, the last command finds recorded."""
    runners, seeds = (8, 40) if repetitions(8) == 8 else (3, 6)
    processes = [start("--seeds", str(seeds), "-o", "epochs=2") for _ in range(runners)]
    lines = "".join(finished(process) for process in processes).splitlines()
    events = [json.loads(line) for line in lines]
    carried_out = Counter(one["seed"] for one in events if one["event"] == "epoch" and one["epoch"] == 1)
    records = store().read().records

    assert dict.fromkeys(range(seeds), 1) == carried_out
    assert [1] * seeds == [record.attempt for record in records]
    assert {"ok"} == {record.status for record in records}
    assert {process.returncode for process in processes} <= {0, 75}
