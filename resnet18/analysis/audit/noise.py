"""Differences that a report makes something of although its test set, or its own repetitions, cannot resolve them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import sqrt
from statistics import NormalDist

from resnet18.analysis.audit.finding import Remark, listed
from resnet18.analysis.audit.gaps import gap, least_gap, shown_gap
from resnet18.analysis.audit.reading import Cell, Reading
from resnet18.analysis.audit.repeated import twins
from resnet18.analysis.audit.statements import Statement, statements
from resnet18.spec.metric import Quantity
from resnet18.spec.printed import Printed

CONFIDENCE = NormalDist().inv_cdf(0.975)
"""Standard errors, 1.96, that a difference exceeds by chance once in twenty times."""


@dataclass(frozen=True)
class Order:
    """Two cells of which the report says, or its table suggests, that one is higher."""

    where: str
    higher: Cell
    lower: Cell

    @property
    def quantity(self) -> Quantity:
        """What both measure."""
        return self.higher.row.measures

    @property
    def size(self) -> float:
        """By how much the one is higher, as printed."""
        return gap(self.quantity, self.higher.number, self.lower.number)

    @property
    def shown(self) -> str:
        """The order in words."""
        return f'"{self.higher.case}" is above "{self.lower.case}" by {shown_gap(self.quantity, self.size)}'


@dataclass(frozen=True)
class Floor:
    """Two numbers that differ although the work was the same."""

    higher: Cell
    lower: Cell
    because: str

    @property
    def quantity(self) -> Quantity:
        """What both measure."""
        return self.higher.row.measures

    @property
    def size(self) -> float:
        """By how much they differ, as printed."""
        return gap(self.quantity, self.higher.number, self.lower.number)


def within_sampling_error(readings: Sequence[Reading]) -> Iterator[Remark]:
    """Find orders of accuracies that two random test sets of this size would often turn round."""
    for reading in readings:
        images = reading.benchmark.printed.test_images
        if images is None:
            continue
        for order in _orders(reading) or _winner(reading):
            if order.quantity != "accuracy":
                continue
            error = CONFIDENCE * 100 * sqrt(sum(_variance(one.number) for one in (order.higher, order.lower)) / images)
            if 0 <= order.size < error:
                evidence = (
                    f"{order.higher.row.title}: {order.higher.number.text} and {order.lower.number.text} on "
                    f"{images:,} test images; 1.96 standard errors of the difference of two independent test sets are "
                    f"{error:.2f} points. Both were measured on the same images, so this bound is rough"
                )
                yield Remark(order.where, f"{order.shown}, within the sampling error of the test set", evidence)


def _variance(accuracy: Printed) -> float:
    """Return the variance of one image's outcome, correct or not, at an accuracy in percent."""
    share = min(max(accuracy.value / 100, 0.0), 1.0)
    return share * (1 - share)


def _orders(reading: Reading) -> tuple[Order, ...]:
    """Return what the claims assert, each pair of cells once; orders that the table turns round are left out."""
    claims: dict[tuple[str, str, str], tuple[list[str], Cell, Cell]] = {}
    for statement in statements(reading):
        for higher, lower in statement.ordered():
            key = (statement.row.metric, higher.case, lower.case)
            names, *_ = claims.setdefault(key, ([], higher, lower))
            if statement.claim.id not in names:
                names.append(statement.claim.id)
    found = (
        Order(f"{reading.name}: {'claim' if len(names) == 1 else 'claims'} {listed(names)}", higher, lower)
        for names, higher, lower in claims.values()
    )
    return tuple(order for order in found if order.size >= 0)


def _winner(reading: Reading) -> tuple[Order, ...]:
    """Return the best case over the second best, where no claim is about an accuracy: a table names its winner."""
    if any(_is_about_accuracy(statement) for statement in statements(reading)):
        return ()
    best: list[Order] = []
    for row in reading.benchmark.table.metrics:
        cells = [cell for cell in reading.row(row.metric) if not cell.number.is_approximate]
        cells.sort(key=lambda cell: -cell.number.value)
        if row.measures == "accuracy" and len(cells) > 1:
            best.append(Order(reading.name, cells[0], cells[1]))
    return tuple(best)


def _is_about_accuracy(statement: Statement) -> bool:
    return statement.quantity == "accuracy"


def below_noise_floor(readings: Sequence[Reading]) -> Iterator[Remark]:
    """Find orders by less than what the report prints between two runs of the same work."""
    floors: dict[Quantity, Floor] = {}
    for floor in sorted(_floors(readings), key=lambda floor: floor.size):
        floors[floor.quantity] = floor
    for order in (order for reading in readings for order in _orders(reading)):
        if order.quantity not in floors or order.size >= (floor := floors[order.quantity]).size:
            continue
        evidence = (
            f"{order.higher.row.title}: {order.higher.number.text} and {order.lower.number.text}. The floor: "
            f"{listed([floor.higher.shown, floor.lower.shown])} differ by {shown_gap(floor.quantity, floor.size)}, "
            f"{floor.because}"
        )
        yield Remark(order.where, f"{order.shown}, less than the same work differs by", evidence)


def _floors(readings: Sequence[Reading]) -> Iterator[Floor]:
    """Yield what the report reveals of its noise: pairs that it says do the same work, experiments printed twice."""
    for reading in readings:
        for work in reading.benchmark.printed.same_work:
            cells = [cell for name in work.cases if (cell := reading.cell(name, work.metric)) is not None]
            yield from _widest(cells, f"though they do the same work: {work.because}")
    for same in twins(readings):
        yield from _widest(same, "though the files describe one experiment")


def _widest(cells: Sequence[Cell], because: str) -> Iterator[Floor]:
    """Yield the pair that surely differs most, if any surely does."""
    exact = [cell for cell in cells if not cell.number.is_approximate]
    pairs = [(least_gap(one.row.measures, one.number, two.number), one, two) for one, two in permutations(exact, 2)]
    if pairs:
        size, higher, lower = max(pairs, key=lambda pair: pair[0])
        if size > 0:
            yield Floor(higher, lower, because)
