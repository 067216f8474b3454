"""Findings for people and for programs. Whatever comes from a file is made safe for a terminal."""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from textwrap import fill

from resnet18.audit.audit import KINDS
from resnet18.audit.finding import Finding, counted
from resnet18.audit.unchecked import Unchecked
from resnet18.spec.errors import plain

WIDTH = 110


def audit_rows(findings: Sequence[Finding]) -> list[dict[str, str]]:
    """Return flat rows with the keys `kind`, `where`, `says` and `evidence`."""
    return [asdict(finding) for finding in findings]


def audit_text(findings: Sequence[Finding], files: int, unchecked: Sequence[Unchecked] = ()) -> str:
    """Return the findings by kind, each with its evidence, how many there are in how many files, what is unchecked."""
    groups = [_group(kind, tuple(found)) for kind, found in groupby(findings, key=lambda finding: finding.kind)]
    total = counted(len(findings), "finding") if findings else "nothing found"
    parts = [*groups, f"{total} in {counted(files, 'file')}"]
    return "\n\n".join([*parts, _left_alone(unchecked)] if unchecked else parts)


def _left_alone(unchecked: Sequence[Unchecked]) -> str:
    """Return what was not checked, a line per file."""
    lines = ["not checked, as no printed number bears on it:"]
    for name, found in groupby(unchecked, key=lambda one: one.file):
        lines.append(_wrapped(f"{name}: {', '.join(f'{one.what} ({one.lacks})' for one in found)}", "  ", "    "))
    return "\n".join(lines)


def _group(kind: str, findings: Sequence[Finding]) -> str:
    lines = [f"{kind}: {KINDS[kind].explains}"]
    for finding in findings:
        lines.append(_wrapped(f"{finding.where}: {finding.says}", "  ", "    "))
        lines.append(_wrapped(finding.evidence, "      ", "      "))
    return "\n".join(lines)


def _wrapped(text: str, first: str, later: str) -> str:
    safe = plain(text)
    return fill(
        safe, WIDTH, initial_indent=first, subsequent_indent=later, break_long_words=False, break_on_hyphens=False
    )
