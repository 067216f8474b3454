"""How sources are asked: by what, by which clock and under which limits. Tests give others."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class SourceError(Exception):
    """A source is of no use; the text says why, on one printable line."""


class SlowSourceError(SourceError):
    """A source that works, at a speed that another may surpass."""

    def __init__(self, text: str, bytes_per_s: float) -> None:
        super().__init__(text)
        self.bytes_per_s = bytes_per_s


class MixedBytesError(SourceError):
    """The bytes of several sources, or of several commands, are not one archive."""


@dataclass(frozen=True)
class Limits:
    """What a source may take its time for."""

    answer_s: float = 60.0
    """From the name of its host to the last header."""
    stall_s: float = 30.0
    """Without a byte."""
    low_bytes_per_s: float = 200_000.0
    low_for_s: float = 20.0
    """A speed below the limit for so long is left for another source, while there is one."""
    attempt_s: float = 6 * 3_600.0
    """In all: of a source that is slow without end."""
    piece_bytes: int = 1 << 18


class Body(Protocol):
    """What a source sends, from a byte of the file on."""

    start: int

    def read(self, most: int) -> bytes:
        """Return the next bytes as soon as there are some, nothing at the end."""

    def close(self) -> None:
        """End the connection."""


@dataclass(frozen=True)
class Terms:
    """What a fetch depends on beside the archive."""

    connect: Callable[[str, int, int, Limits], Body]
    """Takes the URL, the first byte that is missing, and the size of the file."""
    clock: Callable[[], float]
    limits: Limits = Limits()
