"""A report's statements held against its own table."""

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise, permutations, starmap
from math import inf
from typing import NamedTuple

from resnet18.audit.reading import (
    COSTS,
    TOLERANCE,
    Amount,
    Cell,
    Finding,
    Pair,
    Place,
    Range,
    Reading,
    Unchecked,
    by_row,
    quoted,
    words,
)
from resnet18.spec.benchmark import MetricRow
from resnet18.spec.claim import (
    Check,
    Claim,
    Close,
    Difference,
    Equivalent,
    MetricCheck,
    Overfits,
    Ranking,
    Ratio,
    RunStatus,
    Trend,
    cases_of,
    orders,
)
from resnet18.spec.metric import MARGIN_UNITS, Quantity

STANDS_FOR: dict[str, Quantity] = {
    "best_accuracy": "accuracy",
    "clean_accuracy": "accuracy",
    "train_s": "seconds",
    "whole_program_s": "seconds",
}
"""Metrics that a table prints under one name or another: a report has one accuracy and one time."""


class Size(NamedTuple):
    """What the text says of a size, from the lowest to the highest, and what the table has."""

    what: str
    low: float
    high: float
    found: Range
    cells: Sequence[Cell]
    unit: str = ""

    @property
    def is_contradicted(self) -> bool:
        """Whether all numbers that round to the printed cells are outside the bounds."""
        return self.found.most < self.low - TOLERANCE or self.found.least > self.high + TOLERANCE

    def __str__(self) -> str:
        low, high, found = (Amount(size, self.unit) for size in (self.low, self.high, self.found.printed))
        said = f"at most {high}" if self.low == -inf else f"at least {low}" if self.high == inf else f"{low} to {high}"
        return f"{self.what} is {found}, in the text {said}"


def rows_of(reading: Reading, metric: str) -> list[MetricRow]:
    """Return the row that prints a metric, else those that print what it stands for: of several none is meant."""
    rows = reading.benchmark.table.metrics
    same = [row for row in rows if row.metric == metric][:1]
    return same or [row for row in rows if row.measures == STANDS_FOR.get(metric)]


def statements(reading: Reading, claim: Claim) -> list[tuple[MetricCheck, MetricRow]]:
    """Return the checks of a claim on a metric that one row prints, with that row."""
    checks = [check for check in claim.checks if not isinstance(check, RunStatus | Overfits)]
    found = [(check, rows_of(reading, check.metric)) for check in checks]
    return [(check, rows[0]) for check, rows in found if len(rows) == 1]


def _pairs(reading: Reading, check: MetricCheck, row: MetricRow) -> list[Pair]:
    """Return the pairs that a check asserts. Cases without a number are skipped: their neighbours are compared."""
    cells = {cell.case: cell for cell in reading.exact(cases_of(check), row.metric)}
    if isinstance(check, Ranking | Trend):
        check = check.model_copy(update={"cases": tuple(cells)})
    return [Pair(cells[one], cells[two]) for one, two in orders(check) if {one, two} <= {*cells}] if cells else []


def asserted_pairs(reading: Reading) -> dict[Pair, Place]:
    """Return the pairs that claims assert and the table has in this order, each with the place of the claims."""
    found: dict[Pair, dict[str, None]] = {}
    for claim in reading.benchmark.claims:
        for pair in (pair for check, row in statements(reading, claim) for pair in _pairs(reading, check, row)):
            found.setdefault(pair, {})[claim.id] = None
    asserted = {pair: names for pair, names in found.items() if pair.gap.printed >= 0}
    return {pair: reading.at(f"claim{'s' * (len(names) > 1)} {words(names)}") for pair, names in asserted.items()}


