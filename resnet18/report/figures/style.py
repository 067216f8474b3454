"""How all figures look, and how they are saved: nothing of the machine or of the user's settings enters a file."""

import io
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

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
    "axes.edgecolor": "#666666",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.title_fontsize": 8,
}
INK = "#333333"
# Paul Tol's "bright" scheme: told apart by people with any colour vision. Each has a marker beside it.
COLORS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#777777")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
"""One more than the colours, so that no pair comes twice before 56 cases."""
INVISIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""Control and direction characters, and what XML cannot hold."""
DRAWN = re.compile(rb"<(?:path|use) [^>]*>")
"""Tags that are no text: in a text, `<` is written as an entity."""
MANY_DIGITS = re.compile(rb"(\.\d\d)\d+")
LETTER, HANDLE, ROW = 0.068, 0.58, 0.18
"""In inches, of a legend: width of a letter and of the sign before a text, height of a row."""


def plain(text: str, width: int = 60) -> str:
    """Return text from outside as one line that can stand in an SVG, cut after `width` letters."""
    line = INVISIBLE.sub(" ", text)
    return line if len(line) <= width else f"{line[: width - 1]}…"


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the project's style; settings of the user's matplotlib are put aside, and back afterwards."""
    with matplotlib.style.context(STYLE, after_reset=True), warnings.catch_warnings():
        # Text stays text in the file, so it is the reader's font that must have the letter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def svg_of(build: Callable[[], Figure]) -> bytes:
    """Return the SVG of the figure that a function builds.

    Positions are cut to 0.01 pt: half the size, and without the last digits, which depend on the processor.
    """
    with styled():
        buffer = io.BytesIO()
        build().savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    return DRAWN.sub(lambda tag: MANY_DIGITS.sub(rb"\1", tag[0]), svg[svg.index(b"<svg") :])


def figure_with_legend(
    title: str, size: tuple[float, float], entries: Sequence[Artist] = (), legend_title: str = ""
) -> Figure:
    """Return an empty figure with its title on top and a legend at the bottom, where it covers no curve.

    Args:
        title: in as many lines as it needs.
        size: width and height in inches, without the legend.
        entries: of the legend.
        legend_title: above them.
    """
    width, height = size
    columns = next((n for n in (4, 3, 2) if _fits(entries, n, width)), 1)
    rows = -(-len(entries) // columns) + bool(legend_title)
    figure = Figure(figsize=(width, height + ROW * rows), layout="constrained")
    figure.suptitle("\n".join(textwrap.wrap(plain(title, 400), int(11.5 * width))))
    if entries:
        figure.legend(handles=entries, title=legend_title or None, loc="outside lower center", ncols=columns)
    return figure


def _fits(entries: Sequence[Artist], columns: int, width: float) -> bool:
    """Say whether a legend of so many columns, each as wide as its longest text, fits a width in inches."""
    parts = np.array_split([len(str(artist.get_label())) for artist in entries], columns)  # as matplotlib splits them
    return len(entries) >= columns and sum(LETTER * part.max() + HANDLE for part in parts) <= width


def entry(label: str, **look: Any) -> Line2D:  # noqa: ANN401 - what a line takes
    """Return a legend's entry that is a line, a marker, or both."""
    return Line2D([], [], label=label, **{"color": INK, **look})
