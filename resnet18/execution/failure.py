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

from resnet18.records.record import Status
from resnet18.spec.errors import plain
from resnet18.spec.metric import UNITS

_SIZE = r"(?P<number>\d{1,20}(?:\.\d{1,9})?) (?P<unit>bytes|KiB|MiB|GiB)"
REQUESTED = re.compile(rf"(?:ried to allocate|Unable to allocate) {_SIZE}")
"""As torch's allocators of CUDA, XPU and the CPU say it, and numpy."""
FREE = re.compile(rf"of which {_SIZE} is free")
OUT_OF_MEMORY: frozenset[Status] = frozenset({"oom_device", "oom_host"})

CGROUPS = "sys/fs/cgroup"
WHOLE_SYSTEM = "proc/vmstat"

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
_WINDOWS = re.compile(r"(?<!\w)[A-Za-z]:\\(?:[^\\\s'\":]+\\)+")


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


def oom_kills(root: Path = Path("/")) -> int | None:
    """Return how many processes of our control group the kernel has killed for want of memory; None where unknown.

    Sources: the kernel's Documentation/admin-guide/cgroup-v2.rst (memory.events) and cgroup-v1/memory.rst
    (memory.oom_control). The counter rises before the signal is sent (mm/oom_kill.c).
    """
    for name in _counters(root):
        try:
            lines = (root / name).read_text(encoding="ascii", errors="replace").splitlines()
            return int(dict(line.split(maxsplit=1) for line in lines)["oom_kill"])
        except (OSError, ValueError, KeyError):
            continue  # outside our view, or a kernel before 4.13, which does not count
    return None


def _counters(root: Path) -> Iterator[str]:
    """Yield the files that may hold the counter, the narrowest first.

    In a container the group's path may be the host's, absent here: the mount point itself is then the group.
    """
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="replace").splitlines():
            _, controllers, path = (*line.split(":", 2), "", "")[:3]
            folders = dict.fromkeys((path.strip("/"), ""))
            if "memory" in controllers.split(","):
                yield from (f"{CGROUPS}/memory/{folder}/memory.oom_control" for folder in folders)
            elif not controllers:
                yield from (f"{CGROUPS}/{top}/{folder}/memory.events" for top in ("", "unified") for folder in folders)
    yield WHOLE_SYSTEM


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
    text = _QUOTED.sub(r"'…/\1'", text)
    text = _WINDOWS.sub("…/", _BARE.sub("…/", text))
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
    users = [Path.home().name]
    with suppress(OSError, KeyError):  # in a container the user may have no entry
        users.append(getpass.getuser())
    names = [*((name, "[host]") for name in (full, full.partition(".")[0])), *((name, "[user]") for name in users)]
    for name, word in dict.fromkeys(names):
        if len(name) >= LEAST_NAME and name.casefold() not in {"localhost", "root"}:  # words of their own
            yield name, word
