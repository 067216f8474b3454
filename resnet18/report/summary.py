"""The first minute of a report: how the statements stand, which fell, which held, and what would settle the rest."""

import shlex
from collections.abc import Iterator, Sequence
from math import inf

from resnet18.judge.verdict import Verdict
from resnet18.report.contents import Chapter, as_argument, options_of, was_judged
from resnet18.report.document import (
    WORDS,
    Block,
    Items,
    Judgement,
    Line,
    Paragraph,
    Section,
    Span,
    Statement,
    code,
    line,
    strong,
)
from resnet18.report.reasons import reasons_text
from resnet18.report.wording import AT_SEEDS, decisive, evidence_of, outlook
from resnet18.spec.experiment import FEWEST_SEEDS, TESTED_AT
from resnet18.tables.cells import Column, Missing, Table, Text
from resnet18.tables.statistics import ALPHA

SOME_MISSING = "some of their cases have no records"


def judgement(anchor: str, report: str, chapter: Chapter) -> Judgement:
    """Return the verdicts of a chapter on one report: a summary, every statement, and how sure they are."""
    verdicts = chapter.verdicts[report]
    statements = tuple(
        Statement(
            f"{anchor}-claim-{at}",
            verdict.claim.id,
            verdict.word,
            verdict.claim.says,
            decisive(verdict),
            tuple(evidence_of(verdict)),
            verdict.benchmark.title,
        )
        for at, verdict in enumerate(verdicts, 1)
    )
    name = report if len(chapter.verdicts) > 1 else ""
    return Judgement(anchor, name, statements, summary(report, chapter), _note(len(verdicts)))


def summary(report: str, chapter: Chapter) -> tuple[Block, ...]:
    """Return the count of verdicts, a line for each statement that is settled, and what would settle the others."""
    verdicts = chapter.verdicts[report]
    by_word = {word: [verdict for verdict in verdicts if verdict.word == word] for word in WORDS}
    counts = ", ".join(f"{len(found)} {word}" for word, found in by_word.items())
    statements = f"{len(verdicts)} {'statement' if len(verdicts) == 1 else 'statements'}"
    head = line(f"Of {statements} of {report}: ", strong(counts), f" ({chapter.request.described}).")
    settled = (
        line(strong(f"{verdict.claim.id} {word}"), f" ({verdict.claim.says}): {decisive(verdict)}.")
        for word in ("contradicted", "supported")
        for verdict in by_word[word]
    )
    lines = [
        *settled,
        *_inconclusive(by_word["inconclusive"]),
        *_by_reason(by_word["not run"], "Not run", is_brief=chapter.judges),
        *_next_command(by_word["inconclusive"], chapter),
    ]
    return (Paragraph(head), Items(tuple(lines))) if lines else (Paragraph(head),)


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
    is_brief = is_brief and len({verdict.reasons for verdict in verdicts if _lacks_cases(verdict)}) > 1
    by_reason: dict[str, list[str]] = {}
    for verdict in verdicts:
        reason = SOME_MISSING if is_brief and _lacks_cases(verdict) else reasons_text(verdict.reasons)
        by_reason.setdefault(reason, []).append(verdict.claim.id)
    for reason, ids in by_reason.items():
        yield line(f"{head}: {', '.join(ids)} ({reason}).")


def _lacks_cases(verdict: Verdict) -> bool:
    return {reason.code for reason in verdict.reasons} == {"no_records_of_case"}


def _next_command(inconclusive: Sequence[Verdict], chapter: Chapter) -> Iterator[Line]:
    """Yield the command that brings the claims that are nearest to settled to the next number of seeds, if any."""
    wanted = [(verdict, seeds) for verdict in inconclusive if (seeds := _next_seeds(verdict)) is not None]
    if not wanted:
        return
    fewest = min(seeds for _, seeds in wanted)
    nearest = [verdict for verdict, seeds in wanted if seeds == fewest]
    names = dict.fromkeys(as_argument(verdict.benchmark) for verdict in nearest)
    words = shlex.join([*names, "--scale", chapter.request.scale, "--seeds", str(fewest)])
    outcome = (
        "is likely to settle the nearest" if any(verdict.deciding for verdict in nearest) else "allows a first test"
    )
    yield line(code(f"resnet18 run {words}{options_of(chapter.request)}"), f" {outcome}.")


def _next_seeds(verdict: Verdict) -> int | None:
    """Return the seeds that a claim waits for, None where no number that is tested at would settle it."""
    if verdict.deciding is None:
        return FEWEST_SEEDS if any(reason.code == "few_seeds" for reason in verdict.reasons) else None
    seeds = verdict.deciding.seeds
    return seeds if seeds is not None and seeds <= max(TESTED_AT) else None


def _note(claims: int) -> Line:
    """Return how sure verdicts are, and what their brackets mean."""
    return line(
        f"The chance that any verdict of this table, supported or contradicted, is wrong is at most {100 * ALPHA:g} %: "
        f"Holm's procedure over all {claims} claims, which are tested at {AT_SEEDS} only. Brackets are 95 % "
        "intervals of one comparison alone, without that correction: an interval may exclude zero although the verdict "
        "is inconclusive. ",
        Span("Not run", "em"),
        ": records are missing, or do not bear on the claim. docs/methodology.md says how verdicts are reached.",
    )


def standings(chapters: Sequence[Chapter]) -> Iterator[Section]:
    """Yield the verdicts of each report on which several requests bear: a row for each statement.

    A request bears on a report where at least one of its statements has a verdict other than *not run*, which is a
    dash here: a column bears on a few statements, and its words would be lost among those of the rest.
    """
    for at, name in enumerate(dict.fromkeys(name for chapter in chapters for name in chapter.verdicts), 1):
        families = {chapter.request.described: chapter.verdicts.get(name, ()) for chapter in chapters}
        bearing = {described: family for described, family in families.items() if was_judged(family)}
        if len(bearing) < 2:
            continue
        words = [
            {verdict.claim.id: verdict.word for verdict in family if verdict.word != "not run"}
            for family in bearing.values()
        ]
        claims = {verdict.claim.id: verdict.claim for family in bearing.values() for verdict in family}
        rows = tuple(
            (
                Text(name),
                Text(claim.says),
                *(Text(by_claim[name]) if name in by_claim else Missing() for by_claim in words),
            )
            for name, claim in claims.items()
        )
        columns = (Column("claim"), Column("statement"), *(Column(described, "verdict") for described in bearing))
        note = Paragraph(line("A dash: not run under that heading, whose chapter says why."))
        yield Section(f"Where the statements stand: {name}", (Table(columns, rows), note), f"standing-{at}")
