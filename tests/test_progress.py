"""What a person sees while runs go on: the time that is left, and the live table of a terminal."""

import io
import re
from contextlib import suppress

import pytest
from builders import TOML, make_benchmark
from fakes.sessions import Heard
from rich.console import Console

from resnet18.execution import progress as progress_module
from resnet18.execution.job import EpochDone
from resnet18.execution.progress import Progress
from resnet18.execution.progress_lines import Going, Row, Rows, display, ended_row, running_row, waiting_row
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request

MORE = "".join(f'\n[[case]]\nname = "{size}"\nexperiment = {{ batch_size = {size} }}\n' for size in (32, 64))
HEAD = ["4 of 18 done", "1 running", "13 waiting", "about 31 min left"]


@pytest.fixture
def runs(tmp_path):
    """Sixteen runs of ten epochs, which take equally long."""
    mine = make_benchmark(tmp_path, (TOML + MORE).replace("epochs = 2", "epochs = 10"))
    return plan([mine], Request("paper", "fashion-mnist-mini"), range(4), {"cpu": 1}).runs


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        """Return what it was set to."""
        return self.now_s


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(progress_module, "perf_counter", one := Clock())
    return one


def epoch(number, accuracy=0.5):
    return EpochDone(epoch=number, train_loss=1.0, train_accuracy=0.4, test_accuracy=accuracy, seconds=60.0)


def train(progress, run, epochs, clock, seconds=60):
    """Let a run come through these epochs, a minute each."""
    progress.start(run)
    for number in epochs:
        clock.now_s += seconds
        progress.epoch(epoch(number))


def heard(jobs=1):
    """A progress display of one of so many runners, which remembers its lines."""
    progress = Heard()
    progress._jobs = jobs
    return progress


def left(progress):
    return re.search(r"about ([^,]*) left$", progress.lines[-1])[1]


@pytest.mark.parametrize(("jobs", "text"), [(1, "2.6 h"), (2, "80 min"), (4, "40 min")])
def test_what_is_left_is_shared_by_as_many_runners_as_there_are(jobs, text, runs, clock):
    """159 epochs of a minute each, which one runner does not do by itself."""
    progress = heard(jobs)
    with progress.of(runs):
        train(progress, runs[0], [1], clock)

    assert text == left(progress)


def test_the_cold_start_of_the_first_epoch_is_no_pace(runs, clock):
    """A fresh machine compiles for twenty seconds: nothing is said, and then what the second epoch tells."""
    progress = heard()
    with progress.of(runs):
        train(progress, runs[0], [1], clock, seconds=22)
        first = progress.lines[-1]
        clock.now_s += 1
        progress.epoch(epoch(2))

    assert "left" not in first
    assert "3 min" == left(progress)


def test_a_row_tells_no_time_from_a_cold_start(runs):
    """Nor counts it in after the second epoch."""
    first = Going(runs[0], 0.0).after(epoch(1), 22.0)

    assert first.left_s(22.0) is None
    assert 8.0 == first.after(epoch(2), 23.0).left_s(23.0)


def test_nobody_helps_with_the_present_run(runs, clock):
    """Nine minutes of the last one, however many runners there are."""
    progress = heard(jobs=4)
    with progress.of(runs[:1]):
        train(progress, runs[0], [1], clock)

    assert "9 min" == left(progress)


def test_runs_that_others_have_taken_are_nobodys_work_any_more(runs, clock):
    """Of four runs two are left to another: 19 epochs."""
    progress = heard()
    with progress.of(runs[:4]):
        for run in runs[:2]:
            progress.start(run)
            progress.skip("")
        train(progress, runs[2], [1], clock)

    assert "19 min" == left(progress)


def test_epochs_before_a_run_was_stopped_are_no_work_any_more(runs, clock):
    """It goes on with its ninth: one more is left, and ten of the other run."""
    progress = heard()
    with progress.of(runs[:2]):
        train(progress, runs[0], [9], clock)

    assert "11 min" == left(progress)


def test_epochs_that_a_failed_run_never_came_to_are_no_work_any_more(runs, clock, tmp_path):
    """It ends after two of ten; nine of the other run are left."""
    progress = heard()
    with progress.of(runs[:2]):
        train(progress, runs[0], [1, 2], clock)
        progress.end("crashed", tmp_path / "log")
        train(progress, runs[1], [1], clock)

    assert "9 min" == left(progress)


