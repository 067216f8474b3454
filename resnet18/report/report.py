"""Write a report: a README.md and a web page beside the records, and the figures."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from resnet18.records import disk
from resnet18.records.content import LIMIT
from resnet18.records.record import TIME_IS_UNRELIABLE, Record
from resnet18.records.store import Readings, Store
from resnet18.report.build import build_document
from resnet18.report.document import Figure
from resnet18.report.markdown import write_markdown
from resnet18.report.page import MADE_HERE, write_page
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError, SpecError

README, WEB = "README.md", "report.html"
MADE_BY = "<!-- Made by `resnet18 report` from the records beside it. Do not edit: run it again. -->"
"""The first line of the README."""
MADE_FIGURE = b"<!-- Made by `resnet18 report` from the records beside it. -->\n"
"""How each figure begins."""


def write_report(
    results: Path,
    benchmarks: Collection[Benchmark],
    readings: Readings,
    *,
    accept_unreliable: bool = False,
) -> Path:
    """Write `README.md`, `report.html` and `figures/` into the results directory and return the README's path.

    With `accept_unreliable` such times count like any other, and the report says so.

    Raises:
        EnvironmentMissingError: the directory cannot be written.
        SpecError: one of the pages was not made by this command.
    """
    if accept_unreliable:
        kept = (
            (record, [flag for flag in record.flags if flag not in TIME_IS_UNRELIABLE]) for record in readings.records
        )
        records = tuple(record.model_copy(update={"flags": tuple(flags)}) for record, flags in kept)
        readings = replace(readings, records=records)
    store = Store(results)

    def picture_of(record: Record) -> bytes | None:
        return _read(store.picture_path(record.run_id, record.attempt))

    document = build_document(benchmarks, readings, picture_of, accept_unreliable=accept_unreliable)
    text = f"{MADE_BY}\n\n{write_markdown(document, WEB)}"
    for path, beginning in ((results / README, MADE_BY), (results / WEB, MADE_HERE)):
        if path.is_file() and not path.read_text(encoding="utf-8", errors="replace").startswith(beginning):
            raise SpecError(
                str(path),
                "was not made by this command, which would replace it",
                next_step="choose a folder with --results, or move the file away",
            )
    try:
        write_pages(results, {WEB: write_page(document), README: text}, document.figures.values())
    except OSError as error:
        raise EnvironmentMissingError(str(results), f"the report cannot be written: {error.strerror}") from None
    return results / README


def _accepted(record: Record) -> Record:
    return record.model_copy(update={"flags": tuple(flag for flag in record.flags if flag not in TIME_IS_UNRELIABLE)})


def _read(path: Path) -> bytes | None:
    try:
        return disk.read(path, LIMIT)
    except (OSError, IntegrityError):  # nothing was left, or something that is no regular file
        return None


def write_pages(results: Path, pages: dict[str, str], figures: Collection[Figure]) -> None:
    """Write all, then remove this command's other figures: a report is never without its own."""
    folder = results / "figures"
    disk.make_folder(folder)
    for figure in figures:
        disk.replace(folder / figure.file, MADE_FIGURE + figure.svg)
    for name, text in pages.items():
        disk.replace(results / name, text.encode())
    kept = {figure.file for figure in figures}
    for path in folder.glob("*.svg"):
        if path.name not in kept and (_read(path) or b"").startswith(MADE_FIGURE):
            path.unlink()
