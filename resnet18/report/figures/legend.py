"""The legend of learning curves: the cases, and what each sign means."""

from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from resnet18.report.figures.series import images_at_the_end
from resnet18.report.figures.style import INK, Pen, entry, plain
from resnet18.tables.cells import STATUS_TEXT, missing
from resnet18.tables.selection import CaseRecords

CLEAN = (0, (4, 2))
"""Dashes of the clean test curve."""


def case_entry(look: Pen, arm: CaseRecords) -> Line2D:
    """Return a case's entry: without a line where it has no result, so that its word stands alone."""
    if not arm.measured:
        return entry(_label(arm), linestyle="")
    return entry(_label(arm), color=look.color, marker=look.marker, markersize=4.2, linewidth=1.4)


def signs_of(shown: Sequence[tuple[Pen, CaseRecords]], *, with_clean: bool, turns: bool) -> list[Artist]:
    """Return what the signs mean that this figure has, and no others."""
    signs: list[Artist] = []
    records = [record for _, arm in shown for record in arm.measured]
    if with_clean:
        signs += [entry("test, as published"), entry("test, clean", linestyle=CLEAN, linewidth=1.0)]
    if any(len(arm.measured) > 1 for _, arm in shown):
        signs.append(
            Patch(color=INK, alpha=0.18, linewidth=0, label="line: mean of the seeds; band: lowest to highest")
        )
    if ends := {images for record in records if (images := images_at_the_end(record))}:
        label = "hollow: last three epochs, on more test images"
        if len(ends) == 1:
            ((before, last),) = ends
            label = f"hollow: last three epochs, on {last:,} test images (before: {before:,})"
        signs.append(entry(label, linestyle="", marker="o", markerfacecolor="white"))
    if turns:
        look = {"marker": "*", "markersize": 10, "markerfacecolor": "#bbbbbb", "markeredgecolor": "black"}
        signs.append(entry("lowest test loss before it rises (clean)", linestyle="", **look))
    return signs


def _label(arm: CaseRecords) -> str:
    """Return a case's name, how many seeds its curves average, and how others ended."""
    name = plain(arm.name)
    if not arm.measured:
        return f"{name} ({missing(arm)})"
    others = [record.status for record in arm.records if record.status != "ok"]
    ended = "".join(f"; {others.count(status)} {STATUS_TEXT[status]}" for status in dict.fromkeys(others))
    return f"{name} (n = {len(arm.measured)}{ended})"
