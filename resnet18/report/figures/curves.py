"""Learning curves: loss and accuracy by epoch, training above test."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from resnet18.records.record import Epoch, Score
from resnet18.report.figures.legend import CLEAN, case_entry, signs_of
from resnet18.report.figures.series import Series, images_at_the_end, overfitting_epoch, series
from resnet18.report.figures.style import Key, Pen, figure_with_keys, pen, plain, svg_of
from resnet18.spec.scale import LAST_EPOCHS
from resnet18.tables.selection import CaseRecords

MANY_EPOCHS = 15
"""From here on a point for every epoch would run into the next one."""
MOST_WITH_CLEAN = 3
"""Cases up to which the clean test curve can be told from the one as published."""
INDISTINCT = 0.01
"""Share of a panel's height that is less than the width of a line."""
SPIKE = 10
"""A loss this many times the median leaves nothing to see on a linear axis."""


@dataclass(frozen=True)
class Panel:
    """What one of the four panels shows."""

    score: Callable[[Epoch], Score]
    value: Callable[[Score], float]
    is_test: bool = False

    def of(self, arm: CaseRecords, score: Callable[[Epoch], Score] | None = None) -> Series:
        """Return a case's curve, of another score if one is given."""
        which = score or self.score
        return series(_runs(arm), lambda epoch: self.value(which(epoch)))


def learning_curves(title: str, case_title: str, arms: tuple[CaseRecords, ...]) -> bytes:
    """Return an SVG of loss (nats, left) and accuracy (%, right) by epoch, training above test.

    Lines are means over seeds, bands reach from the lowest to the highest seed. The test curve is the one as
    published; for up to three cases the clean one stands beside it, dashed. Hollow last points were tested on more
    images than those before it, a star marks the epoch from which a case overfits.

    Args:
        title: of the figure.
        case_title: of the legend.
        arms: cases with their records; one without a result is named in the legend.
    """
    return svg_of(lambda: draw_curves(title, case_title, arms))


def draw_curves(title: str, case_title: str, arms: Sequence[CaseRecords]) -> Figure:
    """Return the figure; see `learning_curves`."""
    shown = [(pen(number), arm) for number, arm in enumerate(arms) if arm.measured]
    with_clean = 0 < len(shown) <= MOST_WITH_CLEAN
    turns = {arm.arm_id: overfitting_epoch(arm.measured) for _, arm in shown}
    cases = [case_entry(pen(number), arm) for number, arm in enumerate(arms)]
    keys = [Key(cases, plain(case_title)), Key(signs_of(shown, with_clean=with_clean, turns=any(turns.values())))]
    figure = figure_with_keys(title, (9.0, 5.6), [key for key in keys if key.entries], grid=(2, 2))
    (train_loss, train_accuracy), (test_loss, test_accuracy) = figure.subplots(2, 2, sharex=True)
    train_accuracy.sharey(test_accuracy)
    losses, accuracies = (lambda score: score.loss), (lambda score: 100 * score.accuracy)
    for axes, panel in (
        (train_loss, Panel(lambda epoch: epoch.train, losses)),
        (train_accuracy, Panel(lambda epoch: epoch.train, accuracies)),
        (test_loss, Panel(lambda epoch: epoch.as_published, losses, is_test=True)),
        (test_accuracy, Panel(lambda epoch: epoch.as_published, accuracies, is_test=True)),
    ):
        _draw_panel(axes, panel, shown, with_clean=with_clean and panel.is_test)
        axes.set_title("training" if not panel.is_test else "test" if with_clean else "test, as published")
        axes.set_ylabel("accuracy (%)" if panel.value is accuracies else "cross entropy (nats)")
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
        axes.yaxis.set_label_coords(-0.148, 0.5)  # in the margins of the grid, whatever stands beside the ticks
        if panel.is_test:
            axes.set_xlabel("epoch")
            axes.xaxis.set_label_coords(0.5, -0.14)
            axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    _mark_overfitting(test_loss, shown, turns, with_clean=with_clean)
    _set_limits(train_loss, test_loss, shown)
    return figure


