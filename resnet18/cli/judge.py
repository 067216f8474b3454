"""The command `judge`: a table of anybody's runs, held against the claims of a report."""

import shlex
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnet18.cli import options as opt
from resnet18.spec.claim import cases_of
from resnet18.spec.errors import SpecError
from resnet18.spec.load import load_benchmark

if TYPE_CHECKING:
    from resnet18.judge.tabled import TabledRuns
    from resnet18.judge.verdict import Verdict
    from resnet18.report import document as doc
    from resnet18.spec.benchmark import MetricRow
    from resnet18.tables.cells import Table

JUDGED = Path("results/judged")
MOST_CASES = 200
"""Cases that are listed with their means; of more, those that claims name."""
HEADS = ("statement", "verdict", "of the report?", "reported", "measured [95 % interval]")
WIDTHS = (50, None, 16, 24, 50)
"""Letters of a column in a terminal."""


def judge_command(
    runs: Annotated[Path, typer.Argument(metavar="RUNS", help="CSV file: case, seed, metric, value (docs/judge.md).")],
    claims: Annotated[Path, typer.Argument(metavar="CLAIMS", help="TOML file: cases, metrics and claims of a report.")],
    results: Annotated[Path, opt.option("--results", "DIR", "Folder for README.md and report.html.")] = JUDGED,
) -> opt.Answer:
    """Test the claims of any report on a table of runs. The exit code is 3 if no claim could be judged."""
    from tabulate import tabulate

    from resnet18.judge.tabled import read_runs
    from resnet18.judge.verdict import judge_runs
    from resnet18.report.chapters import was_judged
    from resnet18.report.exports import verdict_rows
    from resnet18.report.report import write_document

    benchmark = load_benchmark(claims)
    if not benchmark.claims:
        raise SpecError(
            str(claims), "has no claims", next_step='add a [[claim]]: see benchmarks/README.md, "[[claim]]"'
        )
    if (results / "records").exists():
        raise SpecError(str(results), "holds records, whose report stands there", next_step="name another folder")
    tabled = read_runs(runs, benchmark)
    verdicts = judge_runs([benchmark], lambda _: tabled)
    document = judged_document(tabled, verdicts, [str(runs), str(claims)])
    path = write_document(results, document)
    cells = [[cell.text for cell in row] for row in statements(verdicts).rows]
    table = tabulate(cells, HEADS, disable_numparse=True, maxcolwidths=list(WIDTHS))
    text = f"{table}\n\nreport: {path} and report.html"
    return opt.Answer(verdict_rows(document.verdicts), text, 0 if was_judged(verdicts) else 3)


def judged_document(tabled: "TabledRuns", verdicts: Sequence["Verdict"], files: Sequence[str]) -> "doc.Document":
    """Return the page of a table of runs: verdicts, then what was reported and measured of each case."""
    from resnet18.report import document as doc
    from resnet18.report.document import Code, Line, Strong
    from resnet18.tables.statistics import ALPHA

    benchmark = tabled.benchmark
    counts = Counter(verdict.here for verdict in verdicts)
    answer: list[doc.Block] = [
        Line(f"{benchmark.question} ({benchmark.source})"),
        Line("Made by ", Code(f"resnet18 judge {shlex.join(files)}"), " from runs that are not the suite's own."),
        Line(f"{len(verdicts)} statements: ", Strong(", ".join(f"{n} {word}" for word, n in counts.items())), "."),
        statements(verdicts),
        Line(
            f"The chance that any “supported” or “contradicted” is wrong is at most {100 * ALPHA:g} % (Holm's "
            f"procedure over {len(verdicts)} statements, those without runs among them). Brackets are 95 % intervals "
            "of one comparison, without that correction."
        ),
        doc.Section("Evidence", (doc.Claims(verdicts),)),
        *(doc.Section(row.title, (values_table(tabled, row),)) for row in benchmark.table.metrics),
    ]
    words = Line(
        "What the words mean, and how verdicts are reached: docs/judge.md and docs/methodology.md of the suite."
    )
    return doc.Document(
        benchmark.title, tuple(answer), (), (words,), (), (), tuple(("", verdict) for verdict in verdicts)
    )


def statements(verdicts: Sequence["Verdict"]) -> "Table":
    """Return the table of statements: what was said, what became of it, and both numbers."""
    from resnet18.report.answer import measured_text, reported_text, reserved
    from resnet18.tables.cells import Column, Table, Text

    rows = (
        (
            Text(f"{one.claim.id} {one.claim.says}"),
            Text(one.here, mark=one.here),
            *map(Text, (reserved(one), reported_text(one), measured_text(one))),
        )
        for one in verdicts
    )
    return Table(tuple(Column(head, "words" if head in HEADS[::4] else "text") for head in HEADS), tuple(rows))


def values_table(tabled: "TabledRuns", row: "MetricRow") -> "Table":
    """Return what was reported of a metric beside the mean of each case; of times and memory, the geometric mean."""
    from resnet18.judge.reason import CannotJudgeError
    from resnet18.tables.cells import Cell, Column, Table, Text
    from resnet18.tables.statistics import contrast

    facts = tabled.facts(row.metric)
    unit = row.unit or {"accuracy": "%", "seconds": "s", "bytes": "B"}.get(facts.quantity, "")
    remarks = ", ".join(filter(None, (unit, row.better and f"{row.better} is better")))
    heads = ["reported", f"measured ({remarks})" if remarks else "measured", "95 % interval", "n (seeds)"]
    lines: list[tuple[Cell, ...]] = []
    named = {name for claim in tabled.benchmark.claims for check in claim.checks for name in cases_of(check)}
    cases = tabled.benchmark.cases
    for case in cases if len(cases) <= MOST_CASES else [case for case in cases if case.name in named]:
        ends, values = [""] * 3, list[float]()
        with suppress(CannotJudgeError):  # a value of which no ratio can be taken; its claims say so
            values = tabled.values(case.name, row.metric)
        if len(values) > 1:
            found = contrast([values], [1], tabled.step(row.metric, [case.name]))
            ends = [f"{exp(end) if facts.takes_logs else end:.5g}" for end in (found.value, *found.interval())]
        texts = case.reported.get(row.metric, ""), ends[0], ends[1] and f"{ends[1]} to {ends[2]}", str(len(values))
        lines.append((Text(case.name), *(Text(text) if text else Text() for text in texts)))
    columns = (Column(tabled.benchmark.table.case_title), *(Column(head, "number") for head in heads))
    return Table(columns, tuple(lines))
