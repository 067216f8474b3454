"""The report's markdown as blocks of text, which a template prints in its own way.

Sentences that accompany tables are made once, as markdown. This reads them back, and only what `analysis.markdown` and
its callers write: paragraphs, lists, pipe tables, bold, emphasis, code, escapes. What comes out is plain text in
pieces; whether it could be read as HTML is for the template to prevent, which escapes all of it.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from resnet18.report.page.grid import Grid, grid

_SPAN = re.compile(
    r"\\(?P<escaped>.)|&\#(?P<entity>\d+);|(?P<ticks>`+)(?P<code>.+?)(?P=ticks)(?!`)|\*\*(?P<strong>.+?)(?<!\\)\*\*"
    r"|\*(?P<em>.+?)(?<!\\)\*|(?P<plain>[^\\&`*]+|.)"
)
_CELL = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class Span:
    """A piece of a line."""

    tag: Literal["", "strong", "em", "code"]
    text: str


Line = tuple[Span, ...]


@dataclass(frozen=True)
class Block:
    """One paragraph, heading, list or table; the others' fields are empty."""

    kind: Literal["paragraph", "heading", "list", "table"]
    lines: tuple[Line, ...] = ()
    """One for a paragraph or heading, one for each item of a list."""
    grid: Grid | None = None


def blocks(markdown: Iterable[str]) -> tuple[Block, ...]:
    """Return the blocks of lines of markdown."""
    lines = [line for text in markdown for line in text.split("\n")]
    runs = groupby(lines, key=_kind)
    return tuple(block for kind, group in runs for block in _blocks(kind, list(group)))


def _kind(line: str) -> str:
    if not line.strip():
        return ""
    if line.startswith(("| ", "|:")):
        return "table"
    return "list" if line.startswith("- ") else "heading" if line.startswith("#") else "paragraph"


def _blocks(kind: str, lines: list[str]) -> Iterator[Block]:
    match kind:
        case "list":
            yield Block("list", tuple(spans(line.removeprefix("- ")) for line in lines))
        case "heading":
            yield from (Block("heading", (spans(line.lstrip("# ")),)) for line in lines)
        case "table":
            head, _, *rows = ([plain_text(cell.strip()) for cell in _CELL.split(line)[1:-1]] for line in lines)
            yield Block("table", grid=grid("", head, rows))
        case "paragraph":
            yield Block("paragraph", (spans(" ".join(lines)),))


def spans(line: str) -> Line:
    """Return the pieces of a line, neighbours of one kind joined."""
    joined = groupby(_pieces(line), key=lambda one: one.tag)
    return tuple(Span(tag, "".join(one.text for one in pieces)) for tag, pieces in joined)


def plain_text(line: str) -> str:
    """Return a line's text without its marks."""
    return "".join(one.text for one in spans(line))


def _pieces(line: str) -> Iterator[Span]:
    for found in _SPAN.finditer(line):
        if (inside := found["strong"]) is not None:
            yield Span("strong", plain_text(inside))
        elif (inside := found["em"]) is not None:
            yield Span("em", plain_text(inside))
        elif (inside := found["code"]) is not None:
            # A fence of several ticks stands around a tick, and a space on either side keeps the two apart.
            yield Span("code", inside[1:-1] if len(found["ticks"]) > 1 and inside[0] == inside[-1] == " " else inside)
        else:
            letter = chr(int(found["entity"])) if found["entity"] else None
            yield Span("", letter or found["escaped"] or found["plain"])
