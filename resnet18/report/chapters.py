"""Chapters: what the records of one part of a study, or of one request, say of each report."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import count
from typing import NamedTuple

from resnet18.judge.hypotheses import candidate_records
from resnet18.judge.verdict import Verdict, judge
from resnet18.records.record import Record
from resnet18.report.document import READING
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.claim import MetricCheck
from resnet18.spec.metric import quantity_of
from resnet18.spec.plan import EVERY_DEVICE, Part
from resnet18.spec.resolve import DEVICE_OPTION, Request
from resnet18.tables.selection import Selection, select, selections_by_request

Verdicts = dict[str, tuple[Verdict, ...]]
"""By report: the claims of one report are judged together."""


class Chapter(NamedTuple):
    """What the records of one request say."""

    title: str
    slug: str
    """The title in addresses: letters, digits and hyphens; no other chapter has it."""
    request: Request
    selections: tuple[Selection, ...]
    verdicts: Verdicts
    planned: frozenset[str] | None = None
    """`benchmark/case` of what the part of a study runs; None: everything."""
    is_timed: bool = True
    """Whether its times count."""

    @property
    def shown(self) -> tuple[Selection, ...]:
        """The tables of which half the cases that it runs are recorded, or one ended without a result."""
        own = ((table, self.planned_of(table)) for table in self.selections)
        return tuple(table for table, planned in own if planned.cases and planned.has_to_be_shown)

    def planned_of(self, table: Selection) -> Selection:
        """Return a table with the cases that it runs."""
        name, planned = table.benchmark.name, self.planned
        cases = (case for case in table.cases if planned is None or f"{name}/{case.name}" in planned)
        return replace(table, cases=tuple(cases))


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
    """Return a chapter for each part of a study with records, then for each request of other runs.

    Requests with verdicts come first; smoke runs, which only show that everything works, come last.
    """
    slugs = {READING}
    chapters = list(_of_parts(parts, benchmarks, records, slugs))
    shown = {record.run_id for chapter in chapters for table in chapter.selections for record in table.records}
    others = []
    for request, found in selections_by_request(benchmarks, records):
        tables = tuple(table for table in found if any(record.run_id not in shown for record in table.records))
        if tables:
            title = request.described[:1].upper() + request.described[1:]
            verdicts = _verdicts(benchmarks, tables, request)
            others.append(Chapter(title, _slug(title, slugs), request, tables, verdicts))
    others.sort(key=lambda chapter: not any(map(was_judged, chapter.verdicts.values())))
    return sorted([*chapters, *others], key=lambda chapter: chapter.request.scale == "smoke")


def _of_parts(
    parts: Sequence[Part], benchmarks: Collection[Benchmark], records: Collection[Record], slugs: set[str]
) -> Iterator[Chapter]:
    """Yield the parts with records. Parts with one request are judged together: they may share runs."""
    chapters = [_of_part(part, benchmarks, records) for part in parts]
    together = defaultdict[Request, dict[str, Selection]](dict)
    for chapter in chapters:
        together[chapter.request] |= {table.benchmark.name: table for table in chapter.selections}
    judged = {request: _verdicts(benchmarks, [*tables.values()], request) for request, tables in together.items()}
    for part, chapter in zip(parts, chapters, strict=True):
        tables, request = chapter.selections, chapter.request
        has_candidates = part.hypotheses and any(any(candidate_records(one, request, records)) for one in tables)
        if chapter.shown or has_candidates:
            verdicts = judged[request] if any(chapter.planned_of(table).cases for table in tables) else {}
            yield chapter._replace(slug=_slug(part.title, slugs), verdicts=verdicts)


def _of_part(part: Part, benchmarks: Collection[Benchmark], records: Collection[Record]) -> Chapter:
    """Return the tables of a part, not yet judged."""
    request = _asked(part, records)
    planned = frozenset(label for run in part.plan(EVERY_DEVICE, seeds=1).runs for label in run.labels)
    names = {label.partition("/")[0] for label in planned}
    tables = tuple(table for table in select(benchmarks, request, records) if table.benchmark.name in names)
    return Chapter(part.title, "", request, tables, {}, planned, part.times)


def _asked(part: Part, records: Collection[Record]) -> Request:
    """Return the request of a part's records: its own, or the same with a `--device`, whichever has more of them."""
    own, found = part.request, Counter[Request]()
    for record in records:
        asked = Request(record.scale, record.spec.experiment.data, record.spec.overrides)
        others = tuple(option for option in asked.overrides if not option.startswith(DEVICE_OPTION))
        if replace(asked, overrides=others) == own:
            found[asked] += 1
    return max(found, key=lambda request: (found[request], request == own), default=own)


