"""A check as markdown: what was found first, then everything that was looked at."""

from resnet18.gate.finding import Finding
from resnet18.gate.judge import Check
from resnet18.tables.markdown import escape

SUMMARY = {
    0: "No regression found.",
    1: "**Regression.**",
    3: "**Not everything was measured**, so that nothing passes.",
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
    counts = ", ".join(f"{n} {verdict}" for verdict in ORDER if (n := len(_of(check, verdict))))
    lines = [
        f"{SUMMARY[check.exit_code]} {counts}. False alarms: at most {100 * rate:g} % of checks.",
        "",
        f"{escape(head)}, judged by {escape(baseline)}.",
        "",
        "| case | metric | verdict | |",
        "| --- | --- | --- | --- |",
    ]
    for verdict in ORDER:
        lines += [
            f"| {escape(one.case)} | {one.metric} | {_marked(one)} | {escape(one.says)} |"
            for one in _of(check, verdict)
        ]
    return "\n".join(lines)


def check_rows(check: Check) -> list[dict[str, str]]:
    """Return the findings as JSON rows."""
    return [
        {"case": one.case, "metric": one.metric, "verdict": one.verdict, "says": one.says} for one in check.findings
    ]


def _of(check: Check, verdict: str) -> list[Finding]:
    return [one for one in check.findings if one.verdict == verdict]


def _marked(one: Finding) -> str:
    return f"**{one.verdict}**" if one.verdict in {"regression", "missing"} else one.verdict
