"""Which number, if any, is all that differs between the cases of a table."""

from collections.abc import Sequence
from typing import Any

from resnet18.tables.selection import CaseRecords


def numeric_key(arms: Sequence[CaseRecords]) -> str | None:
    """Return the dotted key of the experiment whose value, a positive number, is all that differs between the cases.

    None where there are fewer than two cases, or they differ in more or in something else.
    """
    specs = [{**_flat(arm.experiment.model_dump()), "": arm.execution} for arm in arms]
    keys = {key for spec in specs for key in spec}
    differing = [key for key in keys if any(spec.get(key) != specs[0].get(key) for spec in specs)]
    if len(differing) != 1 or not differing[0]:
        return None
    values = [spec.get(differing[0]) for spec in specs]
    numbers = {value for value in values if isinstance(value, int | float) and not isinstance(value, bool)}
    return differing[0] if len(numbers) == len(values) and min(numbers) > 0 else None


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a spec's values by dotted key; lists stay whole."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found
