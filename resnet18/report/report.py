"""Write a report: a README.md and a web page beside the records, and the figures."""

import json
import tomllib
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from resnet18.judge.hypotheses import candidate_records
from resnet18.records import disk
from resnet18.records.record import TIME_IS_UNRELIABLE, Record
from resnet18.records.store import MADE_BY, Readings, Store, last_attempts
from resnet18.report import document as doc
from resnet18.report.answer import answer, brief_answer
from resnet18.report.chapters import Chapter, best_tables, best_verdicts, chapters_of, was_judged
from resnet18.report.document import Figure, Items, Line, Strong, figures_in
from resnet18.report.exports import verdict_rows
from resnet18.report.markdown import write_markdown
from resnet18.report.page import write_page
from resnet18.report.sections import PictureOf, leftovers, part_of
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError, disk_errors
from resnet18.spec.plan import Part

README, WEB = "README.md", "report.html"
MARK = f"<!-- {MADE_BY}"
WORDS = Path(__file__).parent / "web" / "words.toml"
"""What the words of a report mean."""
ACCEPTED = Line(Strong("Made with --accept-unreliable: verdicts and speed-ups use unreliable times too."))


def write_report(
    results: Path,
    benchmarks: Collection[Benchmark],
    readings: Readings,
    parts: Sequence[Part] = (),
    *,
    accept_unreliable: bool = False,
) -> Path:
    """Write `README.md`, `report.html`, `verdicts.json`, `parts/` and `figures/`, and return the README's path.

    With `accept_unreliable` such times count like any other, and the report says so. Raises EnvironmentMissingError
    where the directory cannot be written; for pages that are there already see `disk.check_made`.
    """
    if accept_unreliable:
        records = []
        for record in readings.records:
            flags = tuple(flag for flag in record.flags if flag not in TIME_IS_UNRELIABLE)
            records.append(record.model_copy(update={"flags": flags}))
        readings = replace(readings, records=tuple(records))
    picture_path = Store(results).picture_path
    document = build_document(benchmarks, readings, lambda run: _read(picture_path(run.run_id, run.attempt)), parts)
    if accept_unreliable:
        document = replace(document, answer=(ACCEPTED, *document.answer))
    return write_document(results, document)


def write_document(results: Path, document: doc.Document) -> Path:
    """Write a document's pages and figures into a directory and return the README's path. Raises as `write_report`."""
    head = f"<!-- {document.made_by} Do not edit it: run the command again. -->\n\n"
    pages = {WEB: write_page(document)}
    pages |= {name: head + text for name, text in write_markdown(document, WEB).items()}
    pages["verdicts.json"] = json.dumps(verdict_rows(document.verdicts), indent=1) + "\n"
    figures = [*figures_in(document.blocks)]
    paths = (*(name for name in pages if not name.endswith(".json")), *(f"figures/{one.file}" for one in figures))
    for name in paths:
        disk.check_made(results / name, document.made_by)
    with disk_errors(EnvironmentMissingError, str(results), "the report cannot be written"):
        write_pages(results, pages, figures)
    return results / README


def write_pages(results: Path, pages: dict[str, str], figures: Collection[Figure]) -> None:
    """Write all, then remove this command's other figures and parts: a report is never without its own."""
    files = {f"figures/{figure.file}": f"{MARK} -->\n".encode() + figure.svg for figure in figures}
    files |= {name: text.encode() for name, text in pages.items()}
    for folder in ("figures", "parts"):
        disk.make_folder(results / folder)
    for name, content in files.items():
        disk.replace(results / name, content)
    for path in (*(results / "figures").glob("*.svg"), *(results / "parts").glob("*.md")):
        if f"{path.parent.name}/{path.name}" not in files and (_read(path) or b"").startswith(MARK.encode()):
            path.unlink()


def _read(path: Path) -> bytes | None:
    try:
        return disk.read(path)
    except (OSError, IntegrityError):  # nothing was left, or something that is no regular file
        return None


def build_document(
    benchmarks: Collection[Benchmark],
    readings: Readings,
    picture_of: PictureOf = lambda _: None,
    parts: Sequence[Part] = (),
) -> doc.Document:
    """Return the report of a folder's records, whose order changes nothing; the parts of a study are its chapters."""
    records = sorted(last_attempts(readings.records).values(), key=lambda record: (record.seed, record.run_id))
    chapters = chapters_of(benchmarks, records, parts)
    runs = _runs(chapters, records)
    made = tuple(part_of(chapter, records, picture_of) for chapter in chapters)
    figures = {figure.file: figure for part in made for figure in figures_in(part.blocks)}
    reports = dict.fromkeys(benchmark.report for benchmark in benchmarks)
    blocks: list[doc.Block] = []
    for report in reports:
        verdicts = [best.verdict for best in best_verdicts(chapters, report)]
        if not was_judged(verdicts) and not best_tables(chapters, report):
            continue
        if blocks:
            blocks.append(doc.Section(f"Other tables: {report}", tuple(brief_answer(report, chapters))))
        else:
            blocks += answer(report, chapters, figures, sum(bool(run.places) for run in runs))
    meanings = tomllib.loads(WORDS.read_text(encoding="utf-8"))
    words = Items(Line(Strong(word), f": {meaning}") for word, meaning in meanings.items())
    return doc.Document(
        "Do the lab report's statements hold?",
        tuple(blocks),
        (words,),
        made,
        tuple(leftovers(runs, readings)),
        runs,
        tuple((part.title, one) for part in chapters for found in part.verdicts.values() for one in found),
    )


def _runs(chapters: Sequence[Chapter], records: Sequence[Record]) -> tuple[doc.ShownRecord, ...]:
    """Return all runs by chapter, table, case and seed, then those in no table, with the cases that show them."""
    places: dict[str, dict[tuple[str, str], None]] = {}
    tables = [(chapter.request, table) for chapter in chapters for table in chapter.selections]
    for request, table in tables:
        shown = [(case.name, record) for case in table.cases for record in case.records]
        candidates = candidate_records(table, request, records)
        shown += [("a value that the lab report does not state", record) for record in candidates]
        for name, record in shown:
            places.setdefault(record.run_id, {})[table.benchmark.title, name] = None
    by_id = {record.run_id: record for record in records}
    return tuple(doc.ShownRecord(by_id[run_id], tuple(places.get(run_id, ()))) for run_id in {**places, **by_id})
