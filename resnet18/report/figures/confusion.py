"""The confusion matrix of one case."""

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from resnet18.records.record import Record
from resnet18.report.figures.style import figure_with_keys, plain, svg_of

MOST_PRINTED = 20
"""Classes up to which a count fits into its cell."""
CELL = 0.48
"""Side of a cell in inches."""


def summed_confusion(records: Iterable[Record]) -> tuple[tuple[int, ...], ...]:
    """Return the counts [label][prediction] summed over a case's records; empty where none has any."""
    matrices = [np.asarray(record.confusion, dtype=np.int64) for record in records if record.confusion]
    return tuple(tuple(map(int, row)) for row in np.sum(matrices, axis=0)) if matrices else ()


def confusion_matrix(title: str, classes: Sequence[str], confusion: Sequence[Sequence[int]]) -> bytes:
    """Return an SVG of a confusion matrix: counts as numbers, shares of the true class as colours.

    Args:
        title: of the figure.
        classes: names in the order of their labels.
        confusion: counts [label][prediction], such as `summed_confusion` gives.
    """
    return svg_of(lambda: draw_confusion(title, classes, confusion))


def draw_confusion(title: str, classes: Sequence[str], confusion: Sequence[Sequence[int]]) -> Figure:
    """Return the figure; see `confusion_matrix`."""
    counts = np.asarray(confusion, dtype=np.int64)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(100 * counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    side = CELL * min(max(counts.shape), MOST_PRINTED)
    figure = figure_with_keys(title, (side + 2.4, side + 1.7), [])
    axes = figure.subplots()
    mesh = axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=100, edgecolors="white", linewidth=0.5)
    figure.colorbar(mesh, ax=axes, label="share of the true class (%)", fraction=0.04, pad=0.02)
    right, total = int(np.trace(counts)), int(counts.sum())
    axes.set_title(f"{right:,} of {total:,} predictions are right ({100 * right / max(total, 1):.1f} %)")
    _name_classes(axes, [plain(name, 24) for name in classes], counts.shape)
    if max(counts.shape) <= MOST_PRINTED:
        _print_counts(axes, counts, shares)
    return figure


def _name_classes(axes: Axes, names: list[str], shape: tuple[int, ...]) -> None:
    """Label rows and columns; a network may have more outputs than the data set has classes."""
    rows, columns = ([*names, *(f"(no class {at})" for at in range(len(names), size))][:size] for size in shape)
    axes.set_yticks(np.arange(shape[0]) + 0.5, rows)
    axes.set_xticks(np.arange(shape[1]) + 0.5, columns, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_ylabel("true class")
    axes.set_xlabel("predicted class (last epoch, clean)")
    axes.invert_yaxis()
    axes.set_aspect("equal")
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _print_counts(axes: Axes, counts: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    for (row, column), count in np.ndenumerate(counts):
        share = shares[row, column]
        color = "white" if share > 55 else "black" if count else "#999999"
        weight = "bold" if row == column else "normal"
        axes.text(
            column + 0.5, row + 0.5, f"{count:,}", ha="center", va="center", fontsize=7.5, color=color, weight=weight
        )
