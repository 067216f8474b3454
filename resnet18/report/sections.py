"""One table of the report with everything that a reader needs beside it."""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from statistics import fmean

from pydantic import BaseModel

from resnet18.judge.hypotheses import Answer, Candidate, answers_of
from resnet18.records.record import Record
from resnet18.report import document as doc
from resnet18.report.document import Line, code, line, paragraph, strong
from resnet18.report.figures import svg_of
from resnet18.report.notes import notes_of
from resnet18.report.plots import against, learning_curves, numeric_key
from resnet18.spec.experiment import Execution, Experiment
from resnet18.spec.resolve import Request, resolve, value_at
from resnet18.tables.cells import Cell, Column, Missing, Table, Text, Value, middle, missing, seeds
from resnet18.tables.metrics import SCOPES
from resnet18.tables.selection import CaseRecords, Selection, reported_head
from resnet18.tables.tables import build_table, printed_cell

TOO_SMALL = "Which lies nearest is not said: only runs at paper scale on CIFAR-10 may be compared with reported cells."
TOO_FEW = "Which lies nearest is not said: at least two candidates need two seeds of every case."
PEAKS = {
    "allocated (torch)": "allocated_peak_bytes",
    "reserved (torch)": "reserved_peak_bytes",
    "device less baseline (NVML)": "device_peak_bytes",
    "process (NVML)": "process_peak_bytes",
    "host, resident (getrusage)": "rss_peak_bytes",
}
"""Sources of memory, each with its field of a record."""


def table_section(
    anchor: str,
    selection: Selection,
    selections: Sequence[Selection],
    request: Request,
    statements: tuple[doc.Statement, ...],
    records: Collection[Record],
) -> doc.Section:
    """Return one table with its question, notes, memory, verdicts, figures, hypotheses and assumptions.

    It may share runs with the other `selections` of the request. `records` are all, those of hypotheses among them.
    """
    benchmark = selection.benchmark
    is_alone = [other.benchmark.title for other in selections].count(benchmark.title) == 1
    title = benchmark.title if is_alone else f"{benchmark.title} ({benchmark.name}.toml)"
    table = build_table(selection, request, caption=f"{title}, at {request.described}")
    question = f"{benchmark.question} ({benchmark.source}) Measured at {request.described}."
    blocks: list[doc.Block] = [paragraph(question), table]
    if notes := tuple(notes_of(selection, selections, request)):
        blocks.append(doc.Items(notes))
    blocks += memory_blocks(selection, request)
    if statements:
        blocks.append(doc.Claims(statements))
    blocks += _drawings(anchor, selection, request)
    answers = answers_of(selection, request, records)
    if found := tuple(block for answer in answers for block in hypothesis_blocks(answer, request)):
        blocks.append(doc.Section("What the report leaves open", found))
    if assumed := tuple(assumptions_of(selection)):
        heading = "Assumptions: what the lab report does not state"
        blocks.append(doc.Section(heading, (doc.Items(assumed),), is_folded=True))
    return doc.Section(title, tuple(blocks), anchor)


def _drawings(anchor: str, selection: Selection, request: Request) -> Iterator[doc.Block]:
    if not selection.measured:
        return
    benchmark, case_title = selection.benchmark, selection.benchmark.table.case_title
    title = f"{benchmark.title} ({request.described})"
    svg = svg_of(learning_curves, title, case_title, selection.cases)
    file = figure_file(benchmark.name, request)
    yield doc.Curves(anchor, doc.Figure(file, f"Learning curves: {benchmark.title}", svg), selection)
    if (key := numeric_key(selection.cases)) is not None:
        scope = next((row.metric for row in benchmark.table.metrics if row.metric in SCOPES), "whole_program_s")
        svg = svg_of(against, title, case_title, selection.cases, key, scope)
        file = figure_file(f"{benchmark.name}-by-{key.replace('.', '-')}", request)
        yield doc.Figure(file, f"Accuracy and time against {case_title.lower()}", svg)


def figure_file(name: str, request: Request) -> str:
    """Return the file name of a figure: options, which may hold any text, enter as a hash."""
    options = hashlib.sha256(repr(request.overrides).encode()).hexdigest()[:8] if request.overrides else ""
    return "-".join(part for part in (name, request.scale, request.data_label, options) if part) + ".svg"


def hypothesis_blocks(answer: Answer, request: Request) -> Iterator[doc.Block]:
    """Yield a hypothesis with a candidate's cell in each row, and which candidate lies nearest."""
    head = reported_head(request)
    hypothesis, candidates = answer.hypothesis, answer.candidates
    yield paragraph(strong(hypothesis.question), " (", code(hypothesis.key), ")")
    difference = "measured less reported (points; 95 % for one run)"
    titles = (head or "reported", "measured (best epoch, as published)", difference, "n (seeds)")
    columns = (Column("candidate"), Column("case"), *(Column(title, "number") for title in titles))
    yield Table(columns, tuple(_candidate_row(candidate, may_compare=head is not None) for candidate in candidates))
    yield paragraph(_conclusion(answer))


