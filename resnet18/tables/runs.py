"""Tidy tables: a row for each run, or for each epoch of each run, under the case that the run belongs to."""

from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from resnet18.records.record import Record
from resnet18.records.store import last_attempts
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.errors import one_line
from resnet18.tables.metrics import clean_percent, mixed_machines, percent, train_s, whole_program_s
from resnet18.tables.selection import selections_by_request

LONGEST = 1_000
"""Characters of a row's name."""
SCORES = ("train", "as_published", "clean")
SCORE_TYPES = {"loss": "float64", "correct": "Int64", "images": "Int64"}
EPOCH_TYPES = {
    "epoch": "Int64",
    "learning_rate": "float64",
    "steps": "Int64",
    **{f"{name}_{key}": kind for name in SCORES for key, kind in SCORE_TYPES.items()},
    **dict.fromkeys(("train_s", "data_wait_s", "statistics_s", "eval_as_published_s", "eval_clean_s"), "float64"),
}
"""Columns of an epoch, with their types; a value that is not known is missing."""


def best_percent(record: Record) -> float:
    """Return the highest test accuracy over the epochs, as published, in percent."""
    return max(percent(epoch.as_published) for epoch in record.epochs)


RESULTS = {
    "best_accuracy": best_percent,
    "clean_accuracy": clean_percent,
    "train_s": train_s,
    "whole_program_s": whole_program_s,
}
"""What a run that ended `ok` has."""


@dataclass(frozen=True)
class Row:
    """A case under one request, with its records."""

    benchmark: str
    case: str
    name: str
    """Benchmark and case, and the request where the folder holds several; printable, on one line, unique."""
    records: tuple[Record, ...]
    """A record for each seed, by seed."""

    @property
    def measured(self) -> tuple[Record, ...]:
        """The records that hold a result, none where several data sets have one name."""
        found = tuple(record for record in self.records if record.status == "ok")
        return found if len({record.fingerprint.identity.data_sha256 for record in found}) < 2 else ()

    @property
    def costed(self) -> tuple[Record, ...]:
        """Those whose memory may be put together: all, none where they come from several machines or an unknown one."""
        return self.measured if mixed_machines(self.measured) is None else ()

    @property
    def timed(self) -> tuple[Record, ...]:
        """Those whose times may be put together: without a flag, and of one machine."""
        return tuple(record for record in self.costed if not record.flags)


def rows_of(benchmarks: Collection[Benchmark], records: Collection[Record]) -> tuple[Row, ...]:
    """Return every case that has a record, in the report's order: by request, table and case.

    A request that shows no other run than those before it is left out. The order of the records changes nothing.
    """
    groups = list(selections_by_request(benchmarks, tuple(last_attempts(records).values())))
    rows: list[Row] = []
    for request, selections in groups:
        suffix = f" ({request.described})" if len(groups) > 1 else ""
        for selection in selections:
            for case in selection.cases:
                if case.records:
                    base = one_line(f"{selection.benchmark.name}/{case.name}{suffix}")[:LONGEST]
                    names = (base, *(f"{base} #{number}" for number in range(2, len(rows) + 3)))
                    name = next(name for name in names if all(name != row.name for row in rows))
                    rows.append(Row(selection.benchmark.name, case.name, name, case.records))
    return tuple(rows)


def run_table(rows: Collection[Row]) -> pd.DataFrame:
    """Return a row for each run, whatever it ended as: accuracies in percent, times in s, memory in bytes.

    A run that several tables show has a row in each of them. Values of a run without a result are missing.
    """
    table = []
    for about, record in _records(rows):
        results = {name: value(record) if record.status == "ok" else None for name, value in RESULTS.items()}
        costs = {"wall_s": record.time.wall_s, "rss_peak_bytes": record.memory.rss_peak_bytes}
        table.append({**about, **results, **costs})
    return pd.DataFrame(table).astype({"rss_peak_bytes": "Int64"}) if table else pd.DataFrame()


def epoch_table(rows: Collection[Row]) -> pd.DataFrame:
    """Return a row for each epoch of each run; a run without epochs has one row, whose values are missing."""
    table = []
    for about, record in _records(rows):
        for epoch in record.epochs or [None]:
            values = asdict(epoch) if epoch else {}
            for name in SCORES:
                values |= {f"{name}_{key}": value for key, value in values.pop(name, {}).items()}
            table.append({**about, **{key: values.get(key) for key in EPOCH_TYPES}})
    return pd.DataFrame(table).astype(EPOCH_TYPES) if table else pd.DataFrame()


def _records(rows: Collection[Row]) -> Iterator[tuple[dict[str, Any], Record]]:
    """Yield each record of each table once, with what its row begins with."""
    shown = set[tuple[str, str, str]]()
    for row in rows:
        for record in row.records:
            if (key := (row.benchmark, row.case, record.run_id)) not in shown:  # options may have changed nothing
                shown.add(key)
                about = {"run_id": record.run_id, "benchmark": row.benchmark, "case": row.case, "seed": record.seed}
                about |= {"scale": record.scale, "data": record.spec.experiment.data}
                about |= {"options": " ".join(record.spec.overrides), "status": record.status}
                yield {**about, "flags": " ".join(record.flags)}, record
