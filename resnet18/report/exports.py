"""What records say, in the formats of other programs. docs/export.md says which is for which."""

import csv
import io
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from math import exp
from pathlib import Path
from statistics import fmean, median
from typing import Any

from resnet18.judge.checks import Comparison
from resnet18.judge.samples import reasons_text
from resnet18.judge.verdict import Verdict
from resnet18.records import disk
from resnet18.records.record import Record
from resnet18.report.verdicts import decisive_comparison, ends_of, reported_text
from resnet18.spec.claim import Ranking
from resnet18.spec.errors import EnvironmentMissingError, UnfinishedError, one_line
from resnet18.tables.cells import NOTHING
from resnet18.tables.metrics import percent, values_of
from resnet18.tables.selection import MIXED, mixed
from resnet18.tables.tables import Row, epoch_rows, run_rows

FORMULA = re.compile(r"\s*[=+@\uff1d\uff0b\uff0d\uff20'-]|[\t\r]")
"""Begins a formula in a spreadsheet; an apostrophe before it is harmless, so that a text's own needs another."""
ACCURACIES = {"best_accuracy": "%", "clean_accuracy": "%"}
COSTS = {"train_s": "s", "whole_program_s": "s", "rss_peak_bytes": "bytes"}
"""What dashboards are given, with its unit."""


