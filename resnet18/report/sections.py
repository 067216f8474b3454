"""One table of the report with everything that a reader needs beside it, and the predictions of its first case."""

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from statistics import fmean

from pydantic import BaseModel

from resnet18.judge.hypotheses import Answer, Candidate, answers_of
from resnet18.records.record import Record
from resnet18.records.store import Readings
from resnet18.report import document as doc
from resnet18.report.chapters import Chapter
from resnet18.report.document import Code, Items, Line, Section, Strong, present
from resnet18.report.figures import confusion_matrix, learning_curves, sample_grid, svg_of
from resnet18.report.notes import command, notes_of, terms_of
from resnet18.report.verdicts import said
from resnet18.spec.metric import how_many
from resnet18.spec.resolve import Request, Specs, resolve, value_at
from resnet18.tables.cells import Cell, Column, Table, Text, Value, middle, missing, seeds
from resnet18.tables.selection import CaseRecords, Selection, is_full_size, reported_head
from resnet18.tables.tables import build_table, printed_cell

TOO_SMALL = "The nearest is not named: only runs at paper scale on CIFAR-10 are compared with reported values."
TOO_FEW = "The nearest is not named: this needs at least two candidates with two seeds of every case."
PEAKS = {
    "allocated (torch)": "allocated_peak_bytes",
    "reserved (torch)": "reserved_peak_bytes",
    "device minus baseline (NVML)": "device_peak_bytes",
    "process (NVML)": "process_peak_bytes",
    "host, resident (getrusage)": "rss_peak_bytes",
}
"""Sources of memory, each with its field of a record."""
PictureOf = Callable[[Record], bytes | None]
"""Gives the PNG beside a record, None where it left none."""


def part_of(chapter: Chapter, records: Collection[Record], picture_of: PictureOf) -> Section:
    """Return all that the records of a chapter show; `records` are all, those of hypotheses among them."""
    request, shown = chapter.request, chapter.shown
    hidden = [table for table in chapter.selections if table not in shown]
    begun = Items(
        Line(
            f"{table.benchmark.title} ({sum(bool(case.records) for case in table.cases)} of {len(table.cases)} cases "
            "recorded): ",
            Code(command([table.benchmark], request)),
            " runs the others.",
        )
        for table in hidden
        if chapter.verdicts and not table.is_half_recorded
    )
    blocks = present(
        Items(terms_of(request, chapter.selections)),
        *(table_section(table, chapter, records) for table in shown),
        Section("Predictions", tuple(predictions(shown, request, picture_of))),
        *(Section(table.benchmark.title, hypotheses_of(table, request, records)) for table in hidden),
        Section("Tables with few records", present(begun)),
    )
    return Section(chapter.title, blocks, slug=chapter.slug)


def table_section(table: Selection, chapter: Chapter, records: Collection[Record]) -> Section:
    """Return one table with its notes, memory, verdicts, figure, hypotheses and assumptions."""
    benchmark, request, title = table.benchmark, chapter.request, table.benchmark.title
    if [other.benchmark.title for other in chapter.selections].count(title) > 1:
        title = f"{title} ({benchmark.name}.toml)"
    verdicts = (verdict for family in chapter.verdicts.values() for verdict in family)
    assumed = present(Items(assumptions_of(table)))
    blocks = present(
        build_table(table, request, f"{title}. {chapter.title}; a row for each case", as_printed=False),
        Items(notes_of(table, request)),
        *memory_blocks(table, request),
        doc.Claims((verdict, said(verdict, chapter)) for verdict in verdicts if verdict.benchmark == benchmark),
        *_figure(table, request),
        Section("Values that the lab report does not state", hypotheses_of(table, request, records)),
        Section("Assumptions at paper scale: settings that the lab report does not state", assumed, is_folded=True),
    )
    return Section(title, blocks)


def _figure(table: Selection, request: Request) -> Iterator[doc.Figure]:
    benchmark = table.benchmark
    if table.measured:
        head = f"{benchmark.title} ({request.described})"
        svg = svg_of(learning_curves, head, benchmark.table.case_title, table.cases)
        yield doc.Figure(figure_file(benchmark.name, request), f"Learning curves: {benchmark.title}", svg, table)


