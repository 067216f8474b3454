"""Tables in the report's own shape: measured beside reported, n in every column, a status where a number is missing."""

from collections.abc import Callable, Sequence
from statistics import fmean, median, stdev

import pandas as pd

from resnet18.analysis.metrics import (
    best_accuracy,
    last_clean_accuracy,
    machine,
    optimism_gap,
    train_s,
    whole_program_s,
)
from resnet18.analysis.statistics import contrast, sampling_error
from resnet18.analysis.view import Arm, BenchmarkView, reported_head
from resnet18.records.record import Record, Status
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.data import CIFAR10
from resnet18.spec.plan import OUT_OF_MEMORY
from resnet18.spec.resolve import Request, value_at

NOTHING = "\N{EN DASH}"
STATUS_TEXT: dict[Status, str] = {
    "ok": "ok",
    "oom_device": OUT_OF_MEMORY,
    "oom_host": "Out of Memory (host)",
    "diverged": "diverged",
    "timeout": "timed out",
    "crashed": "crashed",
    "interrupted": "interrupted",
    "unsupported": "unsupported",
}

TIMES: dict[str, Callable[[Record], float]] = {"train_s": train_s, "whole_program_s": whole_program_s}

Column = tuple[str, Callable[[Arm], str]]


def build_table(view: BenchmarkView, request: Request) -> pd.DataFrame:
    """Return a table of strings.

    Args:
        view: a benchmark with its records; its `table` says what is printed, and whether cases are rows or columns.
        request: decides whether reported values may stand beside measured ones; the measured ones name other data.
    """
    benchmark, arms = view.benchmark, view.arms
    columns = [*_factor_columns(benchmark), *_metric_columns(benchmark, request), ("n (seeds)", _count)]
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
        return lambda arm: str(value_at(arm.experiment, key or ""))

    return [(factor.title, column(factor.key, factor.operation)) for factor in benchmark.table.factors]


def _metric_columns(benchmark: Benchmark, request: Request) -> list[Column]:
    head, label = reported_head(request), request.data_label
    measured = "measured" if head is None or label == CIFAR10 else f"measured on {label}"
    columns: list[Column] = []
    for row in benchmark.table.metrics:
        columns.append((f"{row.title}, {head or 'reported'}", _reported(row.metric, head)))
        if row.metric == "best_accuracy":
            columns.append((f"{row.title}, {measured} (best epoch, as published)", _measured(best_accuracy, accuracy)))
            columns.append((f"{row.title}, {measured} (last epoch, clean)", _measured(last_clean_accuracy, accuracy)))
            columns.append(("Optimism gap (points)", _measured(optimism_gap, gap)))
            columns.append(("Error of seeds / of sampling (points)", _errors))
        else:
            unit = "" if row.title.endswith("(s)") else " (s)"
            columns.append((f"{row.title}, {measured}{unit}", _measured(TIMES[row.metric], seconds, is_time=True)))
    return columns


def _reported(metric: str, head: str | None) -> Callable[[Arm], str]:
    if head is None:
        return lambda _: NOTHING
    return lambda arm: {str(key): text for key, text in arm.case.reported.items()}.get(metric, NOTHING)


def _measured(
    value: Callable[[Record], float], text: Callable[[Sequence[float]], str], *, is_time: bool = False
) -> Callable[[Arm], str]:
    def cell(arm: Arm) -> str:
        if not arm.measured:
            return missing(arm)
        if is_time and len({machine(record) for record in arm.measured}) > 1:
            return "several machines: not averaged"
        if len({record.fingerprint.identity.data_sha256 for record in arm.measured}) > 1:
            return "several data sets of one name: not averaged"
        return text([value(record) for record in arm.measured])

    return cell


def missing(arm: Arm) -> str:
    """Return what stands in a cell without a number: how the runs ended, or why there are none."""
    if arm.records:
        return ", ".join(dict.fromkeys(STATUS_TEXT[record.status] for record in arm.records))
    return f"not run: {arm.absent}" if arm.absent else "not run"


def accuracy(shares: Sequence[float]) -> str:
    """Return the mean in percent with its 95 % interval over seeds (Student's t); the mean alone for one seed."""
    percent = [100 * share for share in shares]
    mean = f"{fmean(percent):.2f} %"
    if len(percent) == 1:
        return mean
    low, high = contrast([percent], [1]).interval()
    return f"{mean} [{max(low, 0):.2f}, {min(high, 100):.2f}]"


def gap(shares: Sequence[float]) -> str:
    """Return the mean difference in points with its 95 % interval over seeds; the mean alone for one seed."""
    points = [100 * share for share in shares]
    mean = f"{fmean(points):+.2f}"
    if len(points) == 1:
        return mean
    low, high = contrast([points], [1]).interval()
    return f"{mean} [{low:+.2f}, {high:+.2f}]"


def seconds(values: Sequence[float]) -> str:
    """Return the median, with the lowest and the highest where they differ."""
    digits = _digits(median(values))
    middle, low, high = (f"{one:.{digits}f}" for one in (median(values), min(values), max(values)))
    return middle if low == high else f"{middle} [{low} to {high}]"


def _errors(arm: Arm) -> str:
    """Return the standard deviation over seeds, and the standard error of the test set (last epoch, clean)."""
    if not arm.measured:
        return missing(arm)
    shares = [last_clean_accuracy(record) for record in arm.measured]
    images = min(record.epochs[-1].clean.images for record in arm.measured)
    seeds = f"{100 * stdev(shares):.2f}" if len(shares) > 1 else NOTHING
    return f"{seeds} / {100 * sampling_error(fmean(shares), images):.2f}"


def _digits(value: float) -> int:
    """Return the decimals of a time: three significant digits are more than a shared machine repeats."""
    return 2 if value < 10 else 1 if value < 1_000 else 0


def _count(arm: Arm) -> str:
    """Return the number of seeds behind a cell, and how the others ended."""
    others = [record.status for record in arm.records if record.status != "ok"]
    text = str(len(arm.measured))
    for status in dict.fromkeys(others):
        text += f" + {others.count(status)} {STATUS_TEXT[status]}"
    versions = {record.fingerprint.identity.code_hash for record in arm.measured}
    return f"{text} (of {len(versions)} code versions)" if len(versions) > 1 else text
