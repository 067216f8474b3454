"""Learning curves, and accuracy and time against the one number in which the cases of a table differ."""

from collections.abc import Callable, Iterator, Sequence
from math import nan
from statistics import fmean, median
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator

from resnet18.records.content import knows_machine
from resnet18.records.record import Epoch, Record
from resnet18.report.figures import COLORS, INK, MARKERS, add_legend, entry, new_figure, short
from resnet18.spec.experiment import LAST_EPOCHS
from resnet18.spec.resolve import value_at
from resnet18.tables.cells import missing, other_endings
from resnet18.tables.metrics import (
    Series,
    images_at_the_end,
    machine,
    overfitting_epoch,
    percent,
    series,
    values_of,
)
from resnet18.tables.selection import CaseRecords

MOST_WITH_CLEAN = 3
"""Cases up to which the clean test curve can be told from that as published."""
DASHES: dict[str, Any] = {"linestyle": (0, (4, 2)), "linewidth": 1.0, "marker": ""}
HOLLOW: dict[str, Any] = {"linestyle": "", "markerfacecolor": "white"}
STAR: dict[str, Any] = {"linestyle": "", "marker": "*", "markersize": 11, "markeredgecolor": "black"}
CROSS: dict[str, Any] = {"linestyle": "", "marker": "x", "color": INK}
SEED: dict[str, Any] = {"linestyle": "", "marker": ".", "markeredgecolor": "black", "markeredgewidth": 0.3}
SCOPE_TITLES = {"train_s": "training alone", "whole_program_s": "the whole program"}
Shown = Sequence[tuple[int, CaseRecords]]
"""Cases with a result, each with its number among all cases, which gives its colour and marker."""
Value = Callable[[Epoch], float]


def learning_curves(title: str, case_title: str, cases: Sequence[CaseRecords]) -> Figure:
    """Draw loss (nats, left) and accuracy (%, right) by epoch, training above test.

    Lines are means over seeds, bands reach from the lowest to the highest seed. The test curve is that as published;
    for up to three cases the clean curve stands beside it, dashed. Hollow last points were tested on more images than
    those before them, a star marks the epoch from which a case overfits. A case without a result is named.
    """
    shown = [(number, case) for number, case in enumerate(cases) if case.measured]
    with_clean = 0 < len(shown) <= MOST_WITH_CLEAN
    figure = new_figure(title, 10.0, 5.6)
    (train_loss, train_accuracy), (test_loss, test_accuracy) = figure.subplots(2, 2, sharex=True, squeeze=False)
    train_accuracy.sharey(test_accuracy)
    _draw_curves(train_loss, shown, lambda epoch: epoch.train.loss)
    _draw_curves(train_accuracy, shown, lambda epoch: percent(epoch.train))
    _draw_curves(test_loss, shown, lambda epoch: epoch.as_published.loss, is_test=True)
    _draw_curves(test_accuracy, shown, lambda epoch: percent(epoch.as_published), is_test=True)
    if with_clean:
        _draw_curves(test_loss, shown, lambda epoch: epoch.clean.loss, is_test=True, is_clean=True)
        _draw_curves(test_accuracy, shown, lambda epoch: percent(epoch.clean), is_test=True, is_clean=True)
    test = "test" if with_clean else "test, as published"
    train_loss.set(title="training", ylabel="cross entropy (nats)")
    train_accuracy.set(title="training", ylabel="accuracy (%)")
    test_loss.set(title=test, ylabel="cross entropy (nats)", xlabel="epoch")
    test_accuracy.set(title=test, ylabel="accuracy (%)", xlabel="epoch")
    test_loss.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    _mark_overfitting(test_loss, shown, with_clean=with_clean)
    _set_loss_axis(test_loss, shown)
    entries = []
    for number, case in enumerate(cases):
        n = "; ".join([f"n = {len(case.measured)}", *other_endings(case)])
        look = _look(number) if case.measured else {"linestyle": ""}
        entries.append(entry(f"{short(case.name)} ({n if case.measured else missing(case).text})", **look))
    add_legend(figure, [*entries, *_signs(shown, with_clean)], case_title)
    return figure


def _look(number: int) -> dict[str, Any]:
    return {"color": COLORS[number % len(COLORS)], "marker": MARKERS[number % len(MARKERS)]}


def _signs(shown: Shown, with_clean: bool) -> Iterator[Artist]:
    if with_clean:
        yield from (entry("test, as published"), entry("test, clean", **DASHES))
    if any(len(case.measured) > 1 for _, case in shown):
        yield Patch(color=INK, alpha=0.18, linewidth=0, label="line: mean of the seeds; band: lowest to highest")
    if ends := {images for _, case in shown for images in images_at_the_end(case.measured)}:
        first, last = ([f"{images:,}" for images in sorted(set(side))] for side in zip(*ends, strict=True))
        images = f"on {' or '.join(last)} test images (before: {' or '.join(first)})"
        yield entry(f"hollow: last three epochs, {images}", marker="o", **HOLLOW)
    if any(overfitting_epoch(case.measured) for _, case in shown):
        yield entry("lowest test loss before it rises (clean)", **STAR)


def _curve(case: CaseRecords, value: Value) -> Series:
    return series([record.epochs for record in case.measured], value)


