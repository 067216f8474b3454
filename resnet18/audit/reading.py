"""A benchmark file as the audit reads it, and what a finding is made of: places, numbers and names.

`words` makes text of them when the audit is printed.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import permutations, starmap
from math import inf
from typing import NamedTuple

from resnet18.spec.benchmark import Benchmark, Case, MetricRow
from resnet18.spec.experiment import Execution, Experiment
from resnet18.spec.identity import canonical_json
from resnet18.spec.metric import MARGIN_UNITS, Quantity
from resnet18.spec.printed import UNITS, UNITS_OF, Printed, parse_printed
from resnet18.spec.resolve import Request, resolve

TOLERANCE = 1e-9
"""Numbers that differ by less differ by floating-point arithmetic alone."""
COSTS = ("seconds", "bytes")
"""Quantities that are compared by ratio, and that depend on how an experiment is carried out."""
SHARE = "of 1"
"""The unit of accuracies that are printed as shares of 1."""
SPELLED_OUT = {"percent": "%", "sec": "s", "second": "s", "minute": "min", "hour": "h"}
FORMATS: dict[Quantity, str] = {"accuracy": ".2f", "seconds": ".1f", "bytes": ".1f"}
"""How differences are printed; others have three digits."""
_UNIT_IN_TITLE = re.compile(
    r"(?:[\[(/,]\s*|\bin\s+)(?P<short>[A-Za-z]+)(?=\s*(?:[\])/]|$|per\b))"
    r"|(?P<long>%|\b(?:(?i:percent|seconds?|minutes?|hours?)|[kMG]B|[KMG]iB)\b)"
)


@dataclass(frozen=True)
class Cell:
    """A number in a table, in percent, seconds or bytes where its unit is known."""

    file: str
    case: str
    row: MetricRow
    number: Printed
    identity: str
    """Equal where the same was run: the experiment, for times and memory also how it was carried out."""

    def __str__(self) -> str:
        return f'{self.number.text} ({self.file}, "{self.case}")'


class Range(NamedTuple):
    """A number as printed, with the least and the largest that round to what is printed."""

    least: float
    printed: float
    most: float


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
        one, other = self.higher.number, self.lower.number
        ends = ((one.low, other.high), (one.value, other.value), (one.high, other.low))
        if self.quantity in COSTS:
            return Range(*((high / low - 1) * 100 if low > 0 else inf for high, low in ends))
        return Range(*(high - low for high, low in ends))

    @property
    def size(self) -> "Amount":
        """The gap as it is printed."""
        return Amount(self.gap.printed, MARGIN_UNITS[self.quantity], FORMATS.get(self.quantity, ".3g"))

    def __str__(self) -> str:
        return f'"{self.higher.case}" above "{self.lower.case}"'


class Amount(NamedTuple):
    """A number and how it is printed: by default to six significant digits, without an exponent."""

    value: float
    unit: str = ""
    format: str = ""

    def __str__(self) -> str:
        number = format(self.value, self.format) if self.format else f"{Decimal(f'{self.value:.6g}').normalize():f}"
        return f"{number} {self.unit}".rstrip()


class Place(NamedTuple):
    """The files, or the report, that something is about, and what in them: `device: case "GPU"`."""

    files: tuple[str, ...]
    label: str = ""

    def __str__(self) -> str:
        return f"{words(self.files)}: {self.label}" if self.label else words(self.files)


class Finding(NamedTuple):
    """A contradiction or weakness of a report, and what shows it: values by what they are."""

    place: Place
    says: str
    evidence: Mapping[str, object]


class Unchecked(NamedTuple):
    """A claim, or something printed, that is left alone, wholly or in part, because something is missing."""

    place: Place
    lacks: str


@dataclass(frozen=True)
class Reading:
    """A file with what its cases mean at full size."""

    benchmark: Benchmark
    specs: dict[str, tuple[Experiment, Execution]]
    """By case; empty where the cases are only documented."""
    cells: tuple[Cell, ...]
    """Every printed number; words such as "failed" are none."""

    @property
    def name(self) -> str:
        """The file's name."""
        return self.benchmark.name

    def at(self, label: str = "") -> Place:
        """Return a place in the file."""
        return Place((self.name,), label)

    def row(self, metric: str) -> list[Cell]:
        """Return the exact numbers of a metric, in the order of the cases: those without "about"."""
        return [cell for cell in self.cells if cell.row.metric == metric and not cell.number.is_approximate]

    def exact(self, cases: Iterable[str], metric: str) -> list[Cell]:
        """Return the exact numbers of some cases, in their order; those without one are left out."""
        by_case = {cell.case: cell for cell in self.row(metric)}
        return [by_case[case] for case in cases if case in by_case]

    def missing(self, label: str, cases: Iterable[str], metric: str) -> Iterator[Unchecked]:
        """Yield that something cannot be checked, if some cases have no exact number."""
        if without := dict.fromkeys(case for case in cases if not self.exact([case], metric)):
            yield Unchecked(self.at(label), f"exact number of {quoted(without)}")


