"""How a report begins: what was run, what holds, what does not, what is open; then a row for each statement."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from math import exp
from typing import TYPE_CHECKING

from resnet18.judge.samples import CannotJudgeError, reasons_text
from resnet18.judge.verdict import Verdict
from resnet18.report import document as doc
from resnet18.report.chapters import Best, Chapter, best_tables, best_verdicts
from resnet18.report.document import READING, Code, Figure, Items, Line, Link, Section, Strong, present
from resnet18.report.notes import command, notes_of
from resnet18.report.sections import figure_file
from resnet18.report.verdicts import AT_SEEDS, mark_of, measured_text, reported_text, reserved, said
from resnet18.spec.benchmark import MetricRow
from resnet18.spec.experiment import CIFAR10, FEWEST_SEEDS, is_cifar10
from resnet18.spec.metric import how_many, units_of_values
from resnet18.tables.cells import NOTHING, Cell, Column, Table, Text
from resnet18.tables.selection import Selection, changes_of, machine
from resnet18.tables.statistics import ALPHA, contrast
from resnet18.tables.tables import build_table

if TYPE_CHECKING:
    from resnet18.judge.tabled import TabledRuns  # it needs pandas, and a report does not

LAB = "the lab report"
MADE_BY = "Made by `resnet18 judge` from a table of runs."
TESTS = "tests the report itself?"
MOST_CASES = 200
"""Cases of a table of runs that are listed with their means."""
NO_MORE = f"ten seeds would probably not suffice, and statements are tested at {AT_SEEDS} only"


def answer(report: str, chapters: Sequence[Chapter], figures: Mapping[str, Figure], runs: int) -> Iterator[doc.Block]:
    """Yield the answer to whether a report holds: four sentences, every statement, every table once with its figure."""
    found = best_verdicts(chapters, report)
    yield Items(_sentences(report, found, chapters, runs))
    if found:
        yield statements(report, found)
        yield how_sure(len(found))
        lines = present(Items(_next(found)))
        yield from present(Section("What would decide the inconclusive statements", lines, is_folded=True))
    for chapter, selection in best_tables(chapters, report):
        figure = figures.get(figure_file(selection.benchmark.name, chapter.request))
        found_here = (*_table(chapter, selection, chapters), *([figure] if figure else []))
        yield Section(selection.benchmark.title, found_here)


def brief_answer(report: str, chapters: Sequence[Chapter]) -> Iterator[doc.Block]:
    """Yield the statements of a report that stands beside another, and where its tables are."""
    if found := best_verdicts(chapters, report):
        yield statements(report, found)
    if tables := best_tables(chapters, report):
        titles = ", ".join(selection.benchmark.title for _, selection in tables)
        yield Line(f"{titles}: ", *_links(chapter for chapter, _ in tables), ".")


def _links(chapters: Iterable[Chapter]) -> list[str]:
    """Return links to the pages of chapters, a comma between them."""
    return [piece for chapter in chapters for piece in (", ", Link(chapter.title, chapter.slug))][1:]


def _sentences(report: str, found: Sequence[Best], chapters: Sequence[Chapter], runs: int) -> Iterator[Line]:
    records = [record for chapter in chapters for table in chapter.selections for record in table.records]
    machines = sorted({machine(record) for record in records if record.fingerprint.numerics})
    parts = f"{len(chapters)} parts" if len(chapters) > 1 else "one part"
    on = "; ".join(machines) or "an unknown machine"
    yield Line(Strong("Run"), f": {how_many(runs, 'run')} in {parts}, listed below, on {on}.")
    for word, head in (("supported", "Holds"), ("contradicted", "Does not hold")):
        own = [(verdict, chapter) for chapter, verdict, _ in found if verdict.here == word]
        plain = [_named(verdict) for verdict, _ in own if not verdict.of_report]
        others = [f"{_named(verdict)} ({said(verdict, chapter)})" for verdict, chapter in own if verdict.of_report]
        text = f", as {report} did it: {'; '.join(plain) or 'no statement'}"
        text += f". Under other conditions, which say nothing of {report} itself: {'; '.join(others)}" if others else ""
        yield Line(Strong(head), f"{text}.")
    rest = (
        f"{len(ids)} {word} ({', '.join(ids)})"
        for word in ("inconclusive", "not judgeable", "not run")
        if (ids := [best.verdict.claim.id for best in found if best.verdict.here == word])
    )
    count = sum(not best.verdict.is_decided for best in found)
    yield Line(
        Strong("Open"), f": {count} of {how_many(len(found), 'statement')}: {'; '.join(rest)}." if count else ": none."
    )


def _named(verdict: Verdict) -> str:
    return f"{verdict.claim.id} {verdict.claim.says}"


def statements(report: str, found: Collection[Best]) -> Table:
    """Return the table of statements: what was said, what became of it, both numbers, and where they are from."""
    rows: list[tuple[Cell, ...]] = []
    for chapter, verdict, others in sorted(found, key=lambda best: best.verdict.here == "not run"):
        where = f"{verdict.benchmark.title}; {chapter.title}" if verdict.here != "not run" else verdict.benchmark.title
        decided = [f"{of.title}: {said(other, of)}" for of, other in others if other.is_decided]
        where += f" (also {'; '.join(decided)})" if decided else ""
        rows.append((*statement(verdict, chapter), Text(where)))
    columns = heads("tests the lab report itself?" if report == LAB else "tested as stated?")
    return Table((*columns, Column("where", "words")), tuple(rows))


def heads(tests: str) -> tuple[Column, ...]:
    """Return the columns of `statement`; `tests` asks whether the runs did what the report did."""
    asked = Column("statement", "words"), Column("verdict"), Column(tests), Column("reported")
    return (*asked, Column("measured [95 % interval]", "words"))


def statement(verdict: Verdict, chapter: Chapter | None = None) -> tuple[Text, ...]:
    """Return what was said, what became of it, and both numbers; without a chapter the runs are not the suite's own."""
    tested = f" (tested: {verdict.claim.tested})" if verdict.claim.tested else ""
    word = Text(said(verdict, chapter), mark=mark_of(verdict))
    others = map(Text, (reserved(verdict), reported_text(verdict), measured_text(verdict)))
    return Text(f"{_named(verdict)}{tested}"), word, *others


