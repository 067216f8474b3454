"""How a terminal shows runs that go on: a line about all of them, then a small table that is never higher than it.

A column for each thing where they fit beside each other; else, as at 40 columns, each run has a line or two of its own.
ASCII, so that no locale lacks a letter of it, and nothing depends on colour.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from rich.cells import cell_len

from resnet18.execution.job import EpochDone
from resnet18.spec.plan import Run
from resnet18.spec.printed import duration

MOST_ROWS = 3
"""Of runs that have ended, and of those that wait."""
COLD_START_S = 60.0
"""A first epoch tells a pace if it takes as long: compiling and warming up took 44 s of two busy cores."""
BAR = 10
INDENT = "  "


@dataclass(frozen=True)
class Row:
    """What is shown of one run."""

    case: str
    seed: int
    state: str
    accuracy: str = ""
    """On the test images, after its last epoch so far."""
    time: str = ""
    """That it has taken, or that is left."""


TITLES = ("case", "seed", "state", "test", "time")
IS_NUMBER = (False, True, False, True, False)
"""Which columns are flush right."""


@dataclass(frozen=True)
class Rows:
    """The runs that are shown, in the order in which they come."""

    ended: tuple[Row, ...] = ()
    running: tuple[Row, ...] = ()
    waiting: tuple[Row, ...] = ()

    @property
    def all(self) -> tuple[Row, ...]:
        """One after the other."""
        return self.ended + self.running + self.waiting

    def fewer(self) -> Self | None:
        """Return the rows without the least important one, None where only running ones are left."""
        if self.waiting and len(self.waiting) >= len(self.ended):
            return replace(self, waiting=self.waiting[:-1])
        return replace(self, ended=self.ended[1:]) if self.ended else None


@dataclass(frozen=True)
class Going:
    """A run that goes on here."""

    run: Run
    began_s: float
    epoch: EpochDone | None = None
    """The last one that has ended."""
    epochs_here: int = 0
    """That have ended since; one that was stopped had more before."""
    first_s: float = 0.0
    """When the first of those ended."""
    seen_s: float = 0.0
    """When the last one ended."""

    def after(self, epoch: EpochDone, now_s: float) -> "Going":
        """Return the run when one more epoch has ended."""
        first_s = self.first_s if self.epochs_here else now_s
        return replace(self, epoch=epoch, epochs_here=self.epochs_here + 1, first_s=first_s, seen_s=now_s)

    @property
    def epochs_done(self) -> int:
        """How many lie behind it."""
        return 0 if self.epoch is None else self.epoch.epoch

    @property
    def epochs_left(self) -> int:
        """How many are to come."""
        return self.run.experiment.epochs - self.epochs_done

    @property
    def accuracy(self) -> float | None:
        """On the test images, after the last epoch."""
        return None if self.epoch is None else self.epoch.test_accuracy

    def left_s(self, now_s: float) -> float | None:
        """Return the time that is left at its pace after its first epoch, or at that of a long one; None before."""
        if self.epochs_here > 1:
            pace_s = (self.seen_s - self.first_s) / (self.epochs_here - 1)
        elif self.epoch is not None and self.seen_s - self.began_s >= COLD_START_S:
            pace_s = self.seen_s - self.began_s
        else:
            return None
        return max(0.0, pace_s * self.epochs_left - (now_s - self.seen_s))


def case_of(run: Run) -> str:
    """Return the first case that shows a run, and how many more there are."""
    return f"{run.labels[0]} (+{len(run.labels) - 1})" if len(run.labels) > 1 else run.labels[0]


def waiting_row(run: Run) -> Row:
    """Return the row of a run that has not begun."""
    return Row(case_of(run), run.experiment.seed, "waiting")


def running_row(going: Going, now_s: float) -> Row:
    """Return the row of a run that goes on: the epoch that it is at, and how much lies behind it."""
    run, epochs, left_s = going.run, going.run.experiment.epochs, going.left_s(now_s)
    filled = BAR * going.epochs_done // epochs
    state = f"epoch {min(going.epochs_done + 1, epochs)}/{epochs} [{'#' * filled}{'-' * (BAR - filled)}]"
    left = "" if left_s is None else f"{duration(left_s)} left"
    return Row(case_of(run), run.experiment.seed, state, _percent(going.accuracy), left)


def ended_row(run: Run, state: str, accuracy: float | None = None, seconds: float | None = None) -> Row:
    """Return the row of a run that has ended."""
    time = "" if seconds is None else duration(seconds)
    return Row(case_of(run), run.experiment.seed, state, _percent(accuracy), time)


def _percent(accuracy: float | None) -> str:
    return "" if accuracy is None else f"{accuracy:.1%}"


def display(head: Sequence[str], rows: Rows, width: int, height: int) -> str:
    """Return what a terminal shows that has so many columns and lines, of which one is left for the cursor.

    Args:
        head: what is said of all runs, in parts of which none is broken.
        rows: some of them.
        width: in columns.
        height: in lines.
    """
    above = _packed(head, width)
    room = max(0, height - 1 - len(above))
    table = _table(rows, width)
    while len(table) > room and (fewer := rows.fewer()) is not None:
        rows, table = fewer, _table(fewer, width)
    return "\n".join([*above, *table[max(0, len(table) - room) :]][: max(1, height - 1)])


def _table(rows: Rows, width: int) -> list[str]:
    """Return the rows in columns, or below each other where those are too wide."""
    if not rows.all:
        return []
    aligned = _aligned([TITLES, *((row.case, str(row.seed), row.state, row.accuracy, row.time) for row in rows.all)])
    if max(map(cell_len, aligned)) <= width:
        return aligned
    return [line for row in rows.all for line in _below_each_other(row, width)]


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Return the cells of all rows in columns."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    return [
        INDENT.join(
            (" " * (width - cell_len(cell)) + cell) if is_number else (cell + " " * (width - cell_len(cell)))
            for cell, width, is_number in zip(row, widths, IS_NUMBER, strict=True)
        ).rstrip()
        for row in rows
    ]


def _below_each_other(row: Row, width: int) -> list[str]:
    """Return a run's name, and on the same line if there is room, else below it, how it stands."""
    name, accuracy = f"{row.case} seed {row.seed}", row.accuracy and f"{row.accuracy} test"
    parts = [part for part in (row.state, accuracy, row.time) if part]
    if cell_len(whole := f"{name}: {', '.join(parts)}") <= width:
        return [whole]
    return [*textwrap.wrap(name, max(width, 8)), *_packed(parts, width, INDENT)]


def _packed(parts: Sequence[str], width: int, indent: str = "") -> list[str]:
    """Return parts with commas between them, as many on a line as it has room for."""
    first, *others = parts
    lines = [f"{indent}{first}"]
    for part in others:
        if cell_len(f"{lines[-1]}, {part},") <= width:
            lines[-1] += f", {part}"
        else:
            lines[-1] += ","
            lines.append(f"{indent}{part}")
    return lines
