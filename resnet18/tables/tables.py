"""Tables in the report's own shape: measured beside reported, n in every column, a reason where a number is missing."""

from collections.abc import Callable, Iterator, Sequence

from resnet18.records.record import Record
from resnet18.spec.benchmark import Factor
from resnet18.spec.data import CIFAR10
from resnet18.spec.metric import parse_printed
from resnet18.spec.resolve import Request, value_at
from resnet18.tables import cells
from resnet18.tables.cells import Cell, Column, Table, Text
from resnet18.tables.metrics import best_accuracy, clean_accuracy, optimism_gap, train_s, whole_program_s
from resnet18.tables.selection import CaseRecords, Selection, reported_head
from resnet18.tables.times import extrapolated, has_extrapolation, speed_up

TIMES: dict[str, Callable[[Record], float]] = {"train_s": train_s, "whole_program_s": whole_program_s}

CellOf = Callable[[CaseRecords], Cell]
Columns = Iterator[tuple[Column, CellOf]]


def build_table(selection: Selection, request: Request, caption: str = "") -> Table:
    """Return a benchmark's table.

    Args:
        selection: a benchmark with its records; its `table` says what is printed, with cases as rows or columns.
        request: decides whether reported values may stand beside measured ones; the measured ones name other data.
        caption: of the table.
    """
    shape = selection.benchmark.table
    columns: list[tuple[Column, CellOf]] = [
        (Column(shape.case_title), lambda case: Text(case.name)),
        *(_factor(factor, selection.cases) for factor in shape.factors),
        *_metrics(selection, request),
        (Column("n (seeds)", "number"), cells.seeds),
    ]
    titles = tuple(column for column, _ in columns)
    rows = tuple(tuple(cell(case) for _, cell in columns) for case in selection.cases)
    if shape.cases_in == "rows":
        return Table(titles, rows, caption=caption, is_sortable=True)
    names, *turned = zip(*rows, strict=True)
    return Table(
        (titles[0], *(Column(name.text, "number") for name in names)),
        tuple((Text(column.title), *row) for column, row in zip(titles[1:], turned, strict=True)),
        caption=caption,
    )


def _factor(factor: Factor, cases: Sequence[CaseRecords]) -> tuple[Column, CellOf]:
    """Return the column of what the cases differ in: whether they have an operation, or the value of a key."""

    def has_operation(case: CaseRecords) -> Cell:
        names = [operation.name for operation in case.experiment.augmentation]
        return Text("yes" if factor.operation in names else "no")

    def value(case: CaseRecords) -> Cell:
        found = value_at(case.experiment, factor.key or "")
        found = value_at(case.execution, factor.key or "") if found is None else found
        is_number = isinstance(found, int | float) and not isinstance(found, bool)
        return Text(str(found), float(found) if is_number else None)

    if factor.operation is not None:
        return Column(factor.title), has_operation
    numbers = all(value(case).number is not None for case in cases)
    return Column(factor.title, "number" if numbers else "text"), value


def _metrics(selection: Selection, request: Request) -> Columns:
    """Yield the columns of each metric: reported, measured, and what is computed from the measured ones."""
    benchmark = selection.benchmark
    head = reported_head(request)
    measured = "measured" if head is None or request.data_label == CIFAR10 else f"measured on {request.data_label}"
    for row in benchmark.table.metrics:
        is_slice = row.metric == "train_s" and has_extrapolation(selection, request)
        beside = "reported at full size" if is_slice else head
        yield Column(f"{row.title}, {beside or 'reported'}", "number"), _reported(row.metric if beside else "")
        if row.metric == "best_accuracy":
            yield from _accuracies(f"{row.title}, {measured}")
            continue
        unit = "" if row.title.endswith("(s)") else " (s)"
        yield Column(f"{row.title}, {measured}{unit}", "number"), _time(TIMES[row.metric])
        if is_slice:
            title = Column(f"{row.title}, extrapolated to full size", "number")
            yield title, lambda case: extrapolated(case, benchmark, request)
        yield from _speed_up(selection, row.metric)


def _accuracies(title: str) -> Columns:
    def of(value: Callable[[Record], float], cell: Callable[[Sequence[float]], cells.Value] = cells.mean) -> CellOf:
        return lambda case: cells.not_averaged(case, is_cost=False) or cell([value(record) for record in case.measured])

    yield Column(f"{title} (best epoch, as published)", "number"), of(best_accuracy)
    yield Column(f"{title} (median of the last three epochs, clean)", "number"), of(clean_accuracy)
    yield Column("Optimism gap (points)", "number"), of(optimism_gap, cells.difference)
    yield Column("Error of seeds (points)", "number"), cells.seed_error
    yield Column("Error of sampling (points)", "number"), cells.image_error


def _speed_up(selection: Selection, metric: str) -> Columns:
    over = next((case for case in selection.cases if case.name == selection.benchmark.table.speed_up_over), None)
    if over is None:
        return

    def cell(case: CaseRecords) -> Cell:
        if case == over:
            return cells.Value(1.0, "times")
        return speed_up(over, case, metric) if case.measured else cells.missing(case)

    yield Column(f"Speed-up over {over.name}", "number"), cell


def _reported(metric: str) -> CellOf:
    """Return what gives the lab report's own string of a metric; of none, that nothing may stand here."""

    def cell(case: CaseRecords) -> Cell:
        printed = {str(key): text for key, text in case.case.reported.items()}.get(metric)
        return cells.Missing() if printed is None else printed_cell(printed)

    return cell


def printed_cell(printed: str) -> Text:
    """Return a number as the lab report printed it."""
    found = parse_printed(printed)
    return Text(printed, found.value if found else None)


def _time(seconds: Callable[[Record], float]) -> CellOf:
    """Return what gives the median of a time over a case's runs, marked where one of them is unreliable."""

    def cell(case: CaseRecords) -> Cell:
        unreliable = any(record.has_unreliable_times for record in case.measured)
        values = [seconds(record) for record in case.measured]
        return cells.not_averaged(case, is_cost=True) or cells.middle(values, is_unreliable=unreliable)

    return cell
