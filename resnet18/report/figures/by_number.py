"""Accuracy and time against the one number in which the cases of a table differ."""

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from resnet18.records.compare import knows_machine
from resnet18.records.record import Record
from resnet18.report.figures.style import (
    COLORS,
    INK,
    MARKERS,
    POINTS_PER_LETTER,
    Key,
    entry,
    figure_with_keys,
    plain,
    svg_of,
)
from resnet18.spec.resolve import value_at
from resnet18.tables.cells import STATUS_TEXT, missing
from resnet18.tables.metrics import best_accuracy, clean_accuracy, machine
from resnet18.tables.selection import CaseRecords
from resnet18.tables.tables import TIMES

PANEL_HEIGHT = 3.4
"""In inches, labels included."""
SCOPE_TITLES = {"train_s": "training alone", "whole_program_s": "the whole program"}
WORD_LETTERS = 14
"""Letters of a line of what stands at the top edge."""


@dataclass(frozen=True)
class Line:
    """One line over the cases: a middle for each, and the seeds as small points around it."""

    label: str
    middle: Callable[[Sequence[float]], float]
    values: tuple[tuple[float, tuple[float, ...]], ...]
    """(position, value of each seed), by position; without seeds the line is broken there."""
    look: dict[str, Any]


def against(title: str, key_title: str, arms: Sequence[CaseRecords], key: str, scope: str) -> bytes:
    """Return an SVG of accuracy (%, mean) and time (s, median) against a numeric key, with the seeds as points.

    A case, or a seed, without a result is a word at the top edge. Times of several machines are several lines.

    Args:
        title: of the figure.
        key_title: of the axis.
        arms: cases with their records, all with another value of the key.
        key: as `numeric_key` gives it.
        scope: the metric whose seconds are shown: `train_s` or `whole_program_s`.
    """
    return svg_of(lambda: draw_against(title, key_title, arms, key, scope))


def draw_against(title: str, key_title: str, arms: Sequence[CaseRecords], key: str, scope: str) -> Figure:
    """Return the figure; see `against`."""
    cases = sorted(((float(value_at(arm.experiment, key)), arm) for arm in arms), key=lambda case: case[0])
    left, right = _accuracies(cases), _times(cases, scope)
    signs: list[Artist] = [entry(_with_n(line), **line.look) for line in (*left, *right)]
    if _of_unknown(cases):
        signs.append(entry("times of an unknown machine are not drawn", linestyle=""))
    if any(len(arm.measured) > 1 for _, arm in cases):
        signs.append(entry("one seed", linestyle="", marker=".", markersize=5))
    if any(record.has_unreliable_times for _, arm in cases for record in arm.measured):
        signs.append(entry("one seed, its time is unreliable", linestyle="", marker="x", markersize=5))
    figure = figure_with_keys(title, (9.0, PANEL_HEIGHT), [Key(signs)])
    accuracy, time = figure.subplots(1, 2)
    for axes, lines, name in ((accuracy, left, "test accuracy (%)"), (time, right, "time (s)")):
        for line in lines:
            _draw(axes, line)
        axes.set_ylabel(name)
        _set_positions(axes, [at for at, _ in cases], plain(key_title))
    accuracy.set_title("accuracy, mean over the seeds")
    time.set_title(f"time of {SCOPE_TITLES[scope]}, median")
    _cross_unreliable(time, cases, TIMES[scope])
    if right:
        time.set_ylim(bottom=0)
    for axes in (accuracy, time):
        _write_words(axes, cases)
    return figure


def _accuracies(cases: Sequence[tuple[float, CaseRecords]]) -> list[Line]:
    def of(label: str, value: Callable[[Record], float], **look: Any) -> Line:  # noqa: ANN401 - what a line takes
        values = tuple((at, tuple(sorted(100 * value(record) for record in arm.measured))) for at, arm in cases)
        return Line(label, fmean, values, look)

    return [
        of("best epoch, as published", best_accuracy, color=COLORS[0], marker="o", markersize=6),
        of(
            "clean, median of the last three epochs",
            clean_accuracy,
            color=COLORS[1],
            marker="s",
            markersize=5.5,
            markerfacecolor="white",
            linestyle="--",
        ),
    ]