def _draw_curves(axes: Axes, shown: Shown, value: Value, *, is_test: bool = False, is_clean: bool = False) -> None:
    for at, (number, case) in enumerate(shown):
        curve = _curve(case, value)
        epochs = range(1, len(curve.mean) + 1)
        look = _look(number)
        if len(case.measured) > 1 and not is_clean:
            axes.fill_between(epochs, curve.low, curve.high, color=look["color"], alpha=0.18, linewidth=0)
        # The cases have their markers at different epochs, so that both of two equal curves are seen.
        every = max(len(shown), len(epochs) // 8)
        marked = (at * every // len(shown) % len(epochs), every)
        axes.plot(epochs, curve.mean, **(look | DASHES if is_clean else look), markevery=marked)
        if is_test and images_at_the_end(case.measured):  # which is no step of the same curve
            axes.plot(epochs[-LAST_EPOCHS:], curve.mean[-LAST_EPOCHS:], **look, **HOLLOW, zorder=3)


def _mark_overfitting(axes: Axes, shown: Shown, *, with_clean: bool) -> None:
    for number, case in shown:
        if (turn := overfitting_epoch(case.measured)) is not None:
            curve = _curve(case, lambda epoch: (epoch.clean if with_clean else epoch.as_published).loss)
            axes.plot([turn], [curve.mean[turn - 1]], **STAR, color=_look(number)["color"], zorder=4)


def _set_loss_axis(axes: Axes, shown: Shown) -> None:
    losses = [loss for _, case in shown for loss in _curve(case, lambda epoch: epoch.as_published.loss).mean]
    if losses and min(losses) > 0 and max(losses) > 10 * median(losses):  # which a linear axis would flatten
        axes.set(yscale="log", ylabel="cross entropy (nats, log scale)")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())


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


def against(title: str, key_title: str, cases: Sequence[CaseRecords], key: str, scope: str) -> Figure:
    """Draw accuracy (%, mean) and time (s, median) against a numeric key, with the seeds as points.

    Seeds without a result are told in the legend. Times of several machines are several lines. The scope is the
    metric whose seconds are shown: `train_s` or `whole_program_s`.
    """
    by_place = sorted(((float(value_at(case.experiment, key)), case) for case in cases), key=lambda pair: pair[0])
    figure = new_figure(title, 10.0, 3.4)
    accuracy, time = figure.subplots(1, 2)
    accuracy.set(title="accuracy, mean over the seeds", ylabel="test accuracy (%)")
    time.set(title=f"time of {SCOPE_TITLES[scope]}, median", ylabel="time (s)")
    entries: list[Artist] = []
    for metric, label, look in (
        ("best_accuracy", "best epoch, as published", _look(0)),
        ("clean_accuracy", "clean, median of the last three epochs", {**DASHES, **_look(1)}),
    ):
        points = [(place, values_of(metric, case.measured)) for place, case in by_place]
        entries.append(_draw_points(accuracy, label, points, fmean, look))
    entries += _draw_times(time, by_place, lambda record: values_of(scope, [record])[0])
    if any(len(case.measured) > 1 for case in cases):
        entries.append(entry("one seed", **SEED))
    for _, case in by_place:
        if endings := [*other_endings(case)] if case.measured else [missing(case).text]:
            entries.append(entry(short(f"{case.name}: {', '.join(endings)}"), linestyle=""))
    for axes in (accuracy, time):
        axes.set_xscale("log", base=2)
        axes.set(xlabel=f"{short(key_title)} (log scale)", xticks=[place for place, _ in by_place])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter("{x:.6g}")
    add_legend(figure, entries)
    return figure


def _draw_times(
    axes: Axes, by_place: Sequence[tuple[float, CaseRecords]], seconds: Callable[[Record], float]
) -> Iterator[Artist]:
    """Draw a line for each machine, whose times have nothing in common, and yield its entry of the legend."""
    records = [record for _, case in by_place for record in case.measured]
    unknown = {machine(run) for run in records if len(records) > 1 and not knows_machine(run.fingerprint.numerics)}
    machines = sorted({machine(record) for record in records} - unknown)
    for number, name in enumerate(machines):
        look = _look(2 + number % 5)
        own = ((place, [run for run in case.measured if machine(run) == name]) for place, case in by_place)
        points = [(place, [seconds(run) for run in runs]) for place, runs in own]
        yield _draw_points(axes, f"time on {short(name)}", points, median, look)
    if machines:
        axes.set_ylim(bottom=0)
    if unknown:
        yield entry("times of an unknown machine are not drawn", linestyle="")
    runs = ((place, record) for place, case in by_place for record in case.measured if machine(record) in machines)
    if crossed := [(place, seconds(record)) for place, record in runs if record.has_unreliable_times]:
        axes.plot(*zip(*crossed, strict=True), **CROSS, zorder=4)
        yield entry("one seed, its time is unreliable", **CROSS)


def _draw_points(
    axes: Axes,
    label: str,
    points: Sequence[tuple[float, Sequence[float]]],
    middle: Callable[[Sequence[float]], float],
    look: dict[str, Any],
) -> Line2D:
    """Draw the middle of each case's values, a gap where there are none, and the seeds; return the legend's entry."""
    counts = sorted({len(values) for _, values in points if values})
    n = " to ".join(str(count) for count in dict.fromkeys([*counts[:1], *counts[-1:]]))
    axes.plot([place for place, _ in points], [middle(values) if values else nan for _, values in points], **look)
    seeds = [(place, value) for place, values in points if len(values) > 1 for value in sorted(values)]
    if seeds:
        axes.plot(*zip(*seeds, strict=True), **SEED, color=look["color"], zorder=3)
    return entry(f"{label} (n = {n})" if counts else label, **look)
