"""Build a report's document from records: what it consists of, in which order, and in which words."""

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence

from resnet18.judge.hypotheses import candidate_records
from resnet18.records.record import Record
from resnet18.records.store import Readings
from resnet18.report.contents import Chapter, Contents, as_argument, contents_of, machine_time_s, options_of
from resnet18.report.document import (
    Block,
    Curves,
    Document,
    Figure,
    Items,
    Judgement,
    Line,
    Paragraph,
    Predictions,
    Run,
    Section,
    Statement,
    code,
    line,
    strong,
)
from resnet18.report.figures import confusion_matrix, sample_grid, summed_confusion
from resnet18.report.notes import terms_of
from resnet18.report.sections import figure_file, table_section
from resnet18.report.summary import judgement, standings
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.metric import duration
from resnet18.spec.resolve import Request
from resnet18.tables.selection import CaseRecords, Selection

PictureOf = Callable[[Record], bytes | None]
"""Gives the PNG beside a record, None where it left none."""
TITLE = "Measured beside reported"
INTRO = (
    Paragraph(
        line("What a 2022 lab report on ResNet-18 and CIFAR-10 stated, and what the records in this folder say of it.")
    ),
    Items(
        (
            line(strong("reported"), ": the lab report's number, as it printed it"),
            line(
                strong("measured"),
                ": ours, over n seeds: accuracies as mean with its 95 % interval (Student's t), times as median with "
                "the lowest and the highest",
            ),
            line(
                strong("as published"),
                ": test images pass the random operations of the training images, and the best epoch counts, chosen "
                "on the test set",
            ),
            line(
                strong("clean"),
                ": test images are only resized and normalized, and the median of the last three epochs counts",
            ),
            line(strong("optimism gap"), ": as published less clean, both from the same runs"),
        )
    ),
)
ACCEPTED = Paragraph(line(strong("Unreliable times count like any other here: --accept-unreliable.")))
IN_NO_TABLE = (
    "In no table, since no case of these benchmarks is meant: {} of the recorded runs. If a TOML file of your own "
    "asked for them, name it: "
)


def build_document(
    benchmarks: Collection[Benchmark],
    readings: Readings,
    picture_of: PictureOf = lambda _: None,
    *,
    accept_unreliable: bool = False,
) -> Document:
    """Return the report of records, which do not depend on their order.

    Args:
        benchmarks: tables to fill.
        readings: the records of a folder, and what was refused there.
        picture_of: gives the picture of test images beside a record.
        accept_unreliable: whether unreliable times were accepted; the report says so.
    """
    contents = contents_of(benchmarks, readings.records)
    chapters = [
        _chapter(f"chapter-{at}", chapter, contents, picture_of) for at, chapter in enumerate(contents.chapters, 1)
    ]
    sections = (*standings(contents.chapters), *chapters)
    return Document(
        TITLE,
        (*INTRO, ACCEPTED) if accept_unreliable else INTRO,
        sections,
        tuple(_leftovers(contents.hidden, readings)),
        _runs(contents),
        {figure.file: figure for figure in _figures(sections)},
    )


def _figures(blocks: Collection[Block]) -> Iterator[Figure]:
    for block in blocks:
        match block:
            case Section():
                yield from _figures(block.blocks)
            case Figure():
                yield block
            case Curves():
                yield block.figure
            case Predictions():
                yield from block.figures


def _chapter(anchor: str, chapter: Chapter, contents: Contents, picture_of: PictureOf) -> Section:
    """Return a chapter, verdicts first."""
    request, selections = chapter.request, chapter.selections
    judgements = [judgement(f"{anchor}-report-{at}", report, chapter) for at, report in enumerate(chapter.verdicts, 1)]
    sections = [
        table_section(
            f"{anchor}-table-{at}",
            selection,
            selections,
            request,
            _statements(selection, chapter, judgements),
            contents.records,
        )
        for at, selection in enumerate(chapter.shown, 1)
    ]
    blocks: list[Block] = [Items(tuple(terms_of(request, selections))), *judgements, *sections]
    if (predictions := _predictions(chapter, picture_of)) is not None:
        blocks.append(Section("Predictions", (predictions,), f"{anchor}-predictions"))
    if lines := tuple(begun(chapter)):
        blocks.append(Section("Begun", (Items(lines),), f"{anchor}-begun"))
    return Section(request.described.capitalize(), tuple(blocks), anchor)


