"""How a report begins: what was run, what holds, what does not, what is open; then a row for each statement."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from resnet18.judge.reason import reasons_text
from resnet18.judge.samples import Reservation
from resnet18.judge.verdict import Verdict
from resnet18.report import document as doc
from resnet18.report.chapters import Best, Chapter, best_tables, best_verdicts
from resnet18.report.document import READING, Code, Figure, Items, Line, Link, Section, Strong
from resnet18.report.notes import command, notes_of
from resnet18.report.sections import figure_file
from resnet18.report.verdicts import AT_SEEDS, decisive, decisive_comparison, estimate_text, outlook, reported_text
from resnet18.spec.claim import cases_of
from resnet18.spec.experiment import CIFAR10, FEWEST_SEEDS, is_cifar10
from resnet18.tables.cells import NOTHING, Cell, Column, Table, Text
from resnet18.tables.selection import Selection, changes_of, machine
from resnet18.tables.statistics import ALPHA, Estimate
from resnet18.tables.tables import build_table

LAB = "the lab report"
PLACE = Column("where", "words")


def answer(report: str, chapters: Sequence[Chapter], figures: Mapping[str, Figure], runs: int) -> Iterator[doc.Block]:
    """Yield the answer to whether a report holds: four sentences, every statement, every table once with its figure."""
    found = list(best_verdicts(chapters, report))
    yield Items(_sentences(report, found, chapters, runs))
    if found:
        yield statements(report, found)
        yield how_sure(len(found))
        if lines := Items(_next(found)):
            yield Section("What would decide the open statements", (lines,), is_folded=True)
    for chapter, selection in best_tables(chapters, report):
        figure = figures.get(figure_file(selection.benchmark.name, chapter.request))
        found_here = (*_table(chapter, selection, chapters), *([figure] if figure else []))
        yield Section(selection.benchmark.title, found_here)


def brief_answer(report: str, chapters: Sequence[Chapter]) -> Iterator[doc.Block]:
    """Yield the statements of a report that stands beside another, and where its tables are."""
    found = list(best_verdicts(chapters, report))
    if found:
        yield statements(report, found)
    tables = [(chapter, selection) for chapter, selection in best_tables(chapters, report)]
    links = [piece for chapter, _ in tables for piece in (Link(chapter.title, chapter.slug), ", ")][:-1]
    if links:
        yield Line(f"{', '.join(selection.benchmark.title for _, selection in tables)}: ", *links, ".")


def _sentences(report: str, found: Sequence[Best], chapters: Sequence[Chapter], runs: int) -> Iterator[Line]:
    records = [record for chapter in chapters for table in chapter.selections for record in table.records]
    machines = sorted({machine(record) for record in records if record.fingerprint.numerics})
    parts = f"{len(chapters)} parts" if len(chapters) > 1 else "one part"
    yield Line(
        Strong("Run"), f": {runs} runs in {parts}, listed below, on {'; '.join(machines) or 'an unknown machine'}."
    )
    for word, head in (("supported", "Holds"), ("contradicted", "Does not hold")):
        own = [best for best in found if best.verdict.here == word]
        plain = [_named(best) for best in own if not best.verdict.of_report]
        others = [f"{_named(best)} ({said(best.verdict, best.chapter)})" for best in own if best.verdict.of_report]
        text = f", as {report} did it: {'; '.join(plain) or 'no statement'}"
        text += f". Under other conditions, which say nothing of {report} itself: {'; '.join(others)}" if others else ""
        yield Line(Strong(head), f"{text}.")
    rest = (
        f"{len(ids)} {word} ({', '.join(ids)})"
        for word in ("inconclusive", "not judgeable", "not run")
        if (ids := [best.verdict.claim.id for best in found if best.verdict.here == word])
    )
    yield Line(Strong("Open"), f" of {len(found)} statements: {'; '.join(rest) or 'none'}.")


def _named(best: Best) -> str:
    return f"{best.verdict.claim.id} {best.verdict.claim.says}"


def statements(report: str, found: Collection[Best]) -> Table:
    """Return the table of statements: what was said, what became of it, both numbers, and where they are from."""
    rows: list[tuple[Cell, ...]] = []
    for chapter, verdict, others in sorted(found, key=lambda best: best.verdict.here == "not run"):
        where = f"{verdict.benchmark.title}; {chapter.title}" if verdict.here != "not run" else verdict.benchmark.title
        decided = [f"{of.title}: {said(one, of)}" for of, one in others if one.is_decided]
        where += f" (also {'; '.join(decided)})" if decided else ""
        rows.append((*statement(verdict, chapter), Text(where)))
    return Table((*heads("tests the lab report itself?" if report == LAB else "tested as stated?"), PLACE), tuple(rows))


def statement(verdict: Verdict, chapter: Chapter | None = None) -> tuple[Cell, ...]:
    """Return what was said, what became of it, and both numbers; without a chapter the runs are not the suite's own."""
    is_elsewhere = verdict.is_decided and bool(verdict.of_report)
    claim, mark = verdict.claim, f"{verdict.here} elsewhere" if is_elsewhere else verdict.here
    tested = f" (tested: {claim.tested})" if claim.tested else ""
    texts = map(Text, (reserved(verdict), reported_text(verdict), measured_text(verdict)))
    return Text(f"{claim.id} {claim.says}{tested}"), Text(said(verdict, chapter), mark=mark), *texts


