"""The first minute of a report: how the statements stand, which fell, which held, and what would settle the rest."""

from collections.abc import Sequence

import pandas as pd

from resnet18.analysis.markdown import escape, table
from resnet18.analysis.statistics import ALPHA, LOOKS
from resnet18.analysis.verdict import Verdict, Word, seeds_text
from resnet18.analysis.wording import decisive

WORDS: tuple[Word, ...] = ("supported", "contradicted", "inconclusive", "not run")


def summary(verdicts: Sequence[Verdict], terms: str) -> str:
    """Return the count of verdicts and a line for each statement that is settled.

    Args:
        verdicts: of all claims of one report.
        terms: data, size and scale that the verdicts hold for.
    """
    if not verdicts:
        return ""
    by_word = {word: [one for one in verdicts if one.word == word] for word in WORDS}
    counts = ", ".join(f"{len(found)} {word}" for word, found in by_word.items())
    lines = [f"Of {len(verdicts)} statements of the report: **{counts}** ({escape(terms)}).", ""]
    for word in ("contradicted", "supported"):
        lines += [
            f"- **{one.claim.id} {word}** ({escape(one.claim.says)}): {escape(decisive(one))}." for one in by_word[word]
        ]
    open_ones = [one for one in by_word["inconclusive"] if one.is_open]
    if open_ones:
        text = ", ".join(f"{one.claim.id} ({seeds_text(one.seeds)})" for one in sorted(open_ones, key=_closeness))
        lines.append(f"- Inconclusive, nearest to settled first: {escape(text)}.")
    lines += _without_numbers([one for one in by_word["inconclusive"] if not one.is_open], "Inconclusive")
    lines += _without_numbers(by_word["not run"], "Not run")
    return "\n".join([*lines, ""])


def _closeness(verdict: Verdict) -> tuple[bool, int]:
    return verdict.seeds is None, verdict.seeds or 0


def _without_numbers(verdicts: Sequence[Verdict], head: str) -> list[str]:
    """Return a line for each reason, with the claims that it holds back."""
    by_reason: dict[str, list[str]] = {}
    for one in verdicts:
        by_reason.setdefault(one.reason, []).append(one.claim.id)
    return [f"- {head}: {escape(', '.join(ids))} ({escape(reason)})." for reason, ids in by_reason.items()]


def verdict_table(verdicts: Sequence[Verdict]) -> str:
    """Return the table of all verdicts, in the order in which the report makes its statements."""
    if not verdicts:
        return ""
    rows = [
        {
            "claim": one.claim.id,
            "the report says": one.claim.says,
            "verdict": one.word,
            "what the records say": decisive(one),
        }
        for one in verdicts
    ]
    looks = ", ".join(str(n) for n in LOOKS)
    note = (
        "The chance that any verdict here, of support or of contradiction, is wrong is at most "
        f"{100 * ALPHA:g} %: Holm's procedure over all {len(verdicts)} claims, with looks at {looks} seeds and at no "
        "other number. Brackets are 95 % intervals of one comparison alone. docs/methodology.md says how verdicts are "
        "reached."
    )
    return "\n".join([table(pd.DataFrame(rows)), "", note, ""])
