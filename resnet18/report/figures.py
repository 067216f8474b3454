"""Figures as SVG files that are the same for everybody: learning curves, and what a network took images for."""

import io
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, ParamSpec

import matplotlib.style
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from resnet18.records.checkpoints import decode_picture
from resnet18.records.record import Record, Sample, Score
from resnet18.spec.errors import visible
from resnet18.spec.experiment import LAST_EPOCHS
from resnet18.tables.cells import missing, other_endings
from resnet18.tables.metrics import Series, images_at_the_end, overfitting_epoch, percent, series
from resnet18.tables.selection import CaseRecords

STYLE = Path(__file__).parent / "web" / "figures.mplstyle"
INK = "#333333"
# Paul Tol's "bright" scheme: told apart by people with any colour vision. There is a marker more than colours, so that
# no pair comes twice before 56 cases.
COLORS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#777777")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
DASHES: dict[str, Any] = {"linestyle": (0, (4, 2)), "linewidth": 1.0, "marker": ""}
HOLLOW: dict[str, Any] = {"linestyle": "", "markerfacecolor": "white"}
STAR: dict[str, Any] = {"linestyle": "", "marker": "*", "markersize": 11, "markeredgecolor": "black"}
DRAWN = re.compile(rb"<(?:path|use) [^>]*>")  # no text, in which `<` is written as an entity
MANY_DIGITS = re.compile(rb"(\.\d\d)\d+")
MOST_WITH_CLEAN = 3
"""Cases up to which the clean test curve can be told from that as published."""
MOST_PRINTED = 20
"""Classes up to which a count fits into its cell."""
MEASURES: dict[str, Callable[[Score], float]] = {"loss": lambda score: score.loss, "accuracy": percent}
AXES = {"loss": "cross entropy (nats)", "accuracy": "accuracy (%)"}
Shown = Sequence[tuple[int, CaseRecords]]
"""Cases with a result, each with its number among all cases, which gives its colour and marker."""
P = ParamSpec("P")


def short(text: str, width: int = 60) -> str:
    """Return text from outside as one line that can stand in an SVG, cut after `width` letters."""
    line = visible(text)
    return line if len(line) <= width else f"{line[: width - 1]}…"


def svg_of(draw: Callable[P, Figure], *args: P.args, **kwargs: P.kwargs) -> bytes:
    """Return the SVG of the figure that a function draws, in the project's style whatever the user's settings are.

    Positions are cut to 0.01 pt: half the size, and without the last digits, which depend on the processor.
    """
    buffer = io.BytesIO()
    with matplotlib.style.context(STYLE, after_reset=True), warnings.catch_warnings():
        # Text stays text in the file, so it is the reader's font that must have the letter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        draw(*args, **kwargs).savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    return DRAWN.sub(lambda tag: MANY_DIGITS.sub(rb"\1", tag[0]), svg[svg.index(b"<svg") :])


