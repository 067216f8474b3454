"""What one run asks of the file system, counted."""

import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import engine_runs
from cluster import NONE
from engine_runs import standing_in

if TYPE_CHECKING:
    from _typeshed import HasFileno

RUNS = 100
WATCHED = {
    "open": "files opened", "fcntl.flock": "locks", "os.link": "links", "os.remove": "files removed",
    "os.listdir": "folder scans", "os.scandir": "folder scans", "os.mkdir": "folders made",
}  # fmt: skip


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Count what happens inside."""
    found: Counter[str] = Counter()
    is_on = True

    def hear(event: str, arguments: tuple[object, ...]) -> None:  # noqa: ARG001 - what Python tells
        if is_on and event in WATCHED:
            found[WATCHED[event]] += 1

    def sync(fd: "int | HasFileno") -> None:
        found["fsyncs"] += 1
        kept(fd)

    sys.addaudithook(hear)  # it cannot be taken away again
    kept, os.fsync = os.fsync, sync
    try:
        yield found
    finally:
        os.fsync = kept
        is_on = False


def operations() -> dict[str, float]:
    """Return how often each is done for a run that goes well, on the runner's side, under the Ray engine."""
    with standing_in(engine_runs, "outcome", lambda *_: {}):  # which reads the records again
        few, many = (_of(runs) for runs in (RUNS, 3 * RUNS))
    return {name: (many[name] - few[name]) / (2 * RUNS) for name in sorted(many)}


def _of(runs: int) -> Counter[str]:
    with tempfile.TemporaryDirectory() as folder:
        with counted() as found:
            engine_runs.under_ray(Path(folder), runs, 10, 600.0, NONE)
        return found