def heads(tests: str) -> tuple[Column, ...]:
    """Return the columns of `statement`; `tests` asks whether the runs did what the report did."""
    asked = Column("statement", "words"), Column("verdict"), Column(tests), Column("reported")
    return (*asked, Column("measured [95 % interval]", "words"))


def how_sure(claims: int) -> Line:
    """Return how often verdicts on so many claims are wrong, and where the words are explained."""
    text = (
        f"The chance that any “supported” or “contradicted” of one part is wrong is at most {100 * ALPHA:g} % (Holm's "
        f"procedure over {claims} statements; up to 7 % in simulations where cases scatter very unequally). Statements "
        f"are tested at {AT_SEEDS} only. Brackets are 95 % intervals of one comparison, without that correction. "
    )
    return Line(text, Link("How to read it", READING), ".")


def _next(found: Sequence[Best]) -> Iterator[Line]:
    """Yield what would decide the open statements: seeds with their command, or what they wait for."""
    wanted: dict[tuple[str, int], list[Best]] = {}
    waiting: dict[str, list[str]] = {}
    for best in found:
        verdict = best.verdict
        is_short = any(reason.code == "few_seeds" for reason in verdict.reasons)
        seeds = verdict.deciding.seeds if verdict.deciding else FEWEST_SEEDS if is_short else None
        if verdict.here == "inconclusive" and seeds:
            wanted.setdefault((best.chapter.title, seeds), []).append(best)
        elif not verdict.is_decided:
            why = reasons_text(verdict.reasons) or outlook(verdict) or NO_MORE
            waiting.setdefault(f"{verdict.here} ({why})", []).append(verdict.claim.id)
    for (_, seeds), together in wanted.items():
        ids = ", ".join(best.verdict.claim.id for best in together)
        tables = [best.verdict.benchmark for best in together]
        cases = [
            f"{best.verdict.benchmark.name}/{name}"
            for best in together
            for check in best.verdict.claim.checks
            for name in cases_of(check)
        ]
        options = [word for case in dict.fromkeys(cases) for word in ("--case", case)]
        typed = command(tables, together[0].chapter.request, "--seeds", str(seeds), *options)
        yield Line(f"{ids}: ", Code(typed), f" brings {'them' if len(together) > 1 else 'it'} to {seeds} seeds.")
    yield from (Line(f"{', '.join(ids)}: {why}.") for why, ids in waiting.items())


