"""A report as plain values, built once from records. Writers print it; no text in it is escaped, parsed or cut."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self

from resnet18.judge.verdict import Verdict
from resnet18.records.record import Record
from resnet18.tables.cells import Table
from resnet18.tables.selection import Selection


class Strong(str):
    """Emphasized text."""


class Code(str):
    """Text that is typed as it stands, such as a command."""


class Line(tuple[str, ...]):
    """A paragraph, or an item of a list: pieces of text, some of them `Strong` or `Code`."""

    def __new__(cls, *parts: str) -> Self:
        """Return the line of these pieces."""
        return super().__new__(cls, parts)


class Items(tuple[Line, ...]):
    """A list of points, a line each."""


class Figure(NamedTuple):
    """A figure with its file's name, and the words that stand for it where it cannot be seen."""

    file: str
    alt: str
    svg: bytes
    selection: Selection | None = None
    """Of learning curves: the cases whose records a page may draw itself."""


class Judgement(NamedTuple):
    """The verdicts on all claims of one report, judged together."""

    report: str
    verdicts: tuple[Verdict, ...]
    summary: tuple["Block", ...]
    note: Line


class Claims(tuple[Verdict, ...]):
    """The verdicts on the claims of one table."""


class Section(NamedTuple):
    """A heading with what stands under it."""

    title: str
    blocks: tuple["Block", ...]
    is_folded: bool = False
    """Whether it has no heading, and a reader opens it."""


Block = Line | Items | Table | Figure | Judgement | Claims | Section


class ShownRecord(NamedTuple):
    """A record with the tables and cases that show it."""

    record: Record
    places: tuple[tuple[str, str], ...]
    """(title of the table, name of the case)."""


@dataclass(frozen=True)
class Document:
    """All of a report."""

    title: str
    intro: tuple[Block, ...]
    sections: tuple[Section, ...]
    leftovers: tuple[Block, ...]
    """What is in the folder and in no table, and what the folder held."""
    runs: tuple[ShownRecord, ...]


def figures_in(blocks: Iterable[Block]) -> Iterator[Figure]:
    """Yield all figures in order."""
    for block in blocks:
        if isinstance(block, Figure):
            yield block
        elif isinstance(block, Section):
            yield from figures_in(block.blocks)
