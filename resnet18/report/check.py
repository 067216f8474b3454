"""A check as markdown: what was found first, then everything that was looked at."""

from resnet18.gate.check import Check
from resnet18.report.document import Block, Paragraph, line, strong
from resnet18.report.markdown import blocks_text
from resnet18.tables.cells import Column, Table, Text

FOUND = {
    0: line("No regression found."),
    1: line(strong("Regression.")),
    3: line(strong("Not everything was measured"), ", so that nothing passes."),
}
ORDER = ("regression", "missing", "ok", "not compared")


def check_text(check: Check, head: str, baseline: str, rate: float) -> str:
    """Return the page of a check.

    Args:
        check: what was found.
        head: what is judged, in words.
        baseline: what it is judged by, in words.
        rate: of false alarms, over all metrics.
    """
    findings = sorted(check.findings, key=lambda finding: ORDER.index(finding.verdict))
    verdicts = [finding.verdict for finding in findings]
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts))
    columns = tuple(Column(title) for title in ("case", "metric", "verdict", "what was found"))
    rows = ((finding.case, finding.metric, finding.verdict, finding.says) for finding in findings)
    blocks: tuple[Block, ...] = (
        Paragraph((*FOUND[check.exit_code], *line(f" {counts}. False alarms: at most {100 * rate:g} % of checks."))),
        Paragraph(line(f"{head}, judged by {baseline}.")),
        Table(columns, tuple(tuple(map(Text, row)) for row in rows)),
    )
    return blocks_text(blocks)
