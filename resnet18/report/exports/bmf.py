"""Bencher Metric Format: a JSON object of benchmarks, each an object of measures (https://bencher.dev)."""

from collections.abc import Sequence

from resnet18.report.exports.measures import json_text, values_of
from resnet18.report.exports.rows import Row


def bmf(rows: Sequence[Row]) -> str:
    """Return every value of every case, with the lowest and the highest over seeds as its bounds."""
    found = {row.name: measures for row in rows if (measures := _measures(row))}
    return json_text(found, len(found))


def _measures(row: Row) -> dict[str, dict[str, float]]:
    return {
        value.measure.slug: {"value": value.middle, "lower_value": value.low, "upper_value": value.high}
        for value in values_of(row)
    }