def _times(cases: Sequence[tuple[float, CaseRecords]], scope: str) -> list[Line]:
    """Return a line for each machine: times of two machines have nothing in common, nor have those of unknown ones."""
    machines = sorted({machine(record) for _, arm in cases for record in arm.measured} - _of_unknown(cases))
    return [
        Line(
            plain(f"time on {name}"),
            median,
            tuple(
                (at, tuple(sorted(TIMES[scope](one) for one in arm.measured if machine(one) == name)))
                for at, arm in cases
            ),
            {"color": COLORS[(2, 5, 3, 4, 6)[number % 5]], "marker": MARKERS[(2, 3, 4, 5, 6)[number % 5]]},
        )
        for number, name in enumerate(machines)
    ]


def _of_unknown(cases: Sequence[tuple[float, CaseRecords]]) -> set[str]:
    """Return how unknown machines are called where there is more than one record to draw."""
    records = [record for _, arm in cases for record in arm.measured]
    return {machine(one) for one in records if len(records) > 1 and not knows_machine(one.fingerprint.numerics)}


def _draw(axes: Axes, line: Line) -> None:
    middles = [line.middle(values) if values else float("nan") for _, values in line.values]
    axes.plot([at for at, _ in line.values], middles, linewidth=1.4, **line.look)
    seeds = [(at, value) for at, values in line.values if len(values) > 1 for value in values]
    axes.plot(
        [at for at, _ in seeds],
        [value for _, value in seeds],
        linestyle="",
        marker=".",
        markersize=4,
        color=line.look["color"],
        markeredgecolor="black",
        markeredgewidth=0.3,
        zorder=3,
    )


def _cross_unreliable(
    axes: Axes, cases: Sequence[tuple[float, CaseRecords]], seconds: Callable[[Record], float]
) -> None:
    left_out = _of_unknown(cases)
    for at, arm in cases:
        crossed = sorted(
            seconds(one) for one in arm.measured if one.has_unreliable_times and machine(one) not in left_out
        )
        axes.plot([at] * len(crossed), crossed, linestyle="", marker="x", markersize=5, color=INK, zorder=4)


def _set_positions(axes: Axes, positions: Sequence[float], title: str) -> None:
    axes.set_xlabel(f"{title} (log scale)")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(positions))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))
    room = max((positions[-1] / positions[0]) ** 0.06, 1.1)
    axes.set_xlim(positions[0] / room, positions[-1] * room)


def _write_words(axes: Axes, cases: Sequence[tuple[float, CaseRecords]]) -> None:
    """Write how runs ended that left no number at the top edge, above all points."""
    words = [(at, textwrap.fill(word, WORD_LETTERS)) for at, arm in cases if (word := _word(arm))]
    if not words:
        return
    longest = max(len(line) for _, word in words for line in word.split("\n"))
    share = longest * POINTS_PER_LETTER / (72 * (PANEL_HEIGHT - 0.9)) + 0.04
    low, high = axes.get_ylim()
    axes.set_yticks([tick for tick in axes.get_yticks() if low <= tick <= high])  # what is above is no value
    axes.set_ylim(low, low + (high - low) / (1 - share))
    for at, word in words:
        place: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "rotation": 90, "ha": "center", "va": "top"}
        axes.annotate(word, (at, 0.985), multialignment="right", fontsize=8, color=INK, **place)


def _word(arm: CaseRecords) -> str:
    """Return what stands for the runs without a number, nothing where there are none."""
    if not arm.measured:
        return plain(missing(arm))
    others = [record.status for record in arm.records if record.status != "ok"]
    return ", ".join(f"{others.count(one)} of {len(arm.records)} {STATUS_TEXT[one]}" for one in dict.fromkeys(others))


def _with_n(line: Line) -> str:
    counts = sorted({len(values) for _, values in line.values if values})
    if not counts:
        return line.label
    return f"{line.label} (n = {counts[0]}{f' to {counts[-1]}' if len(counts) > 1 else ''})"