def _draw_panel(axes: Axes, panel: Panel, shown: Sequence[tuple[Pen, CaseRecords]], *, with_clean: bool) -> None:
    curves = [panel.of(arm) for _, arm in shown]
    values = [value for curve in curves for value in curve.mean]
    height = max(values, default=0.0) - min(values, default=0.0)
    for number, ((look, arm), curve) in enumerate(zip(shown, curves, strict=True)):
        if len(arm.measured) > 1:
            axes.fill_between(curve.epochs, curve.low, curve.high, color=look.color, alpha=0.18, linewidth=0, zorder=1)
        # A curve that a later one hides is wider, so that both are seen, one inside the other.
        hidden = sum(_coincide(curve, later, height) for later in curves[number + 1 :])
        size = 4.2 + 2.6 * hidden
        axes.plot(
            curve.epochs,
            curve.mean,
            color=look.color,
            linewidth=1.4 + 1.6 * hidden,
            marker=look.marker,
            markersize=size,
            markevery=_marked(len(curve.mean), number, len(shown)),
        )
        _hollow_end(axes, panel, arm, curve, (look.color, look.marker, size))
        if with_clean:
            cleanly, dark = panel.of(arm, lambda epoch: epoch.clean), _darker(look.color)
            axes.plot(cleanly.epochs, cleanly.mean, color=dark, linewidth=1.0, linestyle=CLEAN, zorder=2.5)
            _hollow_end(axes, panel, arm, cleanly, (dark, look.marker, 3.0))


def _coincide(curve: Series, other: Series, height: float) -> bool:
    """Say whether two curves lie on one another in a panel whose curves span this height."""
    pairs = zip(curve.mean, other.mean, strict=False)
    return all(abs(one - another) <= INDISTINCT * height for one, another in pairs)


def _marked(epochs: int, number: int, cases: int) -> list[int]:
    """Return where a curve has its markers: everywhere on a short one, else at places that differ by case."""
    if epochs < MANY_EPOCHS:
        return list(range(epochs))
    step = epochs / 8
    return [int(step * (at + (number + 0.5) / cases)) for at in range(8)]


def _hollow_end(axes: Axes, panel: Panel, arm: CaseRecords, curve: Series, look: tuple[str, str, float]) -> None:
    """Mark the last values: they were measured on another number of test images, and are no steps of the same curve."""
    ended = [record for record in arm.measured if len(record.epochs) == len(curve.mean)]
    if panel.is_test and any(images_at_the_end(record) for record in ended):
        color, marker, size = look
        axes.plot(
            curve.epochs[-LAST_EPOCHS:],
            curve.mean[-LAST_EPOCHS:],
            linestyle="",
            marker=marker,
            markersize=size + 0.8,
            markerfacecolor="white",
            markeredgecolor=color,
            zorder=3,
        )


def _mark_overfitting(
    axes: Axes, shown: Sequence[tuple[Pen, CaseRecords]], turns: dict[str, int | None], *, with_clean: bool
) -> None:
    for look, arm in shown:
        turn = turns[arm.arm_id]
        if turn is not None:
            curve = series(_runs(arm), lambda epoch: (epoch.clean if with_clean else epoch.as_published).loss)
            axes.plot(
                [turn],
                [curve.mean[turn - 1]],
                linestyle="",
                marker="*",
                markersize=12,
                markerfacecolor=look.color,
                markeredgecolor="black",
                markeredgewidth=0.8,
                zorder=4,
            )


def _set_limits(train_loss: Axes, test_loss: Axes, shown: Sequence[tuple[Pen, CaseRecords]]) -> None:
    lengths = [min(len(record.epochs) for record in arm.measured) for _, arm in shown]
    longest = max(lengths, default=1)
    pad = min(max(0.02 * (longest - 1), 0.15), 0.9)
    train_loss.set_xlim(1 - pad, longest + pad)
    values = [mean for _, arm in shown for mean in series(_runs(arm), lambda epoch: epoch.as_published.loss).mean]
    if values and min(values) > 0 and max(values) > SPIKE * median(values):
        test_loss.set_yscale("log")
        test_loss.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        test_loss.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        test_loss.yaxis.set_minor_formatter(NullFormatter())
        test_loss.set_ylabel("cross entropy (nats, log scale)")
    else:
        test_loss.set_ylim(bottom=max(test_loss.get_ylim()[0], 0))
    train_loss.set_ylim(bottom=max(train_loss.get_ylim()[0], 0))


def _runs(arm: CaseRecords) -> list[Sequence[Epoch]]:
    return [record.epochs for record in arm.measured]


def _darker(color: str) -> str:
    """Return the colour at half its brightness, which is seen on top of it."""
    red, green, blue = to_rgb(color)
    return to_hex((red / 2, green / 2, blue / 2))
