"""Write a report: a README.md and a web page beside the records, and the figures."""

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from resnet18.judge.hypotheses import candidate_records
from resnet18.judge.verdict import Verdict, judge
from resnet18.records import disk
from resnet18.records.content import LIMIT
from resnet18.records.record import TIME_IS_UNRELIABLE, Record
from resnet18.records.store import Readings, Store, last_attempts
from resnet18.report import document as doc
from resnet18.report.document import Code, Figure, Items, Line, Strong, figures_in
from resnet18.report.markdown import write_markdown
from resnet18.report.notes import command, terms_of
from resnet18.report.page import write_page
from resnet18.report.sections import predictions, table_section
from resnet18.report.verdicts import judgement, was_judged
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError, SpecError, disk_errors
from resnet18.spec.resolve import Request
from resnet18.tables.selection import Selection, selections_by_request

README, WEB = "README.md", "report.html"
MARK = "<!-- Made by `resnet18 report` from the records beside it."
"""How every file of a report begins, the web page after its document type."""
PictureOf = Callable[[Record], bytes | None]
"""Gives the PNG beside a record, None where it left none."""
INTRO = Line("This report compares a 2022 lab report on ResNet-18 and CIFAR-10 with the records in this folder.")
WORDS = {
    "reported": "the lab report's number, as printed",
    "measured": "the suite's number over n seeds. Accuracies: mean with its 95 % confidence interval (Student's t). "
    "Times: median, with the lowest and the highest",
    "as published": "as in the lab report: the random operations of the training images are applied to test images, "
    "too, and the value is the highest test accuracy of all epochs",
    "clean": "test images are only resized and normalized. The clean test accuracy of a run is the median of its last "
    "three epochs",
    "optimism gap": "test accuracy as published minus clean test accuracy, from the same runs",
    "error of the test set": "standard error of a run's clean test accuracy, from the number of test images",
    "public script": "a published program whose lines match the lab report's listings. It may not be the lab report's",
    "commands": "replace names of TOML files and image folders by their paths; where the records are not in "
    "results/local, add --results DIR",
}
ACCEPTED = Line(Strong("Made with --accept-unreliable: verdicts and speed-ups use unreliable times too."))


def write_report(
    results: Path, benchmarks: Collection[Benchmark], readings: Readings, *, accept_unreliable: bool = False
) -> Path:
    """Write `README.md`, `report.html` and `figures/` into the results directory and return the README's path.

    With `accept_unreliable` such times count like any other, and the report says so. Raises EnvironmentMissingError
    where the directory cannot be written, SpecError where one of the pages was not made by this command.
    """
    if accept_unreliable:
        records = []
        for record in readings.records:
            flags = tuple(flag for flag in record.flags if flag not in TIME_IS_UNRELIABLE)
            records.append(record.model_copy(update={"flags": flags}))
        readings = replace(readings, records=tuple(records))
    picture_path = Store(results).picture_path
    document = build_document(benchmarks, readings, lambda run: _read(picture_path(run.run_id, run.attempt)))
    if accept_unreliable:
        document = replace(document, intro=(*document.intro, ACCEPTED))
    text = f"{MARK} Do not edit it: run the command again. -->\n\n{write_markdown(document, WEB)}"
    pages = {WEB: write_page(document), README: text}
    for path in (results / README, results / WEB):
        if path.is_file() and MARK not in path.read_text(encoding="utf-8", errors="replace")[:100]:
            next_step = "choose a folder with --results, or move the file away"
            raise SpecError(str(path), "was not made by this command, which would replace it", next_step=next_step)
    with disk_errors(EnvironmentMissingError, str(results), "the report cannot be written"):
        write_pages(results, pages, [*figures_in(document.sections)])
    return results / README


def write_pages(results: Path, pages: dict[str, str], figures: Collection[Figure]) -> None:
    """Write all, then remove this command's other figures: a report is never without its own."""
    folder = results / "figures"
    disk.make_folder(folder)
    for figure in figures:
        disk.replace(folder / figure.file, f"{MARK} -->\n".encode() + figure.svg)
    for name, text in pages.items():
        disk.replace(results / name, text.encode())
    kept = {figure.file for figure in figures}
    for path in folder.glob("*.svg"):
        if path.name not in kept and (_read(path) or b"").startswith(MARK.encode()):
            path.unlink()


def _read(path: Path) -> bytes | None:
    try:
        return disk.read(path, LIMIT)
    except (OSError, IntegrityError):  # nothing was left, or something that is no regular file
        return None


