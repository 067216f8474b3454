"""Differences that a report makes something of although its test set, or its own repetitions, cannot resolve them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations
from math import sqrt
from statistics import NormalDist

from resnet18.audit.differences import gap, least_gap, shown_gap
from resnet18.audit.finding import Remark, listed, quoted
from resnet18.audit.reading import Cell, Reading
from resnet18.audit.repeated import assumed, strangers, twins
from resnet18.audit.statements import Statement, statements
from resnet18.spec.benchmark import SameWork
from resnet18.spec.metric import Quantity
from resnet18.spec.printed import Printed

CONFIDENCE = NormalDist().inv_cdf(0.975)
"""Standard errors, 1.96, that a difference exceeds by chance once in twenty times."""
NEIGHBOURS = 5
"""Differences below a floor that are listed; more are counted."""
NUMBERS: dict[Quantity, str] = {"accuracy": "accuracies", "seconds": "times", "bytes": "sizes of memory"}
"""What a quantity's numbers are called; others are numbers."""


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
                    f"{error:.2f} points. It is rough, as both were measured on the same images"
                )
                yield Remark(order.where, f"{order.shown}, within the sampling error", evidence)


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
    """Find orders by less than what the report prints between two runs of the same work, and neighbours in tables."""
    yield from _orders_below(readings)
    for reading in readings:
        for work in reading.benchmark.printed.same_work:
            if (floor := _declared(reading, work)) is not None:
                apart, noun = shown_gap(floor.quantity, floor.size), NUMBERS.get(floor.quantity, "numbers")
                says = (
                    f"the same work is printed with {noun} {apart} apart: "
                    f"no smaller difference between {noun} of this report is one"
                )
                evidence = f"{_numbers(floor)} ({work.because}). {_lesser(readings, work, floor)}"
                yield Remark(f"{reading.name}: {quoted(work.cases)}", says, evidence)


def _numbers(floor: Floor) -> str:
    cells = ", ".join(f'"{cell.case}" {cell.number.text}' for cell in (floor.higher, floor.lower))
    return f"{floor.higher.row.title}: {cells}"


def _lesser(readings: Sequence[Reading], work: SameWork, floor: Floor) -> str:
    """Return which neighbours in the tables of the report differ by less than a floor, those of the work left out."""
    found: list[str] = []
    for reading in readings:
        for row in reading.benchmark.table.metrics:
            cells = [cell for cell in reading.row(row.metric) if not cell.number.is_approximate]
            for pair in pairwise(cells if row.measures == floor.quantity else []):
                is_the_work = reading.name == floor.higher.benchmark and {one.case for one in pair} <= {*work.cases}
                size = max(gap(row.measures, one.number, two.number) for one, two in permutations(pair))
                if 0 < size < floor.size and not is_the_work:
                    names = quoted(cell.case for cell in pair)
                    found.append(f"{names} ({reading.name}) {shown_gap(row.measures, size)}")
    if not found:
        return "No neighbours in a table differ by less"
    shown, more = found[:NEIGHBOURS], len(found) - NEIGHBOURS
    return f"Neighbours that differ by less: {'; '.join(shown)}{f'; and {more} more' if more > 0 else ''}"


def _orders_below(readings: Sequence[Reading]) -> Iterator[Remark]:
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
            if (floor := _declared(reading, work)) is not None:
                yield floor
    repeated = [cell for _, same, _ in strangers(readings) for cell in same]
    for same in twins(readings):
        if (pair := _widest(same)) is not None:
            yield Floor(*pair, f"though the files describe one experiment{_doubts(readings, pair, repeated)}")


def _declared(reading: Reading, work: SameWork) -> Floor | None:
    """Return the floor that the report says it has, None where the numbers may be equal."""
    cells = [cell for name in work.cases if (cell := reading.exact_cell(name, work.metric)) is not None]
    pair = _widest(cells)
    return None if pair is None else Floor(*pair, f"though they do the same work: {work.because}")


def _doubts(readings: Sequence[Reading], pair: Sequence[Cell], repeated: Sequence[Cell]) -> str:
    """Return why two numbers of one experiment might not be its repetition."""
    part = assumed(readings, list(dict.fromkeys(cell.benchmark for cell in pair)))
    copies = [cell.number.text for cell in pair if cell in repeated]
    told = [f" ({part})"] if part else []
    if copies:
        told.append(f'. {listed(copies)} may be {"a copy" if len(copies) == 1 else "copies"}: see "same value"')
    return "".join(told)


def _widest(cells: Sequence[Cell]) -> tuple[Cell, Cell] | None:
    """Return the pair that surely differs most, if any surely does."""
    pairs = [(least_gap(one.row.measures, one.number, two.number), one, two) for one, two in permutations(cells, 2)]
    if not pairs:
        return None
    size, higher, lower = max(pairs, key=lambda pair: pair[0])
    return (higher, lower) if size > 0 else None
