"""What a person sees of a fetch: a live line on a terminal, one plain line every few seconds elsewhere."""

import os
import shutil
from collections.abc import Callable
from typing import TextIO

from resnet18.spec.errors import one_line, printable
from resnet18.spec.printed import duration

LIVE_EVERY_S = 0.2
PLAIN_EVERY_S = 5.0


class Display:
    """Writes lines; a live one is written over by the next."""

    def __init__(self, out: TextIO, clock: Callable[[], float]) -> None:
        self._out, self._clock = out, clock
        self._is_live = out.isatty() and os.environ.get("TERM") != "dumb"
        self._shown_at = clock()
        self._live_width = 0

    def say(self, text: str) -> None:
        """Write a line that stays, whoever its words come from."""
        self._write(f"{self._erased()}{printable(text)}\n")

    def progress(self, name: str, done: int, size: int, bytes_per_s: float) -> None:
        """Show how far a source is, unless that was shown just now."""
        now = self._clock()
        if now - self._shown_at < (LIVE_EVERY_S if self._is_live else PLAIN_EVERY_S):
            return
        self._shown_at = now
        text = progress_text(name, done, size, bytes_per_s)
        if not self._is_live:
            self.say(text)
            return
        text = one_line(text)[: shutil.get_terminal_size().columns - 1]
        self._write(f"{self._erased()}{text}")
        self._live_width = len(text)

    def _erased(self) -> str:
        """Return what takes the live line away."""
        width, self._live_width = self._live_width, 0
        return f"\r{' ' * width}\r" if width else ""

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def progress_text(name: str, done: int, size: int, bytes_per_s: float) -> str:
    """Return how far a source is: `zenodo.org: 45.0 of 170.5 MB, 26 %, 3.4 MB/s, about 37 s left`."""
    left = f"about {duration((size - done) / bytes_per_s)} left" if bytes_per_s >= 1 else "no end in sight"
    return f"{name}: {amount(done)} of {amount(size)}, {100 * done // size} %, {amount(bytes_per_s)}/s, {left}"


def amount(count: float) -> str:
    """Return a number of bytes: `170.5 MB`, `62 kB`, `12 B`."""
    if count >= 1e6:
        return f"{count / 1e6:.1f} MB"
    return f"{count / 1e3:.0f} kB" if count >= 1e3 else f"{count:.0f} B"
