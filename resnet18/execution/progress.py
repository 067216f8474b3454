"""What a person sees while runs go on: two live lines on a terminal, one plain line an epoch elsewhere.

Everything of ours is ASCII, so that no locale lacks a letter of it, and nothing depends on colour.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

from rich.console import Console
from rich.live import Live
from rich.text import Text

from resnet18.execution.job import EpochDone
from resnet18.records.record import Status
from resnet18.spec.duration import duration
from resnet18.spec.plan import Run


class Progress:
    """Shows runs as they go. Work is counted in training images, since runs differ in length.

    Args:
        console: where to; lines live on a terminal that can move its cursor.
        is_alone: nobody else writes there, so that lines may live.
    """

    def __init__(self, console: Console, *, is_alone: bool = True) -> None:
        self._console = console
        self._may_live = is_alone and console.is_terminal and not console.is_dumb_terminal
        self._live: Live | None = None
        self._run: Run | None = None
        self._is_running = False
        self._position = self._total = self._done = 0
        self._work_done = self._work = 0
        self._began_s = self._run_began_s = self._seen_s = 0.0
        self._epoch: EpochDone | None = None

    @contextmanager
    def of(self, runs: Sequence[Run]) -> Iterator[None]:
        """Open the display for these runs, and close it."""
        self._total, self._position, self._done, self._work_done = len(runs), 0, 0, 0
        self._work = sum(_work(run) for run in runs)
        self._began_s = perf_counter()
        if not runs or not self._may_live:
            yield
            return
        with Live(
            get_renderable=self._lines, console=self._console, refresh_per_second=1, transient=True
        ) as self._live:
            yield
        self._live = None

    def start(self, run: Run) -> None:
        """A run begins."""
        self._run, self._epoch, self._is_running = run, None, True
        self._position += 1
        self._run_began_s = perf_counter()
        self._refresh()

    def epoch(self, epoch: EpochDone) -> None:
        """An epoch of the run has ended."""
        run = self._current
        self._work_done += _work(run) // run.experiment.epochs
        self._epoch, self._seen_s = epoch, perf_counter()
        if self._live is not None:
            self._refresh()
            return
        self._print(
            f"{self._name()} epoch {epoch.epoch}/{run.experiment.epochs}: train loss {epoch.train_loss:.3f}, "
            f"accuracy {epoch.train_accuracy:.1%} train, "
            f"{epoch.test_accuracy:.1%} test, {epoch.seconds:.1f} s, {self._remaining()}"
        )

    def note(self, text: str) -> None:
        """Something about the run that the user must know."""
        self._print(f"{self._name()} {text}")

    def say(self, text: str) -> None:
        """Something that concerns more than one run."""
        self._print(text)

    def came_back(self, run: Run, status: Status | None, text: str) -> None:
        """A run that went on elsewhere, beside others, has ended."""
        self._run, self._epoch, self._is_running = run, None, False
        self._position += 1
        self._done += 1
        self._work_done += _work(run)
        self._seen_s = perf_counter()
        self._refresh()
        if self._live is None or status != "ok":
            self._print(f"{self._name()}: {status or 'not run'}{text}, {self._remaining()}")

    def skip(self, text: str) -> None:
        """The run is not carried out here, for this reason; an empty one is not worth a line."""
        self._work -= _work(self._current)
        self._is_running = False
        self._done += 1
        if text:
            self.note(text)

    def end(self, status: Status, log: Path) -> None:
        """The run has ended; the log goes where it says nothing."""
        self._is_running = False
        self._done += 1
        if status != "ok":
            self._print(f"{self._name()} ended as {status}; see {log}")
        elif log.is_file() and log.stat().st_size == 0:
            log.unlink()
        if status == "ok" and self._live is not None:
            accuracy = f"{self._epoch.test_accuracy:.1%} test, " if self._epoch else ""
            self._print(f"{self._name()}: {accuracy}{duration(perf_counter() - self._run_began_s)}")

    @property
    def _current(self) -> Run:
        if self._run is None:
            raise RuntimeError("no run was started")
        return self._run

    def _name(self) -> str:
        return f"[{self._position}/{self._total}] {self._case()}"

    def _case(self) -> str:
        run = self._current
        others = f" (+{len(run.labels) - 1})" if len(run.labels) > 1 else ""
        return f"{run.labels[0]}{others} seed {run.experiment.seed}"

    def _remaining(self) -> str:
        """Return what is left of all runs; between two epochs it grows shorter by the clock."""
        now_s = perf_counter()
        left_s = (self._seen_s - self._began_s) * (self._work - self._work_done) / max(self._work_done, 1)
        return f"about {duration(max(0.0, left_s - (now_s - self._seen_s)))} left"

    def _lines(self) -> Text:
        """Return the live lines: all runs, and the one that goes on here. They wrap where the terminal is narrow."""
        left = f", {self._remaining()}" if self._work_done else ""
        waiting = self._total - self._done - self._is_running
        lines = [f"{self._done} of {self._total} done, {int(self._is_running)} running, {waiting} waiting{left}"]
        if self._is_running:
            lines.append(f"{self._case()}: {self._of_run()}")
        return Text("\n".join(lines), overflow="fold")

    def _of_run(self) -> str:
        """Return how far the run has come."""
        epochs, epoch = self._current.experiment.epochs, self._epoch
        if epoch is None:
            return f"epoch 1/{epochs}"
        pace_s = (self._seen_s - self._run_began_s) / epoch.epoch
        left_s = max(0.0, pace_s * (epochs - epoch.epoch) - (perf_counter() - self._seen_s))
        return f"epoch {epoch.epoch}/{epochs}, {epoch.test_accuracy:.1%} test, about {duration(left_s)}"

    def _refresh(self) -> None:
        if self._live is not None:
            self._live.refresh()

    def _print(self, text: str) -> None:
        if self._live is not None:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:  # rich would end the program with exit code 1 where nobody reads any more
            self._console.file.write(f"{text}\n")
            self._console.file.flush()


def _work(run: Run) -> int:
    images = run.experiment.train_images
    # "all" is a number that only the data set knows; within one plan it is the same for every run.
    return run.experiment.epochs * (images if isinstance(images, int) else 1_000)
