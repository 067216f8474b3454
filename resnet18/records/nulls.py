"""Dotted keys of a record's content: a null needs a reason under its key."""

from collections.abc import Iterator
from typing import Any


def all_keys(content: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted key of every value; a later version's record has reasons for keys that are not known here."""
    for key, value in content.items():
        yield prefix + key
        if isinstance(value, dict):
            yield from all_keys(value, f"{prefix}{key}.")


def null_keys(content: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted key of every null of a record's content; the nulls inside `spec` are values."""
    for key, value in content.items():
        if value is None:
            yield prefix + key
        elif isinstance(value, dict) and key not in {"spec", "nulls"}:
            yield from null_keys(value, f"{prefix}{key}.")