def contradicted(readings: Sequence[Reading]) -> Iterator[Finding | Unchecked]:
    """Find statements that the printed cells contradict, whatever their last digits were."""
    for reading in readings:
        for claim in reading.benchmark.claims:
            label, made = f"claim {claim.id}", statements(reading, claim)
            yield from dict.fromkeys(lack for check in claim.checks for lack in _lacks(reading, label, check))
            found = [[size for check, row in made for size in _orders(reading, check, row) if size.is_contradicted]]
            found += [[s for s in _sizes(reading, check, row) if s.is_contradicted][:1] for check, row in made]
            for sizes in filter(None, found):
                cells = by_row(cell for size in sizes for cell in size.cells)
                evidence = {"statement": quoted([claim.says]), "in the table": sizes, **cells}
                yield Finding(reading.at(label), "the table contradicts the text", evidence)


def _orders(reading: Reading, check: MetricCheck, row: MetricRow) -> list[Size]:
    """Return by how much a check says that cases are above others; of a ranking all pairs, not only neighbours."""
    by = check.by if isinstance(check, Difference) else 0.0
    pairs = [] if isinstance(check, Ratio) else _pairs(reading, check, row)
    if isinstance(check, Ranking):
        pairs = [*starmap(Pair, combinations(reading.exact(check.cases, row.metric), 2))]
    unit = MARGIN_UNITS[row.measures]
    return [Size(str(pair), by, inf, pair.gap, pair, unit) for pair in pairs]


def _sizes(reading: Reading, check: MetricCheck, row: MetricRow) -> Iterator[Size]:
    """Yield what a check says of other sizes; of several the largest first."""
    cells, unit = reading.exact(cases_of(check), row.metric), MARGIN_UNITS[row.measures]
    match check:
        case Close() | Difference(than=None):
            for cell in _numbers_of(reading, check.case, row):
                number = Range(cell.number.low, cell.number.value, cell.number.high)
                yield Size(quoted([cell.case]), *_region(check, row.measures), number, [cell])
        case Equivalent(margin=margin):
            for pair in sorted(starmap(Pair, permutations(cells, 2)), key=lambda pair: -pair.gap.printed):
                yield Size(str(pair), -inf, margin - 2 * TOLERANCE, pair.gap, pair, unit)
        case Ratio(low=low, high=high) if len(cells) == 2:
            ratio = Range(*(1 + size / 100 for size in Pair(*cells).gap))
            yield Size(f'"{check.case}" over "{check.to}"', low, high, ratio, cells)
        case Trend(flattens=True) if len(cells) > 2 and all(cell.number.low > 0 for cell in cells):
            steps = [Pair(*two[::-1] if check.direction == "rising" else two).gap for two in pairwise(cells)]
            first, last = steps[0], steps[-1]
            growth = Range(last.least - first.most, last.printed - first.printed, last.most - first.least)
            yield Size("the last step less the first", -inf, 0.0, growth, cells, unit)


def _region(check: Close | Difference, quantity: Quantity) -> tuple[float, float]:
    """Return the least and the largest number that agree with a claim on one case."""
    if isinstance(check, Difference):
        bound = check.than_value or 0.0
        return (bound + check.by, inf) if check.kind == "greater" else (-inf, bound - check.by)
    low, high = check.target
    if quantity in COSTS:
        return low / (1 + check.margin / 100), high * (1 + check.margin / 100)
    return low - check.margin, high + check.margin


def _numbers_of(reading: Reading, case: str, row: MetricRow) -> list[Cell]:
    """Return the number of a case; here "about" is as good as an exact one."""
    return [cell for cell in reading.cells if (cell.case, cell.row) == (case, row)]


def _lacks(reading: Reading, label: str, check: Check) -> Iterator[Unchecked]:
    """Yield what a check would need to be held against the table."""
    if isinstance(check, RunStatus | Overfits):
        yield Unchecked(reading.at(label), check.kind if isinstance(check, RunStatus) else "losses by epoch")
        return
    rows = rows_of(reading, check.metric)
    if len(rows) != 1:
        lack = f"{check.metric}, which {len(rows)} rows may be" if rows else check.metric
        yield Unchecked(reading.at(label), lack)
    elif isinstance(check, Close) or (isinstance(check, Difference) and check.than is None):
        if not _numbers_of(reading, check.case, rows[0]):
            yield Unchecked(reading.at(label), f"number of {quoted([check.case])}")
    else:
        yield from reading.missing(label, cases_of(check), rows[0].metric)
