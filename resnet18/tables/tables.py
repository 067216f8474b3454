"""Tables in the report's own shape, measured beside reported, and tidy tables: a row for each run or each epoch."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from resnet18.records.record import Record, flat
from resnet18.records.store import last_attempts
from resnet18.spec.benchmark import Benchmark, Factor
from resnet18.spec.errors import Model
from resnet18.spec.experiment import CIFAR10
from resnet18.spec.metric import METRICS, Quantity, parse_printed
from resnet18.spec.resolve import Request, value_at
from resnet18.tables import cells
from resnet18.tables.cells import DAGGER, Cell, Column, Table, Text
from resnet18.tables.metrics import best_accuracy, clean_accuracy, train_s, value_of, values_of
from resnet18.tables.pace import full_size_images, trained_images
from resnet18.tables.selection import CaseRecords, Selection, reported_head, selections_by_request

YES, NO = "\N{SQUARE ROOT}", "X"
"""Whether a case has an operation, in the lab report's signs."""
RESULTS = ("best_accuracy", "clean_accuracy", "train_s", "whole_program_s")
"""Metrics of a run that ended `ok`."""
Columns = Iterator[tuple[Column, list[Cell]]]
"""Columns, each with its cells by case."""


def build_table(selection: Selection, request: Request, caption: str = "", *, as_printed: bool = True) -> Table:
    """Return a benchmark's table in the report's own shape, or a row a case with everything that was measured."""
    shape, cases = selection.benchmark.table, selection.cases
    columns: list[tuple[Column, list[Cell]]] = [
        *(_factor(factor, cases) for factor in shape.factors if as_printed),
        *_metrics(selection, request, as_printed=as_printed),
        (Column("n (seeds)", "number"), [cells.seeds(case) for case in cases]),
    ]
    names = [Text(case.name) for case in cases]
    titles = Column(shape.case_title), *(column for column, _ in columns)
    rows = tuple(zip(names, *(found for _, found in columns), strict=True))
    by_row = Table(titles, rows, caption=caption, is_sortable=True)
    if shape.cases_in == "rows" or not as_printed:
        return by_row
    titles = Column(shape.case_title), *(Column(name.text, "number") for name in names)
    by_column = tuple((Text(column.title), *found) for column, found in columns)
    return Table(titles, by_column, caption=caption, turned=by_row)


def _factor(factor: Factor, cases: Sequence[CaseRecords]) -> tuple[Column, list[Cell]]:
    """Return the column of what the cases differ in: whether they have an operation, or the value of a key."""
    values = [value_at((case.experiment, case.execution), factor.key) for case in cases]
    if any(isinstance(value, Model) for value in values):
        return Column(factor.title, "factor"), [Text(NO if value is None else YES) for value in values]
    numbers = [float(value) if type(value) in {int, float} else None for value in values]
    found: list[Cell] = [Text(str(value), number) for value, number in zip(values, numbers, strict=True)]
    return Column(factor.title, "factor"), found


def _metrics(selection: Selection, request: Request, *, as_printed: bool) -> Columns:
    """Yield the columns of each metric: reported, measured, and what is computed from the measured ones."""
    benchmark, cases, head = selection.benchmark, selection.cases, reported_head(request)
    measured = "measured" if request.data_label == CIFAR10 else f"measured on {request.data_label}"
    for row in benchmark.table.metrics:
        is_slice = row.metric == "train_s" and any(full_size_images(case, benchmark, request) for case in cases)
        printed = [case.case.reported.get(row.metric) for case in cases]
        if any(printed):
            reported: list[Cell] = [Text() if text is None else printed_cell(text) for text in printed]
            yield Column(f"{row.title}, {head}", "number"), reported
        if row.metric == "best_accuracy":
            columns = list(_accuracies(f"{row.title}, {measured}", cases))
            yield from columns[:2] if as_printed else columns
            continue
        quantity = METRICS[row.metric].quantity
        unit = f"({cells.COSTS[quantity][0]})"
        title = f"{row.title}, {measured}" + ("" if row.title.endswith(unit) else f" {unit}")
        yield Column(title, "number"), [_cost(row.metric, quantity, case) for case in cases]
        if is_slice:
            full_size = [_extrapolated(case, benchmark, request) for case in cases]
            yield Column(f"{row.title}, extrapolated to full size", "number"), full_size
        for over in (case for case in cases if quantity == "seconds" and case.name == benchmark.table.speed_up_over):
            yield Column(f"Speed-up over {over.name}", "number"), [_speed_up(over, case, row.metric) for case in cases]


