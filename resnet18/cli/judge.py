"""The command `judge`: a table of anybody's runs, held against the claims of a report."""

import shlex
from collections.abc import Sequence
from contextlib import suppress
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnet18.cli import options as opt
from resnet18.spec.benchmark import MetricRow
from resnet18.spec.errors import SpecError
from resnet18.spec.load import load_benchmark
from resnet18.spec.metric import units_of_values

if TYPE_CHECKING:
    from resnet18.judge.tabled import TabledRuns
    from resnet18.judge.verdict import Verdict
    from resnet18.report.document import Document
    from resnet18.tables.cells import Table

JUDGED = Path("results/judged")
TESTS = "tests the report itself?"
MOST_CASES = 200
"""Cases that are listed with their means."""
MADE_BY = "Made by `resnet18 judge` from a table of runs."


def judge_command(
    runs: Annotated[Path, typer.Argument(metavar="RUNS", help="CSV file: case, seed, metric, value (docs/judge.md).")],
    claims: Annotated[Path, typer.Argument(metavar="CLAIMS", help="TOML file: cases, metrics and claims of a report.")],
    results: Annotated[Path, opt.option("--results", "DIR", "Folder for README.md and report.html.")] = JUDGED,
) -> opt.Answer:
    """Test the claims of any report on a table of runs. The exit code is 3 if no claim could be judged."""
    from tabulate import tabulate

    from resnet18.judge.tabled import read_runs
    from resnet18.judge.verdict import judge_runs
    from resnet18.report.answer import heads, statement
    from resnet18.report.chapters import was_judged
    from resnet18.report.exports import verdict_rows
    from resnet18.report.report import write_document

    benchmark = load_benchmark(claims)
    if not benchmark.claims:
        next_step = 'add a [[claim]]: see benchmarks/README.md, "[[claim]]"'
        raise SpecError(str(claims), "has no claims", next_step=next_step)
    if (results / "records").exists():
        raise SpecError(str(results), "holds records, whose report stands there", next_step="name another folder")
    tabled = read_runs(runs, benchmark)
    verdicts = judge_runs([benchmark], lambda _: tabled)
    document = judged_document(tabled, verdicts, shlex.join(["resnet18", "judge", str(runs), str(claims)]))
    path = write_document(results, document)
    cells = [[cell.text for cell in statement(verdict)] for verdict in verdicts]
    table = tabulate(cells, [column.title for column in heads(TESTS)], disable_numparse=True, maxcolwidths=50)
    text = f"{table}\n\nreport: {path} and report.html"
    return opt.Answer(verdict_rows(document.verdicts), text, 0 if was_judged(verdicts) else 3)


def judged_document(tabled: "TabledRuns", verdicts: Sequence["Verdict"], command: str) -> "Document":
    """Return the page of a table of runs: verdicts, then what was reported and measured of each case."""
    from resnet18.report.answer import heads, how_sure, statement
    from resnet18.report.document import Block, Claims, Code, Document, Line, Section
    from resnet18.report.verdicts import said
    from resnet18.tables.cells import Table

    benchmark, shown = tabled.benchmark, tuple(("", verdict) for verdict in verdicts)
    columns = heads(TESTS)
    blocks: tuple[Block, ...] = (
        Line(f"{benchmark.question} ({benchmark.source})"),
        Line("Made by ", Code(command), " from runs that are not the suite's own."),
        Table(columns, tuple(map(statement, verdicts))),
        how_sure(len(verdicts)),
        Section("Evidence", (Claims((verdict, said(verdict)) for verdict in verdicts),)),
        *(Section(row.title, (values_table(tabled, row),)) for row in benchmark.table.metrics),
    )
    words = Line("What the words mean, and how verdicts are reached: docs/judge.md and docs/methodology.md.")
    return Document(benchmark.title, blocks, (words,), verdicts=shown, made_by=MADE_BY)


def values_table(tabled: "TabledRuns", row: MetricRow) -> "Table":
    """Return what was reported of a metric beside the mean of each case; of times and memory, the geometric mean."""
    from resnet18.judge.samples import CannotJudgeError
    from resnet18.tables.cells import NOTHING, Column, Table, Text
    from resnet18.tables.statistics import contrast

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
