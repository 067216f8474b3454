"""A benchmark file as the audit reads it: printed numbers in common units, and what was run for each of them."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from resnet18.spec.benchmark import Benchmark, Case, MetricRow
from resnet18.spec.experiment import Execution, Experiment
from resnet18.spec.identity import canonical_json
from resnet18.spec.metric import Quantity
from resnet18.spec.printed import UNITS, UNITS_OF, Printed, parse_printed
from resnet18.spec.resolve import Request, resolve

COSTS = ("seconds", "bytes")
"""Quantities that are compared by ratio, and that depend on how an experiment is carried out."""
WORDS = {
    "percent": "%",
    "sec": "s",
    "second": "s",
    "seconds": "s",
    "minute": "min",
    "minutes": "min",
    "hour": "h",
    "hours": "h",
}
OUT_OF_MEMORY = ("out of memory", "oom")
NO_NUMBER = {
    *OUT_OF_MEMORY,
    *("", "-", "--", "\u2013", "\u2014", "/", "?"),
    *("n/a", "n.a.", "na", "nan", "none", "not available", "not reported"),
    *("crashed", "diverged", "failed", "timeout"),
}
"""Words that are printed where there is no number, in lower case."""
_UNIT_IN_TITLE = re.compile(
    r"(?:[\[(/,]\s*|\bin\s+)(?P<short>[A-Za-z]+)(?=\s*(?:[\])/]|$|per\b))"
    r"|(?P<long>%|\b(?:(?i:percent|seconds?|minutes?|hours?)|[kMG]B|[KMG]iB)\b)"
)


@dataclass(frozen=True)
class Cell:
    """A number in a table, in percent, seconds or bytes where its unit is known."""

    benchmark: str
    case: str
    row: MetricRow
    number: Printed
    identity: str
    """Equal where the same was run: the experiment, for times and memory also how it was carried out."""

    @property
    def shown(self) -> str:
        """The number as it was printed, with its place."""
        return f'{self.number.text} ({self.benchmark}, "{self.case}")'


@dataclass(frozen=True)
class Reading:
    """A file with what its cases mean at full size."""

    benchmark: Benchmark
    specs: dict[str, tuple[Experiment, Execution]]
    """By case; empty where the cases are only documented."""
    cells: tuple[Cell, ...]
    """Every printed number; words are none."""

    @property
    def name(self) -> str:
        """The file's name."""
        return self.benchmark.name

    @property
    def report(self) -> str:
        """The report that its table belongs to."""
        return self.benchmark.report_name

    def row(self, metric: str) -> tuple[Cell, ...]:
        """Return the numbers of one metric, in the order of the cases."""
        return tuple(cell for cell in self.cells if cell.row.metric == metric)

    def cell(self, case: str, metric: str) -> Cell | None:
        """Return one number, None where nothing, or no number, is printed."""
        return next((cell for cell in self.row(metric) if cell.case == case), None)

    def exact_cell(self, case: str, metric: str) -> Cell | None:
        """Return one number, None also where the report says "about"."""
        found = self.cell(case, metric)
        return None if found is None or found.number.is_approximate else found


def reports(benchmarks: Collection[Benchmark]) -> list[list[Reading]]:
    """Return the files of each report as they are read, in the order in which the report tells them."""
    found: dict[str, list[Reading]] = {}
    for benchmark in sorted(benchmarks, key=lambda one: (one.source, one.name)):
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


def unit_in_title(row: MetricRow) -> str | None:
    """Return the unit that the title of a row names: "Run Time (s)", "Memory in GiB", "Accuracy, %"."""
    for found in _UNIT_IN_TITLE.finditer(row.title):
        word = found["short"] or found["long"]
        unit = WORDS.get(word.lower(), word)
        if unit in UNITS_OF.get(row.measures, ()):
            return unit
    return None


def number_of(text: str, quantity: Quantity) -> Printed | None:
    """Return the number that a string is; one whose unit is of another quantity is none."""
    number = parse_printed(text)
    known = UNITS_OF.get(quantity)
    return None if number is None or (number.unit and known and number.unit not in known) else number


def is_share(row: MetricRow, texts: Iterable[str]) -> bool:
    """Say whether accuracies are printed as shares of 1, which need no unit."""
    numbers = [number for text in texts if (number := parse_printed(text)) is not None]
    without_unit = unit_in_title(row) is None and not any(number.unit for number in numbers)
    return row.measures == "accuracy" and without_unit and all(number.value <= 1 for number in numbers)


def _numbers(benchmark: Benchmark, row: MetricRow) -> list[tuple[Case, Printed]]:
    """Return the numbers of a row in common units: a cell without a unit has the title's."""
    texts = [(case, case.reported.get(row.metric)) for case in benchmark.cases]
    found = [(case, number) for case, text in texts if text and (number := number_of(text, row.measures)) is not None]
    worth = UNITS[unit_in_title(row) or "%"]
    if is_share(row, [number.text for _, number in found]):
        worth = 100.0
    return [
        (
            case,
            number if number.unit else replace(number, value=number.value * worth, half_step=number.half_step * worth),
        )
        for case, number in found
    ]


def _identity(case: Case, specs: tuple[Experiment, Execution] | None, quantity: Quantity) -> str:
    if specs is None:
        factors = {name: float(one) if type(one) is int else one for name, one in case.factors.items()}
        return canonical_json({"factors": factors}).decode("ascii")
    experiment, execution = specs
    asked = [experiment.model_dump(mode="json", exclude={"seed"})]
    if quantity in COSTS:
        asked.append(execution.model_dump(mode="json"))
    return canonical_json(asked).decode("ascii")
