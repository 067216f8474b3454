"""Which figures a report has: curves under each table, a metric against a number, and the predictions of one case."""

from collections.abc import Callable
from dataclasses import dataclass

from resnet18.records.record import Record
from resnet18.report.figures import (
    against,
    confusion_matrix,
    learning_curves,
    numeric_key,
    sample_grid,
    summed_confusion,
)
from resnet18.spec.resolve import Request
from resnet18.tables.metrics import SCOPES
from resnet18.tables.selection import CaseRecords, Selection

PictureOf = Callable[[Record], bytes | None]
"""Gives the PNG beside a record, None where it left none."""


@dataclass(frozen=True)
class Figure:
    """A figure with its file name's stem and the words that stand for it where it cannot be seen."""

    name: str
    alt: str
    svg: bytes


def figures_of(view: Selection, request: Request) -> list[Figure]:
    """Return the figures of a table: learning curves, and its metrics against a number that alone tells cases apart."""
    if not view.measured:
        return []
    benchmark = view.benchmark
    title, case_title = f"{benchmark.title} ({request.described})", benchmark.table.case_title
    curves = learning_curves(title, case_title, view.cases)
    found = [Figure(benchmark.name, f"Learning curves: {benchmark.title}", curves)]
    if (key := numeric_key(view.cases)) is not None:
        scope = next((row.metric for row in benchmark.table.metrics if row.metric in SCOPES), "whole_program_s")
        svg = against(title, case_title, view.cases, key, scope)
        found.append(
            Figure(
                f"{benchmark.name}-by-{key.replace('.', '-')}", f"Accuracy and time against {case_title.lower()}", svg
            )
        )
    return found


def predictions_of(views: tuple[Selection, ...], request: Request, picture_of: PictureOf) -> list[Figure]:
    """Return the confusion counts of the first case that has a result, and six test images of its first seed."""
    if (found := predicted_case(views)) is None:
        return []
    view, arm = found
    title = f"{view.benchmark.title}: {arm.name} ({request.described})"
    classes = arm.measured[0].classes or ()
    seeds = f"n = {len(arm.measured)} {'seed' if len(arm.measured) == 1 else 'seeds'}"
    matrix = confusion_matrix(f"{title}, {seeds}", classes, summed_confusion(arm.measured))
    drawn = [Figure("confusion", f"True and predicted classes: {arm.name}", matrix)]
    return [*drawn, *_samples(arm, title, picture_of)]


def predicted_case(views: tuple[Selection, ...]) -> tuple[Selection, CaseRecords] | None:
    """Return the first case that has a result, with its table: the one whose predictions are shown."""
    pairs = ((view, arm) for view in views for arm in view.cases if summed_confusion(arm.measured))
    return next(pairs, None)


def _samples(arm: CaseRecords, title: str, picture_of: PictureOf) -> list[Figure]:
    """Return six test images, nothing where the run left no picture or a damaged one: a report is worth more."""
    record = arm.measured[0]
    png = picture_of(record)
    if png is None or record.samples is None or record.classes is None:
        return []
    try:
        svg = sample_grid(f"{title}, seed {record.seed}", png, record.samples, record.classes)
    except ValueError:
        return []
    return [Figure("samples", f"Six test images, true and predicted: {arm.name}", svg)]
