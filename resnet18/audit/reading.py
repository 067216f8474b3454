"""A benchmark file as the audit reads it, and what a finding is made of: values, of which `words` makes text."""

import re
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import permutations, starmap
from math import inf
from typing import NamedTuple

from resnet18.spec.benchmark import Benchmark, Case, MetricRow
from resnet18.spec.experiment import Execution, Experiment
from resnet18.spec.metric import MARGIN_UNITS, UNITS, UNITS_OF, PrintedNumber, Quantity, parse_printed
from resnet18.spec.resolve import Request, resolve

TOLERANCE = 1e-9
"""Numbers that differ by less differ by floating-point arithmetic alone."""
COSTS = ("seconds", "bytes")
"""Quantities that are compared by ratio, and that depend on how an experiment is carried out."""
SPELLED_OUT = {"percent": "%", "sec": "s", "second": "s", "minute": "min", "hour": "h"}
_UNIT_IN_TITLE = re.compile(
    r"(?:[\[(/,]\s*|\bin\s+)(?P<short>[A-Za-z]+)(?=\s*(?:[\])/]|$|per\b))"
    r"|(?P<long>%|\b(?:(?i:percent|seconds?|minutes?|hours?)|[kMG]B|[KMG]iB)\b)"
)


class Range(NamedTuple):
    """A number as printed, with the least and the largest that round to what is printed."""

    least: float
    printed: float
    most: float

    def minus(self, other: "Range") -> "Range":
        """Return the difference."""
        return Range(self.least - other.most, self.printed - other.printed, self.most - other.least)

    def over(self, other: "Range") -> "Range":
        """Return the ratio, infinite where the divisor may be 0."""
        divided = ((end, divisor) for end in (self.least, self.most) for divisor in (other.least, other.most))
        ratios = [end / divisor if divisor > 0 else inf for end, divisor in divided]
        return Range(min(ratios), self.printed / other.printed if other.printed > 0 else inf, max(ratios))

    def is_outside(self, low: float, high: float) -> bool:
        """Say whether all numbers that round to what is printed are outside two bounds."""
        slack = TOLERANCE * max(1.0, min(abs(self.least), abs(self.most)))
        return self.least > high + slack or self.most < low - slack


@dataclass(frozen=True)
class Cell:
    """A number in a table, in percent, seconds or bytes where its unit is known."""

    file: str
    case: str
    row: MetricRow
    number: PrintedNumber
    identity: Hashable
    """Equal where the same was run: the experiment, for times and memory also how it was carried out."""

    @property
    def range(self) -> Range:
        """The number with its rounding."""
        return Range(self.number.low, self.number.value, self.number.high)

    def __str__(self) -> str:
        return f'{self.number.text} ({self.file}, "{self.case}")'


class Pair(NamedTuple):
    """Two numbers of one metric."""

    higher: Cell
    lower: Cell

    @property
    def quantity(self) -> Quantity:
        """What both measure."""
        return self.higher.row.measures

    @property
    def gap(self) -> Range:
        """By how much the first is above the second, or below it: in points, of times and memory in percent."""
        higher, lower = self.higher.range, self.lower.range
        if self.quantity in COSTS:
            return Range(*((ratio - 1) * 100 for ratio in higher.over(lower)))
        return higher.minus(lower)

    @property
    def size(self) -> str:
        """The gap as it is printed."""
        digits = {"accuracy": ".2f", "seconds": ".1f", "bytes": ".1f"}.get(self.quantity, ".3g")
        return amount(self.gap.printed, MARGIN_UNITS[self.quantity], digits)

    def __str__(self) -> str:
        return f'"{self.higher.case}" above "{self.lower.case}"'


class Finding(NamedTuple):
    """A contradiction or weakness of a report, and what shows it: values by what they are."""

    where: str
    says: str
    evidence: Mapping[str, object]


class Unchecked(NamedTuple):
    """A claim, or something printed, that is not checked in full, because something is missing."""

    file: str
    label: str
    lacks: str


@dataclass(frozen=True)
class Reading:
    """A file with what its cases mean at full size."""

    benchmark: Benchmark
    specs: dict[str, tuple[Experiment, Execution]]
    """By case; empty where the cases are only documented."""
    cells: list[Cell]
    """Every printed number; words such as "failed" are none."""

    @property
    def name(self) -> str:
        """The file's name."""
        return self.benchmark.name

    def row(self, metric: str, *, exact: bool = True) -> list[Cell]:
        """Return the numbers of a metric in the order of the cases; `exact` leaves out those with "about"."""
        cells = [cell for cell in self.cells if cell.row.metric == metric]
        return [cell for cell in cells if not (exact and cell.number.is_approximate)]

    def find(self, metric: str, cases: Sequence[str], *, exact: bool = True) -> tuple[list[Cell], str]:
        """Return the numbers of some cases in their order, and what is missing; `exact` leaves out "about"."""
        found = {cell.case: cell for cell in self.row(metric, exact=exact)}
        without = dict.fromkeys(case for case in cases if case not in found)
        lack = f"{'exact ' * exact}number of {quoted(without)}" if without else ""
        return [found[case] for case in cases if case in found], lack