def _new_figure(title: str, width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle("\n".join(textwrap.wrap(short(title, 400), int(11.5 * width))))
    return figure


def _look(number: int) -> dict[str, Any]:
    return {"color": COLORS[number % len(COLORS)], "marker": MARKERS[number % len(MARKERS)]}


def _entry(label: str, **look: Any) -> Line2D:  # noqa: ANN401 - what a line takes
    """Return a legend's entry that is a line, a marker, or both."""
    return Line2D([], [], label=label, **{"color": INK, **look})


def _add_legend(figure: Figure, entries: Sequence[Artist], title: str = "") -> None:
    """Put a legend under a figure, which grows by 0.18 inches for each row; short entries stand in two columns."""
    columns = 2 if max(len(str(artist.get_label())) for artist in entries) <= 70 else 1
    figure.set_figheight(figure.get_figheight() + 0.18 * (-(-len(entries) // columns) + bool(title)))
    figure.legend(handles=entries, title=short(title), loc="outside lower center", ncols=columns)


def learning_curves(title: str, case_title: str, cases: Sequence[CaseRecords]) -> Figure:
    """Draw loss (nats, left) and accuracy (%, right) by epoch, training above test.

    Lines are means over seeds, bands reach from the lowest to the highest seed. The test curve is that as published;
    for up to three cases the clean curve stands beside it, dashed. Hollow last points were tested on more images than
    those before them; a star marks the epoch from which a case overfits. A case without a result is named.
    """
    shown = [(number, case) for number, case in enumerate(cases) if case.measured]
    with_clean = 0 < len(shown) <= MOST_WITH_CLEAN
    test = ("test", "epoch", ("as_published", "clean"))
    rows = ("training", "", ("train",)), test if with_clean else ("test, as published", "epoch", ("as_published",))
    figure = _new_figure(title, 10.0, 5.6)
    panels = figure.subplots(2, 2, sharex=True, squeeze=False)
    panels[0, 1].sharey(panels[1, 1])
    for panel_row, (row_title, below, scores) in zip(panels, rows, strict=True):
        for axes, (measure, label) in zip(panel_row, AXES.items(), strict=True):
            for score in scores:
                _draw_curves(axes, shown, score, measure)
            axes.set(title=row_title, xlabel=below, ylabel=label)
    panels[1, 0].xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    _mark_overfitting(panels[1, 0], shown, "clean" if with_clean else "as_published")
    entries = []
    for number, case in enumerate(cases):
        n = "; ".join([f"n = {len(case.measured)}", *other_endings(case)]) if case.measured else missing(case).text
        look = _look(number) if case.measured else {"linestyle": ""}
        entries.append(_entry(f"{short(case.name)} ({n})", **look))
    _add_legend(figure, [*entries, *_signs(shown, with_clean=with_clean)], case_title)
    return figure


def curve_of(records: Sequence[Record], score: str, measure: str) -> Series:
    """Return a measure by epoch of the images that a field of an epoch is about, over the seeds of a case."""
    return series([record.epochs for record in records], lambda epoch: MEASURES[measure](getattr(epoch, score)))


def _draw_curves(axes: Axes, shown: Shown, score: str, measure: str) -> None:
    for at, (number, case) in enumerate(shown):
        curve, look = curve_of(case.measured, score, measure), _look(number)
        epochs = range(1, len(curve.mean) + 1)
        if len(case.measured) > 1 and score != "clean":
            axes.fill_between(epochs, curve.low, curve.high, color=look["color"], alpha=0.18, linewidth=0)
        # The cases have their markers at different epochs, so that both of two equal curves are seen.
        every = max(len(shown), len(epochs) // 8)
        marked = (at * every // len(shown) % len(epochs), every)
        axes.plot(epochs, curve.mean, **(look | DASHES if score == "clean" else look), markevery=marked)
        if score != "train" and images_at_the_end(case.measured):  # which is no step of the same curve
            axes.plot(epochs[-LAST_EPOCHS:], curve.mean[-LAST_EPOCHS:], **look, **HOLLOW, zorder=3)


def _mark_overfitting(axes: Axes, shown: Shown, score: str) -> None:
    """Put stars on the test loss, whose axis becomes logarithmic where a huge loss would flatten the others."""
    for number, case in shown:
        if (turn := overfitting_epoch(case.measured)) is not None:
            height = curve_of(case.measured, score, "loss").mean[turn - 1]
            axes.plot([turn], [height], **STAR, color=_look(number)["color"], zorder=4)
    losses = [loss for _, case in shown for loss in curve_of(case.measured, "as_published", "loss").mean]
    if losses and min(losses) > 0 and max(losses) > 10 * median(losses):
        axes.set(yscale="log", ylabel="cross entropy (nats, log scale)")
        ticks = LogLocator(subs=(1.0, 2.0, 5.0))
        axes.yaxis.set(major_locator=ticks, major_formatter="{x:g}", minor_formatter=NullFormatter())


def _signs(shown: Shown, *, with_clean: bool) -> Iterator[Artist]:
    if with_clean:
        yield from (_entry("test, as published"), _entry("test, clean", **DASHES))
    if any(len(case.measured) > 1 for _, case in shown):
        yield Patch(color=INK, alpha=0.18, linewidth=0, label="line: mean of the seeds; band: lowest to highest")
    if ends := {images for _, case in shown for images in images_at_the_end(case.measured)}:
        first, last = ([f"{images:,}" for images in sorted(set(side))] for side in zip(*ends, strict=True))
        images = f"on {' or '.join(last)} test images (before: {' or '.join(first)})"
        yield _entry(f"hollow: last three epochs, {images}", marker="o", **HOLLOW)
    if any(overfitting_epoch(case.measured) for _, case in shown):
        yield _entry("lowest test loss before it rises (clean)", **STAR)


def _class_name(classes: Sequence[str], label: int) -> str:
    """Return the name of a class; a network may have more outputs than the data set has classes."""
    return short(classes[label], 24) if label < len(classes) else f"(no class {label})"


def confusion_matrix(title: str, classes: Sequence[str], confusion: Sequence[Sequence[int]]) -> Figure:
    """Draw counts [label][prediction]: as numbers, and their shares of the true class as colours."""
    counts = np.asarray(confusion, dtype=np.int64)
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 0.48 * min(max(counts.shape), MOST_PRINTED)
    figure = _new_figure(title, side + 2.4, side + 1.7)
    axes = figure.subplots()
    mesh = axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=100, edgecolors="white", linewidth=0.5)
    figure.colorbar(mesh, ax=axes, label="share of the true class (%)", fraction=0.04, pad=0.02)
    rows, columns = ([_class_name(classes, label) for label in range(size)] for size in counts.shape)
    axes.set_yticks(np.arange(len(rows)) + 0.5, rows)
    axes.set_xticks(np.arange(len(columns)) + 0.5, columns, rotation=45, ha="right", rotation_mode="anchor")
    axes.set(ylabel="true class", xlabel="predicted class (last epoch, clean)", aspect="equal")
    axes.invert_yaxis()
    axes.grid(visible=False)
    for (row, column), count in np.ndenumerate(counts) if max(counts.shape) <= MOST_PRINTED else ():
        color = "white" if shares[row, column] > 55 else "black" if count else "#999999"
        look: dict[str, Any] = {"color": color, "weight": "bold" if row == column else "normal", "fontsize": 7.5}
        axes.text(column + 0.5, row + 0.5, f"{count:,}", ha="center", va="center", **look)
    return figure


def sample_grid(title: str, png: bytes, samples: Sequence[Sample], classes: Sequence[str]) -> Figure:
    """Draw the images of a picture in a row, true and predicted class under each; wrong ones are framed.

    Raises ValueError where the picture is damaged, or not of these samples.
    """
    images = decode_picture(png)
    if len(images) != len(samples):
        raise ValueError(f"a picture of {len(images)} images, but the record has {len(samples)} samples")
    figure = _new_figure(title, 1.5 * len(images), 2.5)
    for axes, image, sample in zip(figure.subplots(1, len(images), squeeze=False)[0], images, samples, strict=True):
        axes.imshow(image, interpolation="none")  # which keeps the pixels themselves in the file
        axes.set(xticks=[], yticks=[], anchor="N")
        axes.grid(visible=False)
        axes.spines[:].set(visible=True, color=INK, linewidth=0.8)
        said = {"true": sample.label, "predicted": sample.prediction}
        words = (f"{word}: {_class_name(classes, label)}" for word, label in said.items())
        caption = [line for text in words for line in textwrap.wrap(text, 22)]
        if sample.label != sample.prediction:
            axes.spines[:].set(color="#bb3344", linewidth=3.0, linestyle=(0, (2, 1)), capstyle="butt")
            caption.append("wrong")
        axes.set_xlabel("\n".join(caption), fontsize=8, va="top")
    return figure