def _slug(title: str, slugs: set[str]) -> str:
    """Return a title in addresses, and remember it; titles that are alike in letters and digits get a number."""
    plain = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:60].strip("-") or "part"
    found = next(name for at in count(1) if (name := plain if at == 1 else f"{plain}-{at}") not in slugs)
    slugs.add(found)
    return found


def _verdicts(benchmarks: Collection[Benchmark], selections: Sequence[Selection], request: Request) -> Verdicts:
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


def best_verdicts(chapters: Sequence[Chapter], report: str) -> list[Best]:
    """Return every claim of a report with the first chapter, in order of worth, that could decide it, unconfounded."""
    by_claim: dict[str, list[tuple[Chapter, Verdict]]] = {}
    for chapter in chapters:
        for verdict in chapter.verdicts.get(report, ()):
            by_claim.setdefault(verdict.claim.id, []).append((chapter, verdict))
    ranked = [sorted(found, key=_rank) for found in by_claim.values()]  # stable: otherwise in the order of worth
    return [Best(*first, tuple(_others(first[1], rest))) for first, *rest in ranked]


def _others(shown: Verdict, rest: Sequence[tuple[Chapter, Verdict]]) -> Iterator[tuple[Chapter, Verdict]]:
    """Yield what other chapters that have the claim's table say, each verdict once."""
    seen = {id(shown)}
    for chapter, verdict in rest:
        has_table = any(table.benchmark == verdict.benchmark for table in chapter.selections)
        if has_table and verdict.here != "not run" and id(verdict) not in seen:
            seen.add(id(verdict))
            yield chapter, verdict


def _rank(found: tuple[Chapter, Verdict]) -> tuple[int, bool]:
    """Return what orders the verdicts on a claim: those that could decide it, those that are confounded, the others.

    Of claims about times, parts whose times count come first.
    """
    chapter, verdict = found
    checks = [check for check in verdict.claim.checks if isinstance(check, MetricCheck)]
    has_other_times = not chapter.is_timed and any(quantity_of(check.metric) == "seconds" for check in checks)
    rank = {"not judgeable": 3, "not run": 4}.get(verdict.here, 0)
    if verdict.here == "inconclusive" and not verdict.comparisons:
        rank = 2
    elif rank == 0 and "confounded" in verdict.of_report:
        rank = 1
    elif verdict.here == "not run" and {reason.code for reason in verdict.reasons} <= {"no_records"}:
        rank = 5
    return rank, has_other_times


def best_tables(chapters: Sequence[Chapter], report: str) -> list[tuple[Chapter, Selection]]:
    """Return each table of a report in the first chapter, in order of worth, that has half of its cases, or some."""
    shown = [(chapter, selection) for chapter in chapters for selection in chapter.shown]
    best: dict[str, tuple[Chapter, Selection]] = {}
    for chapter, selection in sorted(shown, key=lambda pair: not pair[1].is_half_recorded):
        if selection.benchmark.report == report:
            best.setdefault(selection.benchmark.name, (chapter, selection))
    return sorted(best.values(), key=lambda pair: (pair[1].benchmark.source, pair[1].benchmark.name))
