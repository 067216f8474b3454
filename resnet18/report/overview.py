"""Where each statement stands, over all that was run: a line for each statement, a column for each request."""

from collections.abc import Sequence

import pandas as pd

from resnet18.judge.verdict import Verdict
from resnet18.report.contents import Chapter
from resnet18.tables.cells import NOTHING
from resnet18.tables.markdown import escape, table

DASH = "A dash: not run under that heading, whose chapter says why."


def standings(chapters: Sequence[Chapter]) -> dict[str, pd.DataFrame]:
    """Return, by title, the verdicts of each report on which several requests bear.

    A request bears on a report where at least one of its statements has a verdict other than *not run*, which is a
    dash here: a column bears on a few statements, and its words would be lost among those of the rest.
    """
    found = {}
    for name in dict.fromkeys(name for chapter in chapters for name in chapter.verdicts):
        families = {chapter.request.described: chapter.verdicts.get(name, ()) for chapter in chapters}
        bearing = {described: family for described, family in families.items() if _says_something(family)}
        if len(bearing) > 1:
            found[f"Where the statements stand: {name}"] = _rows(bearing)
    return found


def overview(chapters: Sequence[Chapter]) -> str:
    """Return the same as markdown; empty where no report is judged by several requests."""
    return "\n".join(f"## {escape(title)}\n\n{table(rows)}\n\n{DASH}\n" for title, rows in standings(chapters).items())


def _says_something(family: Sequence[Verdict]) -> bool:
    return any(verdict.word != "not run" for verdict in family)


def _rows(bearing: dict[str, tuple[Verdict, ...]]) -> pd.DataFrame:
    words = {
        described: {verdict.claim.id: verdict.word for verdict in family if verdict.word != "not run"}
        for described, family in bearing.items()
    }
    claims = {verdict.claim.id: verdict.claim for family in bearing.values() for verdict in family}
    rows = [
        {"claim": name, "statement": claim.says}
        | {described: by_claim.get(name, NOTHING) for described, by_claim in words.items()}
        for name, claim in claims.items()
    ]
    return pd.DataFrame(rows)