NO_MORE = f"ten seeds would probably not decide it, and statements are tested at {AT_SEEDS} only"


def _table(chapter: Chapter, selection: Selection, chapters: Sequence[Chapter]) -> Iterator[doc.Block]:
    """Yield a table in the report's own shape, and where else its cases were measured."""
    benchmark = selection.benchmark
    labels = sorted({record.spec.experiment.data for record in selection.measured})
    data = [f"{label} (CIFAR-10 re-encoded)" if is_cifar10(label) and label != CIFAR10 else label for label in labels]
    yield Line(f"{benchmark.question} Source: {benchmark.source}.")
    changes = [f"with {option}" for option in changes_of(chapter.request)]
    caption = f"{benchmark.title}. {chapter.title}; {', '.join([*data, *changes])}"
    yield build_table(selection, chapter.request, caption)
    if notes := Items(notes_of(selection, chapter.request, is_brief=True)):
        yield notes
    parts = [other for other in chapters if any(table.benchmark == benchmark for table in other.shown)]
    links = [piece for part in parts for piece in (Link(part.title, part.slug), ", ")][:-1]
    yield Line("Verdicts, notes and assumptions: ", *links, ".")


WHERE: dict[Reservation, str] = {
    "unknown": " here",
    "other_data": " on other data",
    "scaled_down": ", scaled down",
    "other_size": ", at another image size",
    "confounded": ", confounded",
}
"""Where a verdict holds that is none on the report, as far as a table of runs tells."""


def said(verdict: Verdict, chapter: Chapter | None = None) -> str:
    """Return a verdict in a few words: bare where it is one on the report, else with where it holds."""
    if not verdict.is_decided or not verdict.of_report:
        return verdict.here
    holds = "holds" if verdict.here == "supported" else "does not hold"
    where = WHERE if chapter is None else WHERE | _where(verdict, chapter)
    return holds + "".join(text for why, text in where.items() if why in verdict.of_report)


def _where(verdict: Verdict, chapter: Chapter) -> dict[Reservation, str]:
    request, names = chapter.request, {name for check in verdict.claim.checks for name in cases_of(check)}
    own = [table for table in chapter.selections if table.benchmark == verdict.benchmark]
    sizes = sorted({case.experiment.image_size for table in own for case in table.cases if case.name in names})
    return {
        "other_data": f" on {request.data_label}",
        "scaled_down": f" at {request.scale} scale" if request.scale != "paper" else " scaled down",
        "other_size": f" at {' and '.join(map(str, sizes))} px",
        "unknown": " under other options",
    }


RESERVED: dict[Reservation, str] = {
    "other_data": "other data",
    "scaled_down": "scaled down",
    "other_size": "other image size",
    "confounded": "confounded",
    "unknown": "unknown",
}


def reserved(verdict: Verdict) -> str:
    """Return whether a verdict is one on the report, or why it is not."""
    if not verdict.is_decided:
        return NOTHING
    return f"no: {', '.join(RESERVED[why] for why in verdict.of_report)}" if verdict.of_report else "yes"


def measured_text(verdict: Verdict) -> str:
    """Return what was measured: of a ranking its steps, else the decisive number, or why there is none."""
    if ranked := next((result for result in verdict.results if result.tau and result.judged), None):
        holding = [part.holds for part in ranked.judged]
        text = f"{holding.count(True)} of {len(holding)} steps hold, {holding.count(False)} fail"
        return f"{text}, {holding.count(None)} are open; {_tau_text(ranked.tau)}" if ranked.tau else text
    shown = decisive_comparison(verdict)
    if shown:
        return f"{shown.what}: {estimate_text(shown)}, n = {shown.last.n}"
    return reasons_text(verdict.reasons, with_metric=False) or decisive(verdict)


def _tau_text(tau: Estimate) -> str:
    low, high = tau.interval()
    return f"Kendall's tau {tau.value:.2f} [{max(low, -1):.2f}, {min(high, 1):.2f}], n = {tau.n}"
