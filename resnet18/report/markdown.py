"""Write a document as markdown. Text is escaped here and nowhere else."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tabulate import tabulate

from resnet18.report.document import (
    Block,
    Claims,
    Curves,
    Details,
    Document,
    Figure,
    Items,
    Judgement,
    Line,
    Paragraph,
    Predictions,
    Section,
    Span,
)
from resnet18.spec.errors import plain
from resnet18.tables.cells import Column, Table, Text

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~&$])")
_BLOCK = re.compile(r"^(?:#{1,6}(?=\s|$)|[-+](?=\s|$)|-[-\s]*$|=+\s*$)")
_NUMBERED = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")
_BARE_LINK = re.compile(r"\b(www)\.", re.IGNORECASE)


def write_markdown(document: Document, page: str = "") -> str:
    """Return a document as markdown, for the folder's page on a code forge; it links the web page beside it."""
    link = f"To compare curves, filter verdicts and look up where runs come from, open [{page}]({page})."
    parts = [
        f"# {escape_inline(document.title)}",
        *_blocks(document.intro, 2),
        *([link] if page else []),
        *_blocks((*document.sections, *document.leftovers), 2),
    ]
    return "\n\n".join(parts) + "\n"


def blocks_text(blocks: Iterable[Block], depth: int = 1) -> str:
    """Return blocks as markdown; sections have headings of this depth."""
    return "\n\n".join(_blocks(blocks, depth))


def _blocks(blocks: Iterable[Block], depth: int) -> Iterator[str]:
    """Yield the parts that an empty line separates; sections have headings of this depth."""
    for block in blocks:
        yield from WRITERS[type(block)](block, depth)


def _section(section: Section, depth: int) -> Iterator[str]:
    yield f"{'#' * depth} {escape_inline(section.title)}"
    yield from _blocks(section.blocks, depth + 1)


def _details(details: Details, depth: int) -> Iterator[str]:
    yield f"<details><summary>{escape_inline(details.title)}</summary>"
    yield from _blocks(details.blocks, depth)
    yield "</details>"


def _figure(figure: Figure) -> str:
    return f"![{escape_inline(figure.alt)}](figures/{figure.file})"


def _judgement(judgement: Judgement, depth: int) -> Iterator[str]:
    hashes = "#" * depth
    name = f": {escape_inline(judgement.report)}" if judgement.report else ""
    yield f"{hashes} In short{name}"
    yield from _blocks(judgement.summary, depth)
    if any(statement.word != "not run" for statement in judgement.statements):
        yield f"{hashes} Verdicts{name}"
        columns = tuple(Column(title) for title in ("claim", "statement", "verdict", "what the records say"))
        rows = ((claim.id, claim.says, claim.word, claim.decisive) for claim in judgement.statements)
        yield table(Table(columns, tuple(tuple(map(Text, row)) for row in rows)))
        yield _line(judgement.note)


def _claims(claims: Claims) -> Iterator[str]:
    for statement in claims.statements:
        yield f"- **{escape_inline(statement.id)} {statement.word}**: {escape_inline(statement.says)}"
        yield from (f"  - {part.outcome}: {escape_inline(part.text)}" for part in statement.evidence)


def table(content: Table) -> str:
    """Return a pipe table. Numbers stand to the right; all cells are printed as they are: `007` is not 7."""
    rows = [[escape(cell.text) for cell in row] for row in content.rows]
    heads = [escape(column.title) for column in content.columns]
    sides = ["right" if column.kind == "number" else "left" for column in content.columns]
    return tabulate(rows, heads, tablefmt="pipe", disable_numparse=True, colalign=sides)


WRITERS: dict[type[Any], Callable[[Any, int], Iterable[str]]] = {
    Paragraph: lambda block, _: [_line(block.line)],
    Items: lambda block, _: ["\n".join(f"- {_line(item)}" for item in block.lines)],
    Table: lambda block, _: [table(block)],
    Section: _section,
    Details: _details,
    Figure: lambda block, _: [_figure(block)],
    Curves: lambda block, _: [_figure(block.figure)],
    Judgement: _judgement,
    Claims: lambda block, _: ["\n".join(_claims(block))],
    Predictions: lambda block, _: [_line(block.said), *map(_figure, block.figures)],
}


def _line(spans: Line) -> str:
    """Return a line that begins a block."""
    first, *others = spans
    return "".join([_span(first) if first.style else escape(first.text), *map(_span, others)])


def _span(span: Span) -> str:
    match span.style:
        case "code":
            return code(span.text)
        case "strong":
            return f"**{escape_inline(span.text)}**"
        case "em":
            return f"*{escape_inline(span.text)}*"
    return escape_inline(span.text)


def escape(text: str) -> str:
    """Return text that markdown prints as it is, on one line; control and direction characters are dropped.

    Neither formulas, links nor mentions of people come of it, which code forges make of bare text, nor a heading, a
    rule or a list where it begins a line.
    """
    harmless = escape_inline(text.lstrip()).lstrip()
    return _BLOCK.sub(r"\\\g<0>", _NUMBERED.sub(r"\1\\\2", harmless))


def escape_inline(text: str) -> str:
    """Return text that markdown prints as it is inside a line, at whose beginning it does not stand."""
    harmless = _SPECIAL.sub(r"\\\1", plain(text))
    return _BARE_LINK.sub(lambda found: f"{found[1]}&#46;", harmless.replace("://", "&#58;//").replace("@", "&#64;"))


def code(text: str) -> str:
    """Return text as markdown's code, on one line: its fence is longer than any row of backticks inside."""
    inside = plain(text)
    fence = "`" * (1 + max((len(ticks) for ticks in re.findall("`+", inside)), default=0))
    space = " " if "`" in inside else ""
    return f"{fence}{space}{inside}{space}{fence}"
