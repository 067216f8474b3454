"""Differences that chance explains: the test set's sampling error, and repetitions of the same work."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from math import expm1, sqrt
from statistics import NormalDist

from resnet18.audit.claims import asserted_pairs, statements
from resnet18.audit.reading import (
    Amount,
    Cell,
    Finding,
    Pair,
    Place,
    Reading,
    Unchecked,
    by_row,
    quoted,
    widest,
    words,
)
from resnet18.spec.benchmark import SameWork
from resnet18.spec.metric import Quantity
from resnet18.spec.printed import UNITS_OF

CONFIDENCE = NormalDist().inv_cdf(0.975)
"""Standard errors, 1.96, that a difference exceeds by chance once in twenty times."""
FEWEST_DIGITS = 4
"""Significant digits below which two equal numbers say nothing."""
STANDARD_ERRORS = "1.96 standard errors of two independent test sets (roughly, as both numbers are of one test set)"
SHOWN = 5
"""Neighbours below a floor that are listed; more are counted."""


def unequal_twins(readings: Sequence[Reading]) -> Iterator[Finding]:
    """Find experiments that are printed more than once, with numbers that no rounding makes equal."""
    for cells, _ in _twins(readings):
        says = f'one experiment has different numbers of "{cells[0].row.title}"'
        yield Finding(_files(cells), says, {"numbers": cells, **_assumed(readings, cells)})


def _twins(readings: Sequence[Reading]) -> Iterator[tuple[list[Cell], Pair]]:
    """Yield the numbers of one metric of an experiment that differ by more than their rounding, and the widest pair."""
    found: dict[tuple[str, str], list[Cell]] = {}
    for cell in (cell for reading in readings for cell in reading.cells if not cell.number.is_approximate):
        found.setdefault((cell.identity, cell.row.metric), []).append(cell)
    for _, cells in sorted(found.items()):
        if pair := widest(cells):
            yield cells, pair


def _files(cells: Iterable[Cell]) -> Place:
    return Place(tuple(dict.fromkeys(cell.file for cell in cells)))


def _assumed(readings: Sequence[Reading], cells: Iterable[Cell]) -> dict[str, list[str]]:
    """Return as evidence which files assume what others state: the experiments may differ there."""
    names = _files(cells).files
    keys = {one.name: {each.key for each in one.benchmark.assumptions} for one in readings if one.name in names}
    found: dict[str, list[str]] = {}
    for key in sorted(set[str]().union(*keys.values()) - set[str].intersection(*keys.values())):
        holders = words(name for name in names if key in keys[name])
        found.setdefault(f"stated in one file, assumed in {holders}", []).append(key)
    return dict(sorted(found.items()))


def equal_strangers(readings: Sequence[Reading]) -> Iterator[Finding]:
    """Find numbers of at least four digits that are printed for different experiments."""
    for same, cells in _strangers(readings):
        numbers = {(cell.identity, cell.number.value) for cell in cells}
        low, match, high = (cell.number for cell in (cells[0], same[0], cells[-1]))
        places = round((high.value - low.value) / max(2 * match.half_step, 1e-300)) + 1
        chance = -expm1(-len(numbers) * (len(numbers) - 1) / (2 * places))  # the birthday problem, nearly
        spread = f"chance that two of {len(numbers)} numbers from {low.text} to {high.text} agree, if spread evenly"
        evidence = {"rows": [f"{cell} {cell.row.title}" for cell in same], spread: Amount(100 * chance, "%", ".2g")}
        says = f"{match.text} is printed for different experiments: copied, mixed up, or chance"
        yield Finding(_files(same), says, evidence)


def _strangers(readings: Sequence[Reading]) -> Iterator[tuple[list[Cell], list[Cell]]]:
    """Yield cells of different experiments with one value, and all cells among which they were found, in order."""
    for quantity in UNITS_OF:
        cells = [cell for one in readings for cell in one.cells if cell.row.measures == quantity and _is_telling(cell)]
        cells.sort(key=lambda cell: cell.number.value)
        for _, group in groupby(cells, key=lambda cell: cell.number.value):
            same = list(group)
            if len({cell.identity for cell in same}) > 1:
                yield same, cells


def _is_telling(cell: Cell) -> bool:
    """Say whether two such numbers would hardly agree by chance: the zeros of a round integer tell nothing."""
    digits = cell.number.digits if cell.number.decimals else cell.number.digits.rstrip("0")
    return not cell.number.is_approximate and len(digits) >= FEWEST_DIGITS


def within_sampling_error(readings: Sequence[Reading]) -> Iterator[Finding]:
    """Find orders of accuracies that two random test sets of this size would often turn round."""
    for reading in readings:
        images = reading.benchmark.printed.test_images or 0
        for pair, place in _accuracy_pairs(reading).items() if images else ():
            error = CONFIDENCE * 100 * sqrt(sum(variance(cell.number.value) for cell in pair) / images)
            if 0 <= pair.gap.printed < error:
                errors = {"test images": Amount(images, "", ","), STANDARD_ERRORS: Amount(error, "points", ".2f")}
                says = "the difference is within the sampling error of the test set"
                yield Finding(place, says, {str(pair): pair.size, **by_row(pair), **errors})


def _accuracy_pairs(reading: Reading) -> dict[Pair, Place]:
    """Return the pairs that claims assert; without claims on accuracy, the best case over the second."""
    rows = [row for row in reading.benchmark.table.metrics if row.measures == "accuracy"]
    if any(row in rows for claim in reading.benchmark.claims for _, row in statements(reading, claim)):
        return {pair: place for pair, place in asserted_pairs(reading).items() if pair.quantity == "accuracy"}
    best = [sorted(reading.row(row.metric), key=lambda cell: -cell.number.value)[:2] for row in rows]
    return {Pair(*two): reading.at() for two in best if len(two) == 2}


def variance(accuracy: float) -> float:
    """Return the variance of one image's outcome, correct or not, at an accuracy in percent."""
    share = min(max(accuracy / 100, 0.0), 1.0)
    return share * (1 - share)


