"""Hypotheses: which reading of what the report leaves open lies nearest to what it printed."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from math import hypot, sqrt
from statistics import fmean

import pandas as pd

from resnet18.records.record import Record
from resnet18.spec.benchmark import Benchmark, Hypothesis
from resnet18.spec.optimizer import learning_rate
from resnet18.spec.printed import parse_printed
from resnet18.spec.resolve import Request, sub_cases
from resnet18.tables.markdown import escape, table
from resnet18.tables.metrics import best_accuracy
from resnet18.tables.selection import CaseRecords, Selection, case_records, reported_head
from resnet18.tables.statistics import Estimate, contrast

NOTHING = "\N{EN DASH}"


@dataclass(frozen=True)
class Cell:
    """One reported cell beside what a candidate gives."""

    candidate: str
    case: str
    reported: float
    """In percent."""
    runs: CaseRecords
    like: str = ""
    """The candidate whose runs stand here: it trains alike, and this one was not run."""

    @property
    def values(self) -> list[float]:
        """Best accuracies as published, in percent, by seed."""
        return [100 * best_accuracy(record) for record in self.runs.measured]

    @property
    def estimate(self) -> Estimate | None:
        """Measured less reported, in points; the standard error is that to one further run, as the report made one."""
        values = self.values
        return contrast([[one - self.reported for one in values]], [1]).for_one_more_run() if len(values) > 1 else None


def hypotheses_section(selection: Selection, request: Request, records: Collection[Record]) -> str:
    """Return the benchmark's hypotheses with a candidate's cells in each row, as markdown; nothing where none was run.

    Args:
        selection: the benchmark under the request.
        request: scale, data and options.
        records: all records of the folder, the last attempt of each run.
    """
    parts = []
    for hypothesis in selection.benchmark.hypotheses:
        cells = list(_cells(selection.benchmark, hypothesis, request, records))
        # A scale may set the key itself: then candidates are one run, and nothing is compared.
        told_apart = len({cell.runs.arm_id for cell in cells}) == len(cells)
        if told_apart and len({cell.candidate for cell in cells if cell.runs.measured}) > 1:
            parts.append(_section(hypothesis, [_filled(cell, cells) for cell in cells], request))
    return "\n".join(["#### What the report leaves open", "", *parts]) if parts else ""


def candidate_records(selection: Selection, request: Request, records: Collection[Record]) -> Iterator[Record]:
    """Yield the records of all candidates of a benchmark's hypotheses."""
    for hypothesis in selection.benchmark.hypotheses:
        for cell in _cells(selection.benchmark, hypothesis, request, records):
            yield from cell.runs.records


def _cells(
    benchmark: Benchmark, hypothesis: Hypothesis, request: Request, records: Collection[Record]
) -> Iterator[Cell]:
    pairs = list(sub_cases(benchmark, hypothesis))
    extended = benchmark.model_copy(update={"cases": tuple(sub for _, _, sub in pairs)})
    for (candidate, case, _), runs in zip(pairs, case_records(extended, request, records), strict=False):
        printed = parse_printed(case.reported.get("best_accuracy", ""))
        if printed is not None:
            yield Cell(candidate.name, case.name, printed.value, runs)


def _filled(cell: Cell, cells: Sequence[Cell]) -> Cell:
    """Return the cell, of a candidate without runs with those of one that trains alike, bit for bit."""
    if cell.runs.records:
        return cell
    twin = next((one for one in cells if one.runs.records and _training(one.runs) == _training(cell.runs)), None)
    return cell if twin is None else replace(cell, runs=twin.runs, like=twin.candidate)


def _section(hypothesis: Hypothesis, cells: Sequence[Cell], request: Request) -> str:
    head = reported_head(request)
    rows = [_row(cell, head) for cell in cells]
    lines = [f"**{escape(hypothesis.question)}** (`{hypothesis.key}`)", "", table(pd.DataFrame(rows)), ""]
    for name, like in dict.fromkeys((cell.candidate, cell.like) for cell in cells if cell.like):
        lines += [escape(f'"{name}" was not run: it trains like "{like}" here, whose runs stand in both rows.'), ""]
    return "\n".join([*lines, escape(_conclusion(cells, head)), ""])


def _row(cell: Cell, head: str | None) -> dict[str, str]:
    values, estimate = cell.values, cell.estimate
    row = {"candidate": cell.candidate, "case": cell.case}
    row[head or "reported"] = f"{cell.reported:g} %" if head else NOTHING
    row["measured (best epoch, as published)"] = f"{fmean(values):.2f} %" if values else "not run"
    difference = NOTHING
    if head and values:
        difference = f"{fmean(values) - cell.reported:+.2f}"
        if estimate is not None:
            low, high = estimate.interval()
            difference += f" [{low:+.2f}, {high:+.2f}]"
    row["measured less reported (points; 95 % for one run)"] = difference
    row["n (seeds)"] = str(len(values))
    return row


def _conclusion(cells: Sequence[Cell], head: str | None) -> str:
    """Return which candidate lies nearest, and whether the distance to the next is more than its uncertainty."""
    if head != "reported":
        return (
            "Which lies nearest is not said: only runs at paper scale on CIFAR-10 may be held against reported cells."
        )
    distances = {}
    for names in _told_apart(cells):
        by_name = [[cell.estimate for cell in cells if cell.candidate == name] for name in names]
        # They train alike: two would only seem to know more than one.
        known = next(([one for one in mine if one] for mine in by_name if all(mine)), [])
        if known:
            distances['" and "'.join(names)] = _distance(known)
    if len(distances) < 2:
        return "Which lies nearest is not said: at least two candidates need two seeds of every case."
    (nearest, (first, error)), (second, (next_one, next_error)), *_ = sorted(distances.items(), key=lambda one: one[1])
    far = next_one - first > 2 * hypot(error, next_error)
    return (
        f'Nearest: "{nearest}", {first:.2f} points from the reported cells (root mean square, standard error '
        f'{error:.2f}); the next, "{second}", {next_one:.2f} ({next_error:.2f}). '
        + ("The difference is more than" if far else "Not resolved: the difference is less than")
        + " two standard errors. This is evidence, not proof."
    )


def _told_apart(cells: Sequence[Cell]) -> list[list[str]]:
    """Return the candidates, those together that train alike: a rate cut after the last epoch is no other rate."""
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(cell.candidate for cell in cells):
        alike = [_training(cell.runs) for cell in cells if cell.candidate == name]
        groups.setdefault(str(alike), []).append(name)
    return list(groups.values())


def _training(case: CaseRecords) -> str:
    """Return what the runs of a case do, their schedule as the rate of every epoch where it is one number."""
    one = case.experiment
    rates: object = one.schedule
    if not one.schedule.changes_within_epochs:
        rates = [learning_rate(one.schedule, 1.0, epoch, 1, one.epochs) for epoch in range(one.epochs)]
    return f"{one.model_dump_json(exclude={'schedule'})} {case.execution.model_dump_json()} {rates}"


def _distance(estimates: Sequence[Estimate]) -> tuple[float, float]:
    """Return the root mean square of differences, and its standard error to first order."""
    root = sqrt(fmean(one.value**2 for one in estimates))
    if not root:
        return 0.0, sqrt(fmean(one.se**2 for one in estimates))
    return root, sqrt(sum((one.value * one.se) ** 2 for one in estimates)) / (len(estimates) * root)
