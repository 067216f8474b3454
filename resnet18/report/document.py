"""A report as plain values, built once from records. Writers print it; no text in it is escaped, parsed or cut."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from resnet18.judge.verdict import Verdict
from resnet18.records.record import Record
from resnet18.tables.cells import Table
from resnet18.tables.selection import Selection


class Span(NamedTuple):
    """A piece of a line."""

    text: str
    style: Literal["", "strong", "code"] = ""


Line = tuple[Span, ...]


def line(*parts: str | Span) -> Line:
    """Return a line of pieces, of which bare strings are plain text."""
    return tuple(part if isinstance(part, Span) else Span(part) for part in parts)


def strong(text: str) -> Span:
    """Return emphasized text."""
    return Span(text, "strong")


def code(text: str) -> Span:
    """Return text that is typed as it stands, such as a command."""
    return Span(text, "code")


class Paragraph(NamedTuple):
    """One paragraph."""

    line: Line


def paragraph(*parts: str | Span) -> Paragraph:
    """Return a paragraph of pieces."""
    return Paragraph(line(*parts))


class Items(NamedTuple):
    """A list."""

    lines: tuple[Line, ...]


class Figure(NamedTuple):
    """A figure with its file's name, and the words that stand for it where it cannot be seen."""

    file: str
    alt: str
    svg: bytes


class Curves(NamedTuple):
    """Learning curves: a figure, and the cases whose records a page may draw itself."""

    anchor: str
    figure: Figure
    selection: Selection


class Statement(NamedTuple):
    """A claim with its verdict."""

    anchor: str
    verdict: Verdict


class Judgement(NamedTuple):
    """The verdicts on all claims of one report, judged together."""

    anchor: str
    report: str
    """Its name; empty where the chapter judges no other."""
    statements: tuple[Statement, ...]
    summary: tuple["Block", ...]
    note: Line


class Claims(NamedTuple):
    """The verdicts on the claims of one table."""

    statements: tuple[Statement, ...]


class Predictions(NamedTuple):
    """What the network of one case took test images for, after the last epoch."""

    title: str
    said: Line
    counts: tuple[tuple[int, ...], ...]
    """[true][predicted], summed over seeds."""
    record: Record
    """The run whose samples are shown."""
    picture: bytes | None
    """Its samples side by side, as a PNG; None where the run left none."""
    figures: tuple[Figure, ...]


class Section(NamedTuple):
    """A heading with what stands under it."""

    title: str
    blocks: tuple["Block", ...]
    anchor: str = ""
    is_folded: bool = False
    """Whether it has no heading, and a reader opens it."""


Block = Paragraph | Items | Table | Figure | Curves | Judgement | Claims | Predictions | Section


def blocks_in(blocks: Iterable[Block]) -> Iterator[Block]:
    """Yield blocks in order, and after each those inside it."""
    for block in blocks:
        yield block
        match block:
            case Section():
                yield from blocks_in(block.blocks)
            case Curves():
                yield block.figure
            case Predictions():
                yield from block.figures


class Run(NamedTuple):
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
    runs: tuple[Run, ...]

    @property
    def figures(self) -> Mapping[str, Figure]:
        """All figures by file name."""
        return {block.file: block for block in blocks_in(self.sections) if isinstance(block, Figure)}
