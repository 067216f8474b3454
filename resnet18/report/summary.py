"""Chapters by request, and how the statements stand in each: which fell, which held, and what would settle the rest."""

import shlex
from collections.abc import Collection, Iterator, Sequence
from math import inf
from typing import NamedTuple

from resnet18.judge.reason import reasons_text
from resnet18.judge.verdict import Verdict, judge
from resnet18.records.record import Record
from resnet18.report import document as doc
from resnet18.report.document import Line, code, line, paragraph, strong
from resnet18.report.notes import options_of
from resnet18.report.wording import AT_SEEDS, VERDICTS, decisive, outlook
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.experiment import FEWEST_SEEDS, TESTED_AT
from resnet18.spec.resolve import Request
from resnet18.tables.cells import Column, Missing, Table, Text
from resnet18.tables.selection import Selection, selections_by_request
from resnet18.tables.statistics import ALPHA


class Chapter(NamedTuple):
    """What the records of one request say."""

    request: Request
    selections: tuple[Selection, ...]
    verdicts: dict[str, tuple[Verdict, ...]]
    """By report: the claims of one report are judged together."""

    @property
    def judges(self) -> bool:
        """Whether any claim has a verdict other than *not run*."""
        return any(was_judged(verdicts) for verdicts in self.verdicts.values())


def chapters_of(benchmarks: Collection[Benchmark], records: Collection[Record]) -> list[Chapter]:
    """Return a chapter for each request, those with verdicts first."""
    found = selections_by_request(benchmarks, records)
    chapters = [Chapter(request, tables, _verdicts(benchmarks, tables, request)) for request, tables in found]
    return sorted(chapters, key=lambda chapter: not chapter.judges)  # stable: otherwise in the order of requests


def was_judged(verdicts: Collection[Verdict]) -> bool:
    """Say whether any claim has a verdict other than *not run*."""
    return any(verdict.word != "not run" for verdict in verdicts)


def _verdicts(
    benchmarks: Collection[Benchmark], selections: tuple[Selection, ...], request: Request
) -> dict[str, tuple[Verdict, ...]]:
    """Return the verdicts of every report of which a table is recorded.

    A report of which no table is half recorded and no claim is judged is left out beside others: its runs are mostly
    those of another report's tables, and the list of what is begun names it.
    """
    names = dict.fromkeys(selection.benchmark.report_name for selection in selections)
    families = {name: [benchmark for benchmark in benchmarks if benchmark.report_name == name] for name in names}
    found = {name: judge(family, selections, request) for name, family in families.items()}
    shown = {selection.benchmark.report_name for selection in selections if selection.is_half_recorded}
    telling = {name: verdicts for name, verdicts in found.items() if name in shown or was_judged(verdicts)}
    return {name: verdicts for name, verdicts in (telling or found).items() if verdicts}


def command(benchmarks: Collection[Benchmark], request: Request, *options: str) -> str:
    """Return the command that runs tables: the suite's by name, a user's own by its file."""
    names = dict.fromkeys(
        f"{benchmark.name}.toml" if benchmark.report_name == benchmark.name else benchmark.name
        for benchmark in benchmarks
    )
    return f"resnet18 run {shlex.join([*names, '--scale', request.scale, *options])}{options_of(request)}"


def judgement(anchor: str, report: str, chapter: Chapter) -> doc.Judgement:
    """Return the verdicts of a chapter on one report: every statement, and how sure they are.

    The summary has their count, a line for each statement that is settled, and what would settle the others.
    """
    verdicts = chapter.verdicts[report]
    by_word = {word: [verdict for verdict in verdicts if verdict.word == word] for word in VERDICTS}
    counts = ", ".join(f"{len(found)} {word}" for word, found in by_word.items())
    of = f"Of {len(verdicts)} {'statement' if len(verdicts) == 1 else 'statements'} of {report}: "
    lines = [
        line(strong(f"{verdict.claim.id} {word}"), f" ({verdict.claim.says}): {decisive(verdict)}.")
        for word in ("contradicted", "supported")
        for verdict in by_word[word]
    ]
    lines += _inconclusive(by_word["inconclusive"])
    lines += _by_reason(by_word["not run"], "Not run", is_brief=chapter.judges)
    lines += _next_command(by_word["inconclusive"], chapter.request)
    head = paragraph(of, strong(counts), f" ({chapter.request.described}).")
    note = line(
        f"The chance that any verdict of this table, supported or contradicted, is wrong is at most {100 * ALPHA:g} %: "
        f"Holm's procedure over all {len(verdicts)} claims, which are tested at {AT_SEEDS} only. Brackets are 95 % "
        "intervals of one comparison alone, without that correction: an interval may exclude zero although the verdict "
        "is inconclusive. ",
        strong("Not run"),
        ": records are missing, or do not bear on the claim. docs/methodology.md says how verdicts are reached.",
    )
    return doc.Judgement(
        anchor,
        report if len(chapter.verdicts) > 1 else "",
        tuple(doc.Statement(f"{anchor}-claim-{at}", verdict) for at, verdict in enumerate(verdicts, 1)),
        (head, doc.Items(tuple(lines))) if lines else (head,),
        note,
    )