def reports(benchmarks: Collection[Benchmark]) -> list[list[Reading]]:
    """Return the files of each report, in the order in which the report tells them."""
    found: dict[str, list[Reading]] = {}
    for benchmark in sorted(benchmarks, key=lambda benchmark: (benchmark.source, benchmark.name)):
        found.setdefault(benchmark.report_name, []).append(read(benchmark))
    return list(found.values())


def read(benchmark: Benchmark) -> Reading:
    """Return what a file says in numbers, its experiments at full size."""
    full = Request(scale="paper")
    specs = {case.name: resolve(benchmark, case, full, seed=0) for case in benchmark.cases if benchmark.can_run}
    cells = tuple(
        Cell(benchmark.name, case.name, row, number, _identity(case, specs.get(case.name), row.measures))
        for row in benchmark.table.metrics
        for case, number in _numbers(benchmark, row)
    )
    return Reading(benchmark, specs, cells)


def _numbers(benchmark: Benchmark, row: MetricRow) -> list[tuple[Case, Printed]]:
    """Return the numbers of a row in common units. A cell without a unit has the title's; shares of 1 need none."""
    texts = [(case, case.reported.get(row.metric, "")) for case in benchmark.cases]
    found = [(case, number) for case, text in texts if (number := number_of(text, row.measures)) is not None]
    unit = unit_in_title(row) or ""
    if not unit and row.measures == "accuracy" and all(not one.unit and one.value <= 1 for _, one in found):
        unit = SHARE
    worth = 100.0 if unit == SHARE else UNITS.get(unit, 1.0)
    for at, (case, number) in enumerate(found):
        if not number.unit:
            scaled = replace(number, unit=unit, value=number.value * worth, half_step=number.half_step * worth)
            found[at] = (case, scaled)
    return found


def _identity(case: Case, spec: tuple[Experiment, Execution] | None, quantity: Quantity) -> str:
    if spec is None:
        factors = {name: float(level) if type(level) is int else level for name, level in case.factors.items()}
        return canonical_json({"factors": factors}).decode("ascii")
    experiment, execution = spec
    asked = [experiment.model_dump(mode="json", exclude={"seed"})]
    if quantity in COSTS:
        asked.append(execution.model_dump(mode="json"))
    return canonical_json(asked).decode("ascii")


def unit_in_title(row: MetricRow) -> str | None:
    """Return the unit that the title of a row names: "Run Time (s)", "Memory in GiB", "Accuracy, %"."""
    for found in _UNIT_IN_TITLE.finditer(row.title):
        word = found["short"] or found["long"]
        unit = SPELLED_OUT.get(word.lower().removesuffix("s") or word, word)
        if unit in UNITS_OF.get(row.measures, ()):
            return unit
    return None


def number_of(text: str, quantity: Quantity) -> Printed | None:
    """Return the number that a string is; one whose unit is of another quantity is none."""
    number = parse_printed(text)
    return None if number and number.unit and number.unit not in UNITS_OF.get(quantity, (number.unit,)) else number


def widest(cells: Sequence[Cell]) -> Pair | None:
    """Return the two numbers of one metric that surely differ most, None where rounding explains any difference."""
    pairs = [pair for pair in starmap(Pair, permutations(cells, 2)) if pair.gap.least > TOLERANCE]
    return max(pairs, key=lambda pair: pair.gap.least, default=None)


def words(value: object) -> str:
    """Return a value as it is printed: several as `a, b and c`, nothing as an empty string."""
    if isinstance(value, str | Amount) or not isinstance(value, Iterable):
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
