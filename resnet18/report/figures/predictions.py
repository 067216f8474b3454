"""What a network took test images for: the confusion matrix of one case, and sample images of one run."""

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from resnet18.records.arrays import decode_picture
from resnet18.records.record import Record, Sample
from resnet18.report.figures.style import INK, figure_with_legend, plain, svg_of

MOST_PRINTED = 20
"""Classes up to which a count fits into its cell."""
CELL = 0.48
"""Side of a cell in inches."""
WRONG = "#bb3344"
WIDTH = 1.5
"""Inches for each image."""
LETTERS = 22
"""What fits under an image on one line."""


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
    return svg_of(lambda: _draw_confusion(title, classes, np.asarray(confusion, dtype=np.int64)))


def _draw_confusion(title: str, classes: Sequence[str], counts: NDArray[np.int64]) -> Figure:
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(100 * counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    side = CELL * min(max(counts.shape), MOST_PRINTED)
    figure = figure_with_legend(title, (side + 2.4, side + 1.7))
    axes = figure.subplots()
    mesh = axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=100, edgecolors="white", linewidth=0.5)
    figure.colorbar(mesh, ax=axes, label="share of the true class (%)", fraction=0.04, pad=0.02)
    right, total = int(np.trace(counts)), int(counts.sum())
    axes.set_title(f"{right:,} of {total:,} predictions are right ({100 * right / max(total, 1):.1f} %)")
    # A network may have more outputs than the data set has classes.
    rows, columns = ([_name(classes, label) for label in range(size)] for size in counts.shape)
    axes.set_yticks(np.arange(len(rows)) + 0.5, rows)
    axes.set_xticks(np.arange(len(columns)) + 0.5, columns, rotation=45, ha="right", rotation_mode="anchor")
    axes.set(ylabel="true class", xlabel="predicted class (last epoch, clean)", aspect="equal")
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if max(counts.shape) <= MOST_PRINTED:
        _print_counts(axes, counts, shares)
    return figure


def _print_counts(axes: Axes, counts: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    for (row, column), count in np.ndenumerate(counts):
        color = "white" if shares[row, column] > 55 else "black" if count else "#999999"
        weight = "bold" if row == column else "normal"
        look: dict[str, Any] = {"ha": "center", "va": "center", "color": color, "weight": weight}
        axes.text(column + 0.5, row + 0.5, f"{count:,}", fontsize=7.5, **look)


def sample_grid(title: str, png: bytes, samples: Sequence[Sample], classes: Sequence[str]) -> bytes:
    """Return an SVG of the sample images in a row, true and predicted class under each.

    A wrong prediction has a thick dashed frame and the word "wrong".

    Args:
        title: of the figure.
        png: the picture beside the record (`Store.picture_path`).
        samples: of the record, in the order of the picture.
        classes: names in the order of their labels.

    Raises:
        ValueError: the picture is damaged, or not of these samples.
    """
    images = decode_picture(png)
    if len(images) != len(samples):
        raise ValueError(f"a picture of {len(images)} images, but the record has {len(samples)} samples")
    return svg_of(lambda: draw_samples(title, images, samples, classes))


def draw_samples(title: str, images: NDArray[np.uint8], samples: Sequence[Sample], classes: Sequence[str]) -> Figure:
    """Return the figure of images [n, side, side, 3]; see `sample_grid`."""
    captions = [_caption(sample, classes) for sample in samples]
    lines = max(caption.count("\n") + 1 for caption in captions)
    figure = figure_with_legend(title, (WIDTH * len(images), WIDTH + 0.2 + 0.16 * lines))
    row = figure.subplots(1, len(images), squeeze=False)[0]
    for axes, image, sample, caption in zip(row, images, samples, captions, strict=True):
        # Interpolation "none" keeps the pixels themselves in the file.
        axes.imshow(image, interpolation="none")
        axes.set_anchor("N")
        axes.set(xticks=[], yticks=[])
        axes.grid(visible=False)
        axes.spines[:].set(visible=True, color=INK, linewidth=0.8)
        if sample.label != sample.prediction:
            axes.spines[:].set(color=WRONG, linewidth=3.0, linestyle=(0, (2, 1)), capstyle="butt")
        axes.set_xlabel(caption, fontsize=8, va="top")
    return figure


def _caption(sample: Sample, classes: Sequence[str]) -> str:
    """Return the lines under an image."""
    lines = [
        *textwrap.wrap(f"true: {_name(classes, sample.label)}", LETTERS),
        *textwrap.wrap(f"predicted: {_name(classes, sample.prediction)}", LETTERS),
    ]
    return "\n".join(lines if sample.label == sample.prediction else [*lines, "wrong"])


def _name(classes: Sequence[str], label: int) -> str:
    return plain(classes[label], 24) if label < len(classes) else f"(no class {label})"
