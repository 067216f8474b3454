"""The record's `failure`: how far a run had come, what was said, and the bytes that an allocator's message names."""

import re
from decimal import Decimal
from typing import Any

from resnet18.records.record import Status
from resnet18.spec.printed import UNITS

_SIZE = r"(?P<number>\d{1,20}(?:\.\d{1,9})?) (?P<unit>bytes|KiB|MiB|GiB)"
REQUESTED = re.compile(rf"(?:ried to allocate|Unable to allocate) {_SIZE}")
"""As torch's allocators of CUDA, XPU and the CPU say it, and numpy."""
FREE = re.compile(rf"of which {_SIZE} is free")
OUT_OF_MEMORY: frozenset[Status] = frozenset({"oom_device", "oom_host"})


def failure_facts(status: Status, phase: str, message: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the record's `failure` and the reasons for its nulls.

    Args:
        status: how the attempt ended.
        phase: how far it had come.
        message: the error's text. Its sizes are rounded to hundredths of their unit, and so are these.
    """
    ran_out = status in OUT_OF_MEMORY
    found = {
        "requested_bytes": _bytes_in(message, REQUESTED) if ran_out else None,
        "free_bytes": _bytes_in(message, FREE) if ran_out else None,
    }
    reason = "the message does not say" if ran_out else "the attempt did not run out of memory"
    reasons = {f"failure.{key}": reason for key, value in found.items() if value is None}
    return {"phase": phase, "message": message, **found}, reasons


def _bytes_in(message: str, pattern: re.Pattern[str]) -> int | None:
    found = pattern.search(message)
    if found is None:
        return None
    return round(Decimal(found["number"]) * int(UNITS["B" if found["unit"] == "bytes" else found["unit"]]))
