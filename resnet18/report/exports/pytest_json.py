"""Training times as JSON of pytest-benchmark: each seed is a round. Its own `compare` reads the file."""

from collections.abc import Iterable, Sequence
from math import floor
from statistics import fmean, median, stdev

from resnet18.records.record import Record
from resnet18.report.exports.measures import json_text
from resnet18.report.exports.rows import Row
from resnet18.tables.metrics import train_s

VERSION = "5.3.1"
"""Of pytest-benchmark, whose format this is."""
FACTS = {"processor": "cpu_model", "machine": "architecture", "system": "system", "python_version": "python"}
"""Keys of its `machine_info`, with those of a record's fingerprint."""
UNKNOWN = "unknown"


def pytest_json(rows: Sequence[Row]) -> str:
    """Return `train_s` of every case that has a time."""
    timed = [row for row in rows if row.timed]
    records = [record for row in timed for record in row.timed]
    content = {
        "machine_info": _machine_info(records),
        "commit_info": _commit_info(records),
        "benchmarks": [_benchmark(row) for row in timed],
        "datetime": max((segment.end for record in records for segment in record.segments), default=UNKNOWN),
        "version": VERSION,
    }
    return json_text(content, len(timed))


def _machine_info(records: Sequence[Record]) -> dict[str, object]:
    """Return where the runs were made, all values of a fact in one text."""

    def known(key: str) -> str:
        return _joined(str((record.fingerprint.numerics or {}).get(key, UNKNOWN)) for record in records)

    facts: dict[str, object] = {name: known(key) for name, key in FACTS.items()}
    return {**facts, "cpu": {"brand_raw": facts["processor"]}}


def _commit_info(records: Sequence[Record]) -> dict[str, object]:
    """Return the commit that the runs were made with; the code hash is what decides here, and stands beside it."""
    identities = [record.fingerprint.identity for record in records]
    return {
        "id": _joined(one.commit or UNKNOWN for one in identities),
        "dirty": any(one.dirty for one in identities),
        "project": "resnet18",
        "branch": f"({UNKNOWN})",
        "code_hash": _joined(one.code_hash for one in identities),
    }


def _joined(texts: Iterable[str]) -> str:
    return "; ".join(sorted(set(texts)))


def _benchmark(row: Row) -> dict[str, object]:
    return {
        "group": None,
        "name": row.name,
        "fullname": row.name,
        "params": None,
        "param": None,
        "extra_info": {"seeds": [record.seed for record in row.timed]},
        "options": {},
        "stats": _stats([train_s(record) for record in row.timed]),
    }


def _stats(seconds: Sequence[float]) -> dict[str, object]:
    """Return what pytest-benchmark computes from rounds."""
    data = sorted(seconds)
    mean, spread = fmean(data), stdev(data) if len(data) > 1 else 0.0
    q1, q3 = _quantile(data, 0.25), _quantile(data, 0.75)
    low, high = q1 - 1.5 * (q3 - q1), q3 + 1.5 * (q3 - q1)
    far, beyond = _outside(data, mean - spread, mean + spread), _outside(data, low, high)
    return {
        "min": data[0],
        "max": data[-1],
        "mean": mean,
        "stddev": spread,
        "rounds": len(data),
        "median": median(data),
        "iqr": q3 - q1,
        "q1": q1,
        "q3": q3,
        "iqr_outliers": beyond,
        "stddev_outliers": far,
        "outliers": f"{far};{beyond}",
        "ld15iqr": min(one for one in data if one >= low),
        "hd15iqr": max(one for one in data if one <= high),
        "ops": len(data) / sum(data) if sum(data) else 0.0,
        "total": sum(data),
        "data": list(seconds),
        "iterations": 1,
    }


def _outside(data: Sequence[float], low: float, high: float) -> int:
    return sum(not low <= one <= high for one in data)


def _quantile(data: Sequence[float], share: float) -> float:
    """Return a quantile of sorted values as pytest-benchmark has it: the k-th of n stands at (k - 1/2) / n."""
    at = min(max(share * len(data) - 0.5, 0), len(data) - 1)
    below = floor(at)
    above = min(below + 1, len(data) - 1)
    return data[below] + (at - below) * (data[above] - data[below])