def hypotheses_of(selection: Selection, request: Request, records: Collection[Record]) -> tuple[doc.Block, ...]:
    """Return what the runs of candidates say of each value that the report does not state."""
    answers = answers_of(selection, request, records)
    return tuple(block for answer in answers for block in hypothesis_blocks(answer, request))


def figure_file(name: str, request: Request) -> str:
    """Return the file name of a figure: options, which may hold any text, enter as a hash."""
    options = hashlib.sha256(repr(request.overrides).encode()).hexdigest()[:8] if request.overrides else ""
    return "-".join(part for part in (name, request.scale, request.data_label, options) if part) + ".svg"


def predictions(selections: Sequence[Selection], request: Request, picture_of: PictureOf) -> Iterator[doc.Block]:
    """Yield what the network of the first case that has predictions took test images for."""
    pairs = ((selection, case) for selection in selections for case in selection.cases)
    found = ((selection, case) for selection, case in pairs if any(record.confusion for record in case.measured))
    if (first := next(found, None)) is None:
        return
    selection, case = first
    record, matrices = case.measured[0], [record.confusion for record in case.measured if record.confusion]
    counts = [[sum(seeds) for seeds in zip(*rows, strict=True)] for rows in zip(*matrices, strict=True)]
    n = f"n = {how_many(len(case.measured), 'seed')}"
    right, total = sum(row[at] for at, row in enumerate(counts) if at < len(row)), sum(map(sum, counts))
    share = f"{right:,} of {total:,} predictions are correct ({100 * right / max(total, 1):.1f} %)"
    title, name = selection.benchmark.title, selection.benchmark.name
    yield Line(f'{title}, case "{case.name}", {n}, clean test images after the last epoch: {share}.')
    head, classes = f"{title}: {case.name} ({request.described})", record.classes or ()
    svg = svg_of(confusion_matrix, f"{head}, {n}", classes, counts)
    yield doc.Figure(figure_file(f"confusion-{name}", request), f"True and predicted classes: {case.name}", svg)
    picture = picture_of(record)
    if picture is not None and record.samples is not None:
        with suppress(ValueError):  # a damaged picture, or one of other samples
            svg = svg_of(sample_grid, f"{head}, seed {record.seed}", picture, record.samples, classes)
            alt = f"Six test images, true and predicted: {case.name}"
            yield doc.Figure(figure_file(f"samples-{name}", request), alt, svg)


def hypothesis_blocks(answer: Answer, request: Request) -> Iterator[doc.Block]:
    """Yield a hypothesis with a candidate's cell in each row, and which candidate lies nearest."""
    head, hypothesis, candidates = reported_head(request), answer.hypothesis, answer.candidates
    yield Line(Strong(hypothesis.question), " (", Code(hypothesis.key), ")")
    difference = "measured minus reported (points; 95 % prediction interval of a run)"
    titles = (head, "measured (best epoch, as published)", difference, "n (seeds)")
    columns = (Column("candidate"), Column("case"), *(Column(title, "number") for title in titles))
    yield Table(columns, tuple(_candidate_row(one, may_compare=is_full_size(request)) for one in candidates))
    if isinstance(answer.nearest, str):
        yield Line(TOO_SMALL if answer.nearest == "other terms" else TOO_FEW)
        return
    first, second = answer.nearest
    far = "The difference is more than" if answer.is_resolved else "This decides nothing: the difference is less than"
    nearest, next_ = (" and ".join(f'"{name}"' for name in distance.names) for distance in answer.nearest)
    yield Line(
        f"Nearest: {nearest}, {first.points:.2f} points from the reported cells (root mean square, standard "
        f"error {first.se:.2f}); the next, {next_}, {second.points:.2f} ({second.se:.2f}). "
        f"{far} two standard errors. This is evidence, not proof."
    )


def _candidate_row(candidate: Candidate, *, may_compare: bool) -> tuple[Cell, ...]:
    values, estimate, reported = candidate.values, candidate.estimate, candidate.reported
    measured: list[Cell] = [Text("not run"), Text()]
    if values:
        distance = Value(fmean(values) - reported, "points", estimate.interval() if estimate else None)
        measured = [Value(fmean(values), "percent"), distance if may_compare else Text()]
    beside = Text(f"{reported:g} %", reported)
    return Text(candidate.name), Text(candidate.case), beside, *measured, Value(len(values), "seeds")