def csv_text(rows: Sequence[Mapping[str, object]]) -> str:
    """Return rows as CSV that is safe to open in a spreadsheet; missing values are empty."""

    def safe(value: object) -> object:
        return one_line(f"'{value}" if FORMULA.match(value) else value) if isinstance(value, str) else value

    text = io.StringIO()
    writer = csv.DictWriter(text, dict.fromkeys(key for row in rows for key in row), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: safe(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def github_text(rows: Sequence[Row], *, are_costs: bool) -> str:
    """Return a list for github-action-benchmark. An empty list is refused: a dashboard would take it for a result."""
    entries = [
        {
            "name": f"{row.name}: {key}",
            "unit": unit,
            "value": median(found) if are_costs else fmean(found),
            "range": f"{min(found):.10g} to {max(found):.10g}",
            "extra": f"n (seeds): {len(found)}",
        }
        for row in rows
        for key, unit in (COSTS if are_costs else ACCURACIES).items()
        if (found := _values(row, key, unit))
    ]
    if not entries:
        what = "no run of these benchmarks has a value for this format"
        raise UnfinishedError("export", what, next_step="`resnet18 report` shows why")
    return json.dumps(entries, indent=1, allow_nan=False) + "\n"


def _values(row: Row, key: str, unit: str) -> list[float]:
    """Return a value of a case's seeds; times of runs without a flag alone."""
    records = _unmixed(row, are_costs=key in COSTS)
    if unit == "bytes":
        return [peak for record in records if (peak := record.memory.rss_peak_bytes) is not None]
    return values_of(key, (record for record in records if unit != "s" or not record.flags))


def _unmixed(row: Row, *, are_costs: bool) -> Sequence[Record]:
    """Return the records that hold a result, none where their results must not be put together."""
    return () if mixed(row.case.measured, are_costs=are_costs) else row.case.measured


TEXTS: dict[str, Callable[[Sequence[Row]], str]] = {
    "csv": lambda rows: csv_text(epoch_rows(rows)),
    "csv-runs": lambda rows: csv_text(run_rows(rows)),
    "github-smaller": lambda rows: github_text(rows, are_costs=True),
    "github-bigger": lambda rows: github_text(rows, are_costs=False),
}
TENSORBOARD = "tensorboard"


def write_events(rows: Sequence[Row], folder: Path) -> int:
    """Write the runs that ended `ok` for TensorBoard as FOLDER/benchmark/case/seed.run/events…, and return how many.

    The same records give the same bytes: a file is named after its run, and its times are those of the record. Without
    the package `tensorboard` it raises EnvironmentMissingError, without such a run UnfinishedError.
    """
    files = {_event_path(row, record): record for row in rows for record in row.case.measured}
    if not files:
        raise UnfinishedError("export", "no run of these benchmarks ended ok", next_step="`resnet18 report` shows why")
    for path, content in [(folder / path, _events(record)) for path, record in files.items()]:
        disk.make_folder(path.parent)
        disk.replace(path, content)
    return len(files)


def _event_path(row: Row, record: Record) -> Path:
    """Return a path of plain letters; two cases may share a folder, since each run below has its own."""
    names = (row.benchmark, row.name.removeprefix(f"{row.benchmark}/"))
    slugs = (re.sub(r"[^A-Za-z0-9_.]+", "-", name)[:80].strip("-.") or "unnamed" for name in names)
    return Path(*slugs, f"seed-{record.seed}.{record.run_id}", f"events.out.tfevents.{record.run_id}")


def _events(record: Record) -> bytes:
    """Return the content of an event file: its version, then the scalars of each epoch, at the epoch's end."""
    try:
        from tensorboard.compat.proto.event_pb2 import Event  # noqa: PLC0415 - an extra, which few have
        from tensorboard.compat.proto.summary_pb2 import Summary  # noqa: PLC0415 - the same
        from tensorboard.summary.writer.record_writer import RecordWriter  # noqa: PLC0415 - the same
    except ModuleNotFoundError as error:
        what, how = f"the package {error.name} is not installed", "pip install '.[tensorboard]'"
        raise EnvironmentMissingError("export tensorboard", what, next_step=how) from None
    content, at = io.BytesIO(), datetime.fromisoformat(record.segments[0].start).timestamp()
    writer = RecordWriter(content)
    writer.write(Event(wall_time=at, file_version="brain.Event:2").SerializeToString())
    for epoch in record.epochs:
        at += epoch.train_s + (epoch.statistics_s or 0) + epoch.eval_as_published_s + epoch.eval_clean_s
        scalars = {"learning_rate": epoch.learning_rate, "seconds/train": epoch.train_s}
        for name, score in (("train", epoch.train), ("as_published", epoch.as_published), ("clean", epoch.clean)):
            scalars |= {f"loss/{name}": score.loss, f"accuracy_percent/{name}": percent(score)}
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        writer.write(Event(wall_time=at, step=epoch.epoch, summary=Summary(value=values)).SerializeToString())
    return content.getvalue()


def verdict_rows(verdicts: Iterable[tuple[str, Verdict]]) -> list[dict[str, Any]]:
    """Return a row for each claim in each part of a report; what it has no number for is None.

    `here` is what the runs show; `of_report` lists why that is none about the report, and is empty where it is.

    `measured`, `low` and `high` (95 % interval) are those of the comparison that tells most, in `unit`: ratios of times
    and memory in `times`. Of a ranking, its steps that hold, fail and are open, and Kendall's tau.
    """
    return [
        {
            "part": part,
            "report": verdict.benchmark.report,
            "claim": verdict.claim.id,
            "says": verdict.claim.says,
            "here": verdict.here,
            "of_report": list(verdict.of_report),
            "reported": None if (text := reported_text(verdict)) == NOTHING else text,
            **_measured(decisive_comparison(verdict)),
            **_steps(verdict),
            "reason": reasons_text(verdict.reasons),
        }
        for part, verdict in verdicts
    ]


def _measured(part: Comparison | None) -> dict[str, Any]:
    keys = ("measured", "low", "high", "unit", "n")
    if part is None:
        return dict.fromkeys(keys)
    ends, unit, is_level = ends_of(part), part.unit, len(part.about) == 1
    if part.is_log:
        units = {"seconds": "s", "bytes": "B"}
        ends = [exp(end) for end in ends]
        unit = units.get(part.facts.quantity, "times per epoch") if is_level else "times"
    elif is_level and part.facts.is_share:
        unit = "%"
    return dict(zip(keys, (*ends, unit, part.last.n), strict=True))


def _steps(verdict: Verdict) -> dict[str, Any]:
    ranked = [result for result in verdict.results if isinstance(result.check, Ranking)]
    holds = [part.holds for result in ranked for part in result.judged]
    words: dict[str, bool | None] = {"held": True, "failed": False, "open": None}
    counts = {f"steps_{word}": holds.count(is_so) if holds else None for word, is_so in words.items()}
    return {**counts, "tau": next((result.tau.value for result in ranked if result.tau), None)}


def notes_of(form: str, rows: Collection[Row]) -> Iterator[str]:
    """Yield what a list for github-action-benchmark leaves out, and which cases it makes from unlike records."""
    if not form.startswith("github"):
        return
    are_costs = form == "github-smaller"
    if are_costs:
        costed = {record.run_id: record for row in rows for record in _unmixed(row, are_costs=True)}
        if flagged := [record for record in costed.values() if record.flags]:
            flags = ", ".join(sorted({flag for record in flagged for flag in record.flags}))
            yield f"left out: the times of {len(flagged)} of {len(costed)} runs, which are flagged {flags}"
    for row in rows:
        if mixture := mixed(row.case.measured, are_costs=are_costs):
            yield f"left out: {row.name}, whose runs come from {MIXED[mixture]}"
        versions = {record.fingerprint.identity.code_hash for record in _unmixed(row, are_costs=are_costs)}
        if len(versions) > 1:
            yield f"note: {row.name} is put together from records of {len(versions)} versions of the code"
