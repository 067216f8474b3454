"""What a person sees while runs go on: a live line on a terminal, one plain line an epoch elsewhere."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from resnet18.execution.job import EpochDone
from resnet18.records.record import Status
from resnet18.spec.duration import duration
from resnet18.spec.plan import Run


class Progress:
    """Shows runs as they go. Work is counted in training images, since runs differ in length."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: Bars | None = None
        self._run: Run | None = None
        self._position = 0
        self._total = 0
        self._work_done = 0
        self._work = 0
        self._began = 0.0

    @contextmanager
    def of(self, runs: Sequence[Run]) -> Iterator[None]:
        """Open the display for these runs, and close it."""
        self._total, self._position, self._work_done = len(runs), 0, 0
        self._work = sum(_work(run) for run in runs)
        self._began = perf_counter()
        if not runs or not self._console.is_terminal:
            yield
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
        )
        with Bars(*columns, console=self._console, transient=True) as self._bars:
            self._bars.add_task("", total=self._work, left="")
            yield
        self._bars = None

    def start(self, run: Run) -> None:
        """A run begins."""
        self._run = run
        self._position += 1
        self._show(self._name())

    def epoch(self, epoch: EpochDone) -> None:
        """An epoch of the run has ended."""
        run = self._current
        self._work_done += _work(run) // run.experiment.epochs
        at = f"{self._name()} epoch {epoch.epoch}/{run.experiment.epochs}"
        if self._bars is not None:
            self._show(f"{at}, {epoch.test_accuracy:.1%} test")
            return
        self._print(
            f"{at}: train loss {epoch.train_loss:.3f}, accuracy {epoch.train_accuracy:.1%} train, "
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
        self._run = run
        self._position += 1
        self._work_done += _work(run)
        if self._bars is not None:
            self._show(self._name())
        if self._bars is None or status != "ok":
            self._print(f"{self._name()}: {status or 'not run'}{text}, {self._remaining()}")

    def skip(self, text: str) -> None:
        """The run is not carried out here, for this reason; an empty one is not worth a line."""
        self._work -= _work(self._current)
        if text:
            self.note(text)

    def end(self, status: Status, log: Path) -> None:
        """The run has ended; the log goes where it says nothing."""
        if status != "ok":
            self._print(f"{self._name()} ended as {status}; see {log}")
        elif log.is_file() and log.stat().st_size == 0:
            log.unlink()

    @property
    def _current(self) -> Run:
        if self._run is None:
            raise RuntimeError("no run was started")
        return self._run

    def _name(self) -> str:
        run = self._current
        others = f" (+{len(run.labels) - 1})" if len(run.labels) > 1 else ""
        return f"[{self._position}/{self._total}] {run.labels[0]}{others} seed {run.experiment.seed}"

    def _remaining(self) -> str:
        elapsed_s = perf_counter() - self._began
        left_s = elapsed_s * (self._work - self._work_done) / max(self._work_done, 1)
        return f"about {duration(left_s)} left"

    def _show(self, text: str) -> None:
        if self._bars is not None:
            task = self._bars.task_ids[0]
            left = self._remaining() if self._work_done else ""
            self._bars.update(task, description=escape(text), completed=self._work_done, left=left)

    def _print(self, text: str) -> None:
        if self._console.is_terminal:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:  # rich would end the program with exit code 1 where nobody reads any more
            self._console.file.write(f"{text}\n")
            self._console.file.flush()


def _work(run: Run) -> int:
    images = run.experiment.train_images
    # "all" is a number that only the data set knows; within one plan it is the same for every run.
    return run.experiment.epochs * (images if isinstance(images, int) else 1_000)