def _statements(selection: Selection, chapter: Chapter, judgements: Sequence[Judgement]) -> tuple[Statement, ...]:
    """Return the statements about one table."""
    verdicts = [verdict for family in chapter.verdicts.values() for verdict in family]
    statements = [statement for judged in judgements for statement in judged.statements]
    pairs = zip(verdicts, statements, strict=True)
    return tuple(statement for verdict, statement in pairs if verdict.benchmark == selection.benchmark)


def begun(chapter: Chapter) -> Iterator[Line]:
    """Yield the tables of which less than half is recorded, with the command that runs the rest."""
    for selection in chapter.selections:
        if not selection.is_half_recorded:
            recorded = sum(bool(case.records) for case in selection.cases)
            command = f"resnet18 run {as_argument(selection.benchmark)} --scale {chapter.request.scale}"
            yield line(
                f"{selection.benchmark.title}: {recorded} of {len(selection.cases)} cases recorded; ",
                code(f"{command}{options_of(chapter.request)}"),
                " runs the others.",
            )


def _predictions(chapter: Chapter, picture_of: PictureOf) -> Predictions | None:
    """Return the predictions of the first case that has a result."""
    pairs = (
        (selection, case) for selection in chapter.shown for case in selection.cases if summed_confusion(case.measured)
    )
    if (found := next(pairs, None)) is None:
        return None
    selection, case = found
    counts, record = summed_confusion(case.measured), case.measured[0]
    n = f"n = {len(case.measured)} {'seed' if len(case.measured) == 1 else 'seeds'}"
    title = f'"{case.name}" of {selection.benchmark.title}, {n}'
    right, total = sum(row[at] for at, row in enumerate(counts) if at < len(row)), sum(map(sum, counts))
    share = f"{right:,} of {total:,} predictions are right ({100 * right / max(total, 1):.1f} %)"
    return Predictions(
        title,
        line(f"After the last epoch, on clean test images. {title}: {share}."),
        record.classes or (),
        counts,
        record.seed,
        record.samples or (),
        picture := picture_of(record),
        tuple(_prediction_figures(selection, case, chapter.request, picture)),
    )


def _prediction_figures(
    selection: Selection, case: CaseRecords, request: Request, picture: bytes | None
) -> Iterator[Figure]:
    """Yield the confusion counts, and the sample images unless the run left no picture or a damaged one."""
    name = case.name
    title = f"{selection.benchmark.title}: {name} ({request.described})"
    n = f"n = {len(case.measured)} {'seed' if len(case.measured) == 1 else 'seeds'}"
    record = case.measured[0]
    svg = confusion_matrix(f"{title}, {n}", record.classes or (), summed_confusion(case.measured))
    yield Figure(figure_file("confusion", request), f"True and predicted classes: {name}", svg)
    if picture is None or record.samples is None or record.classes is None:
        return
    try:
        svg = sample_grid(f"{title}, seed {record.seed}", picture, record.samples, record.classes)
    except ValueError:
        return
    yield Figure(figure_file("samples", request), f"Six test images, true and predicted: {name}", svg)


def _runs(contents: Contents) -> tuple[Run, ...]:
    """Return all runs by chapter, table, case and seed, then those in no table, with the cases that show them."""
    places: dict[str, dict[tuple[str, str], None]] = {}
    for chapter in contents.chapters:
        for selection in chapter.selections:
            for case in selection.cases:
                for record in case.records:
                    places.setdefault(record.run_id, {})[selection.benchmark.title, case.name] = None
        for selection in chapter.selections:
            for record in candidate_records(selection, chapter.request, contents.records):
                place = (selection.benchmark.title, "a candidate for what is left open")
                places.setdefault(record.run_id, {})[place] = None
    by_id = {record.run_id: record for record in contents.records}
    return tuple(Run(by_id[run_id], tuple(places.get(run_id, ()))) for run_id in {**places, **by_id})


def _leftovers(hidden: int, readings: Readings) -> Iterator[Block]:
    """Yield what is in the folder and in no table, and what the folder held: nothing vanishes silently."""
    if hidden:
        yield Paragraph(line(IN_NO_TABLE.format(hidden), code("resnet18 report FILE"), "."))
    if readings.refused:
        yield Items(tuple(line(f"Left out: {error}") for error in readings.refused))
    hashes = sorted(record.record_hash for record in readings.records)
    spent = duration(machine_time_s(readings.records))
    yield Paragraph(
        line(f"Machine time: {spent}, the wall times of all runs added up, also where they ran side by side.")
    )
    index = hashlib.sha256("\n".join(hashes).encode()).hexdigest()
    yield Paragraph(line(f"Records: {len(hashes)}; SHA-256 over their sorted record hashes: ", code(index), "."))
