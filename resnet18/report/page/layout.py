"""The page as plain values, from what the markdown report is made of, by the functions that make its texts."""

from collections.abc import Iterator, Sequence

from resnet18.judge.verdict import Verdict
from resnet18.report.contents import Chapter, Contents, begun
from resnet18.report.heading import heading
from resnet18.report.illustrations import PictureOf
from resnet18.report.overview import DASH, standings
from resnet18.report.page.blocks import plain_text
from resnet18.report.page.curves import CurveData, step_for
from resnet18.report.page.grid import grid
from resnet18.report.page.model import ChapterShown, Judgement, Page, Standing, TableShown, VerdictShown
from resnet18.report.page.pictures import FigureRoom
from resnet18.report.page.predictions import predictions_shown
from resnet18.report.page.runs import run_list
from resnet18.report.page.table_shown import Space, table_shown
from resnet18.report.summary import WORDS, note_on, summary
from resnet18.report.wording import decisive, lines_of


def lay_out(contents: Contents, intro: str, accepted: str, picture_of: PictureOf) -> Page:
    """Return the page of a report."""
    arms = [arm for chapter in contents.chapters for view in chapter.shown for arm in view.cases]
    space = Space(CurveData(step_for(arms)), FigureRoom())
    _, stated, terms = intro.split("\n\n", 2)
    stands = tuple(
        Standing(
            f"standing-{at}", title, grid("", [str(head) for head in rows.columns], rows.to_numpy().tolist()), DASH
        )
        for at, (title, rows) in enumerate(standings(contents.chapters).items(), 1)
    )
    chapters = [_chapter(at, one, space, picture_of) for at, one in enumerate(contents.chapters, 1)]
    return Page(
        (stated,),
        (terms,),
        (accepted,),
        stands,
        tuple(chapters),
        run_list(contents),
        space.curves,
        tuple(line for text in contents.leftovers for line in (text, "")),
    )


def _chapter(number: int, chapter: Chapter, space: Space, picture_of: PictureOf) -> ChapterShown:
    anchor = f"chapter-{number}"
    title, _, terms = heading(chapter.request, chapter.views).partition("\n\n")
    judgements = tuple(
        _judgement(f"{anchor}-report-{at}", name, verdicts, chapter)
        for at, (name, verdicts) in enumerate(chapter.verdicts.items(), 1)
    )
    return ChapterShown(
        anchor,
        plain_text(title.removeprefix("## ")),
        (terms,),
        judgements,
        tuple(_tables(anchor, chapter, judgements, space)),
        predictions_shown(chapter, picture_of),
        tuple(begun(chapter)),
    )


def _tables(anchor: str, chapter: Chapter, judgements: Sequence[Judgement], space: Space) -> Iterator[TableShown]:
    """Yield the tables, each with the verdicts on its claims as they stand in the list above."""
    verdicts = [one for family in chapter.verdicts.values() for one in family]
    shown = [one for judgement in judgements for one in judgement.verdicts]
    for at, view in enumerate(chapter.shown, 1):
        mine = [one for verdict, one in zip(verdicts, shown, strict=True) if verdict.benchmark == view.benchmark]
        yield table_shown(f"{anchor}-table-{at}", view, chapter, mine, space)


def _judgement(anchor: str, name: str, verdicts: Sequence[Verdict], chapter: Chapter) -> Judgement:
    found = [one.word for one in verdicts]
    return Judgement(
        anchor,
        name if len(chapter.verdicts) > 1 else "",
        tuple((word, found.count(word)) for word in WORDS),
        (summary(name, verdicts, chapter.request),),
        tuple(_verdict(f"{anchor}-claim-{at}", one) for at, one in enumerate(verdicts, 1)),
        (note_on(verdicts),),
    )


def _verdict(anchor: str, verdict: Verdict) -> VerdictShown:
    return VerdictShown(
        anchor,
        verdict.claim.id,
        verdict.word,
        verdict.claim.says,
        decisive(verdict),
        tuple(lines_of(verdict)),
        verdict.benchmark.title,
    )
