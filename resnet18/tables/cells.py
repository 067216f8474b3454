"""Cells and tables as values: numbers with spread, n and mark, or the reason why there is none. Writers print them."""

from collections.abc import Sequence
from math import inf, sqrt
from statistics import fmean, median, stdev
from typing import Literal, NamedTuple

from resnet18.records.record import TIME_IS_UNRELIABLE, Status
from resnet18.spec.metric import Quantity
from resnet18.spec.plan import OUT_OF_MEMORY
from resnet18.tables.metrics import TIME_METRICS, clean_accuracy, value_of, values_of
from resnet18.tables.selection import MIXED, CaseRecords, mixed
from resnet18.tables.statistics import contrast, ratio_of_medians

NOTHING = "\N{EN DASH}"
DAGGER = "\N{DAGGER}"
"""Beside a time that is unreliable."""
STATUS_TEXT: dict[Status, str] = {
    "ok": "ok",
    "oom_device": OUT_OF_MEMORY,
    "oom_host": "Out of Memory (host)",
    "diverged": "diverged",
    "timeout": "timed out",
    "crashed": "crashed",
    "interrupted": "interrupted",
    "unsupported": "unsupported",
}
FEWEST_FOR_A_BOOTSTRAP = 5
"""Values a side from which the interval of a ratio of medians covers as it says."""

Kind = Literal["percent", "points", "error", "seconds", "full_size_seconds", "mebibytes", "times", "seeds"]


class Form(NamedTuple):
    """How numbers of a kind are printed."""

    digits: str
    """A format specification; empty: digits that suit a time in seconds."""
    suffix: str = ""
    limits: tuple[float, float] = (-inf, inf)
    """Of what such a number can be."""
    is_range: bool = False
    """The ends are the lowest and the highest value, not a 95 % interval."""
    tells_n: bool = False
    """Without an interval, n stands in its place."""


FORMS: dict[Kind, Form] = {
    "percent": Form(".2f", " %", limits=(0, 100)),
    "points": Form("+.2f", limits=(-100, 100)),
    "error": Form(".2f"),
    "seconds": Form("", is_range=True),
    "full_size_seconds": Form(",.0f", tells_n=True, limits=(0, inf)),
    "mebibytes": Form(",.0f", is_range=True),
    "times": Form(".3g", tells_n=True),
    "seeds": Form(".0f"),
}
COSTS: dict[Quantity, tuple[str, float, Kind]]
COSTS = {"seconds": ("s", 1.0, "seconds"), "bytes": ("MiB", 2.0**20, "mebibytes")}
"""The unit in which times and memory are printed, what it is worth, and the kind of their cells."""


class Value(NamedTuple):
    """A number with what it depends on."""

    number: float
    kind: Kind
    ends: tuple[float, float] | None = None
    n: tuple[int, ...] = ()
    """Seeds of each group behind it, where they are known to the cell."""
    is_unreliable: bool = False
    remark: str = ""

    @property
    def main(self) -> str:
        """The number with its unit, without its spread."""
        return self._printed(self.number) + FORMS[self.kind].suffix

    @property
    def rest(self) -> str:
        """What follows the number: spread, or n where there is none, remark, and the mark of an unreliable time."""
        form, spread = FORMS[self.kind], ""
        if self.ends is not None:
            low, high = map(self._printed, self.ends)
            spread = "" if form.is_range and low == high else f"[{low}{' to ' if form.is_range else ', '}{high}]"
        elif form.tells_n and self.n:
            spread = f"(n = {' and '.join(map(str, self.n))}: no interval)"
        return " ".join(part for part in (spread, self.remark, DAGGER if self.is_unreliable else "") if part)

    @property
    def text(self) -> str:
        """All of it."""
        return f"{self.main} {self.rest}".rstrip()

    def _printed(self, number: float) -> str:
        # Three significant digits of a time are more than a shared machine repeats.
        decimals = 2 if self.number < 10 else 1 if self.number < 1_000 else 0
        return format(number, FORMS[self.kind].digits or f".{decimals}f")


class Text(NamedTuple):
    """Words, such as why there is no number, or a number as a report printed it; a dash where nothing belongs."""

    text: str = NOTHING
    number: float | None = None
    """By which it is sorted among numbers."""
    mark: str = ""
    """A verdict's word, which a page shows with a sign and a colour."""


Cell = Value | Text


class Column(NamedTuple):
    """A column's title, and how its cells are set."""

    title: str
    kind: Literal["text", "number", "factor", "words"] = "text"
    """Words are sentences; a factor is what cases differ in, and its cells are short."""


