"""CSV in long form: one row for each record and epoch, whatever the run ended as. Safe to open in a spreadsheet."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields

from resnet18.records.record import Epoch, Record, Score
from resnet18.report.exports.rows import Row
from resnet18.spec.errors import one_line

ABOUT = ("run_id", "benchmark", "case", "seed", "scale", "data", "options", "status", "flags")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula, or drops before one."""


def long_table(rows: Sequence[Row]) -> str:
    """Return the table with its head.

    A record without epochs has one row, whose values are empty. One that several tables show has its rows in each.
    """
    epoch_columns = list(_epoch_columns())
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*ABOUT, *epoch_columns])
    shown = set[tuple[str, str, str]]()
    for row in rows:
        for record in row.records:
            if (key := (row.benchmark, row.case, record.run_id)) not in shown:  # options may have changed nothing
                shown.add(key)
                about = _about(row, record)
                values = [list(_epoch_values(epoch)) for epoch in record.epochs] or [[None] * len(epoch_columns)]
                writer.writerows([*about, *one] for one in values)
    return text.getvalue()


def cell(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: one that begins like it has an apostrophe before it."""
    return one_line(f"'{text}" if text.startswith(FORMULA) else text)


def _about(row: Row, record: Record) -> list[str | int]:
    options = " ".join(record.spec.overrides)
    before = [cell(text) for text in (record.run_id, row.benchmark, row.case)]
    after = (record.scale, record.spec.experiment.data, options, record.status, " ".join(record.flags))
    return [*before, record.seed, *(cell(text) for text in after)]


def _epoch_columns() -> Iterator[str]:
    for one in fields(Epoch):
        if one.type is Score:
            yield from (f"{one.name}_{inner.name}" for inner in fields(Score))
        else:
            yield one.name


def _epoch_values(epoch: Epoch) -> Iterator[float | None]:
    for value in asdict(epoch).values():
        if isinstance(value, dict):
            yield from value.values()
        else:
            yield value
