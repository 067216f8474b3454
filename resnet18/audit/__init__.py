"""A published report checked against itself, by its own words and numbers alone: nothing is trained."""

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import chain, groupby
from textwrap import TextWrapper

from resnet18.audit import claims, numbers
from resnet18.audit.design import confounded_factors
from resnet18.audit.reading import Finding, Reading, Unchecked, reports, words
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.errors import plain

Finder = Callable[[Sequence[Reading]], Iterable[Finding | Unchecked]]
"""Finds what is wrong with the tables of one report."""


def _each(check: Callable[[Reading], Iterable[Finding | Unchecked]]) -> Finder:
    return lambda readings: chain.from_iterable(map(check, readings))


KINDS: dict[str, tuple[Finder, str]] = {
    "arithmetic": (_each(numbers.wrong_arithmetic), "a computed number does not follow from the printed cells"),
    "scope": (_each(numbers.other_scope), "a number is stated for one metric and computed from another"),
    "ranking": (_each(claims.contradicted), "the text says what the table does not"),
    "learning rate": (_each(numbers.wrong_rates), "a printed learning rate does not follow from the schedule"),
    "same experiment": (claims.unequal_twins, "one experiment is printed with several values"),
    "same value": (claims.equal_strangers, "several experiments are printed with one value"),
    "sampling error": (_each(claims.within_sampling_error), "a difference is as small as between two random test sets"),
    "noise floor": (claims.below_noise_floor, "a difference is smaller than between two runs of the same work"),
    "confounded": (_each(confounded_factors), "effects cannot be told apart, because their factors never vary alone"),
    "best epoch": (numbers.best_on_test, "the test set chose the epoch, so the printed accuracy is too high"),
    "identity": (_each(numbers.idle_operations), "an image operation changes nothing"),
    "unread": (_each(numbers.unread_cells), "a cell is not read as a number, so nothing is checked with it"),
    "precision": (_each(numbers.uneven_precision), "numbers of one metric are printed with different digits"),
    "unit": (_each(numbers.missing_units), "numbers are printed without their unit"),
    "unstated": (numbers.unstated_values, "the numbers depend on values that the report does not state"),
}
"""In the order in which they are told: contradictions, doubtful differences, the way of measuring, the form."""


def audit(benchmarks: Collection[Benchmark]) -> tuple[list[tuple[str, Finding]], list[Unchecked]]:
    """Return what each report says against itself, by kind, and what could not be checked, by file."""
    together = reports(benchmarks)
    found = [(kind, each) for kind, (check, _) in KINDS.items() for report in together for each in check(report)]
    files = [reading.name for report in together for reading in report]
    unchecked = [each for _, each in found if isinstance(each, Unchecked)]
    findings = [(kind, each) for kind, each in found if isinstance(each, Finding)]
    return findings, sorted(unchecked, key=lambda each: files.index(each.file))


def audit_rows(findings: Sequence[tuple[str, Finding]]) -> list[dict[str, str]]:
    """Return flat rows with the keys `kind`, `where`, `says` and `evidence`."""
    rows = []
    for kind, (where, says, evidence) in findings:
        shown = "; ".join(f"{label}: {text}" for label, value in evidence.items() if (text := words(value)))
        rows.append({"kind": kind, "where": where, "says": says, "evidence": shown})
    return rows


def audit_text(findings: Sequence[tuple[str, Finding]], unchecked: Sequence[Unchecked], files: int) -> str:
    """Return the findings by kind, each with its evidence, how many there are in how many files, what is unchecked."""
    parts = []
    for kind, rows in groupby(audit_rows(findings), key=lambda row: row["kind"]):
        lines = [f"{kind}: {KINDS[kind][1]}"]
        for row in rows:
            lines += [_wrapped(f"{row['where']}: {row['says']}", 2, 4), _wrapped(row["evidence"], 6, 6)]
        parts.append("\n".join(lines))
    count = f"{len(findings)} finding{'s' * (len(findings) > 1)}" if findings else "nothing found"
    parts.append(f"{count} in {files} file{'s' * (files > 1)}")
    if unchecked:
        lines = ["not checked, because something is missing:"]
        for file, found in groupby(unchecked, key=lambda each: each.file):
            lacks = ", ".join(f"{each.label} (no {each.lacks})" for each in found)
            lines.append(_wrapped(f"{file}: {lacks}", 2, 4))
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _wrapped(text: str, first: int, later: int) -> str:
    """Return indented lines of text; whatever comes from a file is made safe for a terminal."""
    around = TextWrapper(110, " " * first, " " * later, break_long_words=False, break_on_hyphens=False)
    return around.fill(plain(text))
