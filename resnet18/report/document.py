"""A report as plain values, built once from records. Writers print it; no text in it is escaped, parsed or cut."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self

from resnet18.judge.verdict import Verdict
from resnet18.records.record import Record
from resnet18.records.store import MADE_BY
from resnet18.tables.cells import Table
from resnet18.tables.selection import Selection

READING = "reading"
"""The slug of what explains the words of a report."""


class Strong(str):
    """Emphasized text."""


class Code(str):
    """Text that is typed as it stands, such as a command."""


class Link(str):
    """Text that leads to a part of the report."""

    slug: str

    def __new__(cls, text: str, slug: str) -> Self:
        """Return the text with the part's name in addresses."""
        found = super().__new__(cls, text)
        found.slug = slug
        return found


class Line(tuple[str, ...]):
    """A paragraph, or an item of a list: pieces of text, some of them `Strong`, `Code` or a `Link`."""

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


class Claims(tuple[tuple[Verdict, str], ...]):
    """The verdicts on the claims of one table, each with its evidence."""


class Section(NamedTuple):
    """A heading with what stands under it."""

    title: str
    blocks: tuple["Block", ...]
    is_folded: bool = False
    """Whether it has no heading, and a reader opens it."""
    slug: str = ""
    """Its name in addresses, where it has a page of its own."""


Block = Line | Items | Table | Figure | Claims | Section


class ShownRecord(NamedTuple):
    """A record with the tables and cases that show it."""

    record: Record
    places: tuple[tuple[str, str], ...]
    """(title of the table, name of the case)."""


@dataclass(frozen=True)
class Document:
    """All of a report."""

    title: str
    answer: tuple[Block, ...]
    """What was run, what holds, what does not, what is open; every statement; every table once."""
    words: tuple[Block, ...]
    """How to read it."""
    parts: tuple[Section, ...] = ()
    """A page each: what was measured at one scale, on one data set."""
    leftovers: tuple[Block, ...] = ()
    """What is in the folder and in no table, and what the folder held."""
    runs: tuple[ShownRecord, ...] = ()
    verdicts: tuple[tuple[str, Verdict], ...] = ()
    """Every verdict, with the title of its part."""
    made_by: str = MADE_BY

    @property
    def blocks(self) -> tuple[Block, ...]:
        """All blocks of the answer and of the parts."""
        return (*self.answer, *(block for part in self.parts for block in part.blocks))


def present(*blocks: Block) -> tuple[Block, ...]:
    """Return blocks without empty lists and sections."""
    return tuple(block for block in blocks if (block.blocks if isinstance(block, Section) else block))


def figures_in(blocks: Iterable[Block]) -> Iterator[Figure]:
    """Yield all figures in order."""
    for block in blocks:
        if isinstance(block, Figure):
            yield block
        elif isinstance(block, Section):
            yield from figures_in(block.blocks)
