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
from resnet18.tables.selection import Arm, BenchmarkView, reported_head
from resnet18.tables.speedup import speed_up

TIMES: dict[str, Callable[[Record], float]] = {"train_s": train_s, "whole_program_s": whole_program_s}

Column = tuple[str, Callable[[Arm], str]]


def build_table(view: BenchmarkView, request: Request) -> pd.DataFrame:
    """Return a table of strings.

    Args:
        view: a benchmark with its records; its `table` says what is printed, and whether cases are rows or columns.
        request: decides whether reported values may stand beside measured ones; the measured ones name other data.
    """
    benchmark, arms = view.benchmark, view.arms
    columns = [*_factor_columns(benchmark), *_metric_columns(view, request), ("n (seeds)", count_cell)]
    names = pd.Series([arm.case.name for arm in arms])
    cells = pd.DataFrame({title: [text(arm) for arm in arms] for title, text in columns})
    if benchmark.table.cases_in == "rows":
        cells.insert(0, benchmark.table.case_title, names)
        return cells
    turned = cells.T
    turned.columns = pd.Index(names)
    turned.index.name = benchmark.table.case_title
    return turned.reset_index()


def _factor_columns(benchmark: Benchmark) -> list[Column]:
    def column(key: str | None, operation: str | None) -> Callable[[Arm], str]:
        if operation is not None:
            return lambda arm: "yes" if operation in [one.name for one in arm.experiment.augmentation] else "no"
        return lambda arm: _value(arm, key or "")

    return [(factor.title, column(factor.key, factor.operation)) for factor in benchmark.table.factors]


def _value(arm: Arm, key: str) -> str:
    found = value_at(arm.experiment, key)
    return str(value_at(arm.execution, key) if found is None else found)


def _metric_columns(view: BenchmarkView, request: Request) -> list[Column]:
    benchmark = view.benchmark
    head, label = reported_head(request), request.data_label
    measured = "measured" if head is None or label == CIFAR10 else f"measured on {label}"
    columns: list[Column] = []
    for row in benchmark.table.metrics:
        is_slice = row.metric == "train_s" and has_extrapolation(view, request)
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
                columns.append((title, lambda arm: extrapolated(arm, benchmark, request)))
            columns += _speed_up_column(view, row.metric)
    return columns


def _speed_up_column(view: BenchmarkView, metric: str) -> list[Column]:
    over = next((arm for arm in view.arms if arm.case.name == view.benchmark.table.speed_up_over), None)
    if over is None:
        return []

    def cell(arm: Arm) -> str:
        if arm == over:
            return "1"
        return speed_up(over, arm, metric).text if arm.measured else missing(arm)

    return [(f"Speed-up over {over.case.name}", cell)]


def _reported(metric: str, head: str | None) -> Callable[[Arm], str]:
    if head is None:
        return lambda _: NOTHING
    return lambda arm: {str(key): text for key, text in arm.case.reported.items()}.get(metric, NOTHING)


def measured_cell(
    value: Callable[[Record], float], text: Callable[[Sequence[float]], str], *, is_time: bool = False
) -> Callable[[Arm], str]:
    """Return what makes a cell of a case: its runs' values as text, unreliable times with a dagger, or why none."""

    def cell(arm: Arm) -> str:
        if not arm.measured:
            return missing(arm)
        if is_time and (mixed := mixed_machines(arm.measured)) is not None:
            return f"{mixed}: not averaged"
        if len({record.fingerprint.identity.data_sha256 for record in arm.measured}) > 1:
            return "several data sets of one name: not averaged"
        dagger = DAGGER if is_time and any(record.has_unreliable_times for record in arm.measured) else ""
        return text([value(record) for record in arm.measured]) + dagger

    return cell


def count_cell(arm: Arm) -> str:
    """Return the number of seeds behind a cell, and how the others ended."""
    others = [record.status for record in arm.records if record.status != "ok"]
    text = str(len(arm.measured))
    for status in dict.fromkeys(others):
        text += f" + {others.count(status)} {STATUS_TEXT[status]}"
    versions = {record.fingerprint.identity.code_hash for record in arm.measured}
    return f"{text} (of {len(versions)} code versions)" if len(versions) > 1 else text
