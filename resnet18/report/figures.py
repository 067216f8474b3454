"""How figures look and are saved, what a network took test images for, and their files: the same for everybody."""

import io
import re
import textwrap
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ParamSpec

import matplotlib.style
import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from resnet18.records.arrays import decode_picture
from resnet18.records.record import Record, Sample
from resnet18.spec.errors import plain

STYLE: dict[str, Any] = {
    "svg.hashsalt": "resnet18",
    "svg.fonttype": "none",
    "text.parse_math": False,  # a case may be called $x$
    "font.family": "sans-serif",
    "font.size": 9,
    "figure.titlesize": 10,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.title_fontsize": 8,
}
INK = "#333333"
# Paul Tol's "bright" scheme: told apart by people with any colour vision. Each has a marker beside it.
COLORS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#777777")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
"""One more than the colours, so that no pair comes twice before 56 cases."""
DRAWN = re.compile(rb"<(?:path|use) [^>]*>")
"""Tags that are no text: in a text, `<` is written as an entity."""
MANY_DIGITS = re.compile(rb"(\.\d\d)\d+")
WIDEST = 70
"""Letters of a legend's entries up to which two stand side by side."""
ROW = 0.18
"""Height of a legend's row, in inches."""
MOST_PRINTED = 20
"""Classes up to which a count fits into its cell."""
P = ParamSpec("P")


def short(text: str, width: int = 60) -> str:
    """Return text from outside as one line that can stand in an SVG, cut after `width` letters."""
    line = plain(text)
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


def new_figure(title: str, width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches, with its title in as many lines as it needs."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle("\n".join(textwrap.wrap(short(title, 400), int(11.5 * width))))
    return figure


def add_legend(figure: Figure, entries: Sequence[Artist], title: str = "") -> None:
    """Put a legend under a figure, which grows by its height."""
    columns = 2 if max(len(str(artist.get_label())) for artist in entries) <= WIDEST else 1
    figure.set_figheight(figure.get_figheight() + ROW * (-(-len(entries) // columns) + bool(title)))
    figure.legend(handles=entries, title=short(title), loc="outside lower center", ncols=columns)


def entry(label: str, **look: Any) -> Line2D:  # noqa: ANN401 - what a line takes
    """Return a legend's entry that is a line, a marker, or both."""
    return Line2D([], [], label=label, **{"color": INK, **look})


def class_name(classes: Sequence[str], label: int) -> str:
    """Return the name of a class; a network may have more outputs than the data set has classes."""
    return classes[label] if label < len(classes) else f"(no class {label})"


def summed_confusion(records: Iterable[Record]) -> tuple[tuple[int, ...], ...]:
    """Return the counts [label][prediction] summed over a case's records; empty where none has any."""
    matrices = [np.asarray(record.confusion, dtype=np.int64) for record in records if record.confusion]
    return tuple(tuple(map(int, row)) for row in np.sum(matrices, axis=0)) if matrices else ()


def confusion_matrix(title: str, classes: Sequence[str], confusion: Sequence[Sequence[int]]) -> Figure:
    """Draw counts [label][prediction]: as numbers, and their shares of the true class as colours."""
    counts = np.asarray(confusion, dtype=np.int64)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(100 * counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    side = 0.48 * min(max(counts.shape), MOST_PRINTED)
    figure = new_figure(title, side + 2.4, side + 1.7)
    axes = figure.subplots()
    mesh = axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=100, edgecolors="white", linewidth=0.5)
    figure.colorbar(mesh, ax=axes, label="share of the true class (%)", fraction=0.04, pad=0.02)
    rows, columns = ([short(class_name(classes, label), 24) for label in range(size)] for size in counts.shape)
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
    """Draw the images of a run's picture in a row, true and predicted class under each; wrong ones are framed.

    Raises:
        ValueError: the picture is damaged, or not of these samples.
    """
    images = decode_picture(png)
    if len(images) != len(samples):
        raise ValueError(f"a picture of {len(images)} images, but the record has {len(samples)} samples")
    figure = new_figure(title, 1.5 * len(images), 2.5)
    row = figure.subplots(1, len(images), squeeze=False)[0]
    for axes, image, sample in zip(row, images, samples, strict=True):
        axes.imshow(image, interpolation="none")  # which keeps the pixels themselves in the file
        axes.set(xticks=[], yticks=[], anchor="N")
        axes.grid(visible=False)
        axes.spines[:].set(visible=True, color=INK, linewidth=0.8)
        true, predicted = (short(class_name(classes, label), 24) for label in (sample.label, sample.prediction))
        caption = [*textwrap.wrap(f"true: {true}", 22), *textwrap.wrap(f"predicted: {predicted}", 22)]
        if sample.label != sample.prediction:
            axes.spines[:].set(color="#bb3344", linewidth=3.0, linestyle=(0, (2, 1)), capstyle="butt")
            caption.append("wrong")
        axes.set_xlabel("\n".join(caption), fontsize=8, va="top")
    return figure
