"""Accuracy and time against the one number in which the cases of a table differ."""

import textwrap
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from statistics import fmean, median
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from resnet18.records.content import knows_machine
from resnet18.records.record import Record
from resnet18.report.figures.style import COLORS, INK, MARKERS, entry, figure_with_legend, plain, svg_of
from resnet18.spec.resolve import value_at
from resnet18.tables.cells import STATUS_TEXT, missing
from resnet18.tables.metrics import best_accuracy, clean_accuracy, machine
from resnet18.tables.selection import CaseRecords
from resnet18.tables.tables import TIMES

SCOPE_TITLES = {"train_s": "training alone", "whole_program_s": "the whole program"}
WORD_LETTERS = 14
"""Letters of a line of what stands at the top edge."""
SEEDS: dict[str, Any] = {"linestyle": "", "marker": ".", "markersize": 4, "markeredgecolor": "black"}
CROSS: dict[str, Any] = {"linestyle": "", "marker": "x", "markersize": 5, "color": INK}
Positions = Sequence[tuple[float, CaseRecords]]
"""Cases by their number, in its order."""


def numeric_key(cases: Sequence[CaseRecords]) -> str | None:
    """Return the dotted key of the experiment whose value, a positive number, is all that differs between the cases.

    None where there are fewer than two cases, or they differ in more or in something else.
    """
    specs = [{**_flat(case.experiment.model_dump()), "": case.execution} for case in cases]
    keys = {key for spec in specs for key in spec}
    differing = [key for key in keys if any(spec.get(key) != specs[0].get(key) for spec in specs)]
    if len(differing) != 1 or not differing[0]:
        return None
    values = [spec.get(differing[0]) for spec in specs]
    numbers = {value for value in values if isinstance(value, int | float) and not isinstance(value, bool)}
    return differing[0] if len(numbers) == len(values) and min(numbers) > 0 else None


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a spec's values by dotted key; lists stay whole."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


def against(title: str, key_title: str, cases: Sequence[CaseRecords], key: str, scope: str) -> bytes:
    """Return an SVG of accuracy (%, mean) and time (s, median) against a numeric key, with the seeds as points.

    A case, or a seed, without a result is a word at the top edge. Times of several machines are several lines.

    Args:
        title: of the figure.
        key_title: of the axis.
        cases: with their records, all with another value of the key.
        key: as `numeric_key` gives it.
        scope: the metric whose seconds are shown: `train_s` or `whole_program_s`.
    """
    return svg_of(lambda: draw_against(title, key_title, cases, key, scope))


def draw_against(title: str, key_title: str, cases: Sequence[CaseRecords], key: str, scope: str) -> Figure:
    """Return the figure; see `against`."""
    positions = sorted(((float(value_at(case.experiment, key)), case) for case in cases), key=lambda pair: pair[0])
    records = [record for case in cases for record in case.measured]
    # Times of unknown machines may have nothing in common.
    unknown = {machine(run) for run in records if len(records) > 1 and not knows_machine(run.fingerprint.numerics)}
    machines = sorted({machine(record) for record in records} - unknown)
    lines = [*_accuracies(), *_times(machines, TIMES[scope])]
    signs: list[Artist] = [entry(_with_n(label, value, positions), **look) for _, label, value, look in lines]
    if unknown:
        signs.append(entry("times of an unknown machine are not drawn", linestyle=""))
    if any(len(case.measured) > 1 for case in cases):
        signs.append(entry("one seed", linestyle="", marker=".", markersize=5))
    if any(record.has_unreliable_times for record in records):
        signs.append(entry("one seed, its time is unreliable", **CROSS))
    figure = figure_with_legend(title, (9.0, 3.4), signs)
    accuracy, time = figure.subplots(1, 2)
    accuracy.set(title="accuracy, mean over the seeds", ylabel="test accuracy (%)")
    time.set(title=f"time of {SCOPE_TITLES[scope]}, median", ylabel="time (s)")
    for is_time, _, value, look in lines:
        _draw(time if is_time else accuracy, positions, median if is_time else fmean, value, look)
    for at, case in positions:
        crossed = [run for run in case.measured if run.has_unreliable_times and machine(run) in machines]
        time.plot([at] * len(crossed), sorted(TIMES[scope](run) for run in crossed), **CROSS, zorder=4)
    if machines:
        time.set_ylim(bottom=0)
    for axes in (accuracy, time):
        _set_positions(axes, [at for at, _ in positions], plain(key_title))
        _write_words(axes, positions)
    return figure


