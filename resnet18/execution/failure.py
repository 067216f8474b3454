"""What a record says of a run that failed: why, and the bytes that an allocator's message names; no person or place."""

import getpass
import os
import platform
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path, PurePath
from typing import Any

from resnet18.execution.engine import Job
from resnet18.records.content import utc_now
from resnet18.records.record import Segment, Status
from resnet18.spec.errors import plain
from resnet18.spec.metric import UNITS

_SIZE = r"(?P<number>\d{1,20}(?:\.\d{1,9})?) (?P<unit>bytes|KiB|MiB|GiB)"
REQUESTED = re.compile(rf"(?:ried to allocate|Unable to allocate) {_SIZE}")
"""As torch's allocators of CUDA, XPU and the CPU say it, and numpy."""
FREE = re.compile(rf"of which {_SIZE} is free")
OUT_OF_MEMORY: frozenset[Status] = frozenset({"oom_device", "oom_host"})

LONGEST = 2_000
"""Characters of a message."""
SECRET_WORDS = ("TOKEN", "SECRET", "PASSWORD", "KEY", "CREDENTIAL")
"""In the name of an environment variable, whatever its case: its value is secret."""
LEAST_SECRET, LEAST_NAME = 6, 3
"""Characters of a secret, and of the name of a user or a host. A shorter text would be found everywhere."""
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
"""Colours and movements of the cursor."""
# Quoted paths, as Python prints them, may hold spaces. The others end at the first character that paths lack.
_QUOTED = re.compile(r"'/[^'\n]*/([^'/\n]+)/?'")
_BARE = re.compile(r"(?<![\w.…/])/(?:[^/\s'\":]+/)+")


def failure_facts(status: Status, phase: str, message: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the record's `failure` and the reasons for its nulls, given how far the attempt had come.

    Sizes in the error's message are rounded to hundredths of their unit, and so are these.
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


def record_death(job: Job, status: Status, cause: str, *, start: str | None = None, wall_s: float = 0.0) -> Status:
    """Write the record of a process that could not write its own, and return its status.

    Where it had saved its record and died before it could say so, that record counts.
    """
    failure, reasons = failure_facts(status, "unknown", cause)
    segments = (Segment(start=start or utc_now(), end=utc_now()),)
    record = job.record(status, segments, {"time": {"wall_s": wall_s}, "failure": failure}, reasons)
    try:
        job.store.save(record)
    except FileExistsError:
        return job.store.load(record.run_id, job.attempt).status
    return status


def oom_kills(counters: Path = Path("/proc/vmstat")) -> int | None:
    """Return how many processes of this machine the kernel has killed for want of memory; None where it is unknown.

    Source: mm/oom_kill.c of the kernel. The counter rises before the signal is sent, in a control group too.
    """
    try:
        lines = counters.read_text(encoding="ascii", errors="replace").splitlines()
        return int(dict(line.split(maxsplit=1) for line in lines)["oom_kill"])
    except (OSError, ValueError, KeyError):
        return None


def redacted(text: str, *, folders: Sequence[str]) -> str:
    """Return an error's text for a record: no path, person, machine, secret or control character.

    `folders` are those that are known to be in use: results, data, the place of an archive. They may hold spaces.
    """
    text = _ESCAPES.sub("", text[: 10 * LONGEST])
    for value in _secrets():
        text = text.replace(value, "[secret]")
    known = {folder.rstrip("/\\") for folder in (*folders, str(Path.home()))} - {"", "."}
    for folder in sorted(known, key=len, reverse=True):  # inner folders before those around them
        text = text.replace(f"{folder}{os.sep}", "…/")
        text = re.sub(rf"{re.escape(folder)}(?![\w-])", lambda found: f"…/{PurePath(found[0]).name}", text)
    text = _BARE.sub("…/", _QUOTED.sub(r"'…/\1'", text))
    for name, word in _names():
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", word, text, flags=re.IGNORECASE)
    return "\n".join(plain(line) for line in text.split("\n"))[:LONGEST]


def _secrets() -> list[str]:
    """Return the values of secret variables, the longest first: one may hold another."""
    values = {value for name, value in os.environ.items() if any(word in name.upper() for word in SECRET_WORDS)}
    return sorted((value for value in values if len(value) >= LEAST_SECRET), key=len, reverse=True)


def _names() -> Iterator[tuple[str, str]]:
    """Yield each name of this machine and of the user, and what stands for it."""
    full = platform.node()  # with the domain
    words = {full: "[host]", full.partition(".")[0]: "[host]", Path.home().name: "[user]"}
    with suppress(OSError, KeyError):  # in a container the user may have no entry
        words.setdefault(getpass.getuser(), "[user]")
    for name, word in words.items():
        if len(name) >= LEAST_NAME and name.casefold() not in {"localhost", "root"}:  # words of their own
            yield name, word
