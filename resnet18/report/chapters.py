"""Chapters: what the records of one part of a study, or of one request, say of each report."""

import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from resnet18.judge.verdict import Verdict, judge
from resnet18.records.record import Record
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.plan import Part
from resnet18.spec.resolve import Request
from resnet18.tables.selection import Selection, select, selections_by_request


class Chapter(NamedTuple):
    """What the records of one request say."""

    title: str
    request: Request
    selections: tuple[Selection, ...]
    verdicts: dict[str, tuple[Verdict, ...]]
    """By report: the claims of one report are judged together."""

    @property
    def slug(self) -> str:
        """The title in addresses: letters, digits and hyphens."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")[:80]

    @property
    def shown(self) -> tuple[Selection, ...]:
        """The tables of which half the cases are recorded."""
        return tuple(selection for selection in self.selections if selection.is_half_recorded)


class Best(NamedTuple):
    """A claim with the chapter that says most of it, and the others that say something."""

    chapter: Chapter
    verdict: Verdict
    others: tuple[tuple[Chapter, Verdict], ...]


def was_judged(verdicts: Collection[Verdict]) -> bool:
    """Say whether any claim has a verdict other than *not run*."""
    return any(verdict.here != "not run" for verdict in verdicts)


def chapters_of(
    benchmarks: Collection[Benchmark], records: Collection[Record], parts: Sequence[Part] = ()
) -> list[Chapter]:
    """Return a chapter for each part of a study of which a table is half recorded, then for each request of other runs.

    Requests with verdicts come first; smoke runs, which only show that everything works, come last.
    """
    chapters, shown = list[Chapter](), set[str]()
    for part in parts:
        names = {Path(name).stem for name in part.benchmarks}
        selections = [one for one in select(benchmarks, part.request, records) if one.benchmark.name in names]
        if any(selection.is_half_recorded for selection in selections):
            chapters.append(_chapter(part.title, benchmarks, selections, part.request))
            shown |= {record.run_id for selection in selections for record in selection.records}
    others = []
    for request, found in selections_by_request(benchmarks, records):
        tables = [table for table in found if any(record.run_id not in shown for record in table.records)]
        if tables:
            title = request.described[:1].upper() + request.described[1:]
            others.append(_chapter(title, benchmarks, tables, request))
    others.sort(key=lambda chapter: not any(map(was_judged, chapter.verdicts.values())))
    return sorted([*chapters, *others], key=lambda chapter: chapter.request.scale == "smoke")


def _chapter(
    title: str, benchmarks: Collection[Benchmark], selections: Sequence[Selection], request: Request
) -> Chapter:
    return Chapter(title, request, tuple(selections), _verdicts(benchmarks, selections, request))


def _verdicts(
    benchmarks: Collection[Benchmark], selections: Sequence[Selection], request: Request
) -> dict[str, tuple[Verdict, ...]]:
    """Return the verdicts of every report of which a table is recorded.

    A report of which no table is half recorded and no claim is judged is left out beside others: its runs are mostly
    those of another report's tables, and the list of what is begun names it.
    """
    found = {}
    for name in dict.fromkeys(selection.benchmark.report for selection in selections):
        family = [benchmark for benchmark in benchmarks if benchmark.report == name]
        if verdicts := judge(family, selections, request):
            found[name] = verdicts
    shown = {selection.benchmark.report for selection in selections if selection.is_half_recorded}
    return {name: verdicts for name, verdicts in found.items() if name in shown or was_judged(verdicts)} or found


def has_report(chapter: Chapter, report: str) -> bool:
    """Say whether a chapter judged a claim of a report, or shows a table of it."""
    return was_judged(chapter.verdicts.get(report, ())) or any(
        table.benchmark.report == report for table in chapter.shown
    )


def best_verdicts(chapters: Sequence[Chapter], report: str) -> Iterator[Best]:
    """Yield every claim of a report with the first chapter, in order of worth, that could decide it, unconfounded."""
    by_claim: dict[str, list[tuple[Chapter, Verdict]]] = {}
    for chapter in chapters:
        for verdict in chapter.verdicts.get(report, ()):
            by_claim.setdefault(verdict.claim.id, []).append((chapter, verdict))
    for found in by_claim.values():
        first, *rest = sorted(found, key=lambda pair: _rank(pair[1]))  # stable: otherwise in the order of worth
        yield Best(*first, tuple(pair for pair in rest if pair[1].here != "not run"))


def _rank(verdict: Verdict) -> int:
    """Return what orders the verdicts on a claim: those that could decide it, those that are confounded, the others."""
    if verdict.is_decided or verdict.comparisons:
        return 1 if "confounded" in verdict.of_report else 0
    return {"inconclusive": 2, "not judgeable": 3}.get(verdict.here, 4)


def best_tables(chapters: Sequence[Chapter], report: str) -> Iterator[tuple[Chapter, Selection]]:
    """Yield each table of a report in the first chapter, in order of worth, that has half of its cases."""
    seen = set[str]()
    for chapter in chapters:
        for selection in chapter.shown:
            benchmark = selection.benchmark
            if benchmark.report == report and benchmark.name not in seen:
                seen.add(benchmark.name)
                yield chapter, selection