Value = Callable[[Record], float | None]
Line = tuple[bool, str, Value, dict[str, Any]]
"""Whether it is of times, its label, the value of a run (None: not on this line), and its look."""


def _accuracies() -> Iterator[Line]:
    published = {"color": COLORS[0], "marker": "o", "markersize": 6}
    yield False, "best epoch, as published", lambda record: 100 * best_accuracy(record), published
    clean = {"color": COLORS[1], "marker": "s", "markersize": 5.5, "markerfacecolor": "white", "linestyle": "--"}
    yield False, "clean, median of the last three epochs", lambda record: 100 * clean_accuracy(record), clean


def _times(machines: Sequence[str], seconds: Callable[[Record], float]) -> Iterator[Line]:
    """Yield a line for each machine: times of two machines have nothing in common."""
    for number, name in enumerate(machines):
        look = {"color": COLORS[(2, 5, 3, 4, 6)[number % 5]], "marker": MARKERS[2 + number % 5]}
        yield True, plain(f"time on {name}"), partial(_on, name, seconds), look


def _on(name: str, seconds: Callable[[Record], float], record: Record) -> float | None:
    return seconds(record) if machine(record) == name else None


def _values(case: CaseRecords, value: Value) -> list[float]:
    return sorted(found for record in case.measured if (found := value(record)) is not None)


def _with_n(label: str, value: Value, positions: Positions) -> str:
    counts = sorted({count for _, case in positions if (count := len(_values(case, value)))})
    if not counts:
        return label
    return f"{label} (n = {counts[0]}{f' to {counts[-1]}' if len(counts) > 1 else ''})"


def _draw(
    axes: Axes, positions: Positions, middle: Callable[[Sequence[float]], float], value: Value, look: dict[str, Any]
) -> None:
    """Draw a middle for each case, and the seeds as small points around it; the line is broken without a value."""
    found = [(at, _values(case, value)) for at, case in positions]
    middles = [middle(values) if values else float("nan") for _, values in found]
    axes.plot([at for at, _ in found], middles, linewidth=1.4, **look)
    seeds = [(at, seed) for at, values in found if len(values) > 1 for seed in values]
    axes.plot(
        [at for at, _ in seeds],
        [seed for _, seed in seeds],
        **SEEDS,
        color=look["color"],
        markeredgewidth=0.3,
        zorder=3,
    )


def _set_positions(axes: Axes, positions: Sequence[float], title: str) -> None:
    axes.set_xlabel(f"{title} (log scale)")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(positions))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))
    room = max((positions[-1] / positions[0]) ** 0.06, 1.1)
    axes.set_xlim(positions[0] / room, positions[-1] * room)


def _write_words(axes: Axes, positions: Positions) -> None:
    """Write how runs ended that left no number at the top edge, above all points."""
    words = [(at, textwrap.fill(word, WORD_LETTERS)) for at, case in positions if (word := _word(case))]
    if not words:
        return
    longest = max(len(line) for _, word in words for line in word.split("\n"))
    share = 0.027 * longest + 0.04
    low, high = axes.get_ylim()
    axes.set_yticks([tick for tick in axes.get_yticks() if low <= tick <= high])  # what is above is no value
    axes.set_ylim(low, low + (high - low) / (1 - share))
    for at, word in words:
        place: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "rotation": 90, "ha": "center", "va": "top"}
        axes.annotate(word, (at, 0.985), multialignment="right", fontsize=8, color=INK, **place)


def _word(case: CaseRecords) -> str:
    """Return what stands for the runs without a number, nothing where there are none."""
    if not case.measured:
        return plain(missing(case).text)
    others = [record.status for record in case.records if record.status != "ok"]
    counts = ((others.count(status), STATUS_TEXT[status]) for status in dict.fromkeys(others))
    return ", ".join(f"{count} of {len(case.records)} {text}" for count, text in counts)
