"""What records say, in the formats of other programs. docs/export.md says which is for which."""

import io
import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import fmean, median
from typing import Any

import pandas as pd

from resnet18.records import disk
from resnet18.records.record import Epoch, Record
from resnet18.spec.errors import EnvironmentMissingError, UnfinishedError, one_line
from resnet18.tables.metrics import clean_percent, mixed_machines, percent, train_s, whole_program_s
from resnet18.tables.runs import Row, best_percent, epoch_table, run_table

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula, or drops before one."""
LONGEST = 80
"""Characters of a folder's name."""


def csv_text(table: pd.DataFrame) -> str:
    """Return a table as CSV that is safe to open in a spreadsheet; missing values are empty."""
    safe = table.map(lambda value: cell(value) if isinstance(value, str) else value)
    return safe.to_csv(index=False, lineterminator="\n")


def cell(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: if it begins like one, after an apostrophe."""
    return one_line(f"'{text}" if text.startswith(FORMULA) else text)


@dataclass(frozen=True)
class Measure:
    """A number of a case: from which of its records, and how seeds become one number."""

    key: str
    unit: str
    bigger_is_better: bool
    records: Callable[[Row], Sequence[Record]]
    value: Callable[[Record], float | None]
    middle: Callable[[Sequence[float]], float]


MEASURES = (
    Measure("best_accuracy", "%", True, lambda row: row.measured, best_percent, fmean),
    Measure("clean_accuracy", "%", True, lambda row: row.measured, clean_percent, fmean),
    Measure("train_s", "s", False, lambda row: row.timed, train_s, median),
    Measure("whole_program_s", "s", False, lambda row: row.timed, whole_program_s, median),
    Measure("rss_peak_bytes", "bytes", False, lambda row: row.costed, lambda run: run.memory.rss_peak_bytes, median),
)


def github_text(rows: Sequence[Row], *, bigger_is_better: bool) -> str:
    """Return a list for github-action-benchmark: accuracies if bigger is better, else times and memory.

    Raises:
        UnfinishedError: there are no entries: a dashboard must not take nothing for a result.
    """
    entries = [
        entry
        for row in rows
        for measure in MEASURES
        if measure.bigger_is_better == bigger_is_better
        for entry in _github_entry(row, measure)
    ]
    if not entries:
        raise UnfinishedError(
            "export", "no run of these benchmarks has a value for this format", next_step="`resnet18 report` shows why"
        )
    return json.dumps(entries, indent=1, allow_nan=False) + "\n"


def _github_entry(row: Row, measure: Measure) -> Iterator[dict[str, str | float]]:
    found = [value for record in measure.records(row) if (value := measure.value(record)) is not None]
    if found:
        yield {
            "name": f"{row.name}: {measure.key}",
            "unit": measure.unit,
            "value": measure.middle(found),
            "range": f"{min(found):.10g} to {max(found):.10g}",
            "extra": f"n (seeds): {len(found)}",
        }


def write_events(rows: Sequence[Row], folder: Path) -> int:
    """Write the runs that ended `ok` for TensorBoard as FOLDER/benchmark/case/seed.run/events…, and return how many.

    The same records give the same bytes: a file is named after its run, and its times are those of the record.

    Raises:
        EnvironmentMissingError: the package `tensorboard` is not installed.
        UnfinishedError: no run ended `ok`.
    """
    files = {_event_path(row, record): record for row in rows for record in row.records if record.status == "ok"}
    if not files:
        raise UnfinishedError("export", "no run of these benchmarks ended ok", next_step="`resnet18 report` shows why")
    contents = {path: _events(record) for path, record in files.items()}
    for path, content in contents.items():
        disk.make_folder(folder / path.parent)
        disk.replace(folder / path, content)
    return len(contents)


def _event_path(row: Row, record: Record) -> Path:
    """Return a path of plain letters; two cases may share a folder, since each run below has its own."""
    names = (row.benchmark, row.name.removeprefix(f"{row.benchmark}/"))
    slugs = (re.sub(r"[^A-Za-z0-9_.]+", "-", name)[:LONGEST].strip("-.") or "unnamed" for name in names)
    return Path(*slugs, f"seed-{record.seed}.{record.run_id}", f"events.out.tfevents.{record.run_id}")


def _events(record: Record) -> bytes:
    """Return the content of an event file: its version, then the scalars of each epoch, at the epoch's end."""
    event, record_writer, summary = _tensorboard()
    content, at = io.BytesIO(), _start(record)
    writer = record_writer(content)
    writer.write(event(wall_time=at, file_version="brain.Event:2").SerializeToString())
    for epoch in record.epochs:
        at += epoch.train_s + (epoch.statistics_s or 0) + epoch.eval_as_published_s + epoch.eval_clean_s
        scalars = [summary.Value(tag=tag, simple_value=value) for tag, value in _scalars(epoch)]
        writer.write(event(wall_time=at, step=epoch.epoch, summary=summary(value=scalars)).SerializeToString())
    return content.getvalue()


def _tensorboard() -> tuple[Any, Any, Any]:
    try:
        from tensorboard.compat.proto.event_pb2 import Event  # noqa: PLC0415 - an extra, which few have
        from tensorboard.compat.proto.summary_pb2 import Summary  # noqa: PLC0415 - the same
        from tensorboard.summary.writer.record_writer import RecordWriter  # noqa: PLC0415 - the same
    except ModuleNotFoundError as error:
        raise EnvironmentMissingError(
            "export tensorboard",
            f"the package {error.name} is not installed",
            next_step="pip install 'resnet18[tensorboard]'",
        ) from None
    return Event, RecordWriter, Summary


def _start(record: Record) -> float:
    """Return when the run began, in seconds of the epoch; 0 where the record does not tell it."""
    try:
        start = datetime.fromisoformat(record.segments[0].start)
    except (IndexError, ValueError):
        return 0.0
    return start.timestamp() if start.tzinfo else 0.0


def _scalars(epoch: Epoch) -> Iterator[tuple[str, float]]:
    for name, score in (("train", epoch.train), ("as_published", epoch.as_published), ("clean", epoch.clean)):
        yield f"loss/{name}", score.loss
        yield f"accuracy_percent/{name}", percent(score)
    yield "learning_rate", epoch.learning_rate
    yield "seconds/train", epoch.train_s


@dataclass(frozen=True)
class Format:
    """What an export writes."""

    text: Callable[[Sequence[Row]], str] | None = None
    """Of a file."""
    folder: Callable[[Sequence[Row], Path], int] | None = None
    """Writes files into a folder, and returns how many."""
    averages: bool = False
    """Seeds become one number."""
    tells_times: bool = False


FORMATS: dict[str, Format] = {
    "csv": Format(lambda rows: csv_text(epoch_table(rows))),
    "csv-runs": Format(lambda rows: csv_text(run_table(rows))),
    "github-smaller": Format(lambda rows: github_text(rows, bigger_is_better=False), averages=True, tells_times=True),
    "github-bigger": Format(lambda rows: github_text(rows, bigger_is_better=True), averages=True),
    "tensorboard": Format(folder=write_events),
}


def notes_of(form: Format, rows: Collection[Row]) -> Iterator[str]:
    """Yield what an export leaves out of its numbers, and which cases it puts together from unlike records."""
    if form.tells_times:
        costed = {record.run_id: record for row in rows for record in row.costed}
        flagged = [record for record in costed.values() if record.flags]
        if flagged:
            flags = ", ".join(sorted({flag for record in flagged for flag in record.flags}))
            yield f"left out: the times of {len(flagged)} of {len(costed)} runs, which are flagged {flags}"
        for row in rows:
            if row.measured and not row.costed:
                yield f"left out: times and memory of {row.name}, whose runs come from {mixed_machines(row.measured)}"
    for row in rows if form.averages else ():
        if not row.measured and any(record.status == "ok" for record in row.records):
            yield f"left out: {row.name}, whose runs were made from several data sets of one name"
        versions = {record.fingerprint.identity.code_hash for record in row.measured}
        if len(versions) > 1:
            yield f"note: {row.name} is put together from records of {len(versions)} versions of the code"
