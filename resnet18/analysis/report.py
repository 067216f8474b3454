"""Write the report: a README.md beside the records, and its figures."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from resnet18.analysis.candidates import candidate_records, hypotheses_section
from resnet18.analysis.heading import heading, options_of
from resnet18.analysis.illustrations import Figure, PictureOf, figures_of, predictions_of
from resnet18.analysis.language.edition import editions, written_in
from resnet18.analysis.markdown import code, escape
from resnet18.analysis.pages import ENGLISH, MADE_BY, own_page, write_pages
from resnet18.analysis.sample import TIME_IS_DOUBTFUL
from resnet18.analysis.section import section
from resnet18.analysis.summary import summary, verdict_table
from resnet18.analysis.verdict import Verdict, judge
from resnet18.analysis.view import BenchmarkView, look, requests_of
from resnet18.records import disk
from resnet18.records.parse import LIMIT
from resnet18.records.record import Record
from resnet18.records.store import Readings, Store, last_attempts
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError
from resnet18.spec.resolve import Request

HEADER = f"""{MADE_BY}

# Measured beside reported

What a 2022 lab report on ResNet-18 and CIFAR-10 stated, and what the records in this folder say of it.
**reported**: the lab report's number, as it printed it. **measured**: ours, over n seeds: accuracies as mean with its
95 % interval (Student's t), times as median with the lowest and the highest.
**as published**: test images pass the random operations of the training images, and the best epoch counts, chosen on
the test set. **clean**: test images are only resized and normalized, and the last epoch counts. Both come from the
same runs; the optimism gap is the first less the second.
"""

ACCEPTED = "**Times that were taken while something else went on count like any other here: `--accept-marked`.**"


def write_report(
    results: Path,
    benchmarks: Collection[Benchmark],
    readings: Readings,
    *,
    accept_marked: bool = False,
    language: str = "en",
) -> Path:
    """Write `README.md` and `figures/` into the results directory and return the README's path.

    Args:
        results: the directory.
        benchmarks: tables to fill.
        readings: its records.
        accept_marked: take times with a mark like any other; the report says so.
        language: of a second page, unless `en`. A page in another language that is there is written again in any case.

    Raises:
        EnvironmentMissingError: the directory cannot be written.
        SpecError: one of the pages is somebody's own.
    """
    if accept_marked:
        readings = replace(readings, records=tuple(_unmarked(record) for record in readings.records))
    text, figures = render_report(benchmarks, readings, lambda record: _picture(Store(results), record))
    if accept_marked:
        text = text.replace("\n## ", f"\n{ACCEPTED}\n\n## ", 1)
    pages = editions(text, benchmarks, written_in(results, language))
    old = [own_page(results / name) for name in pages]
    try:
        write_pages(results, pages, figures, old)
    except OSError as error:
        raise EnvironmentMissingError(str(results), f"the report cannot be written: {error.strerror}") from None
    return results / ENGLISH


def _unmarked(record: Record) -> Record:
    return record.model_copy(update={"flags": tuple(flag for flag in record.flags if flag not in TIME_IS_DOUBTFUL)})


def _picture(store: Store, record: Record) -> bytes | None:
    try:
        return disk.read(store.picture_path(record.run_id, record.attempt), LIMIT)
    except (OSError, IntegrityError):  # none was left, or something else lies there
        return None


def _no_picture(_: Record) -> None:
    return None


def render_report(
    benchmarks: Collection[Benchmark], readings: Readings, picture_of: PictureOf = _no_picture
) -> tuple[str, dict[str, bytes]]:
    """Return the report's markdown, and its figures by file name. The order of the records changes no byte."""
    records = tuple(last_attempts(readings.records).values())
    parts, shown = [HEADER], set[str]()
    figures: dict[str, bytes] = {}
    for request in requests_of(records):
        views = look(benchmarks, request, records)
        ids = {
            record.run_id for view in views for record in (*view.records, *candidate_records(view, request, records))
        }
        if ids <= shown:
            continue
        shown |= ids
        chapter = Chapter(request, views, _verdicts(benchmarks, views, request), records)
        parts += _chapter(chapter, figures, picture_of)
    parts.append(_leftovers(records, shown, readings))
    return "\n".join(part for part in parts if part), figures


@dataclass(frozen=True)
class Chapter:
    """What the records of one request say."""

    request: Request
    views: tuple[BenchmarkView, ...]
    verdicts: dict[str, tuple[Verdict, ...]]
    """By report: the claims of one report are judged together."""
    records: tuple[Record, ...]
    """All records of the folder."""


def _chapter(chapter: Chapter, figures: dict[str, bytes], picture_of: PictureOf) -> list[str]:
    """Return the parts of a chapter, verdicts first, and add its figures."""
    request, views = chapter.request, chapter.views
    parts = [heading(request, views)]
    for name, verdicts in chapter.verdicts.items():
        which = f": {escape(name)}" if len(chapter.verdicts) > 1 else ""
        parts += [f"### In short{which}\n", summary(name, verdicts, request.described)]
        parts += [f"### Verdicts{which}\n", verdict_table(verdicts)]
    shown = tuple(view for view in views if view.is_half_recorded)
    for view in shown:
        verdicts = chapter.verdicts.get(view.benchmark.report_name, ())
        mine = [verdict for verdict in verdicts if verdict.benchmark == view.benchmark]
        links = _links(figures_of(view, request), request, figures)
        parts.append(section(view, views, request, mine, links))
        parts.append(hypotheses_section(view, request, chapter.records))
    if predicted := _links(predictions_of(shown, request, picture_of), request, figures):
        parts += ["### Predictions\n", "After the last epoch, on clean test images.\n", *predicted]
    return [*parts, _begun([view for view in views if not view.is_half_recorded], request)]


def _verdicts(
    benchmarks: Collection[Benchmark], views: tuple[BenchmarkView, ...], request: Request
) -> dict[str, tuple[Verdict, ...]]:
    """Return the verdicts of every report of which a table is recorded and has something to say."""
    names = dict.fromkeys(view.benchmark.report_name for view in views)
    families = {name: [one for one in benchmarks if one.report_name == name] for name in names}
    found = {name: judge(family, views, request) for name, family in families.items()}
    return {name: verdicts for name, verdicts in found.items() if verdicts}


def _links(drawn: Collection[Figure], request: Request, figures: dict[str, bytes]) -> list[str]:
    """Return the lines that show figures, and add their files."""
    names = {one: f"{one.name}-{_slug(request)}.svg" for one in drawn}
    figures |= {name: one.svg for one, name in names.items()}
    return [f"![{escape(one.alt)}](figures/{name})\n" for one, name in names.items()]


def _slug(request: Request) -> str:
    options = hashlib.sha256(repr(request.overrides).encode()).hexdigest()[:8] if request.overrides else ""
    return "-".join(part for part in (request.scale, request.data_label, options) if part)


def _begun(views: list[BenchmarkView], request: Request) -> str:
    """Name the tables of which less than half is recorded."""
    lines = []
    for view in views:
        recorded = sum(bool(arm.records) for arm in view.arms)
        command = f"resnet18 run {view.benchmark.name} --scale {request.scale}{options_of(request)}"
        title = escape(view.benchmark.title)
        lines.append(f"- {title}: {recorded} of {len(view.arms)} cases recorded; {code(command)} runs the others.")
    return "\n".join(["### Begun", "", *lines, ""]) if lines else ""


def _leftovers(records: Collection[Record], shown: set[str], readings: Readings) -> str:
    """Name what is in the folder and in no table, and what the folder held: nothing vanishes silently."""
    lines = []
    hidden = len({record.run_id for record in records} - shown)
    if hidden:
        lines.append(
            f"In no table, since no case of these benchmarks is meant: {hidden} of the recorded runs. "
            "If a TOML file of your own asked for them, name it: `resnet18 report FILE`."
        )
    lines += [f"Left out: {escape(str(error))}" for error in readings.refused]
    hashes = sorted(record.record_hash for record in readings.records)
    index = hashlib.sha256("\n".join(hashes).encode()).hexdigest()
    index_line = f"Records: {len(hashes)}; SHA-256 over their sorted record hashes: `{index}`."
    return "\n".join([*lines, *([""] if lines else []), index_line, ""])
