"""Claims: the statements of a report in checkable form, from a small closed vocabulary.

A claim is supported where all of its checks are, contradicted where one of them is. Accuracies are in percent and their
margins in points; times and memory are compared as ratios and their margins are in percent.
"""

from collections.abc import Iterator
from itertools import pairwise
from math import log2
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from resnet18.spec.errors import NOT_SHOWN, NOT_SHOWN_BUT_LINES, Items, Model
from resnet18.spec.experiment import Device, MemorySize
from resnet18.spec.metric import METRICS, Quantity, parse_printed

Name = Annotated[str, Field(min_length=1, max_length=200, pattern=rf"^[^|`<>{NOT_SHOWN}]+$")]
Text = Annotated[str, Field(min_length=1, max_length=2_000, pattern=rf"^[^{NOT_SHOWN_BUT_LINES}]+$")]
Margin = Annotated[float, Field(ge=0, le=1_000)]
Names = Annotated[Items[Name], Field(min_length=2)]


class _OfMetric(Model):
    metric: Name  # one of `METRICS`; in a file that only documents a report, also any that its table prints
    level: Annotated[float, Field(gt=0, lt=100)] | None = None  # accuracy in percent, for `epochs_to_level` alone
    paired: bool = False  # compare run by run of equal seed, declared before the runs

    @model_validator(mode="after")
    def _level_belongs_to_its_metric(self) -> Self:
        if (self.metric == "epochs_to_level") != (self.level is not None):
            raise ValueError('"level" (in percent) belongs to the metric "epochs_to_level", which needs it')
        return self


class Difference(_OfMetric):
    """One case is above (or below) another, or a value."""

    kind: Literal["greater", "less"]
    case: Name
    than: Name | None = None
    than_value: float | None = None
    by: Margin = 0.0  # at least this much, in the metric's margin unit

    @model_validator(mode="after")
    def _compares_two_things(self) -> Self:
        if (self.than is None) == (self.than_value is None):
            raise ValueError('a comparison has either "than" (a case) or "than_value" (a number)')
        if self.than == self.case:
            raise ValueError(f'compares "{self.case}" with itself')
        return self


class Ranking(_OfMetric):
    """Cases from the highest to the lowest."""

    kind: Literal["ranking"]
    cases: Names


class Close(_OfMetric):
    """The mean of a case lies within a margin of what the report printed, or of a number."""

    kind: Literal["close"]
    case: Name
    reported: Text | None = None
    value: float | None = None
    margin: Margin  # 0 where the number is meant exactly as printed: its rounding is added

    @model_validator(mode="after")
    def _has_one_target(self) -> Self:
        if (self.reported is None) == (self.value is None):
            raise ValueError('a close claim has either "reported" (as printed) or "value" (a number)')
        if self.reported is not None and parse_printed(self.reported) is None:
            raise ValueError(f'"{self.reported}" is no number')
        if self.paired:
            raise ValueError("one case has no partner to be paired with")
        return self

    @property
    def target(self) -> tuple[float, float]:
        """The least and the largest number that is meant: a printed one with its rounding."""
        printed = parse_printed(self.reported) if self.reported else None
        return (printed.low, printed.high) if printed else (self.value or 0.0, self.value or 0.0)


class Ratio(_OfMetric):
    """A case is between `low` and `high` times another."""

    kind: Literal["ratio"]
    case: Name
    to: Name
    low: Annotated[float, Field(gt=0)]
    high: Annotated[float, Field(gt=0)]

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low = {self.low} is not below high = {self.high}")
        return self


class Equivalent(_OfMetric):
    """Any two of the cases differ by less than the margin."""

    kind: Literal["equivalent"]
    cases: Names
    margin: Annotated[float, Field(gt=0, le=1_000)]

    @model_validator(mode="after")
    def _pairs_two_cases(self) -> Self:
        if self.paired and len(self.cases) > 2:
            raise ValueError("three or more cases are not paired: their range is tested")
        return self


