"""What a person sees while runs go on: a small live table on a terminal, one plain line an epoch elsewhere.

How the table looks is told in `progress_lines`. A run that has ended leaves it for a line above that stays.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from time import perf_counter

from rich.console import Console
from rich.live import Live
from rich.text import Text

from resnet18.execution.job import EpochDone
from resnet18.execution.progress_lines import (
    COLD_START_S,
    MOST_ROWS,
    Going,
    Row,
    Rows,
    case_of,
    display,
    ended_row,
    running_row,
    waiting_row,
)
from resnet18.records.record import Status
from resnet18.spec.plan import Run
from resnet18.spec.printed import duration


class Progress:
    """Shows runs as they go. Work is counted in training images, since runs differ in length.

    Args:
        console: where to; lines live on a terminal that can move its cursor.
        is_alone: nobody else writes there, so that lines may live.
        jobs: runners that share the runs, of which this is one.
    """

    def __init__(self, console: Console, *, is_alone: bool = True, jobs: int = 1) -> None:
        self._console = console
        self._may_live = is_alone and console.is_terminal and not console.is_dumb_terminal
        self._live: Live | None = None
        self._run: Run | None = None
        self._going: Going | None = None
        self._position = self._total = self._done = 0
        self._work_done = self._work = 0
        self._began_s = self._seen_s = 0.0
        self._first: tuple[float, int] | None = None
        self._jobs = jobs
        self._waiting: dict[str, Run] = {}
        # Another thread draws: what it reads is replaced as a whole.
        self._next: tuple[Row, ...] = ()
        self._ended: tuple[tuple[Row, str], ...] = ()

    @contextmanager
    def of(self, runs: Sequence[Run]) -> Iterator[None]:
        """Open the display for these runs, and close it."""
        self._total, self._position, self._done, self._work_done = len(runs), 0, 0, 0
        self._work = sum(_work(run) for run in runs)
        self._waiting, self._ended = {run.run_id: run for run in runs}, ()
        self._show_next()
        self._began_s, self._first = perf_counter(), None
        if not runs or not self._may_live:
            yield
            return
        try:
            with Live(
                get_renderable=self._lines, console=self._console, refresh_per_second=1, transient=True
            ) as self._live:
                yield
        finally:
            self._live = None
            self._keep(self._ended)

    def start(self, run: Run) -> None:
        """A run begins."""
        self._run, self._going = run, Going(run, perf_counter())
        self._position += 1
        self._no_longer_waits(run)
        self._refresh()

    def epoch(self, epoch: EpochDone) -> None:
        """An epoch of the run has ended."""
        run, self._seen_s = self._current, perf_counter()
        before = self._going or Going(run, self._seen_s)
        self._going = before.after(epoch, self._seen_s)
        # One that was stopped goes on after what it had done: that is no work any more.
        self._work -= _work_of_an_epoch(run) * (epoch.epoch - before.epochs_done - 1)
        self._work_done += _work_of_an_epoch(run)
        self._first = self._first or (self._seen_s, self._work_done)
        if self._live is not None:
            self._refresh()
            return
        self._print(
            f"{self._name()} epoch {epoch.epoch}/{run.experiment.epochs}: train loss {epoch.train_loss:.3f}, "
            f"accuracy {epoch.train_accuracy:.1%} train, "
            f"{epoch.test_accuracy:.1%} test, {epoch.seconds:.1f} s{self._remaining(', ')}"
        )

    def note(self, text: str) -> None:
        """Something about the run that the user must know."""
        self._print(f"{self._name()} {text}")

    def say(self, text: str) -> None:
        """Something that concerns more than one run."""
        self._print(text)

    def came_back(self, run: Run, status: Status | None, text: str) -> None:
        """A run that went on elsewhere, beside others, has ended."""
        self._run, self._going = run, None
        self._position += 1
        self._done += 1
        self._work_done += _work(run)
        self._seen_s = perf_counter()
        self._no_longer_waits(run)
        self._leaves(ended_row(run, status or "not run"), "")
        if self._live is None or status != "ok":
            self._print(f"{self._name()}: {status or 'not run'}{text}{self._remaining(', ')}")

    def skip(self, text: str) -> None:
        """The run is not carried out here, for this reason; an empty one is not worth a line."""
        self._work -= self._own_work_left()
        self._going = None
        self._done += 1
        if text:
            self.note(text)

    def end(self, status: Status, log: Path) -> None:
        """The run has ended; the log goes where it says nothing."""
        self._work -= self._own_work_left()
        ended, self._going = self._going or Going(self._current, perf_counter()), None
        self._done += 1
        seconds = perf_counter() - ended.began_s
        if status != "ok":
            self._print(f"{self._name()} ended as {status}; see {log}")
        elif log.is_file() and log.stat().st_size == 0:
            log.unlink()
        scored = "" if ended.accuracy is None else f"{ended.accuracy:.1%} test, "
        line = f"{self._name()}: {scored}{duration(seconds)}" if status == "ok" else ""
        self._leaves(ended_row(ended.run, status, ended.accuracy, seconds), line)

    @property
    def _current(self) -> Run:
        if self._run is None:
            raise RuntimeError("no run was started")
        return self._run

    def _name(self) -> str:
        run = self._current
        return f"[{self._position}/{self._total}] {case_of(run)} seed {run.experiment.seed}"

    def _own_work_left(self) -> int:
        """Return the work of the present run that is left, none where none goes on here."""
        return 0 if self._going is None else _work_of_an_epoch(self._going.run) * self._going.epochs_left

    def _pace_s(self) -> float | None:
        """Return the seconds for a piece of work so far, without the first epoch; None where that tells no pace."""
        seen_s, done = (self._began_s, 0) if self._first is None else self._first
        if self._work_done > done:
            return (self._seen_s - seen_s) / (self._work_done - done)
        is_warm = self._work_done > 0 and seen_s - self._began_s >= COLD_START_S
        return (seen_s - self._began_s) / self._work_done if is_warm else None

    def _remaining(self, before: str = "") -> str:
        """Return what is left of all runs, empty if unknown; between two epochs it grows shorter by the clock.

        Of what is left others do their share, but for the present run.
        """
        if (pace_s := self._pace_s()) is None:
            return ""
        now_s = perf_counter()
        work_left = max((self._work - self._work_done) / self._jobs, self._own_work_left())
        left_s = max(0.0, pace_s * work_left - (now_s - self._seen_s))
        return f"{before}about {duration(left_s)} left"

    def _lines(self) -> Text:
        """Return the live lines: all runs, then some of those that have ended, go on here, and wait."""
        left = [text] if (text := self._remaining()) else []
        going = self._going
        running = () if going is None else (running_row(going, perf_counter()),)
        waiting = self._total - self._done - len(running)
        head = [f"{self._done} of {self._total} done", f"{len(running)} running", f"{waiting} waiting", *left]
        rows = Rows(tuple(row for row, _ in self._ended), running, self._next)
        size = self._console.size
        return Text(display(head, rows, size.width, size.height), no_wrap=True, overflow="crop")

    def _no_longer_waits(self, run: Run) -> None:
        self._waiting.pop(run.run_id, None)
        self._show_next()

    def _show_next(self) -> None:
        self._next = tuple(waiting_row(run) for run in islice(self._waiting.values(), MOST_ROWS))

    def _leaves(self, row: Row, line: str) -> None:
        """Show a run among those that have ended; the one that it drives out becomes a line, unless that was said."""
        if self._live is None:
            return
        ended = (*self._ended, (row, line))
        self._ended = ended[-MOST_ROWS:]
        self._keep(ended[:-MOST_ROWS])
        self._refresh()

    def _keep(self, ended: tuple[tuple[Row, str], ...]) -> None:
        for _, line in ended:
            if line:
                self._print(line)

    def _refresh(self) -> None:
        if self._live is not None:
            self._live.refresh()

    def _print(self, text: str) -> None:
        if self._live is not None:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:  # rich would end the program with exit code 1 where nobody reads any more
            self._console.file.write(f"{text}\n")
            self._console.file.flush()


def _work_of_an_epoch(run: Run) -> int:
    return _work(run) // run.experiment.epochs


def _work(run: Run) -> int:
    images = run.experiment.train_images
    # "all" is a number that only the data set knows; within one plan it is the same for every run.
    return run.experiment.epochs * (images if isinstance(images, int) else 1_000)
