"""Build a report's document from records: what it consists of, in which order, and in which words."""

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from datetime import datetime

from resnet18.judge.hypotheses import candidate_records
from resnet18.records.record import Record
from resnet18.records.store import Readings, last_attempts
from resnet18.report import document as doc
from resnet18.report.document import code, line, paragraph, strong
from resnet18.report.figures import confusion_matrix, sample_grid, summed_confusion, svg_of
from resnet18.report.notes import terms_of
from resnet18.report.sections import figure_file, table_section
from resnet18.report.summary import Chapter, chapters_of, command, judgement, standings
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.metric import duration

PictureOf = Callable[[Record], bytes | None]
"""Gives the PNG beside a record, None where it left none."""
INTRO = "What a 2022 lab report on ResNet-18 and CIFAR-10 stated, and what the records in this folder say of it."
WORDS = {
    "reported": "the lab report's number, as it printed it",
    "measured": "ours, over n seeds: accuracies as mean with its 95 % interval (Student's t), times as median with "
    "the lowest and the highest",
    "as published": "test images pass the random operations of the training images, and the best epoch counts, chosen "
    "on the test set",
    "clean": "test images are only resized and normalized, and the median of the last three epochs counts",
    "optimism gap": "as published less clean, both from the same runs",
}
ACCEPTED = "Unreliable times count like any other here: --accept-unreliable."


def build_document(
    benchmarks: Collection[Benchmark],
    readings: Readings,
    picture_of: PictureOf = lambda _: None,
    *,
    accept_unreliable: bool = False,
) -> doc.Document:
    """Return the report of a folder's records, whose order changes nothing.

    `picture_of` gives the picture of test images beside a record. That unreliable times were accepted is said.
    """
    records = sorted(last_attempts(readings.records).values(), key=lambda record: (record.seed, record.run_id))
    chapters = chapters_of(benchmarks, records)
    runs = _runs(chapters, records)
    words = doc.Items(tuple(line(strong(word), f": {meaning}") for word, meaning in WORDS.items()))
    accepted = [paragraph(strong(ACCEPTED))] if accept_unreliable else []
    sections = [_chapter(f"chapter-{at}", chapter, records, picture_of) for at, chapter in enumerate(chapters, 1)]
    return doc.Document(
        "Measured beside reported",
        (paragraph(INTRO), words, *accepted),
        (*standings(chapters), *sections),
        tuple(_leftovers(sum(not run.places for run in runs), readings)),
        runs,
    )


def _chapter(anchor: str, chapter: Chapter, records: Collection[Record], picture_of: PictureOf) -> doc.Section:
    request, selections = chapter.request, chapter.selections
    judgements = [judgement(f"{anchor}-report-{at}", report, chapter) for at, report in enumerate(chapter.verdicts, 1)]
    statements = [statement for judged in judgements for statement in judged.statements]
    shown = [selection for selection in selections if selection.is_half_recorded]
    sections = [
        table_section(
            f"{anchor}-table-{at}",
            selection,
            selections,
            request,
            tuple(statement for statement in statements if statement.verdict.benchmark == selection.benchmark),
            records,
        )
        for at, selection in enumerate(shown, 1)
    ]
    blocks: list[doc.Block] = [doc.Items(tuple(terms_of(request, selections))), *judgements, *sections]
    if (predictions := _predictions(chapter, picture_of)) is not None:
        blocks.append(doc.Section("Predictions", (predictions,), f"{anchor}-predictions"))
    begun = [
        line(
            f"{selection.benchmark.title}: {sum(bool(case.records) for case in selection.cases)} of "
            f"{len(selection.cases)} cases recorded; ",
            code(command([selection.benchmark], request)),
            " runs the others.",
        )
        for selection in selections
        if not selection.is_half_recorded
    ]
    if begun:
        blocks.append(doc.Section("Begun", (doc.Items(tuple(begun)),), f"{anchor}-begun"))
    return doc.Section(request.described.capitalize(), tuple(blocks), anchor)


