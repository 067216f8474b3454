"""Write a document, or what a check found, as markdown. Text is escaped here and nowhere else."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from tabulate import tabulate

from resnet18.gate.check import Finding, exit_code_of
from resnet18.report import document as doc
from resnet18.report.document import READING, Code, Line, Link, Section, Strong
from resnet18.report.verdicts import evidence_of
from resnet18.spec.errors import plain
from resnet18.tables.cells import Column, Table, Text

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~&$])")
_BLOCK = re.compile(r"^(?:#{1,6}(?=\s|$)|[-+](?=\s|$)|-[-\s]*$|=+\s*$)")
_NUMBERED = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")
_BARE_LINK = re.compile(r"\b(www)\.", re.IGNORECASE)


class Place(NamedTuple):
    """Where a block stands."""

    depth: int = 2
    """Of a heading there."""
    root: str = ""
    """The way from the page to the results folder."""


HEADING = "how-to-read-it"


TOP = Place()


def write_markdown(document: doc.Document, page: str) -> dict[str, str]:
    """Return a document's pages as markdown, for a code forge, by file: the answer, and a page for each part.

    The first links the web page beside it.
    """
    head = f"# {escape_inline(document.title)}"
    link = f"To compare curves and look up where runs come from, open [{page}]({page})."
    parts = "\n".join(f"- {_link(Link(part.title, part.slug), '')}" for part in document.parts)
    listed = f"## Parts\n\n{parts}" if parts else ""
    reading = f"## How to read it\n\n{blocks_text(document.words)}"
    texts = [head, link, blocks_text(document.answer), listed, reading, blocks_text(document.leftovers)]
    pages = {"README.md": "\n\n".join(filter(None, texts)) + "\n"}
    for part in document.parts:
        title, back = escape_inline(part.title), "[All parts](../README.md)"
        text = blocks_text(part.blocks, Place(root="../"))
        pages[f"parts/{part.slug}.md"] = f"# {title}\n\n{back}\n\n{text}\n"
    return pages


def blocks_text(blocks: Iterable[doc.Block], place: Place = TOP) -> str:
    """Return blocks as markdown, an empty line between them; sections have headings of this depth."""
    return "\n\n".join(text for block in blocks for text in WRITERS[type(block)](block, place))


def _section(section: Section, place: Place) -> Iterator[str]:
    title = escape_inline(section.title)
    yield f"<details><summary>{title}</summary>" if section.is_folded else f"{'#' * place.depth} {title}"
    yield blocks_text(section.blocks, place._replace(depth=place.depth + 1))
    if section.is_folded:
        yield "</details>"


def _link(link: Link, root: str) -> str:
    """Return a link to a part's page, or to a heading of the first page."""
    target = f"#{HEADING}" if link.slug == READING else f"{root}parts/{link.slug}.md"
    return f"[{escape_inline(link)}]({target})"


def _claims(claims: doc.Claims) -> Iterator[str]:
    for verdict in claims:
        yield f"- **{escape_inline(verdict.claim.id)} {verdict.here}**: {escape_inline(verdict.claim.says)}"
        yield from (f"  - {outcome}: {escape_inline(text)}" for outcome, text in evidence_of(verdict))


def text_table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    """Return a table of texts."""
    return Table(tuple(map(Column, titles)), tuple(tuple(map(Text, row)) for row in rows))


def table(content: Table) -> str:
    """Return a pipe table. Numbers stand to the right; all cells are printed as they are: `007` is not 7."""
    rows = [[escape(cell.text) for cell in row] for row in content.rows]
    heads = [escape(column.title) for column in content.columns]
    sides = ["right" if column.kind == "number" else "left" for column in content.columns]
    return tabulate(rows, heads, tablefmt="pipe", disable_numparse=True, colalign=sides)


WRITERS: dict[type[Any], Callable[[Any, Place], Iterable[str]]] = {
    Line: lambda block, place: [_line(block, place.root)],
    doc.Items: lambda block, place: ["\n".join(f"- {_line(item, place.root)}" for item in block)],
    Table: lambda block, _: [*([escape(block.caption)] if block.caption else []), table(block)],
    doc.Figure: lambda block, place: [f"![{escape_inline(block.alt)}]({place.root}figures/{block.file})"],
    doc.Claims: lambda block, _: ["\n".join(_claims(block))],
    Section: _section,
}


def _line(line: Line, root: str = "") -> str:
    first, *others = line
    begin = escape(first) if type(first) is str else _inline(first, root)
    return "".join([begin, *(_inline(part, root) for part in others)])


def _inline(part: str, root: str) -> str:
    if isinstance(part, Code):
        return code(part)
    if isinstance(part, Link):
        return _link(part, root)
    return f"**{escape_inline(part)}**" if isinstance(part, Strong) else escape_inline(part)


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


FOUND = {
    0: Line("No regression found."),
    1: Line(Strong("Regression.")),
    3: Line(Strong("Something was not measured"), ", so the check does not pass."),
}
ORDER = ("regression", "missing", "ok", "not compared")


def check_text(found: Iterable[Finding], head: str, baseline: str, rate: float) -> str:
    """Return the page of a check: what was found first, then everything that was looked at.

    `head` and `baseline` say in words what is compared, `rate` is that of false alarms over all metrics.
    """
    findings = sorted(found, key=lambda finding: ORDER.index(finding.verdict))
    verdicts = [finding.verdict for finding in findings]
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts))
    result = Line(*FOUND[exit_code_of(findings)], f" {counts}. False alarms: at most {100 * rate:g} % of checks.")
    rows = ((finding.case, finding.metric, finding.verdict, finding.says) for finding in findings)
    shown = text_table(("case", "metric", "verdict", "what was found"), rows)
    return blocks_text((result, Line(f"{head}, compared with {baseline}."), shown))
