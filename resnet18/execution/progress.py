"""What is shown while runs go on: bars on a terminal, elsewhere a line for each run that has ended, or JSON events."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from time import perf_counter

from rich import progress as bars
from rich.console import Console

from resnet18.execution.job import Finished, Message
from resnet18.records.record import Status
from resnet18.spec.errors import json_line, printable
from resnet18.spec.metric import duration
from resnet18.spec.plan import Run


class Progress:
    """Shows runs as they go: bars on a terminal, and a line for each that has ended. Work is counted in images.

    For a program, `as_json`, it writes events instead: a flat JSON object a line, with what happened under `event`.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = perf_counter, *, as_json: bool = False) -> None:
        self._console, self._as_json = console, as_json
        self._is_live = console.is_terminal and not console.is_dumb_terminal and not as_json
        self._bars = bars.Progress(
            bars.TextColumn("{task.description}", markup=False),
            bars.BarColumn(bar_width=None),
            bars.TextColumn("{task.fields[state]}", markup=False),
            bars.TimeRemainingColumn(compact=True),
            console=console,
            refresh_per_second=1,  # drawing takes time from what is measured
            speed_estimate_period=1e9,  # all of it, after the first epoch, which warms up
            get_time=clock,
            disable=not self._is_live,
            transient=True,
            expand=True,
        )
        self._all = self._bars.add_task("all", total=0, state="")
        self._tasks: dict[str, bars.TaskID] = {}
        self._total = self._ended = 0

    @contextmanager
    def of(self, runs: Sequence[Run]) -> Iterator[None]:
        """Open the display for these runs, and close it."""
        self._total, self._ended = len(runs), 0
        total = sum(_images(run) * run.experiment.epochs for run in runs)
        self._bars.reset(self._all, total=total, state=f"0/{len(runs)} runs")
        with self._bars if self._is_live and runs else nullcontext():
            yield

    def start(self, run: Run) -> None:
        """Show that a run begins here."""
        epochs = run.experiment.epochs
        self._tasks[run.run_id] = self._bars.add_task(_name(run), total=epochs, state=f"epoch 1/{epochs}", score="")

    def hear(self, run: Run, message: Message) -> None:
        """Show what the process of a run tells: a note, or that an epoch has ended."""
        if message.note is not None:
            self.say(message.note, run)
        if (epoch := message.epoch) is None:
            return
        task, epochs = self._task(self._tasks[run.run_id]), run.experiment.epochs
        self._work(run, 1, less=epoch.epoch - 1 - int(task.completed))  # done before the run was stopped
        state, score = f"epoch {min(epoch.epoch + 1, epochs)}/{epochs}", f"{epoch.as_published.accuracy:.1%} test"
        self._bars.update(task.id, completed=epoch.epoch, state=state, score=score)
        values = {
            "epoch": epoch.epoch,
            "train_loss": epoch.train.loss,
            "train_accuracy": epoch.train.accuracy,
            "test_accuracy": epoch.as_published.accuracy,
            "seconds": epoch.train_s + (epoch.statistics_s or 0) + epoch.eval_as_published_s + epoch.eval_clean_s,
            "epochs": epochs,
        }
        self.tell(None, {"event": "epoch", **_keys(run), **values})

    def say(self, text: str, run: Run | None = None) -> None:
        """Say something that the user must know, of a run or of more than one."""
        keys = _keys(run) if run else {"run_id": None, "cases": None, "seed": None}
        self.tell(f"{_name(run)} {text}" if run else text, {"event": "note", **keys, "says": text})

    def tell(self, text: str | None, *events: Mapping[str, object]) -> None:
        """Say a text to people, or send these events to a program, each whole and at once."""
        lines = (
            [json_line(event) for event in events] if self._as_json else [printable(text)] if text is not None else []
        )
        for line in lines:
            if self._is_live:
                self._console.print(line, markup=False, highlight=False, soft_wrap=True)
            else:  # rich would end the program with exit code 1 when the reader of a pipe has gone
                self._console.file.write(f"{line}\n")
                self._console.file.flush()

    def end(self, run: Run, status: Status | None, text: str = "", *, was_recorded: bool = False) -> Finished:
        """Show that a run has ended, here or elsewhere, and return how it stands."""
        parts, epochs = [status or "not run", text], run.experiment.epochs
        if run.run_id in self._tasks:
            task = self._task(self._tasks.pop(run.run_id))
            parts += [task.fields["score"], duration(task.elapsed or 0.0)]
            self._work(run, 0, less=epochs - int(task.completed))
            self._bars.remove_task(task.id)
        else:
            self._work(run, epochs if status else 0, less=0 if status else epochs)
        self._ended += 1
        self._bars.update(self._all, state=f"{self._ended}/{self._total} runs")
        left_s = self._task(self._all).time_remaining
        parts.append(f"about {duration(left_s)} left" if left_s else "")
        line = f"[{self._ended}/{self._total}] {_name(run)}: {', '.join(part for part in parts if part)}"
        self.tell(line, {"event": "run", **_keys(run), "status": status, "says": text or None})
        return Finished(run, status, was_recorded)

    def _work(self, run: Run, epochs: int, *, less: int) -> None:
        """Count epochs of a run as done, and those that are no work any more, which tell nothing of the speed."""
        self._task(self._all).completed += less * _images(run)
        self._bars.advance(self._all, epochs * _images(run))

    def _task(self, number: bars.TaskID) -> bars.Task:
        return next(task for task in self._bars.tasks if task.id == number)


def _keys(run: Run) -> dict[str, object]:
    return {"run_id": run.run_id, "cases": ", ".join(run.labels), "seed": run.experiment.seed}


def _name(run: Run) -> str:
    """Return the first case that shows a run, how many more there are, and the seed."""
    more = f" (+{len(run.labels) - 1})" if len(run.labels) > 1 else ""
    return f"{run.labels[0]}{more} seed {run.experiment.seed}"


def _images(run: Run) -> int:
    """Return the images of an epoch. How many "all" are is the same for every run of a plan."""
    images = run.experiment.train_images
    return images if isinstance(images, int) else 1_000
