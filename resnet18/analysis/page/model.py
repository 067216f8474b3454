"""What the page shows, as plain values: texts, tables and figures in the order in which the template prints them."""

from dataclasses import dataclass

from resnet18.analysis.page.blocks import Block
from resnet18.analysis.page.curves import CurveData
from resnet18.analysis.page.grid import Grid
from resnet18.analysis.page.pictures import FigureShown
from resnet18.analysis.page.predictions import Predictions
from resnet18.analysis.page.runs import RunList


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
    summary: tuple[Block, ...]
    verdicts: tuple[VerdictShown, ...]
    note: tuple[Block, ...]


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
    notes: tuple[Block, ...]
    verdicts: tuple[VerdictShown, ...]
    case_title: str
    cases: tuple[CaseShown, ...]
    has_chart: bool
    """Whether its curves are in the data; else its figure stands there."""
    curves: FigureShown | None
    figures: tuple[FigureShown, ...]
    assumptions: tuple[Block, ...]
    hypotheses: tuple[Block, ...]


@dataclass(frozen=True)
class ChapterShown:
    """What one request gave."""

    anchor: str
    title: str
    terms: tuple[Block, ...]
    judgements: tuple[Judgement, ...]
    tables: tuple[TableShown, ...]
    predictions: Predictions | None
    begun: tuple[Block, ...]


@dataclass(frozen=True)
class Page:
    """All of it."""

    intro: tuple[Block, ...]
    accepted: tuple[Block, ...]
    words: tuple[str, ...]
    chapters: tuple[ChapterShown, ...]
    runs: RunList
    curves: CurveData
    leftovers: tuple[Block, ...]
