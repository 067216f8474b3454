"""How numbers are printed: digits and units."""

from collections.abc import Iterator, Sequence

from resnet18.audit.finding import Remark, counted, listed, quoted
from resnet18.audit.reading import NO_NUMBER, Cell, Reading, is_share, number_of, unit_in_title
from resnet18.audit.repeated import digits
from resnet18.spec.printed import UNITS_OF, parse_printed

SHOWN = 3
"""Cells that are quoted as examples."""


def unread_cells(readings: Sequence[Reading]) -> Iterator[Remark]:
    """Find what is neither read as a number nor known as a word that stands for none."""
    for reading in readings:
        found = [(place, text) for place, text in _unread(reading) if text.strip().lower() not in NO_NUMBER]
        if found:
            texts = dict.fromkeys(text for _, text in found)
            says = f"{quoted(texts)} {'is not read as a number' if len(texts) == 1 else 'are not read as numbers'}"
            yield Remark(reading.name, says, "; ".join(f"{place}: {text}" for place, text in found))


def _unread(reading: Reading) -> Iterator[tuple[str, str]]:
    """Yield (place, text) of what is printed and is no number."""
    numbers = {(cell.case, cell.row.metric) for cell in reading.cells}
    for row in reading.benchmark.table.metrics:
        for case in reading.benchmark.cases:
            if row.metric in case.reported and (case.name, row.metric) not in numbers:
                yield f'"{case.name}" ({row.title})', case.reported[row.metric]
    printed = reading.benchmark.printed
    others = [(f'"{one.name}"', one.printed, parse_printed(one.printed)) for one in printed.derived]
    others += [(f"learning rate, epoch {one.epoch}", one.printed, parse_printed(one.printed)) for one in printed.rates]
    for memory in printed.memory:
        for place, text in (("memory", memory.printed), ("card", memory.card or "")):
            others.append((f'{place} of "{memory.case}"', text, number_of(text, "bytes")))
    yield from ((place, text) for place, text, number in others if number is None)


def uneven_precision(readings: Sequence[Reading]) -> Iterator[Remark]:
    """Find rows whose numbers have neither the same decimals nor the same significant digits."""
    for reading in readings:
        for row in reading.benchmark.table.metrics:
            numbers = [cell.number for cell in reading.row(row.metric) if not cell.number.is_approximate]
            by_decimals = {number.decimals: number.text for number in reversed(numbers)}
            if len(by_decimals) < 2 or len({len(digits(number)) for number in numbers}) == 1:
                continue
            says = f'"{row.title}" is printed with {listed(str(one) for one in sorted(by_decimals))} decimals'
            examples = listed(f"{text} ({counted(count, 'decimal')})" for count, text in sorted(by_decimals.items()))
            yield Remark(reading.name, says, f"for example {examples}")


def missing_units(readings: Sequence[Reading]) -> Iterator[Remark]:
    """Find accuracies, times and memory that are printed without a unit; shares of 1 need none."""
    for reading in readings:
        for row in reading.benchmark.table.metrics:
            cells = reading.row(row.metric)
            bare = [cell for cell in cells if not cell.number.unit]
            if row.measures not in UNITS_OF or not bare or unit_in_title(row) is not None:
                continue
            if not is_share(row, [cell.number.text for cell in cells]):
                yield Remark(reading.name, *_bare(row.title, bare, len(cells)))
        for memory in reading.benchmark.printed.memory:
            printed = parse_printed(memory.printed)
            if printed is not None and not printed.unit:
                says = "the memory that is printed for this case has no unit"
                yield Remark(f'{reading.name}: case "{memory.case}"', says, f"printed {memory.printed}")


def _bare(title: str, bare: Sequence[Cell], count: int) -> tuple[str, str]:
    says = f'neither the title "{title}" nor its numbers name a unit'
    if len(bare) < count:
        says = f'of the numbers of "{title}", {len(bare)} of {count} have no unit'
    examples = listed(cell.number.text for cell in bare[:SHOWN])
    return says, f"{counted(len(bare), 'number')} without a unit, as in {examples}"
