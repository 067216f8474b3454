"""Lists for github-action-benchmark, which wants to know whether bigger is better and so gets two of them."""

from collections.abc import Sequence

from resnet18.report.exports.measures import Value, json_text, values_of
from resnet18.report.exports.rows import Row


def github_smaller(rows: Sequence[Row]) -> str:
    """Return times and memory, for its tool `customSmallerIsBetter`."""
    return _list(rows, bigger_is_better=False)


def github_bigger(rows: Sequence[Row]) -> str:
    """Return accuracies, for its tool `customBiggerIsBetter`."""
    return _list(rows, bigger_is_better=True)


def _list(rows: Sequence[Row], *, bigger_is_better: bool) -> str:
    entries = [
        _entry(row, value)
        for row in rows
        for value in values_of(row)
        if value.measure.bigger_is_better == bigger_is_better
    ]
    return json_text(entries, len(entries))


def _entry(row: Row, value: Value) -> dict[str, str | float]:
    return {
        "name": f"{row.name}: {value.measure.key}",
        "unit": value.measure.unit,
        "value": value.middle,
        "range": f"{value.low:.10g} to {value.high:.10g}",
        "extra": f"n (seeds): {value.n}",
    }
