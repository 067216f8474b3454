"""How an attempt failed: its status, and what its record says of it."""

import re
import signal
from decimal import Decimal
from pathlib import Path
from typing import Any

from resnet18.execution.job import Job
from resnet18.records.content import utc_now
from resnet18.records.record import Segment, Status
from resnet18.spec.metric import UNITS

STATUSES: dict[str, Status] = {
    "InterruptedRunError": "interrupted",
    "TimeLimitError": "timeout",
    "UnsupportedError": "unsupported",
    "DivergedError": "diverged",
    "OutOfMemoryError": "oom_device",
    "MemoryError": "oom_host",
}
"""By the name of an exception or a base of it: torch and training are not imported here."""
# Of libraries under torch, which raise no torch.OutOfMemoryError. Read in issue threads, not seen on hardware.
DEVICE_IS_FULL = ("CUDA error: out of memory", "MPS backend out of memory", "CUDNN_STATUS_ALLOC", "CUBLAS_STATUS_ALLOC")
# Of torch's allocator, and of a system that cannot fork.
HOST_IS_FULL = ("can't allocate memory", "[Errno 12] Cannot allocate memory")
# Of oneDNN, whatever failed: want of memory where a cap is in force, and nothing certain elsewhere.
ONEDNN_FAILED = ("could not create a primitive", "could not create a memory object", "could not execute a primitive")
LOST, OF_SERVER = 255, ", or with the process that it was forked from"  # multiprocessing then gives this code, too
_SIZE = r"(?P<number>\d{1,20}(?:\.\d{1,9})?) (?P<unit>bytes|KiB|MiB|GiB)"
SIZES = {
    "requested_bytes": re.compile(rf"(?:ried to allocate|Unable to allocate) {_SIZE}"),
    "free_bytes": re.compile(rf"of which {_SIZE} is free"),
}
"""As torch's allocators of CUDA, XPU and the CPU say it, and numpy."""


class InterruptedRunError(Exception):
    """The user asked the run to stop; it did so between two steps."""


class TimeLimitError(Exception):
    """The attempt has taken as long as it may."""


def classify(error: Exception, *, is_capped: bool = False) -> Status:
    """Return the status that an exception amounts to, under a `memory_cap` or without one."""
    for kind in type(error).__mro__:
        if kind.__name__ in STATUSES:
            return STATUSES[kind.__name__]
    if any(words in str(error) for words in DEVICE_IS_FULL):
        return "oom_device"
    host_is_full = HOST_IS_FULL + (ONEDNN_FAILED if is_capped else ())
    return "oom_host" if any(words in str(error) for words in host_is_full) else "crashed"


def record_death(job: Job, status: Status, cause: str, *, start: str | None = None, wall_s: float = 0.0) -> Status:
    """Write the record of a process that could not, unless it has left its own; return the status of that record."""
    start = start or utc_now()
    segment = Segment(start=start, end=utc_now(start))
    facts = {"status": status, "segments": (segment,), "time": {"wall_s": wall_s}}
    record = job.record({**facts, "failure": failure_facts(status, "unknown", cause)})
    if job.store.attempts(record.run_id) >= job.attempt:  # under the record's id: a trial's run has that of the whole
        return job.store.load(record.run_id, job.attempt).status
    job.store.save(record)
    return status


def ending(exit_code: int, kills_before: int | None, kills_after: int | None) -> tuple[Status, str]:
    """Return the status of a child that left no record, and how it ended, in words."""
    if exit_code >= 0:
        return "crashed", f"the process ended with exit code {exit_code}{OF_SERVER if exit_code == LOST else ''}"
    if exit_code == -signal.SIGKILL and None not in {kills_before, kills_after} and kills_before != kills_after:
        return "oom_host", "the kernel killed the process: memory had run out"
    names = {one.value: one.name for one in signal.Signals}  # not every real-time signal has one
    return "crashed", f"the process was killed by {names.get(-exit_code, f'signal {-exit_code}')}"


def oom_kills(counters: Path = Path("/proc/vmstat")) -> int | None:
    """Return how many processes of this machine the kernel has killed for want of memory; None where it is unknown.

    Source: mm/oom_kill.c of the kernel. The counter rises before the signal is sent, in a control group too.
    """
    try:
        lines = counters.read_text(encoding="ascii", errors="replace").splitlines()
        return int(dict(line.split(maxsplit=1) for line in lines)["oom_kill"])
    except (OSError, ValueError, KeyError):
        return None


def failure_facts(status: Status, phase: str, message: str) -> dict[str, Any]:
    """Return the record's `failure`, with the bytes that the message names where memory had run out."""
    facts: dict[str, Any] = {"phase": phase, "message": message, **dict.fromkeys(SIZES)}
    for key, pattern in SIZES.items() if status in {"oom_device", "oom_host"} else ():
        if found := pattern.search(message):
            unit = UNITS["B" if found["unit"] == "bytes" else found["unit"]]
            facts[key] = round(Decimal(found["number"]) * int(unit))
    return facts


def error_text(error: BaseException) -> str:
    """Return an error and what it came from."""
    text, cause = f"{type(error).__name__}: {error}", error.__cause__
    while cause is not None:  # only there does torch say how a loader process died
        text, cause = f"{text}, from {type(cause).__name__}: {cause}", cause.__cause__
    return text