def how_sure(claims: int) -> Line:
    """Return how often verdicts on so many claims are wrong, and where the words are explained."""
    text = (
        f"The chance that any “supported” or “contradicted” of one part is wrong is at most {100 * ALPHA:g} % (Holm's "
        f"procedure over {how_many(claims, 'statement')}; up to 7 % in simulations where cases scatter very "
        f"unequally). Statements are tested at {AT_SEEDS} only. Brackets are 95 % intervals of one comparison, without "
        "that correction. "
    )
    return Line(text, Link("How to read it", READING), ".")


def _next(found: Sequence[Best]) -> Iterator[Line]:
    """Yield what would decide inconclusive statements: seeds with their command, or why more do not."""
    wanted: dict[tuple[str, int], list[Best]] = {}
    waiting: dict[str, list[str]] = {}
    for best in (best for best in found if best.verdict.here == "inconclusive"):
        verdict = best.verdict
        is_short = any(reason.code == "few_seeds" for reason in verdict.reasons)
        seeds = verdict.deciding.seeds if verdict.deciding else FEWEST_SEEDS if is_short else None
        if seeds:
            wanted.setdefault((best.chapter.title, seeds), []).append(best)
        else:
            waiting.setdefault(reasons_text(verdict.reasons) or NO_MORE, []).append(verdict.claim.id)
    for (_, seeds), together in wanted.items():
        verdicts = [best.verdict for best in together]
        cases = dict.fromkeys(label for verdict in verdicts for label in verdict.labels)
        options = [word for case in cases for word in ("--case", case)]
        tables = [verdict.benchmark for verdict in verdicts]
        typed = command(tables, together[0].chapter.request, "--seeds", str(seeds), *options)
        ids = ", ".join(verdict.claim.id for verdict in verdicts)
        yield Line(f"{ids}: ", Code(typed), f" brings {'them' if len(together) > 1 else 'it'} to {seeds} seeds.")
    yield from (Line(f"{', '.join(ids)}: {why}.") for why, ids in waiting.items())


