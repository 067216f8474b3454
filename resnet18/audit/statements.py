"""A report's prose held against its own table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby, permutations
from math import log

from resnet18.audit.differences import TOLERANCE, gap, largest_gap, least_gap, shown_gap, with_unit
from resnet18.audit.finding import Remark, listed
from resnet18.audit.reading import COSTS, Cell, Reading
from resnet18.spec.benchmark import MetricRow
from resnet18.spec.claim import (
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
    orders,
)
from resnet18.spec.metric import Quantity
from resnet18.spec.printed import parse_printed

STANDS_FOR: dict[str, Quantity] = {
    "best_accuracy": "accuracy",
    "clean_accuracy": "accuracy",
    "train_s": "seconds",
    "whole_program_s": "seconds",
}
"""Metrics that a table prints under one name or another: a report has one accuracy and one time."""


@dataclass(frozen=True)
class Statement:
    """A check of a claim, with the row of the table that it is about."""

    claim: Claim
    check: MetricCheck
    row: MetricRow
    reading: Reading

    @property
    def where(self) -> str:
        """The file and the claim."""
        return f"{self.reading.name}: claim {self.claim.id}"

    @property
    def quantity(self) -> Quantity:
        """What the row measures."""
        return self.row.measures

    def cell(self, case: str) -> Cell | None:
        """Return the printed number of a case; none where the report says "about"."""
        return self.reading.exact_cell(case, self.row.metric)

    def cells(self, cases: Sequence[str]) -> list[Cell]:
        """Return the printed numbers of some cases; those without one are left out."""
        return [cell for case in cases if (cell := self.cell(case)) is not None]

    def ordered(self) -> Iterator[tuple[Cell, Cell]]:
        """Yield the pairs (higher, lower) that the check asserts. Neighbours of a case without a number close ranks."""
        check = self.check
        if isinstance(check, Ranking | Trend):
            names = tuple(cell.case for cell in self.cells(check.cases))
            check = check.model_copy(update={"cases": names})
        for higher, lower in orders(check):
            cells = self.cells((higher, lower))
            if len(cells) == 2:
                yield cells[0], cells[1]

    def implied(self) -> Iterator[tuple[Cell, Cell]]:
        """Yield the pairs (higher, lower) that follow from the check: of a ranking all, not only neighbours."""
        if isinstance(self.check, Ranking):
            yield from combinations(self.cells(self.check.cases), 2)
        else:
            yield from self.ordered()

    def remark(self, says: str, cells: Sequence[Cell]) -> Remark:
        """Return what is wrong with the statement, with the cells that show it."""
        return Remark(self.where, says, f'{_shown(self.row, cells)}. The statement: "{self.claim.says}"')


def _shown(row: MetricRow, cells: Sequence[Cell]) -> str:
    numbers = ", ".join(f'"{cell.case}" {cell.number.text}' for cell in cells)
    return f"{row.title}: {numbers}"


def statements(reading: Reading) -> Iterator[Statement]:
    """Yield every check of a claim on a metric that the table prints."""
    for claim in reading.benchmark.claims:
        for check in claim.checks:
            if isinstance(check, RunStatus | Overfits):
                continue
            rows = rows_of(reading, check.metric)
            if len(rows) == 1:
                yield Statement(claim, check, rows[0], reading)


def rows_of(reading: Reading, metric: str) -> list[MetricRow]:
    """Return the row that prints a metric, else those that print what it stands for: of several none is meant."""
    rows = reading.benchmark.table.metrics
    same = [row for row in rows if row.metric == metric][:1]
    return same or [row for row in rows if row.measures == STANDS_FOR.get(metric)]


def contradicted(readings: Sequence[Reading]) -> Iterator[Remark]:
    """Find statements that the printed cells contradict, whatever their last digits were."""
    for reading in readings:
        for _, group in groupby(statements(reading), key=lambda statement: statement.claim.id):
            same_claim = tuple(group)
            yield from _other_way_round([one for one in same_claim if not isinstance(one.check, Ratio)])
            for statement in same_claim:
                yield from _of_check(statement)


def _of_check(statement: Statement) -> Iterator[Remark]:
    """Find what one check says of sizes; orders are held against the table for all checks of a claim at once."""
    match statement.check:
        case Difference(than=None) | Close() as check:
            yield from _off_target(statement, check)
        case Equivalent() as check:
            yield from _too_far_apart(statement, check)
        case Ratio() as check:
            yield from _outside(statement, check)
        case Trend(flattens=True) as check:
            yield from _not_flattening(statement, check)


def _other_way_round(same_claim: Sequence[Statement]) -> Iterator[Remark]:
    """Find the orders of a claim that the table turns round."""
    pairs: list[str] = []
    by_row: dict[str, tuple[MetricRow, list[Cell]]] = {}
    for statement in same_claim:
        by = statement.check.by if isinstance(statement.check, Difference) else 0.0
        least = f" by at least {with_unit(statement.quantity, f'{by:g}')}" if by else ""
        for higher, lower in statement.implied():
            if largest_gap(statement.quantity, higher.number, lower.number) < by - TOLERANCE:
                pairs.append(f'"{higher.case}" above "{lower.case}"{least}')
                _, cells = by_row.setdefault(statement.row.metric, (statement.row, []))
                cells += [cell for cell in (higher, lower) if cell not in cells]
    if pairs:
        where, claim = same_claim[0].where, same_claim[0].claim
        shown = "; ".join(_shown(row, cells) for row, cells in by_row.values())
        says = f"the text puts {listed(pairs)}, the table does not"
        yield Remark(where, says, f'{shown}. The statement: "{claim.says}"')


def _not_flattening(statement: Statement, check: Trend) -> Iterator[Remark]:
    """Find a last step that is larger than the first: of logarithms, for times and memory."""
    cells = statement.cells(check.cases)
    if len(cells) < 3 or any(cell.number.low <= 0 for cell in cells):
        return
    sign = 1 if check.direction == "rising" else -1
    first, last = (_steps(statement.quantity, pair, sign) for pair in (cells[:2], cells[-2:]))
    if last[0] > first[1] + TOLERANCE:
        yield statement.remark("the text has the trend flatten, the last step is larger than the first", cells)


def _steps(quantity: Quantity, pair: Sequence[Cell], sign: int) -> tuple[float, float]:
    """Return the least and the largest step from one cell to the next that rounding allows."""
    (low, high), (next_low, next_high) = ((cell.number.low, cell.number.high) for cell in pair)
    if quantity in COSTS:
        low, high, next_low, next_high = log(low), log(high), log(next_low), log(next_high)
    ends = (sign * (next_low - high), sign * (next_high - low))
    return min(ends), max(ends)


def _too_far_apart(statement: Statement, check: Equivalent) -> Iterator[Remark]:
    margin, pairs = check.margin, permutations(statement.cells(check.cases), 2)
    far = [pair for pair in pairs if least_gap(statement.quantity, pair[0].number, pair[1].number) >= margin]
    if far:
        higher, lower = max(far, key=lambda pair: gap(statement.quantity, pair[0].number, pair[1].number))
        apart = shown_gap(statement.quantity, gap(statement.quantity, higher.number, lower.number))
        within = with_unit(statement.quantity, f"{margin:g}")
        says = f"the text calls cases alike (as the claim reads it, within {within}), the table has {apart}"
        yield statement.remark(says, (higher, lower))


def _outside(statement: Statement, check: Ratio) -> Iterator[Remark]:
    cells = statement.cells((check.case, check.to))
    if len(cells) < 2:
        return
    of, to = cells
    least, most = (1 + one(statement.quantity, of.number, to.number) / 100 for one in (least_gap, largest_gap))
    if most < check.low * (1 - TOLERANCE) or least > check.high * (1 + TOLERANCE):
        ratio = 1 + gap(statement.quantity, of.number, to.number) / 100
        says = (
            f'the text has "{of.case}" at {check.low:g} to {check.high:g} times "{to.case}", '
            f"the table at {ratio:.3g} times"
        )
        yield statement.remark(says, cells)


def _off_target(statement: Statement, check: Difference | Close) -> Iterator[Remark]:
    """Find a number that is outside the region which a claim on one case names; here "about" is as good as a number."""
    cell = statement.reading.cell(check.case, statement.row.metric)
    low, high = _region(check, statement.quantity)
    if cell is not None and (cell.number.high < low - TOLERANCE or cell.number.low > high + TOLERANCE):
        ends = f"{low:.6g} or more" if high == float("inf") else f"{high:.6g} or less" if low == -high else ""
        says = f'the text has "{cell.case}" at {ends or f"{low:.6g} to {high:.6g}"}, the table does not'
        yield statement.remark(says, (cell,))


def _region(check: Difference | Close, quantity: Quantity) -> tuple[float, float]:
    """Return the least and the largest number that agree with a claim."""
    if isinstance(check, Difference):
        bound = check.than_value or 0.0
        return (bound + check.by, float("inf")) if check.kind == "greater" else (-float("inf"), bound - check.by)
    reported = parse_printed(check.reported) if check.reported else None
    low, high = (reported.low, reported.high) if reported else (check.value or 0.0, check.value or 0.0)
    if quantity in COSTS:
        return low / (1 + check.margin / 100), high * (1 + check.margin / 100)
    return low - check.margin, high + check.margin