def _candidate_row(candidate: Candidate, *, may_compare: bool) -> tuple[Cell, ...]:
    values, estimate = candidate.values, candidate.estimate
    mean = fmean(values) if values else 0.0
    distance = Value(mean - candidate.reported, "points", estimate.interval() if estimate else None)
    return (
        Text(candidate.name),
        Text(candidate.case),
        Text(f"{candidate.reported:g} %", candidate.reported) if may_compare else Missing(),
        Value(mean, "percent") if values else Missing("not run"),
        distance if may_compare and values else Missing(),
        Value(len(values), "seeds"),
    )


def _conclusion(answer: Answer) -> str:
    if isinstance(answer.nearest, str):
        return TOO_SMALL if answer.nearest == "other terms" else TOO_FEW
    first, second = answer.nearest
    far = "The difference is more than" if answer.is_resolved else "Not resolved: the difference is less than"
    nearest, next_ = (" and ".join(f'"{name}"' for name in distance.names) for distance in answer.nearest)
    return (
        f"Nearest: {nearest}, {first.points:.2f} points from the reported cells (root mean square, standard "
        f"error {first.se:.2f}); the next, {next_}, {second.points:.2f} ({second.se:.2f}). "
        f"{far} two standard errors. This is evidence, not proof."
    )


def memory_blocks(selection: Selection, request: Request) -> Iterator[doc.Block]:
    """Yield peaks of memory by case and source in MiB beside what the report printed, with the reasons for gaps."""
    if not selection.benchmark.printed.memory or not selection.records:
        return
    head = reported_head(request)
    printed = {row.case: row.printed for row in selection.benchmark.printed.memory} if head else {}
    yield paragraph("Peak memory of a run, median with the lowest and the highest:")
    titles = [head or "reported", *(f"{title}, MiB" for title in PEAKS), "n (seeds)"]
    columns = (Column(selection.benchmark.table.case_title), *(Column(title, "number") for title in titles))
    rows = (
        (
            Text(case.name),
            printed_cell(printed[case.name]) if case.name in printed else Missing(),
            *(_peak(case, key) for key in PEAKS.values()),
            seeds(case),
        )
        for case in selection.cases
    )
    yield Table(columns, tuple(rows))
    reasons = {
        f"{title}: {record.nulls[f'memory.{key}']}"
        for title, key in PEAKS.items()
        for record in selection.measured
        if f"memory.{key}" in record.nulls
    }
    if reasons:
        yield doc.Items(tuple(line(f"{reason}.") for reason in sorted(reasons)))


def _peak(case: CaseRecords, key: str) -> Cell:
    """Return peaks of a field in MiB; those of a device are less what other programs held before the run."""
    if not case.measured:
        return missing(case)
    found = []
    for memory in (record.memory for record in case.measured):
        peak, baseline = getattr(memory, key), memory.device_baseline_bytes if key == "device_peak_bytes" else 0
        if peak is not None and baseline is not None:
            found.append(max(peak - baseline, 0) / 2**20)
    return middle(found, "mebibytes") if found else Missing()


def assumptions_of(selection: Selection) -> Iterator[Line]:
    """Yield what the lab report does not state, with the value used here and its source."""
    at_full_size = [resolve(selection.benchmark, case.case, Request(scale="paper"), seed=0) for case in selection.cases]
    at_this_size = [(case.experiment, case.execution) for case in selection.cases]
    for assumption in selection.benchmark.assumptions:
        if not assumption.has_value:
            yield line(f"{assumption.key.removeprefix('protocol.')}: {assumption.source}")
            continue
        full, here = (
            " / ".join(dict.fromkeys(filter(None, (_assumed(specs, assumption.key) for specs in pairs))))
            for pairs in (at_full_size, at_this_size)
        )
        changed = "" if full == here else f" (here: {here})"
        yield line(code(assumption.key), f" = {full}{changed}: {assumption.source}")


def _assumed(specs: tuple[Experiment, Execution], key: str) -> str:
    if key == "test_augmentation" and specs[0].test_augmentation == specs[0].augmentation:
        return "the same list as augmentation"
    return next((_shown(value) for spec in specs if (value := value_at(spec, key)) is not None), "")


def _shown(value: object) -> str:
    """Return a value of a spec in a few words: a list of operations by their names."""
    if isinstance(value, tuple):
        return ", ".join(_shown(item) for item in value)
    if isinstance(value, BaseModel):
        fields = {name: item for name, item in value if name in value.model_fields_set and name != "name"}
        own = ", ".join(f"{name} {_shown(item)}" for name, item in fields.items())
        name = str(getattr(value, "name", ""))
        return f"{name} ({own})" if own else name
    return str(value)
