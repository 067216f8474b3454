"""Learning curves: loss and accuracy by epoch, training above test."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from resnet18.records.record import Epoch, Record
from resnet18.report.figures.style import COLORS, INK, MARKERS, entry, figure_with_legend, plain, svg_of
from resnet18.spec.experiment import LAST_EPOCHS
from resnet18.tables.cells import STATUS_TEXT, missing
from resnet18.tables.metrics import comparable_epochs
from resnet18.tables.selection import CaseRecords

MANY_EPOCHS = 15
"""From here on a point for every epoch would run into the next."""
MOST_WITH_CLEAN = 3
"""Cases up to which the clean test curve can be told from that as published."""
INDISTINCT = 0.01
"""Share of a panel's height that is less than the width of a line."""
SPIKE = 10
"""A loss this many times the median leaves nothing to see on a linear axis."""
CLEAN = (0, (4, 2))
"""Dashes of the clean test curve."""
AROUND = 2
"""Epochs on either side that show how much the loss of one seed moves anyway."""
Shown = Sequence[tuple[int, CaseRecords]]
"""Cases with a result, each with its number among all cases, which gives its colour and marker."""
Value = Callable[[Epoch], float]


@dataclass(frozen=True)
class Series:
    """Values by epoch, the first epoch first, as long as the shortest run."""

    mean: tuple[float, ...]
    low: tuple[float, ...]
    """Lowest over the seeds."""
    high: tuple[float, ...]

    @property
    def epochs(self) -> range:
        """Numbers of the epochs, from 1."""
        return range(1, len(self.mean) + 1)


def series(runs: Sequence[Sequence[Epoch]], value: Callable[[Epoch], float]) -> Series:
    """Return mean, lowest and highest over runs, for as many epochs as all of them have."""
    columns = [[value(epoch) for epoch in same] for same in zip(*runs, strict=False)]
    return Series(tuple(map(fmean, columns)), tuple(map(min, columns)), tuple(map(max, columns)))


