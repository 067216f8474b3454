"""The sample images of a record, with what they show and what the network took them for."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from resnet18.records.picture import decode_picture
from resnet18.records.record import Sample
from resnet18.report.figures.style import INK, figure_with_keys, plain, svg_of

WRONG = "#bb3344"
WIDTH = 1.5
"""Inches for each image."""
LETTERS = 22
"""What fits under an image on one line."""


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
    figure = figure_with_keys(title, (WIDTH * len(images), WIDTH + 0.2 + 0.16 * lines), [])
    row = figure.subplots(1, len(images), squeeze=False)[0]
    for axes, image, sample, caption in zip(row, images, samples, captions, strict=True):
        # Interpolation "none" keeps the pixels themselves in the file.
        axes.imshow(image, interpolation="none")
        axes.set_anchor("N")
        _frame(axes, is_right=sample.label == sample.prediction)
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
    return plain(classes[label], 40) if label < len(classes) else f"(no class {label})"


def _frame(axes: Axes, *, is_right: bool) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines[:].set_visible(True)
    for spine in axes.spines.values():
        spine.set(color=INK, linewidth=0.8)
        if not is_right:
            spine.set(color=WRONG, linewidth=3.0, linestyle=(0, (2, 1)), capstyle="butt")