def memory_blocks(selection: Selection, request: Request) -> Iterator[doc.Block]:
    """Yield peaks of memory by case and source in MiB beside what the report printed, with the reasons for gaps."""
    if not selection.benchmark.printed.memory or not selection.records:
        return
    printed = {row.case: printed_cell(row.printed) for row in selection.benchmark.printed.memory}
    yield Line("Peak memory of a run, median with the lowest and the highest:")
    titles = [reported_head(request), *(f"{title}, MiB" for title in PEAKS), "n (seeds)"]
    columns = (Column(selection.benchmark.table.case_title), *(Column(title, "number") for title in titles))
    rows = (
        (Text(case.name), printed.get(case.name, Text()), *(_peak(case, key) for key in PEAKS.values()), seeds(case))
        for case in selection.cases
    )
    yield Table(columns, tuple(rows))
    nulls = [record.nulls for record in selection.measured]
    keys = {title: f"memory.{key}" for title, key in PEAKS.items()}
    reasons = {f"{title}: {found[key]}." for title, key in keys.items() for found in nulls if key in found}
    yield Items(map(Line, sorted(reasons)))


def _peak(case: CaseRecords, key: str) -> Cell:
    """Return peaks of a field in MiB; those of a device are less what other programs held before the run."""
    if not case.measured:
        return missing(case)
    found = []
    for memory in (record.memory for record in case.measured):
        peak, baseline = getattr(memory, key), memory.device_baseline_bytes if key == "device_peak_bytes" else 0
        if peak is not None and baseline is not None:
            found.append(max(peak - baseline, 0) / 2**20)
    return middle(found, "mebibytes") if found else Text()


def assumptions_of(selection: Selection) -> Iterator[Line]:
    """Yield what the lab report does not state, with the value that stands in for it at full size, and its source."""
    specs = [resolve(selection.benchmark, case.case, Request(scale="paper"), seed=0) for case in selection.cases]
    for assumption in selection.benchmark.assumptions:
        if assumption.has_value:
            values = dict.fromkeys(filter(None, (_assumed(spec, assumption.key) for spec in specs)))
            yield Line(Code(assumption.key), f" = {' / '.join(values)}: {assumption.source}")
        else:
            yield Line(f"{assumption.key.removeprefix('protocol.')}: {assumption.source}")


def _assumed(specs: Specs, key: str) -> str:
    if key == "test_augmentation" and specs[0].test_augmentation == specs[0].augmentation:
        return "the same list as augmentation"
    value = value_at(specs, key)
    return "" if value is None else _shown(value)


def _shown(value: object) -> str:
    """Return a value of a spec in a few words: a list of operations by their names."""
    if isinstance(value, tuple):
        return ", ".join(_shown(item) for item in value)
    if not isinstance(value, BaseModel):
        return str(value)
    fields = value.model_dump(exclude_unset=True)
    name = str(fields.pop("name", ""))
    own = ", ".join(f"{key} {_shown(item)}" for key, item in fields.items())
    return f"{name} ({own})" if own else name


def leftovers(runs: Collection[doc.ShownRecord], readings: Readings) -> Iterator[doc.Block]:
    """Yield what is in the folder and in no table, and what the folder held: nothing vanishes silently."""
    if hidden := sum(not run.places for run in runs):
        yield Line(
            f"Recorded runs in no table, because no case of these benchmarks describes them: {hidden}. If they belong "
            "to a TOML file of your own, name it: ",
            Code("resnet18 report FILE"),
            ".",
        )
    yield from present(Items(Line(f"Left out: {error}") for error in readings.refused))
    hashes = sorted(record.record_hash for record in readings.records)
    index = hashlib.sha256("\n".join(hashes).encode()).hexdigest()
    yield Line(
        f"{how_many(len(hashes), 'record')}. Folders with the same records have the same SHA-256: ", Code(index), "."
    )
