"""Learning curves for TensorBoard: an event file for each run. The package `tensorboard` is asked for here alone."""

import io
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from resnet18.records import disk
from resnet18.records.record import Epoch, Record
from resnet18.report.exports.rows import Row
from resnet18.spec.errors import EnvironmentMissingError, UnfinishedError
from resnet18.tables.metrics import percent

LONGEST = 80
"""Characters of a folder's name."""


def write_events(rows: Sequence[Row], folder: Path) -> int:
    """Write the runs that ended `ok` as FOLDER/benchmark/case/seed.run/events…, and return how many.

    The same records give the same bytes: a file is named after its run, and its times are those of the record.

    Raises:
        EnvironmentMissingError: the package is not installed.
        UnfinishedError: no run ended `ok`.
    """
    files = {_path(row, record): record for row in rows for record in row.records if record.status == "ok"}
    if not files:
        raise UnfinishedError("export", "no run of these benchmarks ended ok", next_step="`resnet18 report` shows why")
    contents = {path: _events(record) for path, record in files.items()}
    for path, content in contents.items():
        disk.make_folder(folder / path.parent)
        disk.replace(folder / path, content)
    return len(contents)


def _path(row: Row, record: Record) -> Path:
    case = row.name.removeprefix(f"{row.benchmark}/")
    run = f"seed-{record.seed}.{record.run_id}"
    return Path(_slug(row.benchmark), _slug(case), run, f"events.out.tfevents.{record.run_id}")


def _slug(text: str) -> str:
    """Return a folder's name of plain letters; two cases may share it, since each run below has its own."""
    return re.sub(r"[^A-Za-z0-9_.]+", "-", text)[:LONGEST].strip("-.") or "unnamed"


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