def _table(chapter: Chapter, selection: Selection, chapters: Sequence[Chapter]) -> Iterator[doc.Block]:
    """Yield a table in the report's own shape, and where else its cases were measured."""
    benchmark, request = selection.benchmark, chapter.request
    labels = sorted({record.spec.experiment.data for record in selection.measured})
    data = [f"{label} (CIFAR-10 re-encoded)" if is_cifar10(label) and label != CIFAR10 else label for label in labels]
    yield Line(f"{benchmark.question} Source: {benchmark.source}.")
    conditions = ", ".join([*data, *(f"with {option}" for option in changes_of(request))])
    yield build_table(selection, request, f"{benchmark.title}. {chapter.title}; {conditions}")
    yield from present(Items(notes_of(selection, request, is_brief=True)))
    parts = (other for other in chapters if any(table.benchmark == benchmark for table in other.shown))
    yield Line("Verdicts, notes and assumptions: ", *_links(parts), ".")


def judged_document(tabled: "TabledRuns", verdicts: Sequence[Verdict], typed: str) -> doc.Document:
    """Return the page of a table of runs: verdicts, then what was reported and measured of each case."""
    benchmark, shown = tabled.benchmark, tuple(("", verdict) for verdict in verdicts)
    blocks: tuple[doc.Block, ...] = (
        Line(f"{benchmark.question} ({benchmark.source})"),
        Line("Made by ", Code(typed), " from runs that are not the suite's own."),
        Table(heads(TESTS), tuple(map(statement, verdicts))),
        how_sure(len(verdicts)),
        Section("Evidence", (doc.Claims((verdict, said(verdict)) for verdict in verdicts),)),
        *(Section(row.title, (_values_table(tabled, row),)) for row in benchmark.table.metrics),
    )
    words = Line("What the words mean, and how verdicts are reached: docs/judge.md and docs/methodology.md.")
    return doc.Document(benchmark.title, blocks, (words,), verdicts=shown, made_by=MADE_BY)


def _values_table(tabled: "TabledRuns", row: MetricRow) -> Table:
    """Return what was reported of a metric beside the mean of each case; of times and memory, the geometric mean."""
    facts, benchmark = tabled.facts(row.metric), tabled.benchmark
    lines = []
    for case in benchmark.cases[:MOST_CASES]:
        values, measured = list[float](), NOTHING
        with suppress(CannotJudgeError):  # a value of which no ratio can be taken; its claims say so
            values = tabled.values(case.name, row.metric)
        if len(values) > 1:
            found = contrast([values], [1], tabled.step(row.metric, [case.name]))
            ends = found.value, *found.interval()
            measured = "{:.5g} [{:.5g}, {:.5g}]".format(*(map(exp, ends) if facts.takes_logs else ends))
        texts = case.name, case.reported.get(row.metric, NOTHING), measured, str(len(values))
        lines.append(tuple(map(Text, texts)))
    unit, better = row.unit or next(iter(units_of_values(facts.quantity)), ""), row.better and f"{row.better} is better"
    measured_head = ", ".join(filter(None, ("measured [95 % interval]", unit, better)))
    columns = (
        Column(benchmark.table.case_title),
        *(Column(head, "number") for head in ("reported", measured_head, "n (seeds)")),
    )
    return Table(columns, tuple(lines))
