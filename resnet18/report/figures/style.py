"""How all figures look, and how they are saved: nothing of the machine or of the user's settings enters a file."""

import io
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib.style
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
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
    "axes.titley": 1.0,  # nothing stands above the axes: matplotlib need not look for it
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.title_fontsize": 8,
    "legend.labelspacing": 0.4,
    "legend.borderpad": 0.2,
    "legend.borderaxespad": 0.0,
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
POSITIONS = re.compile(rb' (?:d|x|y)="[^"]*"')
MANY_DIGITS = re.compile(rb"(\.\d\d)\d+")
POINTS_PER_LETTER = 4.9
"""Width of a letter of 8 pt, on the safe side of the average."""
POINTS_PER_ROW = 11.5
"""Height of a row of a legend."""
TITLE_TOP, LINE = 0.06, 0.17
"""In inches: above the title, and of each of its lines."""
HANDLE_POINTS = 42
"""Width of the sign before a legend's text, with the gap to the next column."""


@dataclass(frozen=True)
class Pen:
    """How a case is drawn in every figure of its table."""

    color: str
    marker: str


@dataclass(frozen=True)
class Key:
    """A legend: entries, and how they stand."""

    entries: Sequence[Artist]
    title: str | None = None

    def columns(self, width: float) -> int:
        """Return how many entries stand side by side on a width in inches, four at most."""
        longest = max((len(str(entry.get_label())) for entry in self.entries), default=0)
        fitting = int(72 * width // (POINTS_PER_LETTER * longest + HANDLE_POINTS))
        return max(1, min(fitting, 4, len(self.entries)))

    def height(self, width: float) -> float:
        """Return the height in inches, its title included."""
        rows = -(-len(self.entries) // self.columns(width)) + (self.title is not None)
        return (POINTS_PER_ROW * rows + 6) / 72 if self.entries else 0.0


def pen(number: int) -> Pen:
    """Return the pen of a table's case, counted from 0."""
    return Pen(COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)])


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
    """Return the SVG of the figure that a function builds."""
    with styled():
        buffer = io.BytesIO()
        build().savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return _with_short_numbers(buffer.getvalue())


def _with_short_numbers(svg: bytes) -> bytes:
    """Return the file with positions cut to 0.01 pt: half as large, and without the last digits of a processor."""

    def shorten(tag: re.Match[bytes]) -> bytes:
        return POSITIONS.sub(lambda one: MANY_DIGITS.sub(rb"\1", one[0]), tag[0])

    return DRAWN.sub(shorten, svg)


def figure_with_keys(
    title: str, size: tuple[float, float], keys: Sequence[Key], grid: tuple[int, int] | None = None
) -> Figure:
    """Return an empty figure with legends in rows of their own at the bottom, where they cover no curve.

    Args:
        title: stands on top, in as many lines as it needs.
        size: width and height in inches, without the legends.
        keys: from top to bottom.
        grid: rows and columns of panels between fixed margins, which takes half the time of measuring every label;
            measured if left out.
    """
    width = size[0]
    bottom = sum(key.height(width) for key in keys) + (0.05 if keys else 0)
    height = size[1] + bottom
    layout = None if grid else ConstrainedLayoutEngine(rect=(0, bottom / height, 1, size[1] / height))
    figure = Figure(figsize=(width, height), layout=layout)
    lines = textwrap.wrap(plain(title, 400), int(11.5 * width))
    figure.suptitle("\n".join(lines), y=1 - TITLE_TOP / height)
    if grid:
        _set_margins(figure, grid, bottom, len(lines))
    for key in keys:
        _place(figure, key, bottom / height)
        bottom -= key.height(width)
    return figure


def _set_margins(figure: Figure, grid: tuple[int, int], bottom: float, lines: int) -> None:
    """Leave room, in inches, around each panel: for title, tick labels of up to six letters, and axis labels."""
    width, height = figure.get_size_inches()
    rows, columns = grid
    left, right, gap = 0.72, 0.1, 0.78
    low, high, gap_between_rows = bottom + 0.45, TITLE_TOP + LINE * lines + 0.34, 0.38
    panel = (width - left - right - (columns - 1) * gap) / columns
    panel_height = (height - low - high - (rows - 1) * gap_between_rows) / rows
    figure.subplots_adjust(
        left=left / width,
        right=1 - right / width,
        bottom=low / height,
        top=1 - high / height,
        wspace=gap / panel,
        hspace=gap_between_rows / panel_height,
    )


def entry(label: str, **look: Any) -> Line2D:  # noqa: ANN401 - what a line takes
    """Return a legend's entry that is a line, a marker, or both."""
    return Line2D([], [], label=label, **{"color": INK, **look})


def _place(figure: Figure, key: Key, top: float) -> None:
    if not key.entries:
        return
    columns = key.columns(figure.get_figwidth())
    rows = -(-len(key.entries) // columns)
    blank = Line2D([], [], linestyle="", label=" ")
    padded = [*key.entries, *[blank] * (rows * columns - len(key.entries))]
    # Legends fill column by column; cases read row by row.
    turned = [padded[row * columns + column] for column in range(columns) for row in range(rows)]
    figure.legend(
        handles=turned,
        title=key.title,
        loc="upper center",
        bbox_to_anchor=(0.5, top),
        ncols=columns,
        alignment="center",
    )