def build_document(
    benchmarks: Collection[Benchmark], readings: Readings, picture_of: PictureOf = lambda _: None
) -> doc.Document:
    """Return the report of a folder's records, whose order changes nothing."""
    records = sorted(last_attempts(readings.records).values(), key=lambda record: (record.seed, record.run_id))
    chapters = chapters_of(benchmarks, records)
    runs = _runs(chapters, records)
    words = Items(Line(Strong(word), f": {meaning}") for word, meaning in WORDS.items())
    return doc.Document(
        "Measured beside reported",
        (INTRO, words),
        tuple(_chapter(chapter, records, picture_of) for chapter in chapters),
        tuple(_leftovers(sum(not run.places for run in runs), readings)),
        runs,
    )


class Chapter(NamedTuple):
    """What the records of one request say."""

    request: Request
    selections: tuple[Selection, ...]
    verdicts: dict[str, tuple[Verdict, ...]]
    """By report: the claims of one report are judged together."""


def chapters_of(benchmarks: Collection[Benchmark], records: Collection[Record]) -> list[Chapter]:
    """Return a chapter for each request, those with verdicts first."""
    found = selections_by_request(benchmarks, records)
    chapters = [Chapter(request, tables, _verdicts(benchmarks, tables, request)) for request, tables in found]
    # Stable: otherwise in the order of requests.
    return sorted(chapters, key=lambda chapter: not any(map(was_judged, chapter.verdicts.values())))


def _verdicts(
    benchmarks: Collection[Benchmark], selections: Sequence[Selection], request: Request
) -> dict[str, tuple[Verdict, ...]]:
    """Return the verdicts of every report of which a table is recorded.

    A report of which no table is half recorded and no claim is judged is left out beside others: its runs are mostly
    those of another report's tables, and the list of what is begun names it.
    """
    found = {}
    for name in dict.fromkeys(selection.benchmark.report for selection in selections):
        family = [benchmark for benchmark in benchmarks if benchmark.report == name]
        if verdicts := judge(family, selections, request):
            found[name] = verdicts
    shown = {selection.benchmark.report for selection in selections if selection.is_half_recorded}
    return {name: verdicts for name, verdicts in found.items() if name in shown or was_judged(verdicts)} or found


def _chapter(chapter: Chapter, records: Collection[Record], picture_of: PictureOf) -> doc.Section:
    request, selections = chapter.request, chapter.selections
    shown = [selection for selection in selections if selection.is_half_recorded]
    blocks: list[doc.Block] = [Items(terms_of(request, selections))]
    blocks += [judgement(report, verdicts, request) for report, verdicts in chapter.verdicts.items()]
    verdicts = [verdict for family in chapter.verdicts.values() for verdict in family]
    for selection in shown:
        own = tuple(verdict for verdict in verdicts if verdict.benchmark == selection.benchmark)
        blocks.append(table_section(selection, selections, request, own, records))
    if found := tuple(predictions(shown, request, picture_of)):
        blocks.append(doc.Section("Predictions", found))
    begun = Items(
        Line(
            f"{selection.benchmark.title} ({sum(bool(case.records) for case in selection.cases)} of "
            f"{len(selection.cases)} cases recorded): ",
            Code(command([selection.benchmark], request)),
            " runs the others.",
        )
        for selection in selections
        if not selection.is_half_recorded
    )
    if begun:
        blocks.append(doc.Section("Tables with few records", (begun,)))
    return doc.Section(request.described.capitalize(), tuple(blocks))


def _runs(chapters: Sequence[Chapter], records: Sequence[Record]) -> tuple[doc.ShownRecord, ...]:
    """Return all runs by chapter, table, case and seed, then those in no table, with the cases that show them."""
    places: dict[str, dict[tuple[str, str], None]] = {}
    for request, selections, _ in chapters:
        shown = [(table, case.name, case.records) for table in selections for case in table.cases]
        left_open = "a value that the lab report does not state"
        shown += [(table, left_open, (*candidate_records(table, request, records),)) for table in selections]
        for table, case, found in shown:
            for record in found:
                places.setdefault(record.run_id, {})[table.benchmark.title, case] = None
    by_id = {record.run_id: record for record in records}
    return tuple(doc.ShownRecord(by_id[run_id], tuple(places.get(run_id, ()))) for run_id in {**places, **by_id})


def _leftovers(hidden: int, readings: Readings) -> Iterator[doc.Block]:
    """Yield what is in the folder and in no table, and what the folder held: nothing vanishes silently."""
    if hidden:
        yield Line(
            f"Recorded runs in no table, because no case of these benchmarks describes them: {hidden}. If they belong "
            "to a TOML file of your own, name it: ",
            Code("resnet18 report FILE"),
            ".",
        )
    if readings.refused:
        yield Items(Line(f"Left out: {error}") for error in readings.refused)
    hashes = sorted(record.record_hash for record in readings.records)
    index = hashlib.sha256("\n".join(hashes).encode()).hexdigest()
    yield Line(f"{len(hashes)} records. Folders with the same records have the same SHA-256: ", Code(index), ".")
