"""What the audit says: a remark of one check, and a finding, which is a remark with its kind."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple


class Remark(NamedTuple):
    """What a check found, without its kind."""

    where: str
    """The report, or the file and the place in it."""
    says: str
    """What is wrong, in a sentence."""
    evidence: str
    """The numbers that show it."""


@dataclass(frozen=True)
class Finding:
    """One contradiction or weakness of a report."""

    kind: str
    where: str
    says: str
    evidence: str


def listed(words: Iterable[str]) -> str:
    """Return words as a sentence has them: `a, b and c`."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def quoted(names: Iterable[str]) -> str:
    """Return names in quotes, as a sentence has them."""
    return listed(f'"{name}"' for name in names)


def counted(count: int, noun: str) -> str:
    """Return `1 case`, `2 cases`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def plain(number: float) -> str:
    """Return a number to six significant digits, without an exponent: `0.000001`."""
    text = format(Decimal(f"{number:.6g}"), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