def below_noise_floor(readings: Sequence[Reading]) -> Iterator[Finding | Unchecked]:
    """Find orders by less than the largest difference that the report prints between two runs of the same work."""
    floors: dict[Quantity, tuple[Pair, Mapping[str, object]]] = {}
    for pair, evidence in sorted(_floors(readings), key=lambda floor: floor[0].gap.printed):
        floors[pair.quantity] = (pair, evidence)
    for reading in readings:
        for pair, place in asserted_pairs(reading).items():
            floor, evidence = floors.get(pair.quantity, (pair, {}))
            if pair.gap.printed < floor.gap.printed:
                says = "the difference is smaller than between two runs of the same work"
                shown = {"the same work differs by": floor.size, "between": [*floor], **evidence}
                yield Finding(place, says, {str(pair): pair.size, **by_row(pair), **shown})
    yield from _unequal_work(readings)


def _floors(readings: Sequence[Reading]) -> Iterator[tuple[Pair, Mapping[str, object]]]:
    """Yield numbers of the same work that surely differ, with why it is the same, and why perhaps not."""
    for reading in readings:
        for work in reading.benchmark.printed.same_work:
            if pair := widest(reading.exact(work.cases, work.metric)):
                yield pair, {"the work is the same": work.because}
    copies = {cell for same, _ in _strangers(readings) for cell in same}
    for _, pair in _twins(readings):
        copied = {'perhaps copied (see "same value")': [cell for cell in pair if cell in copies]}
        yield pair, {"the work is the same": "one experiment", **_assumed(readings, pair), **copied}


def _unequal_work(readings: Sequence[Reading]) -> Iterator[Finding | Unchecked]:
    """Find work that the report calls the same and prints with different numbers, and smaller differences in tables."""
    for reading in readings:
        for work in reading.benchmark.printed.same_work:
            yield from reading.missing(f"same work of {quoted(work.cases)}", work.cases, work.metric)
            if floor := widest(reading.exact(work.cases, work.metric)):
                found = _neighbours_below(readings, work, floor)
                shown = found[:SHOWN] + [f"{len(found) - SHOWN} more"] * (len(found) > SHOWN) or "none"
                says = "the same work has different numbers: smaller differences in this report may be noise"
                evidence = {"apart": floor.size, **by_row(floor), "because": work.because}
                evidence["neighbours in tables that differ by less"] = shown
                yield Finding(reading.at(quoted(work.cases)), says, evidence)


def _neighbours_below(readings: Sequence[Reading], work: SameWork, floor: Pair) -> list[str]:
    found = []
    rows = [reading.row(row.metric) for reading in readings for row in reading.benchmark.table.metrics]
    for one, two in (pair for cells in rows for pair in pairwise(cells) if cells[0].row.measures == floor.quantity):
        pair = max(Pair(one, two), Pair(two, one), key=lambda pair: pair.gap.printed)
        is_the_work = one.file == floor.higher.file and {one.case, two.case} <= {*work.cases}
        if 0 < pair.gap.printed < floor.gap.printed and not is_the_work:
            found.append(f"{quoted([one.case, two.case])} ({one.file}) {pair.size}")
    return found
