"""What the page shows, as plain values: texts, tables and figures in the order in which the template prints them."""

from dataclasses import dataclass

from resnet18.report.page.curves import CurveData
from resnet18.report.page.grid import Grid
from resnet18.report.page.pictures import FigureShown
from resnet18.report.page.predictions import Predictions
from resnet18.report.page.runs import RunList

Markdown = tuple[str, ...]
"""Lines, or parts of several lines."""


@dataclass(frozen=True)
class VerdictShown:
    """One claim: the words of the markdown report."""

    anchor: str
    id: str
    word: str
    says: str
    decisive: str
    evidence: tuple[str, ...]
    table: str


@dataclass(frozen=True)
class Judgement:
    """The verdicts on one report's claims."""

    anchor: str
    title: str
    counts: tuple[tuple[str, int], ...]
    summary: Markdown
    verdicts: tuple[VerdictShown, ...]
    note: Markdown


@dataclass(frozen=True)
class CaseShown:
    """A case of a chart's legend."""

    name: str
    absent: str
    """Why it has no curve."""


@dataclass(frozen=True)
class TableShown:
    """One table with everything beside it."""

    anchor: str
    title: str
    question: str
    source: str
    grid: Grid
    notes: Markdown
    verdicts: tuple[VerdictShown, ...]
    case_title: str
    cases: tuple[CaseShown, ...]
    has_chart: bool
    """Whether its curves are in the data; else its figure stands there."""
    curves: FigureShown | None
    figures: tuple[FigureShown, ...]
    assumptions: Markdown
    hypotheses: Markdown


@dataclass(frozen=True)
class ChapterShown:
    """What one request gave."""

    anchor: str
    title: str
    terms: Markdown
    judgements: tuple[Judgement, ...]
    tables: tuple[TableShown, ...]
    predictions: Predictions | None
    begun: Markdown


@dataclass(frozen=True)
class Standing:
    """The verdicts on one report's claims by all requests that bear on it."""

    anchor: str
    title: str
    grid: Grid
    note: str


@dataclass(frozen=True)
class Page:
    """All of it."""

    stated: Markdown
    """What the report is about."""
    terms: Markdown
    """What its words mean."""
    accepted: Markdown
    standings: tuple[Standing, ...]
    chapters: tuple[ChapterShown, ...]
    runs: RunList
    curves: CurveData
    leftovers: Markdown