def reports(benchmarks: Collection[Benchmark]) -> list[list[Reading]]:
    """Return the files of each report, in the order in which the report tells them."""
    found: dict[str, list[Reading]] = {}
    for benchmark in sorted(benchmarks, key=lambda benchmark: (benchmark.source, benchmark.name)):
        found.setdefault(benchmark.report, []).append(_read(benchmark))
    return list(found.values())


def _read(benchmark: Benchmark) -> Reading:
    full, cells = Request(scale="paper"), list[Cell]()
    specs = {case.name: resolve(benchmark, case, full, seed=0) for case in benchmark.cases if benchmark.can_run}
    for row in benchmark.table.metrics:
        for case, number in _numbers(benchmark, row):
            asked = specs.get(case.name, ())
            same: Hashable = asked if row.measures in COSTS else asked[:1]
            documented = frozenset(case.factors.items()) or (benchmark.name, case.name)
            cells.append(Cell(benchmark.name, case.name, row, number, same or documented))
    return Reading(benchmark, specs, cells)


def _numbers(benchmark: Benchmark, row: MetricRow) -> Iterator[tuple[Case, PrintedNumber]]:
    """Yield the numbers of a row in common units. A cell without a unit has the title's; shares of 1 need none."""
    texts = [(case, case.reported.get(row.metric, "")) for case in benchmark.cases]
    found = [(case, number) for case, text in texts if (number := number_of(text, row.measures)) is not None]
    unit = unit_in_title(row) or ""
    worth = UNITS.get(unit, 1.0)
    if not unit and row.measures == "accuracy" and all(not number.unit and number.value <= 1 for _, number in found):
        unit, worth = "of 1", 100.0
    for case, number in found:
        scaled = replace(number, unit=unit, value=number.value * worth, half_step=number.half_step * worth)
        yield case, number if number.unit else scaled


def unit_in_title(row: MetricRow) -> str | None:
    """Return the unit that the title of a row names: "Run Time (s)", "Memory in GiB", "Accuracy, %"."""
    for found in _UNIT_IN_TITLE.finditer(row.title):
        word = found["short"] or found["long"]
        unit = SPELLED_OUT.get(word.lower().removesuffix("s") or word, word)
        if unit in UNITS_OF.get(row.measures, ()):
            return unit
    return None


def number_of(text: str, quantity: Quantity = "other", *, exact: bool = False) -> PrintedNumber | None:
    """Return the number that a string is; None if its unit is of another quantity, and, if `exact`, for "about"."""
    number = parse_printed(text)
    if number is None or (exact and number.is_approximate):
        return None
    return None if number.unit and number.unit not in UNITS_OF.get(quantity, (number.unit,)) else number


def widest(cells: Sequence[Cell]) -> Pair | None:
    """Return the two numbers of one metric that surely differ most, None where rounding explains any difference."""
    pair = max(starmap(Pair, permutations(cells, 2)), key=lambda pair: pair.gap.least, default=None)
    return pair if pair and pair.gap.least > TOLERANCE else None


def amount(value: float, unit: str = "", form: str = "") -> str:
    """Return a number with its unit: by default to six significant digits, without an exponent."""
    number = format(value, form) if form else f"{Decimal(f'{value:.6g}').normalize():f}"
    return f"{number} {unit}".rstrip()


def words(value: object) -> str:
    """Return a value as it is printed: several as `a, b and c`, nothing as an empty string."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        return "" if value is None else str(value)
    *most, last = [str(each) for each in value] or [""]
    return f"{', '.join(most)} and {last}" if most else last


def quoted(names: Iterable[str]) -> str:
    """Return names in quotation marks: `"a" and "b"`."""
    return words(f'"{name}"' for name in names)


def by_row(cells: Iterable[Cell]) -> dict[str, list[str]]:
    """Return cells as evidence: `Time: "8" 120.0 and "16" 90.0`."""
    rows: dict[str, list[str]] = {}
    for cell in dict.fromkeys(cells):
        rows.setdefault(cell.row.title, []).append(f'"{cell.case}" {cell.number.text}')
    return rows
