"""Cells and tables as values: numbers with spread, n and mark, or the reason why there is none. Writers print them."""

from collections.abc import Sequence
from statistics import fmean, median, stdev
from typing import Literal, NamedTuple

from resnet18.records.record import Status
from resnet18.spec.plan import OUT_OF_MEMORY
from resnet18.tables.metrics import clean_accuracy, mixed_machines
from resnet18.tables.selection import CaseRecords
from resnet18.tables.statistics import contrast, sampling_error

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
REASONS = STATUS_TEXT | {
    "not_run": "not run",
    "absent": "not run: {}",
    "not_averaged": "{}: not averaged",
    "not_computed": "not computed: {}",
    "not_extrapolated": f"not extrapolated {DAGGER}",
}
"""Why a cell has no number; braces stand for the detail."""

Kind = Literal["percent", "points", "error", "seconds", "full_size_seconds", "mebibytes", "times", "seeds"]


class Form(NamedTuple):
    """How numbers of a kind are printed."""

    digits: str
    """A format specification; empty: digits that suit a time in seconds."""
    suffix: str = ""
    is_range: bool = False
    """The ends are the lowest and the highest value, not a 95 % interval."""
    tells_n: bool = False
    """Without an interval, n stands in its place."""


FORMS: dict[Kind, Form] = {
    "percent": Form(".2f", " %"),
    "points": Form("+.2f"),
    "error": Form(".2f"),
    "seconds": Form("", is_range=True),
    "full_size_seconds": Form(",.0f", tells_n=True),
    "mebibytes": Form(",.0f", is_range=True),
    "times": Form(".3g", tells_n=True),
    "seeds": Form(".0f"),
}


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
        return f"{self.number:{self._digits}}{FORMS[self.kind].suffix}"

    @property
    def rest(self) -> str:
        """What follows the number: spread, or n where there is none, remark, and the mark of an unreliable time."""
        form, spread = FORMS[self.kind], ""
        if self.ends is not None:
            low, high = (f"{end:{self._digits}}" for end in self.ends)
            spread = "" if form.is_range and low == high else f"[{low}{' to ' if form.is_range else ', '}{high}]"
        elif form.tells_n and self.n:
            spread = f"(n = {' and '.join(map(str, self.n))}: no interval)"
        return " ".join(part for part in (spread, self.remark, DAGGER if self.is_unreliable else "") if part)

    @property
    def text(self) -> str:
        """All of it."""
        return f"{self.main} {self.rest}".rstrip()

    @property
    def _digits(self) -> str:
        # Three significant digits of a time are more than a shared machine repeats.
        return FORMS[self.kind].digits or f".{2 if self.number < 10 else 1 if self.number < 1_000 else 0}f"


class Missing(NamedTuple):
    """Why there is no number: keys of `REASONS`; without any, nothing belongs into the cell."""

    reasons: tuple[str, ...] = ()
    detail: str = ""
    number: None = None

    @property
    def text(self) -> str:
        """The reasons in words, each once."""
        return ", ".join(dict.fromkeys(REASONS[reason].format(self.detail) for reason in self.reasons)) or NOTHING


class Text(NamedTuple):
    """Words, or a number as a report printed it."""

    text: str
    number: float | None = None
    """By which it is sorted among numbers."""


Cell = Value | Missing | Text


class Column(NamedTuple):
    """A column's title, and how its cells are set."""

    title: str
    kind: Literal["text", "number", "verdict"] = "text"


class Table(NamedTuple):
    """Rows of cells; the first cell of each names its row."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    is_sortable: bool = False
    """Every column holds values of one kind."""


def missing(case: CaseRecords) -> Missing:
    """Return what stands in a cell without a number: how the runs ended, or why there are none."""
    if case.records:
        return Missing(tuple(record.status for record in case.records))
    return Missing(("absent",), case.absent) if case.absent else Missing(("not_run",))


def not_averaged(case: CaseRecords, *, is_cost: bool) -> Missing | None:
    """Return why values of a case's runs must not be averaged, None where they may."""
    if not case.measured:
        return missing(case)
    if is_cost and (mixed := mixed_machines(case.measured)) is not None:
        return Missing(("not_averaged",), mixed)
    if len({record.fingerprint.identity.data_sha256 for record in case.measured}) > 1:
        return Missing(("not_averaged",), "several data sets of one name")
    return None


def mean(shares: Sequence[float], kind: Kind = "percent", limits: tuple[float, float] = (0, 100)) -> Value:
    """Return the mean of shares in percent with its 95 % interval over seeds (Student's t), cut at the limits."""
    values = [100 * share for share in shares]
    if len(values) == 1:
        return Value(values[0], kind, n=(1,))
    low, high = contrast([values], [1]).interval()
    return Value(fmean(values), kind, (max(low, limits[0]), min(high, limits[1])), (len(values),))


def difference(shares: Sequence[float]) -> Value:
    """Return the mean difference of shares in points, with its 95 % interval over seeds."""
    return mean(shares, "points", (-100, 100))


def middle(values: Sequence[float], kind: Kind = "seconds", *, is_unreliable: bool = False) -> Value:
    """Return the median with the lowest and the highest value."""
    return Value(median(values), kind, (min(values), max(values)), (len(values),), is_unreliable)


def seed_error(case: CaseRecords) -> Cell:
    """Return the standard deviation of the clean accuracy over seeds, in points."""
    shares = [clean_accuracy(record) for record in case.measured]
    if not shares:
        return missing(case)
    return Value(100 * stdev(shares), "error", n=(len(shares),)) if len(shares) > 1 else Missing()


def image_error(case: CaseRecords) -> Cell:
    """Return the standard error of the clean accuracy over test images (binomial), in points."""
    if not case.measured:
        return missing(case)
    images = min(record.epochs[-1].clean.images for record in case.measured)
    return Value(100 * sampling_error(fmean(map(clean_accuracy, case.measured)), images), "error")


def other_endings(case: CaseRecords) -> list[str]:
    """Return how the runs without a result ended, with how many did: `1 diverged`."""
    others = [record.status for record in case.records if record.status != "ok"]
    return [f"{others.count(status)} {STATUS_TEXT[status]}" for status in dict.fromkeys(others)]


def seeds(case: CaseRecords) -> Value:
    """Return the number of seeds behind a row, with how the other runs ended."""
    remarks = [f"+ {ending}" for ending in other_endings(case)]
    versions = {record.fingerprint.identity.code_hash for record in case.measured}
    if len(versions) > 1:
        remarks.append(f"(of {len(versions)} code versions)")
    return Value(len(case.measured), "seeds", remark=" ".join(remarks))