def _inconclusive(verdicts: Sequence[Verdict]) -> Iterator[Line]:
    """Yield lines of what is open: what seeds would settle, what none would support, and what waits for records."""
    within = [verdict for verdict in verdicts if not verdict.out_of_reach]
    if is_open := [verdict for verdict in within if verdict.is_open]:
        nearest = sorted(is_open, key=lambda verdict: verdict.deciding.cost if verdict.deciding else inf)
        text = ", ".join(f"{verdict.claim.id} ({outlook(verdict)})" for verdict in nearest)
        yield line(f"Inconclusive, nearest to settled first: {text}.")
    if beyond := [verdict for verdict in verdicts if verdict.out_of_reach]:
        reasons = (
            f"{verdict.claim.id} ({'; '.join(filter(None, (reasons_text(verdict.out_of_reach), outlook(verdict))))})"
            for verdict in beyond
        )
        yield line(f"Inconclusive, and more seeds cannot support it: {', '.join(reasons)}.")
    yield from _by_reason([verdict for verdict in within if not verdict.is_open], "Inconclusive", is_brief=False)


def _by_reason(verdicts: Sequence[Verdict], head: str, *, is_brief: bool) -> Iterator[Line]:
    """Yield a line for each reason, with the claims that it holds back.

    Briefly: claims that lack cases and nothing else share a line; the table of verdicts names the cases.
    """
    lacking = {
        verdict.reasons for verdict in verdicts if {reason.code for reason in verdict.reasons} == {"no_records_of_case"}
    }
    by_reason: dict[str, list[str]] = {}
    for verdict in verdicts:
        is_shared = is_brief and len(lacking) > 1 and verdict.reasons in lacking
        reason = "some of their cases have no records" if is_shared else reasons_text(verdict.reasons)
        by_reason.setdefault(reason, []).append(verdict.claim.id)
    for reason, ids in by_reason.items():
        yield line(f"{head}: {', '.join(ids)} ({reason}).")


def _next_command(inconclusive: Sequence[Verdict], request: Request) -> Iterator[Line]:
    """Yield the command that brings the claims that are nearest to settled to the next number of seeds, if any."""
    wanted = [(verdict, seeds) for verdict in inconclusive if (seeds := _next_seeds(verdict)) is not None]
    fewest = min((seeds for _, seeds in wanted), default=0)
    nearest = [verdict for verdict, seeds in wanted if seeds == fewest]
    if nearest:
        will_settle = any(verdict.deciding for verdict in nearest)
        outcome = "is likely to settle the nearest" if will_settle else "allows a first test"
        typed = command([verdict.benchmark for verdict in nearest], request, "--seeds", str(fewest))
        yield line(code(typed), f" {outcome}.")


def _next_seeds(verdict: Verdict) -> int | None:
    """Return the seeds that a claim waits for, None where no number that is tested at would settle it."""
    if verdict.deciding is None:
        return FEWEST_SEEDS if any(reason.code == "few_seeds" for reason in verdict.reasons) else None
    seeds = verdict.deciding.seeds
    return seeds if seeds is not None and seeds <= max(TESTED_AT) else None


def standings(chapters: Sequence[Chapter]) -> Iterator[doc.Section]:
    """Yield the verdicts of each report on which several requests bear: a row for each statement.

    A request bears on a report where at least one of its statements has a verdict other than *not run*, which is a
    dash here: a column bears on a few statements, and its words would be lost among those of the rest.
    """
    for at, name in enumerate(dict.fromkeys(name for chapter in chapters for name in chapter.verdicts), 1):
        families = {chapter.request.described: chapter.verdicts.get(name, ()) for chapter in chapters}
        bearing = {described: family for described, family in families.items() if was_judged(family)}
        if len(bearing) < 2:
            continue
        claims = {verdict.claim.id: verdict.claim for family in bearing.values() for verdict in family}
        words = [
            {verdict.claim.id: Text(verdict.word) for verdict in family if verdict.word != "not run"}
            for family in bearing.values()
        ]
        rows = (
            (Text(claim.id), Text(claim.says), *(by_claim.get(claim.id, Missing()) for by_claim in words))
            for claim in claims.values()
        )
        columns = (Column("claim"), Column("statement"), *(Column(described, "verdict") for described in bearing))
        note = paragraph("A dash: not run under that heading, whose chapter says why.")
        yield doc.Section(f"Where the statements stand: {name}", (Table(columns, tuple(rows)), note), f"standing-{at}")