def overfitting_epoch(records: Sequence[Record]) -> int | None:
    """Return the epoch of the lowest mean clean test loss if the loss rises from there, else None.

    It rises if that epoch is not among the last tenth, and all of the last tenth is higher by more than the seeds
    differ at that epoch; of one seed, by more than the loss moves over the epochs around it. Epochs tested on another
    number of images than the first are left out.
    """
    loss = series([comparable_epochs(record) for record in records], lambda epoch: epoch.clean.loss)
    last_tenth = loss.mean[len(loss.mean) * 9 // 10 :]
    at = min(range(len(loss.mean)), key=lambda epoch: loss.mean[epoch])
    around = loss.mean[max(at - AROUND, 0) : at + AROUND + 1]
    noise = loss.high[at] - loss.low[at] if len(records) > 1 else max(around) - min(around)
    # The lowest of many noisy values is always low. The last tenth has its own lowest: a flat curve is not marked.
    return at + 1 if min(last_tenth) - loss.mean[at] > noise else None


def images_at_the_end(record: Record) -> tuple[int, int] | None:
    """Return the test images of the first and of the last epoch where they differ."""
    first, last = record.epochs[0].as_published.images, record.epochs[-1].as_published.images
    return None if first == last else (first, last)


def learning_curves(title: str, case_title: str, cases: Sequence[CaseRecords]) -> bytes:
    """Return an SVG of loss (nats, left) and accuracy (%, right) by epoch, training above test.

    Lines are means over seeds, bands reach from the lowest to the highest seed. The test curve is that as published;
    for up to three cases the clean curve stands beside it, dashed. Hollow last points were tested on more images than
    those before them, a star marks the epoch from which a case overfits.

    Args:
        title: of the figure.
        case_title: of the legend.
        cases: with their records; a case without a result is named in the legend.
    """
    return svg_of(lambda: draw_curves(title, case_title, cases))


def draw_curves(title: str, case_title: str, cases: Sequence[CaseRecords]) -> Figure:
    """Return the figure; see `learning_curves`."""
    shown = [(number, case) for number, case in enumerate(cases) if case.measured]
    with_clean = 0 < len(shown) <= MOST_WITH_CLEAN
    entries = [_case_entry(number, case) for number, case in enumerate(cases)] + list(_signs(shown, with_clean))
    figure = figure_with_legend(title, (9.0, 5.6), entries, plain(case_title))
    panels: list[list[Axes]] = figure.subplots(2, 2, sharex=True, squeeze=False).tolist()
    (train_loss, train_accuracy), (test_loss, test_accuracy) = panels
    train_accuracy.sharey(test_accuracy)
    _draw_panel(train_loss, lambda epoch: epoch.train.loss, shown)
    _draw_panel(train_accuracy, lambda epoch: 100 * epoch.train.accuracy, shown)
    _draw_panel(test_loss, lambda epoch: epoch.as_published.loss, shown, is_test=True)
    _draw_panel(test_accuracy, lambda epoch: 100 * epoch.as_published.accuracy, shown, is_test=True)
    if with_clean:
        _draw_clean(test_loss, lambda epoch: epoch.clean.loss, shown)
        _draw_clean(test_accuracy, lambda epoch: 100 * epoch.clean.accuracy, shown)
    for row, name in zip(panels, ("training", "test" if with_clean else "test, as published"), strict=True):
        for axes, unit in zip(row, ("cross entropy (nats)", "accuracy (%)"), strict=True):
            axes.set(title=name, ylabel=unit)
            axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
    for axes in (test_loss, test_accuracy):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    _mark_overfitting(test_loss, shown, with_clean=with_clean)
    _set_limits(train_loss, test_loss, shown)
    return figure


def _case_entry(number: int, case: CaseRecords) -> Artist:
    """Return a case's entry with its n; without a line where the case has no result."""
    name = plain(case.name)
    if not case.measured:
        return entry(f"{name} ({missing(case).text})", linestyle="")
    others = [record.status for record in case.records if record.status != "ok"]
    ended = "".join(f"; {others.count(status)} {STATUS_TEXT[status]}" for status in dict.fromkeys(others))
    return entry(f"{name} (n = {len(case.measured)}{ended})", **_look(number), markersize=4.2, linewidth=1.4)


def _look(number: int) -> dict[str, Any]:
    return {"color": COLORS[number % len(COLORS)], "marker": MARKERS[number % len(MARKERS)]}


def _signs(shown: Shown, with_clean: bool) -> Iterator[Artist]:
    """Yield what the signs mean that this figure has, and no others."""
    if with_clean:
        yield from (entry("test, as published"), entry("test, clean", linestyle=CLEAN, linewidth=1.0))
    if any(len(case.measured) > 1 for _, case in shown):
        yield Patch(color=INK, alpha=0.18, linewidth=0, label="line: mean of the seeds; band: lowest to highest")
    if ends := {images for _, case in shown for run in case.measured if (images := images_at_the_end(run))}:
        label = "hollow: last three epochs, on more test images"
        if len(ends) == 1:
            ((before, last),) = ends
            label = f"hollow: last three epochs, on {last:,} test images (before: {before:,})"
        yield entry(label, linestyle="", marker="o", markerfacecolor="white")
    if any(overfitting_epoch(case.measured) for _, case in shown):
        star: dict[str, Any] = {
            "marker": "*",
            "markersize": 10,
            "markerfacecolor": "#bbbbbb",
            "markeredgecolor": "black",
        }
        yield entry("lowest test loss before it rises (clean)", linestyle="", **star)


def _curve(case: CaseRecords, value: Value) -> Series:
    return series([record.epochs for record in case.measured], value)


def _draw_panel(axes: Axes, value: Value, shown: Shown, *, is_test: bool = False) -> None:
    curves = [_curve(case, value) for _, case in shown]
    means = [mean for curve in curves for mean in curve.mean]
    height = max(means, default=0.0) - min(means, default=0.0)
    for at, ((number, case), curve) in enumerate(zip(shown, curves, strict=True)):
        look = _look(number)
        if len(case.measured) > 1:
            axes.fill_between(curve.epochs, curve.low, curve.high, color=look["color"], alpha=0.18, linewidth=0)
        # A curve that a later curve hides is wider, so that both are seen, the later inside the other.
        hidden = sum(_coincide(curve, later, height) for later in curves[at + 1 :])
        marked = _marked(len(curve.mean), at, len(shown))
        size = 4.2 + 2.6 * hidden
        axes.plot(curve.epochs, curve.mean, **look, linewidth=1.4 + 1.6 * hidden, markersize=size, markevery=marked)
        if is_test:
            _hollow_end(axes, case, curve, **look, markersize=size + 0.8)


def _draw_clean(axes: Axes, value: Value, shown: Shown) -> None:
    for number, case in shown:
        curve, look = _curve(case, value), _look(number)
        red, green, blue = to_rgb(look["color"])
        dark = to_hex((red / 2, green / 2, blue / 2))
        axes.plot(curve.epochs, curve.mean, color=dark, linewidth=1.0, linestyle=CLEAN, zorder=2.5)
        _hollow_end(axes, case, curve, color=dark, marker=look["marker"], markersize=3.8)


def _coincide(curve: Series, other: Series, height: float) -> bool:
    """Say whether two curves lie on one another in a panel whose curves span this height."""
    pairs = zip(curve.mean, other.mean, strict=False)
    return all(abs(first - second) <= INDISTINCT * height for first, second in pairs)


def _marked(epochs: int, number: int, cases: int) -> list[int]:
    """Return where a curve has its markers: everywhere on a short curve, else at places that differ by case."""
    if epochs < MANY_EPOCHS:
        return list(range(epochs))
    return [int(epochs / 8 * (at + (number + 0.5) / cases)) for at in range(8)]


def _hollow_end(axes: Axes, case: CaseRecords, curve: Series, **look: Any) -> None:  # noqa: ANN401 - what a line takes
    """Mark the last values: they were measured on another number of test images, and are no steps of the same curve."""
    ended = [record for record in case.measured if len(record.epochs) == len(curve.mean)]
    if any(images_at_the_end(record) for record in ended):
        last = slice(-LAST_EPOCHS, None)
        look |= {"linestyle": "", "markerfacecolor": "white", "zorder": 3}
        axes.plot(curve.epochs[last], curve.mean[last], **look)


def _mark_overfitting(axes: Axes, shown: Shown, *, with_clean: bool) -> None:
    star: dict[str, Any] = {"linestyle": "", "marker": "*", "markeredgecolor": "black"}
    for number, case in shown:
        if (turn := overfitting_epoch(case.measured)) is not None:
            curve = _curve(case, lambda epoch: (epoch.clean if with_clean else epoch.as_published).loss)
            color = _look(number)["color"]
            axes.plot([turn], [curve.mean[turn - 1]], **star, color=color, markersize=12, markeredgewidth=0.8, zorder=4)


def _set_limits(train_loss: Axes, test_loss: Axes, shown: Shown) -> None:
    longest = max((min(len(record.epochs) for record in case.measured) for _, case in shown), default=1)
    pad = min(max(0.02 * (longest - 1), 0.15), 0.9)
    train_loss.set_xlim(1 - pad, longest + pad)
    values = [mean for _, case in shown for mean in _curve(case, lambda epoch: epoch.as_published.loss).mean]
    if values and min(values) > 0 and max(values) > SPIKE * median(values):
        test_loss.set(yscale="log", ylabel="cross entropy (nats, log scale)")
        test_loss.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        test_loss.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        test_loss.yaxis.set_minor_formatter(NullFormatter())
    else:
        test_loss.set_ylim(bottom=max(test_loss.get_ylim()[0], 0))
    train_loss.set_ylim(bottom=max(train_loss.get_ylim()[0], 0))
