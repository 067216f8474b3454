"""Learning curves as SVG, byte for byte the same from the same records."""

import io
from collections.abc import Callable
from statistics import fmean
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from resnet18.analysis.view import Arm
from resnet18.records.record import Record, Score

# Paul Tol's "bright" scheme: told apart by people with any colour vision.
COLORS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#777777")
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "resnet18",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
}
LINES: dict[Literal["train", "as_published"], tuple[str, Literal["-", "--"]]] = {
    "train": ("training", "--"),
    "as_published": ("test, as published", "-"),
}
MANY_EPOCHS = 15
"""From here on points would run into one another."""
SHORT_NAME = 20
"""Names up to this length stand four in a row."""


def learning_curves(title: str, case_title: str, arms: tuple[Arm, ...]) -> bytes:
    """Return an SVG of loss and accuracy by epoch, means over seeds: training dashed, test (as published) solid."""
    measured = [arm for arm in arms if arm.measured]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 4), layout="constrained")
        loss, accuracy = figure.subplots(1, 2)
        _curves(loss, measured, "cross entropy (nats)", lambda score: score.loss)
        _curves(accuracy, measured, "accuracy (%)", lambda score: 100 * score.accuracy)
        columns = 4 if all(len(arm.case.name) <= SHORT_NAME for arm in measured) else 2
        figure.legend(
            handles=_legend(measured),
            title=case_title,
            loc="outside lower center",
            ncols=columns,
            frameon=False,
            fontsize=8,
        )
        figure.suptitle(title, fontsize=10)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _curves(axes: Axes, arms: list[Arm], label: str, value: Callable[[Score], float]) -> None:
    for number, arm in enumerate(arms):
        # Earlier lines are wider, so that equal curves show as one inside the other.
        width = 1.2 + 1.2 * (len(arms) - number - 1) / max(len(arms), 1)
        epochs = range(1, min(len(record.epochs) for record in arm.measured) + 1)
        marker = "." if len(epochs) < MANY_EPOCHS else ""
        for part, (_, style) in LINES.items():
            means = [fmean(value(_score(record, epoch, part)) for record in arm.measured) for epoch in epochs]
            color = COLORS[number % len(COLORS)]
            axes.plot(epochs, means, color=color, linestyle=style, linewidth=width, marker=marker)
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _score(record: Record, epoch: int, part: Literal["train", "as_published"]) -> Score:
    entry = record.epochs[epoch - 1]
    return entry.train if part == "train" else entry.as_published


def _legend(arms: list[Arm]) -> list[Line2D]:
    """Return one entry for each case, and one for each kind of line."""
    cases = [
        Line2D([], [], color=COLORS[number % len(COLORS)], label=f"{arm.case.name} (n = {len(arm.measured)})")
        for number, arm in enumerate(arms)
    ]
    kinds = [Line2D([], [], color="#222222", linestyle=style, label=label) for label, style in LINES.values()]
    return cases + kinds