def test_runs_that_come_back_from_elsewhere_tell_their_pace_together(runs, clock):
    """They ran beside each other already: nothing is shared out again."""
    progress = heard()
    with progress.of(runs):
        clock.now_s += 60
        for run in runs[:8]:
            progress.came_back(run, "ok", "")

    assert "60 s" == left(progress)


class Screen:
    """A terminal, and what has been shown on it."""

    def __init__(self, width, height):
        self.file = io.StringIO()
        environment = {"TERM": "xterm", "NO_COLOR": "1"}
        self.progress = Progress(
            Console(file=self.file, force_terminal=True, width=width, height=height, _environ=environment)
        )

    @property
    def lines(self):
        """All that was written, line by line."""
        return re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", self.file.getvalue()).replace("\r", "\n").splitlines()

    @property
    def present(self):
        """What is shown now."""
        return self.progress._lines().plain.splitlines()


@pytest.fixture
def screen(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    return lambda width=80, height=24: Screen(width, height)


@pytest.fixture
def busy(runs, clock, tmp_path):
    """Show four runs that have ended, one of them badly, one that goes on and eleven that wait."""

    def show(progress):
        for run in runs[:4]:
            train(progress, run, range(1, 11), clock)
            progress.end("crashed" if run is runs[2] else "ok", tmp_path / "log")
        train(progress, runs[4], [1, 2, 3], clock)

    return show


def test_a_wide_terminal_shows_a_table_of_runs(screen, busy, runs):
    """The last three that have ended, the one that goes on with what is left of it, and the next three."""
    one = screen()
    with one.progress.of(runs):
        busy(one.progress)
        shown = one.present

    assert shown == [
        "4 of 16 done, 1 running, 11 waiting, about 1.9 h left",
        "case     seed  state                     test  time",
        "mine/16     0  ok                       50.0%  10 min",
        "mine/32     0  crashed                  50.0%  10 min",
        "mine/64     0  ok                       50.0%  10 min",
        "mine/8      1  epoch 4/10 [###-------]  50.0%  7 min left",
        "mine/16     1  waiting",
        "mine/32     1  waiting",
        "mine/64     1  waiting",
    ]


def test_a_narrow_terminal_shows_each_run_with_a_line_or_two_of_its_own(screen, busy, runs):
    """At 40 columns nothing is cut off."""
    one = screen(width=40)
    with one.progress.of(runs):
        busy(one.progress)
        shown = one.present

    assert shown == [
        "4 of 16 done, 1 running, 11 waiting,",
        "about 1.9 h left",
        "mine/16 seed 0: ok, 50.0% test, 10 min",
        "mine/32 seed 0",
        "  crashed, 50.0% test, 10 min",
        "mine/64 seed 0: ok, 50.0% test, 10 min",
        "mine/8 seed 1",
        "  epoch 4/10 [###-------], 50.0% test,",
        "  7 min left",
        "mine/16 seed 1: waiting",
        "mine/32 seed 1: waiting",
        "mine/64 seed 1: waiting",
    ]


def test_every_run_that_has_ended_stays_as_one_line(screen, busy, runs):
    """Once each, as soon as the table has no room for it, at the latest when it closes; a failed one at once."""
    one = screen()
    with one.progress.of(runs):
        busy(one.progress)
        early = [line for line in one.lines if line.startswith("[")]
    kept = [line for line in one.lines if line.startswith("[")]

    assert ["[1/16] mine/8 seed 0: 50.0% test, 10 min"] == [line for line in early if "ended as" not in line]
    assert ["[1/16]", "[2/16]", "[3/16]", "[4/16]"] == sorted(line.split()[0] for line in kept)
    assert 1 == sum("[3/16] mine/32 seed 0 ended as crashed; see" in line for line in early)


def test_what_has_ended_stays_when_the_user_stops_the_rest(screen, busy, runs):
    """Ctrl-C takes the table away, not what it told."""
    one = screen()
    with suppress(KeyboardInterrupt), one.progress.of(runs):
        busy(one.progress)
        raise KeyboardInterrupt

    assert "[4/16] mine/64 seed 0: 50.0% test, 10 min" in one.lines


def test_runs_that_come_back_from_elsewhere_are_rows_of_the_table(screen, clock, runs):
    """In any order; what has not come back waits."""
    one = screen()
    with one.progress.of(runs[:4]):
        clock.now_s += 60
        one.progress.came_back(runs[2], "ok", "")
        one.progress.came_back(runs[0], "oom_device", ": it was too large")
        shown = one.present

    assert [
        "mine/32     0  ok",
        "mine/8      0  oom_device",
        "mine/16     0  waiting",
        "mine/64     0  waiting",
    ] == shown[2:]


@pytest.mark.parametrize("width", [20, 40, 80])
@pytest.mark.parametrize("height", [2, 3, 4, 5, 6, 8, 12, 24])
def test_the_table_is_never_higher_than_the_terminal(width, height, screen, busy, runs):
    """One line is left for the cursor; the first is about all runs."""
    one = screen(width, height)
    with one.progress.of(runs):
        busy(one.progress)
        shown = one.present

    assert len(shown) <= height - 1
    assert shown[0].startswith("4 of 16 done")


@pytest.mark.parametrize("height", [4, 5, 6])
def test_on_a_low_terminal_the_run_that_goes_on_is_shown_first(height, screen, busy, runs):
    """What has ended and what waits give way."""
    one = screen(height=height)
    with one.progress.of(runs):
        busy(one.progress)

        assert any("epoch 4/10" in line for line in one.present)


def test_the_table_is_ascii_without_colour_and_within_the_width(screen, busy, runs):
    """So that no locale or terminal lacks anything of it."""
    one = screen(width=60)
    with one.progress.of(runs):
        busy(one.progress)

    assert one.file.getvalue().isascii()
    assert not re.search(r"\x1b\[[0-9;]*m", one.file.getvalue())
    assert 60 >= max(len(line) for line in one.lines if not line.startswith("["))


def test_a_name_that_is_too_long_for_columns_is_folded():
    """Candidates of hypotheses have long names; no letter is lost."""
    name = "augmentation/normalize, grayscale, jitter [augmentation.color_jitter: 0.5, hue 0.5]"
    lines = display(HEAD, Rows(running=(Row(name, 0, "waiting"),)), 60, 24).splitlines()[1:]

    assert f"{name} seed 0 waiting" == " ".join(line.strip() for line in lines)
    assert 60 >= max(map(len, lines))


def test_letters_of_double_width_keep_the_columns_in_line():
    """A table of one's own may have cases with such names."""
    rows = Rows(ended=(Row("mine/\u5927", 0, "ok"), Row("mine/abc", 0, "ok")))

    assert ["mine/\u5927      0  ok", "mine/abc     0  ok"] == display(["x"], rows, 80, 24).splitlines()[2:]


def test_a_run_that_several_cases_show_says_how_many_more(runs):
    """As in the plain lines."""
    shared = runs[0].__class__(**{**vars(runs[0]), "labels": ("mine/8", "other/x", "third/y")})

    assert {"mine/8 (+2)"} == {
        row.case for row in (waiting_row(shared), ended_row(shared, "ok"), running_row(Going(shared, 0.0), 0.0))
    }


@pytest.mark.parametrize(
    ("done", "state", "time"),
    [
        (0, "epoch 1/10 [----------]", ""),
        (5, "epoch 6/10 [#####-----]", "5 min left"),
        (10, "epoch 10/10 [##########]", "0 s left"),
    ],
)
def test_a_run_that_goes_on_tells_its_epoch_and_what_is_left(done, state, time, runs):
    """Nothing is left before the first epoch has told the pace, and never less than nothing."""
    going = Going(runs[0], 0.0)
    for number in range(1, done + 1):
        going = going.after(epoch(number), 60.0 * number)
    row = running_row(going, 60.0 * done)

    assert (state, time) == (row.state, row.time)


def test_a_run_that_goes_on_where_it_was_stopped_has_the_pace_of_its_own_epochs(runs):
    """A minute for the ninth of ten: the eight before are no part of it."""
    assert 60.0 == Going(runs[0], 0.0).after(epoch(9), 60.0).left_s(60.0)
