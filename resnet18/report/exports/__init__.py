"""What records say, in the formats of other people's dashboards. docs/export.md says which is for which."""

from collections.abc import Callable, Sequence
from pathlib import Path

from resnet18.report.exports.bmf import bmf
from resnet18.report.exports.event_files import write_events
from resnet18.report.exports.github import github_bigger, github_smaller
from resnet18.report.exports.long_table import long_table
from resnet18.report.exports.pytest_json import pytest_json
from resnet18.report.exports.rows import Row

FORMATS: dict[str, Callable[[Sequence[Row]], str]] = {
    "bmf": bmf,
    "github-smaller": github_smaller,
    "github-bigger": github_bigger,
    "pytest-benchmark": pytest_json,
    "csv": long_table,
}
"""The text of a file."""

FOLDER_FORMATS: dict[str, Callable[[Sequence[Row], Path], int]] = {"tensorboard": write_events}
"""Files in a folder; how many were written."""

TIMED = frozenset({"bmf", "github-smaller", "pytest-benchmark"})
"""Formats that tell times, from which flagged ones are left out."""
AVERAGED = TIMED | {"github-bigger"}
"""Formats with one value over the seeds of a case."""