def _accuracies(title: str, cases: Sequence[CaseRecords]) -> Columns:
    def means(value: Callable[[Record], float], kind: cells.Kind = "percent") -> list[Cell]:
        return [
            cells.not_averaged(case, is_cost=False)
            or cells.mean([value(record) for record in case.measured], kind, _image(case))
            for case in cases
        ]

    yield Column(f"{title} (best epoch, as published)", "number"), means(best_accuracy)
    yield Column(f"{title} (median of the last three epochs, clean)", "number"), means(clean_accuracy)
    gaps = means(lambda record: best_accuracy(record) - clean_accuracy(record), "points")
    yield Column("Optimism gap (points)", "number"), gaps
    yield Column("Standard deviation over seeds, clean (points)", "number"), [cells.errors(case)[0] for case in cases]
    yield Column("Error of the test set (points)", "number"), [cells.errors(case)[1] for case in cases]


def _image(case: CaseRecords) -> float:
    """Return the percent that one test image is worth."""
    return max(100 / record.epochs[-1].clean.images for record in case.measured)


def _speed_up(over: CaseRecords, case: CaseRecords, metric: str) -> Cell:
    if case == over:
        return cells.Value(1.0, "times")
    return cells.speed_up(over, case, metric) if case.measured else cells.missing(case)


def printed_cell(printed: str) -> Text:
    """Return a number as the lab report printed it."""
    found = parse_printed(printed)
    return Text(printed, found.value if found else None)


def _cost(metric: str, quantity: Quantity, case: CaseRecords) -> Cell:
    """Return the median of a time or of memory over a case's runs; a time is marked where it is unreliable."""
    _, worth, kind = cells.COSTS[quantity]
    values = [value / worth for value in values_of(metric, case.measured)]
    if (refused := cells.not_averaged(case, is_cost=True)) or not values:
        return refused or Text()
    return cells.middle(values, kind, is_unreliable=quantity == "seconds" and case.has_unreliable_times)


def _extrapolated(case: CaseRecords, benchmark: Benchmark, request: Request) -> Cell:
    """Return seconds of training at full size, or why there are none: those for an image, times its images.

    Evaluations grow with neither images nor epochs.
    """
    if (refused := cells.not_averaged(case, is_cost=True)) is not None:
        return refused
    if case.has_unreliable_times:
        return Text(f"not extrapolated {DAGGER}")
    if (images := full_size_images(case, benchmark, request)) is None:
        return Text()
    values = [train_s(record) / trained_images(record) * images for record in case.measured]
    return cells.mean(values, "full_size_seconds")


class Row(NamedTuple):
    """A case under one request, with its records."""

    benchmark: str
    name: str
    """Benchmark and case, and the request where the folder holds several."""
    case: CaseRecords


def rows_of(benchmarks: Collection[Benchmark], records: Collection[Record]) -> tuple[Row, ...]:
    """Return every case that has a record, in the report's order: by request, table and case.

    A request that shows no other run than those before it is left out. The order of the records changes nothing.
    """
    groups = list(selections_by_request(benchmarks, tuple(last_attempts(records).values())))
    rows: list[Row] = []
    for request, selections in groups:
        suffix = f" ({request.described})" if len(groups) > 1 else ""
        cases = ((selection.benchmark.name, case) for selection in selections for case in selection.cases)
        rows += (Row(name, f"{name}/{case.name}{suffix}", case) for name, case in cases if case.records)
    return tuple(rows)


def run_rows(rows: Collection[Row]) -> list[dict[str, Any]]:
    """Return a flat row for each run, whatever it ended as: accuracies in percent, times in s, memory in bytes.

    A run that several tables show has a row in each of them. Values of a run without a result are None.
    """
    found = []
    for about, record in _records(rows):
        results = {name: value_of(name, record) if record.status == "ok" else None for name in RESULTS}
        costs = {"wall_s": record.time.wall_s, "rss_peak_bytes": record.memory.rss_peak_bytes}
        found.append({**about, **results, **costs})
    return found


def epoch_rows(rows: Collection[Row]) -> list[dict[str, Any]]:
    """Return a flat row for each epoch of each run; a run without epochs has one row, without their values."""
    return [
        {**about, **{key.replace(".", "_"): value for key, value in values.items()}}
        for about, record in _records(rows)
        for values in [flat(asdict(epoch)) for epoch in record.epochs] or [{}]
    ]


def _records(rows: Collection[Row]) -> Iterator[tuple[dict[str, Any], Record]]:
    """Yield each record of each table once, whatever the options were called, with what its row begins with."""
    shown = {(row.benchmark, row.case.name, record.run_id): record for row in rows for record in row.case.records}
    for (benchmark, case, run_id), record in shown.items():
        about = {"run_id": run_id, "benchmark": benchmark, "case": case, "seed": record.seed, "scale": record.scale}
        about |= {"data": record.spec.experiment.data, "options": " ".join(record.spec.overrides)}
        yield {**about, "status": record.status, "flags": " ".join(record.flags)}, record
