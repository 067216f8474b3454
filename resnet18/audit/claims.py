"""A report's statements, and differences between its numbers, held against its tables and against chance."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations, groupby, pairwise, starmap
from math import expm1, hypot, inf, sqrt
from typing import NamedTuple

from resnet18.audit.reading import Cell, Finding, Pair, Range, Reading, Unchecked, amount, by_row, quoted, widest, words
from resnet18.spec import claim as spec
from resnet18.spec.benchmark import SameWork
from resnet18.spec.metric import MARGIN_UNITS, UNITS_OF, PrintedNumber, quantity_of

BY_QUANTITY = ("best_accuracy", "clean_accuracy", "train_s", "whole_program_s")
"""Metrics that a table prints under one name or another: a report has one accuracy and one time."""
AUDITED = (spec.Difference, spec.Ranking, spec.Trend, spec.Equivalent, spec.Ratio, spec.Close)
"""Kinds of checks that printed numbers can contradict. Others are listed as not checked."""


class Size(NamedTuple):
    """What the text says of a size, from the lowest to the highest, and what the table has."""

    what: str
    low: float
    high: float
    found: Range
    cells: Iterable[Cell]
    unit: str = ""

    def __str__(self) -> str:
        low, high, found = (amount(size, self.unit) for size in (self.low, self.high, self.found.printed))
        said = f"at most {high}" if self.low == -inf else f"at least {low}" if self.high == inf else f"{low} to {high}"
        return f"{self.what} is {found}, in the text {said}"


def _cells_of(reading: Reading, check: spec.Check) -> tuple[list[Cell], str]:
    """Return the numbers that a check is about, and what else it would need."""
    if not isinstance(check, AUDITED):
        return [], "losses by epoch" if check.kind == "overfits" else check.kind
    metric, cases, rows = check.metric, spec.cases_of(check), [*reading.benchmark.table.metrics]
    same = [row for row in rows if row.metric == metric][:1]
    rows = same or [row for row in rows if metric in BY_QUANTITY and row.measures == quantity_of(metric)]
    if len(rows) != 1:
        return [], f"{metric}, which {len(rows)} rows may be" if rows else metric
    return reading.find(rows[0].metric, cases, exact=len(cases) > 1)  # of a case alone, "about" is as good


def _pairs_of(check: spec.Check, cells: Sequence[Cell]) -> list[Pair]:
    """Return the pairs that a check asserts. Cases without a number are skipped: their neighbours are compared."""
    by_case = {cell.case: cell for cell in cells}
    if isinstance(check, spec.Ranking | spec.Trend):
        check = check.model_copy(update={"cases": tuple(by_case)})
    pairs = spec.orders(check) if len(cells) > 1 else ()
    return [Pair(by_case[above], by_case[below]) for above, below in pairs]


def contradicted(reading: Reading) -> Iterator[Finding | Unchecked]:
    """Find statements that the printed cells contradict, whatever their last digits were."""
    for claim in reading.benchmark.claims:
        checks = [_as_said(check) if claim.tested else check for check in claim.checks]
        label, made = f"claim {claim.id}", [(check, *_cells_of(reading, check)) for check in checks]
        yield from dict.fromkeys(Unchecked(reading.name, label, lack) for _, _, lack in made if lack)
        sizes = [size for check, cells, _ in made for size in _sizes(check, cells)]
        if wrong := [size for size in sizes if size.found.is_outside(size.low, size.high)]:
            evidence = {"statement": quoted([claim.says]), "in the table": wrong}
            cells_by_row = by_row(cell for size in wrong for cell in size.cells)
            where = f"{reading.name}: {label}"
            yield Finding(where, "the table contradicts the text", {**evidence, **cells_by_row})


def _as_said(check: spec.Check) -> spec.Check:
    """Return a check of a difference without the least one that it is tested by: the report did not name that."""
    return check.model_copy(update={"by": 0.0}) if isinstance(check, spec.Difference) else check


def _sizes(check: spec.Check, cells: Sequence[Cell]) -> Iterator[Size]:
    """Yield what a check says of sizes: of a ranking all pairs, of equivalents the widest pair."""
    unit = MARGIN_UNITS[cells[0].row.measures] if cells else ""
    match check:
        case spec.Close() | spec.Difference(than=None):
            yield from (Size(quoted([cell.case]), *_bounds(check, unit), cell.range, cells) for cell in cells)
        case spec.Difference() | spec.Ranking() | spec.Trend():
            by = check.by if isinstance(check, spec.Difference) else 0.0
            every = starmap(Pair, combinations(cells, 2))
            pairs = every if isinstance(check, spec.Ranking) else _pairs_of(check, cells)
            yield from (Size(str(pair), by, inf, pair.gap, pair, unit) for pair in pairs)
            if isinstance(check, spec.Trend) and check.flattens and len(cells) > 2:
                steps = [Pair(*two[::-1] if check.direction == "rising" else two).gap for two in pairwise(cells)]
                yield Size("the last step less the first", -inf, 0.0, steps[-1].minus(steps[0]), cells, unit)
        case spec.Equivalent(margin=margin):
            found = filter(None, [widest(cells)])
            yield from (Size(str(pair), -inf, margin, pair.gap, pair, unit) for pair in found)
        case spec.Ratio(low=low, high=high):
            ratios = [cells[0].range.over(cells[1].range)] if len(cells) == 2 else []
            yield from (Size(f'"{check.case}" over "{check.to}"', low, high, ratio, cells) for ratio in ratios)


def _bounds(check: spec.Close | spec.Difference, unit: str) -> tuple[float, float]:
    """Return the least and the largest number that agree with a claim on one case."""
    if isinstance(check, spec.Difference):
        bound = check.than_value or 0.0
        return (bound + check.by, inf) if check.kind == "greater" else (-inf, bound - check.by)
    low, high = check.target
    factor, slack = (1 + check.margin / 100, 0.0) if unit == "%" else (1.0, check.margin)
    return low / factor - slack, high * factor + slack


def unequal_twins(readings: Sequence[Reading]) -> Iterator[Finding]:
    """Find experiments that are printed more than once, with numbers that no rounding makes equal."""
    for cells, _ in _twins(readings):
        says = f'one experiment has different numbers of "{cells[0].row.title}"'
        yield Finding(words(_files(cells)), says, {"numbers": cells, **_assumed(readings, cells)})


def _twins(readings: Sequence[Reading]) -> Iterator[tuple[list[Cell], Pair]]:
    """Yield the numbers of one metric of an experiment that differ by more than their rounding, and the widest pair."""
    found: dict[tuple[Hashable, str], list[Cell]] = {}
    for cell in (cell for reading in readings for cell in reading.cells if not cell.number.is_approximate):
        found.setdefault((cell.identity, cell.row.metric), []).append(cell)
    for cells in found.values():
        if pair := widest(cells):
            yield cells, pair


def _files(cells: Iterable[Cell]) -> list[str]:
    return [*dict.fromkeys(cell.file for cell in cells)]


def _assumed(readings: Sequence[Reading], cells: Iterable[Cell]) -> dict[str, list[str]]:
    """Return as evidence which files assume what others state: the experiments may differ there."""
    files, found = _files(cells), dict[str, list[str]]()
    keys_of = {reading.name: {each.key for each in reading.benchmark.assumptions} for reading in readings}
    for key in sorted({key for file in files for key in keys_of[file]}):
        holders = [file for file in files if key in keys_of[file]]
        if len(holders) < len(files):
            found.setdefault(f"stated in one file, assumed in {words(holders)}", []).append(key)
    return dict(sorted(found.items()))


def equal_strangers(readings: Sequence[Reading]) -> Iterator[Finding]:
    """Find numbers of at least four digits that are printed for different experiments."""
    for same, cells in _strangers(readings):
        numbers = {(cell.identity, cell.number.value) for cell in cells}
        low, match, high = (cell.number for cell in (cells[0], same[0], cells[-1]))
        places = round((high.value - low.value) / max(2 * match.half_step, 1e-300)) + 1
        chance = -expm1(-len(numbers) * (len(numbers) - 1) / (2 * places))  # the birthday problem, nearly
        spread = f"chance that two of {len(numbers)} numbers from {low.text} to {high.text} agree, if spread evenly"
        evidence = {"rows": [f"{cell} {cell.row.title}" for cell in same], spread: amount(100 * chance, "%", ".2g")}
        says = f"{match.text} is printed for different experiments: copied, mixed up, or chance"
        yield Finding(words(_files(same)), says, evidence)


def _strangers(readings: Sequence[Reading]) -> Iterator[tuple[list[Cell], list[Cell]]]:
    """Yield cells of different experiments with one value, and all cells among which they were found, in order."""
    telling = [cell for reading in readings for cell in reading.cells if _tells(cell.number)]
    telling.sort(key=lambda cell: cell.number.value)
    for quantity in UNITS_OF:
        cells = [cell for cell in telling if cell.row.measures == quantity]
        for _, group in groupby(cells, key=lambda cell: cell.number.value):
            same = list(group)
            if len({cell.identity for cell in same}) > 1:
                yield same, cells


def _tells(number: PrintedNumber) -> bool:
    """Say whether two such numbers would hardly agree by chance: the zeros of a round integer tell nothing."""
    digits = number.digits if number.decimals else number.digits.rstrip("0")
    return not number.is_approximate and len(digits) >= 4


def within_sampling_error(reading: Reading) -> Iterator[Finding]:
    """Find orders of accuracies that two random test sets of this size would often turn round.

    Without claims on accuracy, the best case is held against the second.
    """
    pairs = _asserted_pairs(reading)
    checks = [check for claim in reading.benchmark.claims for check in claim.checks]
    if not any(cell.row.measures == "accuracy" for check in checks for cell in _cells_of(reading, check)[0]):
        rows = [reading.row(row.metric) for row in reading.benchmark.table.metrics if row.measures == "accuracy"]
        best = [sorted(cells, key=lambda cell: -cell.number.value)[:2] for cells in rows]
        pairs = {Pair(*two): reading.name for two in best if len(two) == 2}
    images = reading.benchmark.printed.test_images or inf
    for pair, place in pairs.items():
        error = 1.96 * hypot(*(standard_error(cell.number.value, images) for cell in pair))
        if pair.quantity == "accuracy" and 0 <= pair.gap.printed < error:
            sets = "of two independent test sets (roughly, as both numbers are of one test set)"
            errors = {f"1.96 standard errors {sets}": amount(error, "points", ".2f")}
            evidence = {str(pair): pair.size, **by_row(pair), "test images": amount(images, "", ","), **errors}
            yield Finding(place, "the difference is within the sampling error of the test set", evidence)


def _asserted_pairs(reading: Reading) -> dict[Pair, str]:
    """Return the pairs that claims assert and the table has in this order, each with the place of the claims."""
    found: dict[Pair, dict[str, None]] = {}
    for claim in reading.benchmark.claims:
        for pair in (pair for check in claim.checks for pair in _pairs_of(check, _cells_of(reading, check)[0])):
            if pair.gap.printed >= 0:
                found.setdefault(pair, {})[claim.id] = None
    return {pair: f"{reading.name}: claim{'s' * (len(ids) > 1)} {words(ids)}" for pair, ids in found.items()}


def standard_error(accuracy: float, images: float) -> float:
    """Return the standard deviation, in points, that drawing the test images gives an accuracy in percent."""
    share = min(max(accuracy / 100, 0.0), 1.0)
    return 100 * sqrt(share * (1 - share) / images)


def below_noise_floor(readings: Sequence[Reading]) -> Iterator[Finding | Unchecked]:
    """Find orders by less than the largest difference that the report prints between two runs of the same work."""
    floors = sorted(_floors(readings), key=lambda floor: floor[0].gap.printed)
    largest = {pair.quantity: (pair, evidence) for pair, evidence in floors}
    for reading in readings:
        for pair, place in _asserted_pairs(reading).items():
            floor, evidence = largest.get(pair.quantity, (pair, {}))
            if pair.gap.printed < floor.gap.printed:
                says = "the difference is smaller than between two runs of the same work"
                shown = {"the same work differs by": floor.size, "between": [*floor], **evidence}
                yield Finding(place, says, {str(pair): pair.size, **by_row(pair), **shown})
    for reading in readings:
        for work in reading.benchmark.printed.same_work:
            yield from _unequal_work(readings, reading, work)


def _floors(readings: Sequence[Reading]) -> Iterator[tuple[Pair, Mapping[str, object]]]:
    """Yield numbers of the same work that surely differ, with why it is the same, and why perhaps not."""
    for reading in readings:
        for work in reading.benchmark.printed.same_work:
            if pair := widest(reading.find(work.metric, work.cases)[0]):
                yield pair, {"the work is the same": work.because}
    copies = {cell for same, _ in _strangers(readings) for cell in same}
    for _, pair in _twins(readings):
        copied = {'perhaps copied (see "same value")': [cell for cell in pair if cell in copies]}
        yield pair, {"the work is the same": "one experiment", **_assumed(readings, pair), **copied}


def _unequal_work(readings: Sequence[Reading], reading: Reading, work: SameWork) -> Iterator[Finding | Unchecked]:
    """Find work that a file calls the same and prints with different numbers, and smaller differences in all tables."""
    label, (cells, lack) = quoted(work.cases), reading.find(work.metric, work.cases)
    if lack:
        yield Unchecked(reading.name, f"same work of {label}", lack)
    if floor := widest(cells):
        near = []
        rows = [file.row(row.metric) for file in readings for row in file.benchmark.table.metrics]
        for two in (two for row in rows for two in pairwise(row) if two[0].row.measures == floor.quantity):
            pair = max(Pair(*two), Pair(*two[::-1]), key=lambda pair: pair.gap.printed)
            is_the_work = two[0].file == reading.name and {cell.case for cell in two} <= {*work.cases}
            if 0 < pair.gap.printed < floor.gap.printed and not is_the_work:
                near.append(f"{quoted(cell.case for cell in two)} ({two[0].file}) {pair.size}")
        shown = near[:5] + [f"{len(near) - 5} more"] * (len(near) > 5)
        says = "the same work has different numbers: smaller differences in this report may be noise"
        evidence = {"apart": floor.size, **by_row(floor), "because": work.because}
        evidence |= {"neighbours in tables that differ by less": shown or "none"}
        yield Finding(f"{reading.name}: {label}", says, evidence)
