"""Tables in the report's own shape: measured beside reported, n in every column, a status where a number is missing."""

from collections.abc import Callable, Sequence

import pandas as pd

from resnet18.records.record import Record
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.data import CIFAR10
from resnet18.spec.resolve import Request, value_at
from resnet18.tables.cells import DAGGER, NOTHING, STATUS_TEXT, accuracy, errors, gap, missing, seconds
from resnet18.tables.extrapolation import extrapolated, has_extrapolation
from resnet18.tables.metrics import (
    best_accuracy,
    clean_accuracy,
    mixed_machines,
    optimism_gap,
    train_s,
    whole_program_s,
)
from resnet18.tables.selection import CaseRecords, Selection, reported_head
from resnet18.tables.speedup import speed_up

TIMES: dict[str, Callable[[Record], float]] = {"train_s": train_s, "whole_program_s": whole_program_s}

Column = tuple[str, Callable[[CaseRecords], str]]


def build_table(selection: Selection, request: Request) -> pd.DataFrame:
    """Return a table of strings.

    Args:
        selection: a benchmark with its records; its `table` says what is printed, and if cases are rows or columns.
        request: decides whether reported values may stand beside measured ones; the measured ones name other data.
    """
    benchmark, cases = selection.benchmark, selection.cases
    columns = [*_factor_columns(benchmark), *_metric_columns(selection, request), ("n (seeds)", count_cell)]
    names = pd.Series([case.name for case in cases])
    cells = pd.DataFrame({title: [text(case) for case in cases] for title, text in columns})
    if benchmark.table.cases_in == "rows":
        cells.insert(0, benchmark.table.case_title, names)
        return cells
    turned = cells.T
    turned.columns = pd.Index(names)
    turned.index.name = benchmark.table.case_title
    return turned.reset_index()


def _factor_columns(benchmark: Benchmark) -> list[Column]:
    def column(key: str | None, operation: str | None) -> Callable[[CaseRecords], str]:
        if operation is not None:
            return lambda case: "yes" if operation in [one.name for one in case.experiment.augmentation] else "no"
        return lambda case: _value(case, key or "")

    return [(factor.title, column(factor.key, factor.operation)) for factor in benchmark.table.factors]


def _value(case: CaseRecords, key: str) -> str:
    found = value_at(case.experiment, key)
    return str(value_at(case.execution, key) if found is None else found)


def _metric_columns(selection: Selection, request: Request) -> list[Column]:
    benchmark = selection.benchmark
    head, label = reported_head(request), request.data_label
    measured = "measured" if head is None or label == CIFAR10 else f"measured on {label}"
    columns: list[Column] = []
    for row in benchmark.table.metrics:
        is_slice = row.metric == "train_s" and has_extrapolation(selection, request)
        beside = "reported at full size" if is_slice else head
        columns.append((f"{row.title}, {beside or 'reported'}", _reported(row.metric, beside)))
        if row.metric == "best_accuracy":
            columns.append(
                (f"{row.title}, {measured} (best epoch, as published)", measured_cell(best_accuracy, accuracy))
            )
            columns.append(
                (
                    f"{row.title}, {measured} (median of the last three epochs, clean)",
                    measured_cell(clean_accuracy, accuracy),
                )
            )
            columns.append(("Optimism gap (points)", measured_cell(optimism_gap, gap)))
            columns.append(("Error of seeds / of sampling (points)", errors))
        else:
            unit = "" if row.title.endswith("(s)") else " (s)"
            columns.append((f"{row.title}, {measured}{unit}", measured_cell(TIMES[row.metric], seconds, is_time=True)))
            if is_slice:
                title = f"{row.title}, extrapolated to full size"
                columns.append((title, lambda case: extrapolated(case, benchmark, request)))
            columns += _speed_up_column(selection, row.metric)
    return columns


def _speed_up_column(selection: Selection, metric: str) -> list[Column]:
    over = next((case for case in selection.cases if case.name == selection.benchmark.table.speed_up_over), None)
    if over is None:
        return []

    def cell(case: CaseRecords) -> str:
        if case == over:
            return "1"
        return speed_up(over, case, metric).text if case.measured else missing(case)

    return [(f"Speed-up over {over.name}", cell)]


def _reported(metric: str, head: str | None) -> Callable[[CaseRecords], str]:
    if head is None:
        return lambda _: NOTHING
    return lambda case: {str(key): text for key, text in case.case.reported.items()}.get(metric, NOTHING)


def measured_cell(
    value: Callable[[Record], float], text: Callable[[Sequence[float]], str], *, is_time: bool = False
) -> Callable[[CaseRecords], str]:
    """Return what makes a cell of a case: its runs' values as text, unreliable times with a dagger, or why none."""

    def cell(case: CaseRecords) -> str:
        if not case.measured:
            return missing(case)
        if is_time and (mixed := mixed_machines(case.measured)) is not None:
            return f"{mixed}: not averaged"
        if len({record.fingerprint.identity.data_sha256 for record in case.measured}) > 1:
            return "several data sets of one name: not averaged"
        dagger = DAGGER if is_time and any(record.has_unreliable_times for record in case.measured) else ""
        return text([value(record) for record in case.measured]) + dagger

    return cell


def count_cell(case: CaseRecords) -> str:
    """Return the number of seeds behind a cell, and how the others ended."""
    others = [record.status for record in case.records if record.status != "ok"]
    text = str(len(case.measured))
    for status in dict.fromkeys(others):
        text += f" + {others.count(status)} {STATUS_TEXT[status]}"
    versions = {record.fingerprint.identity.code_hash for record in case.measured}
    return f"{text} (of {len(versions)} code versions)" if len(versions) > 1 else text
