"""The first minute of a report: how the statements stand, which fell, which held, and what would settle the rest."""

import shlex
from collections.abc import Sequence
from math import inf

import pandas as pd

from resnet18.judge.verdict import Verdict, Word
from resnet18.report.heading import as_argument, options_of
from resnet18.report.reasons import reasons_text
from resnet18.report.wording import decisive, outlook
from resnet18.spec.resolve import Request
from resnet18.spec.scale import FEWEST_SEEDS, TESTED_AT
from resnet18.tables.markdown import code, escape, table
from resnet18.tables.statistics import ALPHA

SOME_MISSING = "some of their cases have no records"
WORDS: tuple[Word, ...] = ("supported", "contradicted", "inconclusive", "not run")


def summary(report: str, verdicts: Sequence[Verdict], request: Request) -> str:
    """Return the count of verdicts and a line for each statement that is settled.

    Args:
        report: its name.
        verdicts: of all its claims.
        request: data, size and scale that the verdicts hold for.
    """
    if not verdicts:
        return ""
    by_word = {word: [one for one in verdicts if one.word == word] for word in WORDS}
    counts = ", ".join(f"{len(found)} {word}" for word, found in by_word.items())
    statements = f"{len(verdicts)} {'statement' if len(verdicts) == 1 else 'statements'}"
    lines = [f"Of {statements} of {escape(report)}: **{counts}** ({escape(request.described)}).", ""]
    for word in ("contradicted", "supported"):
        lines += [
            f"- **{one.claim.id} {word}** ({escape(one.claim.says)}): {escape(decisive(one))}." for one in by_word[word]
        ]
    lines += _inconclusive(by_word["inconclusive"])
    lines += _without_numbers(by_word["not run"], "Not run", briefly=len(by_word["not run"]) < len(verdicts))
    lines += _to_go_on(by_word["inconclusive"], request)
    return "\n".join([*lines, ""])


def _inconclusive(verdicts: Sequence[Verdict]) -> list[str]:
    """Return lines of what is open: what seeds would settle, what none would support, and what waits for records."""
    lines = []
    within = [one for one in verdicts if not one.out_of_reach]
    if open_ones := [one for one in within if one.is_open]:
        text = ", ".join(f"{one.claim.id} ({outlook(one)})" for one in sorted(open_ones, key=_cost))
        lines.append(f"- Inconclusive, nearest to settled first: {escape(text)}.")
    if beyond := [one for one in verdicts if one.out_of_reach]:
        text = ", ".join(
            f"{one.claim.id} ({'; '.join(filter(None, (reasons_text(one.out_of_reach), outlook(one))))})"
            for one in beyond
        )
        lines.append(f"- Inconclusive, and not to be supported by more runs like these: {escape(text)}.")
    return lines + _without_numbers([one for one in within if not one.is_open], "Inconclusive")


def _to_go_on(inconclusive: Sequence[Verdict], request: Request) -> list[str]:
    """Return a line with the command that brings the claims that are nearest to settled to their next look, if any."""
    wanted = [(one, _next_look(one)) for one in inconclusive]
    look = min((seeds for _, seeds in wanted if seeds is not None), default=None)
    if look is None:
        return []
    nearest = [one for one, seeds in wanted if seeds == look]
    names = dict.fromkeys(as_argument(one.benchmark) for one in nearest)
    words = [*names, "--scale", request.scale, "--seeds", str(look)]
    outcome = "is likely to settle the nearest" if any(one.deciding for one in nearest) else "allows a first look"
    return [f"- {code(f'resnet18 run {shlex.join(words)}{options_of(request)}')} {outcome}."]


def _next_look(verdict: Verdict) -> int | None:
    """Return the seeds that a claim waits for, None where no look is left that would settle it."""
    if verdict.deciding is None:
        return FEWEST_SEEDS if any(reason.code == "few_seeds" for reason in verdict.reasons) else None
    seeds = verdict.deciding.seeds
    return seeds if seeds is not None and seeds <= max(TESTED_AT) else None


def _cost(verdict: Verdict) -> float:
    return verdict.deciding.cost if verdict.deciding else inf


def _without_numbers(verdicts: Sequence[Verdict], head: str, *, briefly: bool = False) -> list[str]:
    """Return a line for each reason, with the claims that it holds back.

    Briefly: several reasons that name missing cases share one, as far as the table of verdicts names them.
    """
    several = briefly and len({one.reasons for one in verdicts if _lacks_cases(one)}) > 1
    by_reason: dict[str, list[str]] = {}
    for one in verdicts:
        reason = SOME_MISSING if several and _lacks_cases(one) else reasons_text(one.reasons)
        by_reason.setdefault(reason, []).append(one.claim.id)
    return [f"- {head}: {escape(', '.join(ids))} ({escape(reason)})." for reason, ids in by_reason.items()]


def _lacks_cases(verdict: Verdict) -> bool:
    return {reason.code for reason in verdict.reasons} == {"no_records_of_case"}


def verdict_table(verdicts: Sequence[Verdict]) -> str:
    """Return the table of all verdicts, in the order in which the report makes its statements."""
    if not verdicts:
        return ""
    rows = [
        {
            "claim": one.claim.id,
            "statement": one.claim.says,
            "verdict": one.word,
            "what the records say": decisive(one),
        }
        for one in verdicts
    ]
    return "\n".join([table(pd.DataFrame(rows)), "", note_on(verdicts), ""])


def note_on(verdicts: Sequence[Verdict]) -> str:
    """Return how sure verdicts are, and what their brackets mean, as markdown."""
    looks = ", ".join(str(n) for n in TESTED_AT)
    return (
        "The chance that any verdict of this table, of support or of contradiction, is wrong is at most "
        f"{100 * ALPHA:g} %: Holm's procedure over all {len(verdicts)} claims, with looks at {looks} seeds and at no "
        "other number. Brackets are 95 % intervals of one comparison alone, without that correction: an interval can "
        "leave out what its verdict leaves open. *Not run*: records are missing, or do not bear on the claim. "
        "docs/methodology.md says how verdicts are reached."
    )
