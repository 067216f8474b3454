"""Cells that should agree and do not, and cells that agree although nothing makes them."""

from collections.abc import Iterator, Sequence
from itertools import combinations, groupby
from math import expm1

from resnet18.audit.differences import differ
from resnet18.audit.finding import Remark, listed
from resnet18.audit.reading import Cell, Reading
from resnet18.spec.metric import Quantity
from resnet18.spec.printed import UNITS_OF, Printed

FEWEST_DIGITS = 4
"""Significant digits below which two equal numbers say nothing."""


def unequal_twins(readings: Sequence[Reading]) -> Iterator[Remark]:
    """Find experiments that are printed more than once, with numbers that no rounding makes equal."""
    for cells in twins(readings):
        names = list(dict.fromkeys(cell.benchmark for cell in cells))
        title = cells[0].row.title
        says = f'one experiment has different numbers of "{title}"'
        if_right = f". They are one if what is assumed is right: {part}" if (part := assumed(readings, names)) else ""
        yield Remark(listed(names), says, f"{listed(cell.shown for cell in cells)}{if_right}")


def twins(readings: Sequence[Reading]) -> Iterator[tuple[Cell, ...]]:
    """Yield the cells of each experiment whose printed numbers of one metric differ by more than their rounding."""
    cells = [cell for reading in readings for cell in reading.cells if not cell.number.is_approximate]
    cells.sort(key=_experiment_and_metric)
    for _, group in groupby(cells, key=_experiment_and_metric):
        same = tuple(group)
        if any(differ(one.number, other.number) for one, other in combinations(same, 2)):
            yield same


def _experiment_and_metric(cell: Cell) -> tuple[str, str]:
    return cell.identity, cell.row.metric


def assumed(readings: Sequence[Reading], names: Sequence[str]) -> str:
    """Return which values some of the files assume and others state: what makes the experiments one may be wrong."""
    by_file = {one.name: {each.key for each in one.benchmark.assumptions} for one in readings if one.name in names}
    stated_elsewhere = sorted(set[str]().union(*by_file.values()) - set[str].intersection(*by_file.values()))

    def holders(key: str) -> list[str]:
        return [name for name in names if key in by_file[name]]

    parts = [
        f"{listed(files)} {'assumes' if len(files) == 1 else 'assume'} {listed(keys)}"
        for files, keys in groupby(sorted(stated_elsewhere, key=holders), key=holders)
    ]
    return f"{', '.join(parts)}, which others state" if parts else ""


def equal_strangers(readings: Sequence[Reading]) -> Iterator[Remark]:
    """Find numbers of at least four digits that are printed for different experiments."""
    for quantity, same, cells in strangers(readings):
        names = listed(dict.fromkeys(cell.benchmark for cell in same))
        says = f"{same[0].number.text} is printed for different experiments: copied, mixed up, or chance"
        places = listed(f'{cell.benchmark}, "{cell.case}" ({cell.row.title})' for cell in same)
        yield Remark(names, says, f"{places}. {_chance(quantity, same[0].number, cells)}")


def strangers(readings: Sequence[Reading]) -> Iterator[tuple[Quantity, list[Cell], list[Cell]]]:
    """Yield cells of different experiments with one value, and all cells among which they were found."""
    for quantity in UNITS_OF:
        cells = [cell for one in readings for cell in one.cells if cell.row.measures == quantity and _is_telling(cell)]
        cells.sort(key=lambda cell: cell.number.value)
        for _, group in groupby(cells, key=lambda cell: cell.number.value):
            same = list(group)
            if len({cell.identity for cell in same}) > 1:
                yield quantity, same, cells


def _is_telling(cell: Cell) -> bool:
    """Say whether two such numbers would hardly agree by chance: the zeros of a round integer tell nothing."""
    found = digits(cell.number)
    telling = found if cell.number.decimals else found.rstrip("0")
    return not cell.number.is_approximate and len(telling) >= FEWEST_DIGITS


def digits(number: Printed) -> str:
    """Return the digits of a number as printed, from the first that is not zero."""
    mantissa = number.text.lower().partition("e")[0]
    return "".join(letter for letter in mantissa if letter.isdigit()).lstrip("0")


def _chance(quantity: Quantity, match: Printed, cells: Sequence[Cell]) -> str:
    """Return how often two numbers would agree by chance (the birthday problem, approximated by an exponential)."""
    numbers = {(cell.identity, cell.number.value) for cell in cells}
    low, high = cells[0].number, cells[-1].number
    places = round((high.value - low.value) / max(2 * match.half_step, 1e-300)) + 1
    chance = -expm1(-len(numbers) * (len(numbers) - 1) / (2 * places))
    return (
        f"Of {len(numbers)} such numbers ({quantity}), spread evenly from {low.text} to {high.text}, two would agree "
        f"with a chance of {100 * chance:.2g} %; where numbers crowd, more often"
    )