class Table(NamedTuple):
    """Rows of cells; the first cell of each names its row."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    is_sortable: bool = False
    """Every column holds values of one kind."""
    turned: "Table | None" = None
    """The same with a row for each case, for small screens, where cases are columns."""


def missing(case: CaseRecords) -> Text:
    """Return what stands in a cell without a number: how the runs ended, or why there are none."""
    if case.records:
        return Text(", ".join(dict.fromkeys(STATUS_TEXT[record.status] for record in case.records)))
    return Text(f"not run: {case.absent}" if case.absent else "not run")


def not_averaged(case: CaseRecords, *, is_cost: bool) -> Text | None:
    """Return why values of a case's runs must not be averaged, None where they may."""
    if not case.measured:
        return missing(case)
    mixture = mixed(case.measured, are_costs=is_cost)
    return Text(f"{MIXED[mixture]}: not averaged") if mixture else None


def mean(values: Sequence[float], kind: Kind = "percent", step: float = 0.0) -> Value:
    """Return the mean with its 95 % interval over seeds (Student's t), cut at what such a number can be.

    `step` is the rounding of a value: seeds that agree to it may still differ by less.
    """
    if len(values) == 1:
        return Value(values[0], kind, n=(1,))
    low, high = contrast([values], [1], step).interval()
    least, most = FORMS[kind].limits
    return Value(fmean(values), kind, (max(low, least), min(high, most)), (len(values),))


def middle(values: Sequence[float], kind: Kind = "seconds", *, is_unreliable: bool = False) -> Value:
    """Return the median with the lowest and the highest value."""
    return Value(median(values), kind, (min(values), max(values)), (len(values),), is_unreliable)


def errors(case: CaseRecords) -> tuple[Cell, Cell]:
    """Return the clean accuracy's standard deviation over seeds and standard error over test images, in points.

    The second is binomial.
    """
    if not case.measured:
        return missing(case), missing(case)
    percents = list(map(clean_accuracy, case.measured))
    images, percent = min(record.epochs[-1].clean.images for record in case.measured), fmean(percents)
    over_seeds = Value(stdev(percents), "error", n=(len(percents),)) if len(percents) > 1 else Text()
    return over_seeds, Value(sqrt(percent * (100 - percent) / images), "error")


def other_endings(case: CaseRecords) -> list[str]:
    """Return how the runs without a result ended, with how many did: `1 diverged`."""
    others = [record.status for record in case.records if record.status != "ok"]
    return [f"{others.count(status)} {STATUS_TEXT[status]}" for status in dict.fromkeys(others)]


def seeds(case: CaseRecords) -> Value:
    """Return the number of seeds behind a row, with how the other runs ended."""
    remarks = [f"+ {ending}" for ending in other_endings(case)]
    versions = len({record.fingerprint.identity.code_hash for record in case.measured})
    remarks += [f"(of {versions} code versions)"] if versions > 1 else []
    return Value(len(case.measured), "seeds", remark=" ".join(remarks))


def speed_up(slow: CaseRecords, fast: CaseRecords, metric: str) -> Cell:
    """Return the median time of one case divided by that of another, or why that cannot be said.

    The 95 % interval (percentile bootstrap) is left out with fewer than five runs on either side.
    """
    records = [*slow.measured, *fast.measured]
    flags = {flag for record in records for flag in record.flags if flag in TIME_IS_UNRELIABLE}
    mixture = mixed(records, are_costs=True, are_compared=True)
    obstacles = {
        **{f"no time of {case.name}": not case.measured for case in (slow, fast)},
        "the experiments differ": slow.experiment != fast.experiment,
        MIXED.get(mixture or "", ""): mixture is not None,
        "epochs differ": len({len(record.epochs) for record in records}) > 1,
        f"times are unreliable (flags: {', '.join(sorted(flags))})": bool(flags) and metric in TIME_METRICS,
        "a time of 0 s": any((value_of(metric, record) or 0) <= 0 for record in records),  # as one that is not known
    }
    for what, is_so in obstacles.items():
        if is_so:
            return Text(f"not computed: {what}")
    n = len(slow.measured), len(fast.measured)
    ratio, low, high = ratio_of_medians(values_of(metric, slow.measured), values_of(metric, fast.measured))
    return Value(ratio, "times", (low, high) if min(n) >= FEWEST_FOR_A_BOOTSTRAP else None, n)
