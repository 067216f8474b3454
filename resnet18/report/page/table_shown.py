"""One table of the page: cells, notes and figures as the markdown report has them, and its curves as data."""

from collections.abc import Sequence
from dataclasses import dataclass

from resnet18.judge.hypotheses import hypotheses_section
from resnet18.report.contents import Chapter
from resnet18.report.costs import memory_lines
from resnet18.report.page.curves import CurveData
from resnet18.report.page.grid import Grid, grid
from resnet18.report.page.model import CaseShown, TableShown, VerdictShown
from resnet18.report.page.pictures import FigureRoom
from resnet18.report.section import assumptions_of, notes_of, title_of
from resnet18.tables.cells import missing
from resnet18.tables.selection import CaseRecords, Selection
from resnet18.tables.tables import build_table


@dataclass(frozen=True)
class Space:
    """Where a table's curves and figures go: a page of thousands of runs must still open."""

    curves: CurveData
    figures: FigureRoom


def table_shown(
    anchor: str,
    view: Selection,
    chapter: Chapter,
    verdicts: Sequence[VerdictShown],
    space: Space,
) -> TableShown:
    """Return one table with everything beside it, and add its curves to the page's.

    Args:
        anchor: under which links find it.
        view: the table's benchmark with its records.
        chapter: which it is of.
        verdicts: on its claims.
        space: what the page still has, and what of it other tables took.
    """
    request, benchmark = chapter.request, view.benchmark
    notes = notes_of(view, chapter.views, request)
    beside = memory_lines(view, request)
    # The learning curves come first among a table's figures; the page draws them itself where it has room.
    drawn = [space.figures.show(file, figure) for file, figure in chapter.figures[benchmark.name].items()]
    return TableShown(
        anchor,
        title_of(view, chapter.views),
        benchmark.question,
        f"({benchmark.source}) Measured at {request.described}.",
        _grid(view, chapter),
        (*notes, "", *beside),
        tuple(verdicts),
        benchmark.table.case_title,
        tuple(_case(arm) for arm in view.cases),
        space.curves.add(anchor, view.cases),
        drawn[0] if drawn else None,
        tuple(drawn[1:]),
        tuple(assumptions_of(view)),
        (hypotheses_section(view, request, chapter.records),),
    )


def _grid(view: Selection, chapter: Chapter) -> Grid:
    frame = build_table(view, chapter.request)
    heads, rows = [str(head) for head in frame.columns], frame.astype(str).to_numpy().tolist()
    has_cases_in_rows = view.benchmark.table.cases_in == "rows"
    caption = f"{title_of(view, chapter.views)}, at {chapter.request.described}"
    return grid(caption, heads, rows, is_sortable=has_cases_in_rows)


def _case(arm: CaseRecords) -> CaseShown:
    return CaseShown(arm.name, "" if arm.measured else missing(arm))