def _predictions(chapter: Chapter, picture_of: PictureOf) -> doc.Predictions | None:
    shown = [selection for selection in chapter.selections if selection.is_half_recorded]
    found = ((selection, case) for selection in shown for case in selection.cases if summed_confusion(case.measured))
    if (first := next(found, None)) is None:
        return None
    selection, case = first
    counts, record = summed_confusion(case.measured), case.measured[0]
    n = f"n = {len(case.measured)} {'seed' if len(case.measured) == 1 else 'seeds'}"
    title = f'"{case.name}" of {selection.benchmark.title}, {n}'
    right, total = sum(row[at] for at, row in enumerate(counts) if at < len(row)), sum(map(sum, counts))
    share = f"{right:,} of {total:,} predictions are right ({100 * right / max(total, 1):.1f} %)"
    head = f"{selection.benchmark.title}: {case.name} ({chapter.request.described})"
    svg = svg_of(confusion_matrix, f"{head}, {n}", record.classes or (), counts)
    file = figure_file("confusion", chapter.request)
    figures = [doc.Figure(file, f"True and predicted classes: {case.name}", svg)]
    picture = picture_of(record)
    if picture is not None and record.samples is not None and record.classes is not None:
        with suppress(ValueError):  # a damaged picture, or one of other samples
            svg = svg_of(sample_grid, f"{head}, seed {record.seed}", picture, record.samples, record.classes)
            file = figure_file("samples", chapter.request)
            figures.append(doc.Figure(file, f"Six test images, true and predicted: {case.name}", svg))
    said = line(f"After the last epoch, on clean test images. {title}: {share}.")
    return doc.Predictions(title, said, counts, record, picture, tuple(figures))


def _runs(chapters: Sequence[Chapter], records: Sequence[Record]) -> tuple[doc.Run, ...]:
    """Return all runs by chapter, table, case and seed, then those in no table, with the cases that show them."""
    places: dict[str, dict[tuple[str, str], None]] = {}
    for chapter in chapters:
        for selection in chapter.selections:
            for case in selection.cases:
                for record in case.records:
                    places.setdefault(record.run_id, {})[selection.benchmark.title, case.name] = None
        for selection in chapter.selections:
            for record in candidate_records(selection, chapter.request, records):
                place = (selection.benchmark.title, "a candidate for what is left open")
                places.setdefault(record.run_id, {})[place] = None
    by_id = {record.run_id: record for record in records}
    return tuple(doc.Run(by_id[run_id], tuple(places.get(run_id, ()))) for run_id in {**places, **by_id})


def _leftovers(hidden: int, readings: Readings) -> Iterator[doc.Block]:
    """Yield what is in the folder and in no table, and what the folder held: nothing vanishes silently."""
    if hidden:
        yield paragraph(
            f"In no table, since no case of these benchmarks is meant: {hidden} of the recorded runs. If a TOML "
            "file of your own asked for them, name it: ",
            code("resnet18 report FILE"),
            ".",
        )
    if readings.refused:
        yield doc.Items(tuple(line(f"Left out: {error}") for error in readings.refused))
    hashes = sorted(record.record_hash for record in readings.records)
    spent = duration(machine_time_s(readings.records))
    yield paragraph(f"Machine time: {spent}, the wall times of all runs added up, also where they ran side by side.")
    index = hashlib.sha256("\n".join(hashes).encode()).hexdigest()
    yield paragraph(f"Records: {len(hashes)}; SHA-256 over their sorted record hashes: ", code(index), ".")


def machine_time_s(records: Collection[Record]) -> float:
    """Return the seconds that runs took, lost work too: a later attempt repeats the segments that it goes on from."""
    ends: dict[tuple[str, str], datetime] = {}
    for record in records:
        for segment in record.segments:
            key, end = (record.run_id, segment.start), datetime.fromisoformat(segment.end)
            ends[key] = max(end, ends.get(key, end))
    return sum((end - datetime.fromisoformat(start)).total_seconds() for (_, start), end in ends.items())
