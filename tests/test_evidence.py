"""The committed report under results/ is what the committed records give, to the byte."""

import shutil
from pathlib import Path

import pytest

from resnet18.cli.report import report_command
from resnet18.records.store import Store

RESULTS = Path(__file__).parents[1] / "results"

pytestmark = pytest.mark.skipif(
    not any(RESULTS.glob("records/*.json")),
    reason="results/records is empty",
)


def pages_and_figures(folder):
    files = folder / "README.md", folder / "report.html", *(folder / "figures").iterdir(), *(folder / "parts").iterdir()
    return {path.name: path.read_bytes() for path in files}


def test_committed_pages_and_figures_come_out_again(tmp_path):
    """As `make evidence` writes them."""
    shutil.copytree(RESULTS / "records", tmp_path / "records")
    report_command(None, "lab-report", tmp_path)
    written, kept = pages_and_figures(tmp_path), pages_and_figures(RESULTS)

    assert sorted(written) == sorted(kept)
    assert [] == [name for name in written if written[name] != kept[name]]


def test_committed_records_are_of_photographs_that_are_no_longer_the_official_ones():
    records = Store(RESULTS).read().records

    assert {"cifar10-jpeg"} == {record.spec.experiment.data for record in records}
    assert {".json"} == {path.suffix for path in (RESULTS / "records").iterdir()}


def test_the_readme_shows_what_the_report_says():
    """The rows of its last table are rows of the report, with fewer columns, and its figure is one of the figures.

    The table before it is of an older commit, which it names: its records are of a format that is read no longer.
    """
    readme = (RESULTS.parent / "README.md").read_text(encoding="utf-8")
    part = readme.partition("## Example results")[2].partition("\n## ")[0]
    *_, table = [block for block in part.split("\n\n") if block.startswith("|")]
    head, _, *body = cells_of(table)
    wide = cells_of((RESULTS / "README.md").read_text(encoding="utf-8"))

    assert [] == [row for row in (head, *body) if not any(set(row) <= set(other) for other in wide)]
    assert "results/figures/" in part


def cells_of(text):
    """Return the cells of all lines of tables."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
