"""What a run costs and where it ran: clock, device, host, environment."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SCOPES = ("train_s", "data_wait_s", "statistics_s", "eval_as_published_s", "eval_clean_s")


class UnknownError(Exception):
    """A figure that this system does not tell; the text is the reason for a record's null."""


def text_of(path: Path) -> str:
    """Return the text of one of the kernel's files, empty where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


class Clock:
    """Counts seconds inside `with clock.scope(name)`. Monotonic; never a wall clock, which can jump.

    `synchronize` waits for the device's queued work, whose time would otherwise count in a later scope.
    """

    def __init__(self, synchronize: Callable[[], None]) -> None:
        self._synchronize = synchronize
        self.total_ns = dict.fromkeys(SCOPES, 0)  # since the last lap, or as the checkpoint of a resumed run had it

    @contextmanager
    def scope(self, name: str, *, synchronized: bool = True) -> Iterator[None]:
        """Add the time spent inside, also when an exception leaves it; unsynchronized, the host's time alone counts."""
        wait = self._synchronize if synchronized else lambda: None
        wait()
        start = time.perf_counter_ns()
        try:
            yield
        finally:
            wait()
            self.total_ns[name] += time.perf_counter_ns() - start

    def lap(self) -> dict[str, float]:
        """Return the seconds of each scope since the last lap, and start the next."""
        seconds = {name: total / 1e9 for name, total in self.total_ns.items()}
        self.total_ns = dict.fromkeys(SCOPES, 0)
        return seconds
