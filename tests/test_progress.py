"""What is shown while runs go on: lines where there is no terminal, bars on one, events for a program."""

import io
import json
import re
from contextlib import suppress
from dataclasses import replace

import pytest
from builders import TOML, make_benchmark, make_epoch
from rich.console import Console

from resnet18.execution.job import Message
from resnet18.execution.progress import Progress
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request

MORE = "".join(f'\n[[case]]\nname = "{size}"\nexperiment = {{ batch_size = {size} }}\n' for size in (32, 64))


class Screen:
    """A display, what was written on it, and a clock that is set by hand."""

    def __init__(self, *, width=80, terminal=False, term="xterm"):
        self.file, self.now_s = io.StringIO(), 0.0
        environment = {"TERM": term, "NO_COLOR": "1"}
        console = Console(file=self.file, force_terminal=terminal, width=width, height=24, _environ=environment)
        self.progress = Progress(console, clock=lambda: self.now_s)

    @property
    def lines(self):
        """All that was written, line by line, without what moves the cursor."""
        return re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", self.file.getvalue()).replace("\r", "\n").splitlines()

    def train(self, run, epochs):
        """Let a run come through these epochs, a minute each."""
        self.progress.start(run)
        for number in epochs:
            self.now_s += 60
            self.progress.hear(run, Message(epoch=make_epoch(number, correct=10)))


@pytest.fixture
def runs(tmp_path):
    """Sixteen runs of ten epochs, which take equally long."""
    mine = make_benchmark(tmp_path, (TOML + MORE).replace("epochs = 2", "epochs = 10"))
    return plan([mine], Request("paper", "fashion-mnist-mini"), range(4), {"cpu": 1}).runs


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_elsewhere_each_run_that_has_ended_is_a_line(term, runs):
    """And a run that several cases show says how many more."""
    screen = Screen(terminal=term == "dumb", term=term)
    with screen.progress.of(runs):
        screen.train(runs[0], range(1, 11))
        screen.progress.end(replace(runs[0], labels=("mine/8", "other/x", "third/y")), "ok")

    assert "[1/16] mine/8 (+2) seed 0: ok, 50.0% test, 10 min, about 2.5 h left\n" == screen.file.getvalue()


def test_what_is_left_counts_only_work_that_is_to_come(runs):
    screen = Screen()
    with screen.progress.of(runs[:4]):
        screen.train(runs[0], [8, 9, 10])
        screen.progress.end(runs[0], "ok")
        screen.train(runs[1], [1, 2])
        screen.progress.end(runs[1], "crashed", "see log")
        screen.progress.end(runs[2], None, "left to process 7")

    assert [
        "[1/4] mine/8 seed 0: ok, 50.0% test, 3 min, about 30 min left",
        "[2/4] mine/16 seed 0: crashed, see log, 50.0% test, 2 min, about 20 min left",
        "[3/4] mine/32 seed 0: not run, left to process 7, about 10 min left",
    ] == screen.lines


def test_runs_that_come_back_from_elsewhere_tell_their_pace_together(runs):
    screen = Screen()
    with screen.progress.of(runs):
        for run in runs[:8]:
            screen.now_s += 60
            screen.progress.end(run, "ok", "on a node")

    assert "[8/16] mine/8 seed 1: ok, on a node, about 8 min left" == screen.lines[-1]


@pytest.mark.parametrize("width", [40, 100])
def test_on_a_terminal_bars_live_and_every_run_that_has_ended_stays(width, runs):
    screen = Screen(width=width, terminal=True)
    with suppress(KeyboardInterrupt), screen.progress.of(runs):
        screen.train(runs[0], range(1, 11))
        screen.progress.end(runs[0], "ok")
        screen.train(runs[1], range(1, 4))
        screen.progress._bars.refresh()
        raise KeyboardInterrupt
    lines = [line.rstrip() for line in screen.lines]

    assert "[1/16] mine/8 seed 0: ok, 50.0% test, 10 min, about 2.5 h left" in lines
    assert any(re.match(r"all .* 1/16 runs +2:27:00", line) for line in lines), lines
    assert any(re.match(r"mine/16 seed 0 .* epoch 4/10 +07:00", line) for line in lines), lines
    assert not re.search(r"\x1b\[[0-9;]*m", screen.file.getvalue())
    assert width >= max(len(line) for line in lines if not line.startswith("["))


def test_a_program_sees_events(runs):
    file = io.StringIO()
    events = Progress(Console(file=file), as_json=True)
    with events.of(runs[:2]):
        events.start(runs[0])
        events.say("goes on in epoch 3", runs[0])
        events.hear(runs[0], Message(epoch=make_epoch(3, published=12)))
        events.end(runs[0], "crashed", "see log")
        events.say("2 runs are submitted")
    said = [json.loads(line) for line in file.getvalue().splitlines()]
    run = {"run_id": runs[0].run_id, "cases": "mine/8", "seed": 0}
    scores = {"train_loss": 2.0, "train_accuracy": 0.375, "test_accuracy": 0.6, "seconds": 5.625}

    assert said == [
        {"event": "note", **run, "says": "goes on in epoch 3"},
        {"event": "epoch", **run, "epoch": 3, **scores, "epochs": 10},
        {"event": "run", **run, "status": "crashed", "says": "see log"},
        {"event": "note", "run_id": None, "cases": None, "seed": None, "says": "2 runs are submitted"},
    ]
