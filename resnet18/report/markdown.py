"""Write a document, or what a check found, as markdown. Text is escaped here and nowhere else."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tabulate import tabulate

from resnet18.gate.check import Finding, exit_code_of
from resnet18.report import document as doc
from resnet18.report.document import Code, Line, Section, Strong
from resnet18.report.verdicts import decisive, evidence_of, was_judged
from resnet18.spec.errors import plain
from resnet18.tables.cells import Column, Table, Text

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~&$])")
_BLOCK = re.compile(r"^(?:#{1,6}(?=\s|$)|[-+](?=\s|$)|-[-\s]*$|=+\s*$)")
_NUMBERED = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")
_BARE_LINK = re.compile(r"\b(www)\.", re.IGNORECASE)


def write_markdown(document: doc.Document, page: str) -> str:
    """Return a document as markdown, for the folder's page on a code forge; it links the web page beside it."""
    head, body = f"# {escape_inline(document.title)}", (*document.sections, *document.leftovers)
    link = f"To compare curves, filter verdicts and look up where runs come from, open [{page}]({page})."
    return "\n\n".join([head, blocks_text(document.intro), link, blocks_text(body)]) + "\n"


def blocks_text(blocks: Iterable[doc.Block], depth: int = 2) -> str:
    """Return blocks as markdown, an empty line between them; sections have headings of this depth."""
    return "\n\n".join(text for block in blocks for text in WRITERS[type(block)](block, depth))


def _section(section: Section, depth: int) -> Iterator[str]:
    title = escape_inline(section.title)
    yield f"<details><summary>{title}</summary>" if section.is_folded else f"{'#' * depth} {title}"
    yield blocks_text(section.blocks, depth + 1)
    if section.is_folded:
        yield "</details>"


def _judgement(judgement: doc.Judgement, depth: int) -> list[str]:
    sections = [Section(f"Summary: {judgement.report}", judgement.summary)]
    if was_judged(judgement.verdicts):
        rows = ((one.claim.id, one.claim.says, one.here, decisive(one)) for one in judgement.verdicts)
        shown = text_table(("id", "claim", "verdict", "evidence"), rows)
        sections.append(Section(f"Verdicts: {judgement.report}", (shown, judgement.note)))
    return [blocks_text(sections, depth)]


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


WRITERS: dict[type[Any], Callable[[Any, int], Iterable[str]]] = {
    Line: lambda block, _: [_line(block)],
    doc.Items: lambda block, _: ["\n".join(f"- {_line(item)}" for item in block)],
    Table: lambda block, _: [table(block)],
    doc.Figure: lambda block, _: [f"![{escape_inline(block.alt)}](figures/{block.file})"],
    doc.Claims: lambda block, _: ["\n".join(_claims(block))],
    doc.Judgement: _judgement,
    Section: _section,
}


def _line(line: Line) -> str:
    first, *others = line
    return "".join([escape(first) if type(first) is str else _inline(first), *map(_inline, others)])


def _inline(part: str) -> str:
    if isinstance(part, Code):
        return code(part)
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
