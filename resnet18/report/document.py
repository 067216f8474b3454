"""A report as plain values, built once from records. Writers print it; no text in it is escaped, parsed or cut."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from resnet18.judge.verdict import Verdict
from resnet18.records.record import Record
from resnet18.tables.cells import Table
from resnet18.tables.selection import Selection


@dataclass(frozen=True)
class Span:
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


@dataclass(frozen=True)
class Paragraph:
    """One paragraph."""

    line: Line


@dataclass(frozen=True)
class Items:
    """A list."""

    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Details:
    """Blocks that a reader opens."""

    title: str
    blocks: tuple["Block", ...]


@dataclass(frozen=True)
class Figure:
    """A figure with its file's name, and the words that stand for it where it cannot be seen."""

    file: str
    alt: str
    svg: bytes


@dataclass(frozen=True)
class Curves:
    """Learning curves: a figure, and the cases whose records a page may draw itself."""

    anchor: str
    figure: Figure
    selection: Selection


@dataclass(frozen=True)
class Statement:
    """A claim with its verdict."""

    anchor: str
    verdict: Verdict


@dataclass(frozen=True)
class Judgement:
    """The verdicts on all claims of one report, judged together."""

    anchor: str
    report: str
    """Its name; empty where the chapter judges no other."""
    statements: tuple[Statement, ...]
    summary: tuple["Block", ...]
    note: Line


@dataclass(frozen=True)
class Claims:
    """The verdicts on the claims of one table."""

    statements: tuple[Statement, ...]


@dataclass(frozen=True)
class Predictions:
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


@dataclass(frozen=True)
class Section:
    """A heading with what stands under it."""

    title: str
    blocks: tuple["Block", ...]
    anchor: str = ""


Block = Paragraph | Items | Table | Details | Figure | Curves | Judgement | Claims | Predictions | Section


def blocks_in(blocks: Iterable[Block]) -> Iterator[Block]:
    """Yield blocks in order, and after each those inside it."""
    for block in blocks:
        yield block
        match block:
            case Section() | Details():
                yield from blocks_in(block.blocks)
            case Curves():
                yield block.figure
            case Predictions():
                yield from block.figures


@dataclass(frozen=True)
class Run:
    """A record with the tables and cases that show it."""

    record: Record
    places: tuple[tuple[str, str], ...]
    """(title of the table, name of the case)."""


@dataclass(frozen=True)
class Document:
    """All of a report."""

    intro: tuple[Block, ...]
    sections: tuple[Section, ...]
    leftovers: tuple[Block, ...]
    """What is in the folder and in no table, and what the folder held."""
    runs: tuple[Run, ...]
    title: str = "Measured beside reported"

    @property
    def figures(self) -> Mapping[str, Figure]:
        """All figures by file name."""
        return {block.file: block for block in blocks_in(self.sections) if isinstance(block, Figure)}
