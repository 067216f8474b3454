"""How fast bytes come, over the last seconds."""

from collections import deque
from collections.abc import Callable


class Pace:
    """Counts bytes by a clock, and forgets what is older than its window."""

    def __init__(self, clock: Callable[[], float], window_s: float) -> None:
        self._clock, self._window_s = clock, window_s
        self._began = self._now = clock()
        self._total = 0
        self._seen = deque([(self._began, 0)])  # the first of them is as old as the window, or the beginning

    def add(self, count: int) -> None:
        """So many bytes have come."""
        self._now = self._clock()
        self._total += count
        self._seen.append((self._now, self._total))
        while self._seen[1][0] <= self._now - self._window_s:
            self._seen.popleft()

    @property
    def elapsed_s(self) -> float:
        """Seconds up to the last bytes."""
        return self._now - self._began

    @property
    def bytes_per_s(self) -> float:
        """Over the window, or since the beginning where that is shorter ago."""
        since, before = self._seen[0]
        return (self._total - before) / max(self._now - since, 1e-3)

    def is_below(self, bytes_per_s: float) -> bool:
        """Whether it was slower than that over a whole window."""
        return self.elapsed_s >= self._window_s and self.bytes_per_s < bytes_per_s
