"""Virtual time: events in order, and the real time that the simulation itself takes, which no engine is charged for."""

import heapq
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any


@dataclass(frozen=True)
class Spent:
    """Real time: by the clock on the wall, and of the processor."""

    wall_s: float
    cpu_s: float

    @classmethod
    def now(cls) -> "Spent":
        """Return both clocks."""
        return cls(time.perf_counter(), time.process_time())

    def plus(self, other: "Spent") -> "Spent":
        """Return the sum."""
        return Spent(self.wall_s + other.wall_s, self.cpu_s + other.cpu_s)

    def less(self, other: "Spent") -> "Spent":
        """Return the difference."""
        return Spent(self.wall_s - other.wall_s, self.cpu_s - other.cpu_s)


class Clock:
    """A clock that jumps from event to event. It stands for the module `time` in an engine."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._own = Spent(0.0, 0.0)
        """What the simulation took."""
        self._events: list[tuple[float, int, Callable[[], Any]]] = []
        self._order = count()

    def monotonic(self) -> float:
        """Return the virtual time, in seconds."""
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        with self.apart():
            self.run_until(self.now_s + seconds, lambda: False)

    def after(self, seconds: float, happens: Callable[[], Any]) -> None:
        """Let something happen so many virtual seconds from now."""
        heapq.heappush(self._events, (self.now_s + seconds, next(self._order), happens))

    def run_until(self, end_s: float, is_enough: Callable[[], bool]) -> None:
        """Let events happen until a time, or until it is enough."""
        while not is_enough():
            if not self._events or self._events[0][0] > end_s:
                self.now_s = end_s
                return
            self.now_s, _, happens = heapq.heappop(self._events)
            happens()

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Count what goes on inside as the simulation's own."""
        start = Spent.now()
        try:
            yield
        finally:
            self._own = self._own.plus(Spent.now().less(start))

    @contextmanager
    def charged(self) -> Iterator[Callable[[], Spent]]:
        """Yield what says how much went on inside that was not the simulation's own."""
        start, own = Spent.now(), self._own
        yield lambda: Spent.now().less(start).less(self._own.less(own))