class Trend(_OfMetric):
    """The metric rises or falls along the cases in the order given."""

    kind: Literal["trend"]
    cases: Annotated[Items[Name], Field(min_length=3)]
    direction: Literal["rising", "falling"]
    per: Literal["step", "doubling"] = "step"  # cases are equal steps, or their names are numbers: a step per doubling
    flattens: bool = False  # the last step is smaller than the first, both per step or per doubling

    @model_validator(mode="after")
    def _cases_are_numbers_in_order(self) -> Self:
        if self.per == "doubling":
            printed = [parse_printed(name) for name in self.cases]
            numbers = [found.value for found in printed if found and found.value > 0]
            if len(numbers) < len(self.cases) or numbers != sorted({*numbers}):
                raise ValueError('with per = "doubling" the cases\' names are numbers above 0, from low to high')
        return self

    @property
    def places(self) -> list[float]:
        """Where the cases lie: in steps, or in doublings."""
        if self.per == "step":
            return [float(at) for at in range(len(self.cases))]
        return [log2(found.value) for name in self.cases if (found := parse_printed(name))]


class RunStatus(Model):
    """Every run of a case ends with a status: an out-of-memory is a finding."""

    kind: Literal["run_status"]
    case: Name
    status: Literal["ok", "oom_device", "oom_host", "diverged"]
    device: Device  # what happens on another kind says nothing
    card: MemorySize | None = None  # its memory: what fits a larger card says nothing either


class Overfits(Model):
    """In the second half of the epochs training loss falls and test loss (clean) rises, of runs that fit their data."""

    kind: Literal["overfits"]
    case: Name
    turns_by: Annotated[int, Field(ge=1)]  # the lowest test loss comes at this epoch or before


MetricCheck = Difference | Ranking | Close | Ratio | Equivalent | Trend  # the checks that compare values of a metric
Check = Annotated[MetricCheck | RunStatus | Overfits, Field(discriminator="kind")]


class Claim(Model):
    """One statement of the report."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,19}$")]
    says: Text
    tested: Annotated[str, Field(max_length=200, pattern=rf"^[^{NOT_SHOWN}]*$")] = ""  # how, where that is not plain
    section: Annotated[str, Field(max_length=20, pattern=rf"^[^{NOT_SHOWN}]*$")] = ""  # where the report says it
    checks: Annotated[Items[Check], Field(alias="check", min_length=1)]


def misfit(check: _OfMetric, quantity: Quantity) -> str:
    """Return why a check cannot be of a metric of this quantity; empty where it can."""
    is_ratio = quantity in {"seconds", "bytes"}
    if isinstance(check, Ratio) and not is_ratio:
        return "ratios are of times or memory"
    if isinstance(check, Difference) and check.than_value is not None and is_ratio:
        return "times and memory are compared between cases, not with a number"
    if isinstance(check, Close) and quantity == "slope":
        return "slopes are compared between cases, or with a bound: than_value"
    if isinstance(check, Close) and is_ratio and check.target[0] <= 0:
        return "times and memory are compared by ratio: the number must be above 0"
    return ""


def is_about_a_value(check: Check) -> bool:
    """Say whether a check is about how much something is, which means nothing at another size or on other data."""
    match check:
        case Close(reported=None) | Difference(than=None):
            return check.metric not in METRICS or not METRICS[check.metric].is_change
        case _:
            return isinstance(check, RunStatus | Ratio | Close)


def cases_of(check: Check) -> tuple[str, ...]:
    """Return the names of the cases that a check is about."""
    names = (getattr(check, key, None) for key in ("case", "than", "to"))
    return getattr(check, "cases", ()) or tuple(name for name in names if name is not None)


def orders(check: Check) -> Iterator[tuple[str, str]]:
    """Yield the pairs (higher, lower) of cases that a check asserts: of a trend its ends, since steps may differ."""
    match check:
        case Difference(kind=kind, than=str(than)):
            yield (check.case, than) if kind == "greater" else (than, check.case)
        case Ranking(cases=cases):
            yield from pairwise(cases)
        case Trend(direction=direction, cases=cases):
            yield (cases[0], cases[-1]) if direction == "falling" else (cases[-1], cases[0])
        case Ratio(low=low) if low > 1:
            yield check.case, check.to
