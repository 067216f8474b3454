"""Write a document, or what a check found, as markdown. Text is escaped here and nowhere else."""

import html
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator

from tabulate import tabulate

from resnet18.gate.check import Finding, exit_code_of
from resnet18.report import document as doc
from resnet18.report.document import Code, Line, Link, Section, Strong
from resnet18.report.verdicts import evidence_of
from resnet18.spec.errors import visible
from resnet18.tables.cells import Column, Table, Text

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~&$])")
_BLOCK = re.compile(r"^(?:#{1,6}(?=\s|$)|[-+](?=\s|$)|-[-\s]*$|=+\s*$)")
_NUMBERED = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")
_CLOSING = re.compile(r"(?<!\S)#+\s*$")  # of a heading, where it would be left out
_BARE_LINK = re.compile(r"\b(www)\.", re.IGNORECASE)


def write_markdown(document: doc.Document, page: str) -> dict[str, str]:
    """Return a document's pages as markdown, for a code forge, by file: the answer, and a page for each part.

    The first links the web page beside it.
    """
    head = _heading(document.title, 1)
    link = f"To compare curves and look up where runs come from, open [{page}]({page})."
    parts = "\n".join(f"- {_inline(Link(part.title, part.slug))}" for part in document.parts)
    listed = f"## Parts\n\n{parts}" if parts else ""
    reading = f"## How to read it\n\n{blocks_text(document.words)}"
    texts = [head, link, blocks_text(document.answer), listed, reading, blocks_text(document.leftovers)]
    pages = {"README.md": "\n\n".join(filter(None, texts)) + "\n"}
    for part in document.parts:
        head = f"{_heading(part.title, 1)}\n\n[All parts](../README.md)"
        pages[f"parts/{part.slug}.md"] = f"{head}\n\n{blocks_text(part.blocks, root='../')}\n"
    return pages


def blocks_text(blocks: Iterable[doc.Block], depth: int = 2, root: str = "") -> str:
    """Return blocks as markdown, an empty line between them.

    Headings have this depth; `root` is the way from the page to the results folder.
    """
    return "\n\n".join(text for block in blocks for text in _texts(block, depth, root))


def _texts(block: doc.Block, depth: int, root: str) -> Iterator[str]:
    match block:
        case Line():
            yield _line(block, root)
        case doc.Items():
            yield "\n".join(f"- {_line(item, root)}" for item in block)
        case Table():
            yield from [escape(block.caption)] if block.caption else []
            yield table(block)
        case doc.Figure():
            yield f"![{escape_inline(block.alt)}]({root}figures/{block.file})"
        case doc.Claims():
            yield "\n".join(_claims(block))
        case Section(is_folded=True):
            yield f"<details><summary>{html.escape(visible(block.title))}</summary>"
            yield blocks_text(block.blocks, depth, root)
            yield "</details>"
        case Section():
            yield _heading(block.title, depth)
            yield blocks_text(block.blocks, depth + 1, root)


def _claims(claims: doc.Claims) -> Iterator[str]:
    for verdict, words in claims:
        yield f"- {_inline(Strong(f'{verdict.claim.id} {words}'))}: {escape_inline(verdict.claim.says)}"
        yield from (f"  - {outcome}: {escape_inline(text)}" for outcome, text in evidence_of(verdict))


def table(content: Table) -> str:
    """Return a pipe table. Numbers stand to the right; all cells are printed as they are: `007` is not 7."""
    rows = [[escape(cell.text) for cell in row] for row in content.rows]
    heads = [escape(column.title) for column in content.columns]
    sides = ["right" if column.kind == "number" else "left" for column in content.columns]
    return tabulate(rows, heads, tablefmt="pipe", disable_numparse=True, colalign=sides)


def _line(line: Line, root: str) -> str:
    return _at_start("".join(_inline(part, root) for part in line))


def _heading(title: str, depth: int) -> str:
    return f"{'#' * depth} " + _CLOSING.sub(r"\\\g<0>", escape_inline(title))


def _inline(part: str, root: str = "") -> str:
    match part:
        case Code():
            return code(part)
        case Link(slug=doc.READING):
            return f"[{escape_inline(part)}](#how-to-read-it)"
        case Link():
            return f"[{escape_inline(part)}]({root}parts/{part.slug}.md)"
        case Strong():
            text = escape_inline(part)
            inside = text.strip()  # beside a space, asterisks would be shown
            return text.replace(inside, f"**{inside}**", 1) if inside else ""
    return escape_inline(part)


def escape(text: str) -> str:
    """Return text that markdown prints as it is, on one line; control and direction characters are dropped.

    Neither formulas, links nor mentions of people come of it, which code forges make of bare text, nor a heading, a
    rule or a list where it begins a line.
    """
    return _at_start(escape_inline(text))


def _at_start(text: str) -> str:
    return _BLOCK.sub(r"\\\g<0>", _NUMBERED.sub(r"\1\\\2", text.lstrip()))


def escape_inline(text: str) -> str:
    """Return text that markdown prints as it is inside a line, at whose beginning it does not stand."""
    harmless = _SPECIAL.sub(r"\\\1", visible(text))
    return _BARE_LINK.sub(lambda found: f"{found[1]}&#46;", harmless.replace("://", "&#58;//").replace("@", "&#64;"))


def code(text: str) -> str:
    """Return text as markdown's code, on one line: its fence is longer than any row of backticks inside."""
    inside = visible(text)
    fence = "`" * (1 + max((len(ticks) for ticks in re.findall("`+", inside)), default=0))
    space = " " if "`" in inside else ""
    return f"{fence}{space}{inside}{space}{fence}"


FOUND = {
    0: Line("No regression found."),
    1: Line(Strong("Regression.")),
    3: Line(Strong("Something was not measured"), ", so the check does not pass."),
}
METRICS = {
    "saved_bytes": "saved bytes",
    "bits": "results to the last bit",
    "clean_accuracy": "accuracy",
    "train_s": "training time",
    "rss_peak_bytes": "peak memory",
}
ORDER = ("regression", "missing", "ok", "not compared")
CHECKED = tuple(map(Column, ("case", "metric", "verdict", "what was found")))


def check_text(found: Iterable[Finding], head: str, others: str, rate: float) -> str:
    """Return the page of a check: what was found, compared and not compared, then everything that was looked at.

    `head` and `others` say in words what is compared, `rate` is that of false alarms over all metrics.
    """
    in_order = list(found)
    findings = sorted(in_order, key=lambda finding: ORDER.index(finding.verdict))
    verdicts = [finding.verdict for finding in findings]
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts))
    compared, left = (_metrics_of(in_order, some) for some in (("regression", "ok"), ("missing", "not compared")))
    result = Line(*FOUND[exit_code_of(findings)], f" Compared: {compared}. Not compared: {left}.")
    rows = ((finding.case, finding.metric, finding.verdict, finding.says) for finding in findings)
    shown = Table(CHECKED, tuple(tuple(map(Text, row)) for row in rows))
    about = f"Records of {head}, compared with {others}: {counts}. False alarms: at most {100 * rate:g} % of checks."
    return blocks_text((result, Line(about), shown))


def _metrics_of(findings: Iterable[Finding], verdicts: Collection[str]) -> str:
    """Return which metrics of which cases have one of the verdicts."""
    metrics, cases = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for case, metric, verdict, _ in findings:
        metrics[case] += [METRICS.get(metric, metric)] if verdict in verdicts else []
    for case, names in metrics.items():
        cases[", ".join(names)].append(case)
    return "; ".join(f"{names} (of {' and '.join(of)})" for names, of in cases.items() if names) or "nothing"
