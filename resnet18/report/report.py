"""Write the report: a README.md and a web page beside the records, and the figures."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from resnet18.judge.hypotheses import hypotheses_section
from resnet18.records import disk
from resnet18.records.content import LIMIT
from resnet18.records.record import TIME_IS_UNRELIABLE, Record
from resnet18.records.store import Readings, Store
from resnet18.report.contents import Chapter, Contents, begun, contents_of
from resnet18.report.heading import heading
from resnet18.report.illustrations import Figure, PictureOf
from resnet18.report.overview import overview
from resnet18.report.page import MADE_HERE, render_page
from resnet18.report.pages import MADE_BY, README, WEB, own_page, write_pages
from resnet18.report.section import section
from resnet18.report.summary import summary, verdict_table
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError
from resnet18.tables.markdown import escape

HEADER = f"""{MADE_BY}

# Measured beside reported

What a 2022 lab report on ResNet-18 and CIFAR-10 stated, and what the records in this folder say of it.

**reported**: the lab report's number, as it printed it. **measured**: ours, over n seeds: accuracies as mean with its
95 % interval (Student's t), times as median with the lowest and the highest.
**as published**: test images pass the random operations of the training images, and the best epoch counts, chosen on
the test set. **clean**: test images are only resized and normalized, and the median of the last three epochs counts.
Both come from the same runs; the optimism gap is the first less the second.
"""
PAGE_LINE = f"To compare curves, filter verdicts and look up where runs come from, open [{WEB}]({WEB}).\n"

ACCEPTED = "**Unreliable times count like any other here: `--accept-unreliable`.**"


def write_report(
    results: Path,
    benchmarks: Collection[Benchmark],
    readings: Readings,
    *,
    accept_unreliable: bool = False,
) -> Path:
    """Write `README.md`, `report.html` and `figures/` into the results directory and return the README's path.

    Args:
        results: the directory.
        benchmarks: tables to fill.
        readings: its records.
        accept_unreliable: take unreliable times like any other; the report says so.

    Raises:
        EnvironmentMissingError: the directory cannot be written.
        SpecError: one of the pages is somebody's own.
    """
    if accept_unreliable:
        readings = replace(readings, records=tuple(_accepted(record) for record in readings.records))
    store = Store(results)

    def picture_of(record: Record) -> bytes | None:
        return _picture(store, record)

    contents = contents_of(benchmarks, readings, picture_of)
    intro = [HEADER, PAGE_LINE, *([f"{ACCEPTED}\n"] if accept_unreliable else [])]
    page = render_page(contents, HEADER.partition("\n\n")[2], ACCEPTED if accept_unreliable else "", picture_of)
    old = own_page(results / README)
    own_page(results / WEB, MADE_HERE)
    try:
        write_pages(results, {WEB: page, README: markdown_of(contents, intro)}, contents.figures, old)
    except OSError as error:
        raise EnvironmentMissingError(str(results), f"the report cannot be written: {error.strerror}") from None
    return results / README


def _accepted(record: Record) -> Record:
    return record.model_copy(update={"flags": tuple(flag for flag in record.flags if flag not in TIME_IS_UNRELIABLE)})


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
    contents = contents_of(benchmarks, readings, picture_of)
    return markdown_of(contents, [HEADER]), contents.figures


def markdown_of(contents: Contents, intro: list[str]) -> str:
    """Return the report as markdown, after the parts of an introduction."""
    parts = [
        *intro,
        overview(contents.chapters),
        *(part for chapter in contents.chapters for part in _chapter(chapter)),
    ]
    parts.append("\n".join([*contents.leftovers, ""]))
    return "\n".join(part for part in parts if part)


def _chapter(chapter: Chapter) -> list[str]:
    """Return the parts of a chapter, verdicts first."""
    request, views = chapter.request, chapter.views
    parts = [heading(request, views)]
    for name, verdicts in chapter.verdicts.items():
        which = f": {escape(name)}" if len(chapter.verdicts) > 1 else ""
        parts += [f"### In short{which}\n", summary(name, verdicts, request)]
        if any(verdict.word != "not run" for verdict in verdicts):
            parts += [f"### Verdicts{which}\n", verdict_table(verdicts)]
    for view in chapter.shown:
        links = _links(chapter.figures[view.benchmark.name])
        parts.append(section(view, views, request, chapter.verdicts_on(view), links))
        parts.append(hypotheses_section(view, request, chapter.records))
    if predicted := _links(chapter.predictions):
        parts += ["### Predictions\n", "After the last epoch, on clean test images.\n", *predicted]
    lines = begun(chapter)
    return [*parts, "\n".join(["### Begun", "", *lines, ""]) if lines else ""]


def _links(figures: dict[str, Figure]) -> list[str]:
    """Return the lines that show figures."""
    return [f"![{escape(one.alt)}](figures/{name})\n" for name, one in figures.items()]
