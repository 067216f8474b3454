"""Claims: the statements of a report in checkable form, from a small closed vocabulary.

A claim is a conjunction of checks: it is supported where all of them are, contradicted where one of them is.
Units: accuracies in percent and their margins in points, times and memory as ratios and their margins in percent,
losses in nats, epochs in epochs.
"""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from resnet18.spec.experiment import Device
from resnet18.spec.metric import METRICS, Metric
from resnet18.spec.printed import parse_printed
from resnet18.spec.strict import Items, Model

Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^|`<>\x00-\x1f]+$")]
Text = Annotated[str, Field(min_length=1, max_length=2_000)]
Margin = Annotated[float, Field(gt=0, le=1_000)]
Names = Annotated[Items[Name], Field(min_length=2)]


class _OfMetric(Model):
    """What checks on a metric share."""

    metric: Metric
    level: Annotated[float, Field(gt=0, lt=100)] | None = None
    """Accuracy in percent, for `epochs_to_level` alone."""
    paired: bool = False
    """Compare run by run of equal seed, declared before the runs."""

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
    by: Annotated[float, Field(ge=0, le=1_000)] = 0.0
    """At least this much, in the metric's margin unit."""

    @model_validator(mode="after")
    def _compares_two_things(self) -> Self:
        if (self.than is None) == (self.than_value is None):
            raise ValueError('a comparison has either "than" (a case) or "than_value" (a number)')
        if self.than == self.case:
            raise ValueError(f'compares "{self.case}" with itself')
        if self.than_value is not None and METRICS[self.metric].quantity in {"seconds", "bytes"}:
            raise ValueError("times and memory are compared between cases, not with a number")
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
    margin: Margin

    @model_validator(mode="after")
    def _has_one_target(self) -> Self:
        if (self.reported is None) == (self.value is None):
            raise ValueError('a close claim has either "reported" (as printed) or "value" (a number)')
        if self.reported is not None and parse_printed(self.reported) is None:
            raise ValueError(f'"{self.reported}" is no number')
        if self.paired:
            raise ValueError("one case has no partner to be paired with")
        return self


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
        if METRICS[self.metric].quantity not in {"seconds", "bytes"}:
            raise ValueError("ratios are of times or memory")
        return self


class Equivalent(_OfMetric):
    """Any two of the cases differ by less than the margin."""

    kind: Literal["equivalent"]
    cases: Names
    margin: Margin


class Trend(_OfMetric):
    """The metric rises or falls along the cases in the order given."""

    kind: Literal["trend"]
    cases: Annotated[Items[Name], Field(min_length=3)]
    direction: Literal["rising", "falling"]
    flattens: bool = False
    """The last step is smaller than the first."""


class RunStatus(Model):
    """Every run of a case ends with a status: an out-of-memory is a finding."""

    kind: Literal["run_status"]
    case: Name
    status: Literal["ok", "oom_device", "oom_host", "diverged"]
    device: Device
    """Kind of device that the report means: what happens on another says nothing."""


class Overfits(Model):
    """In the second half of the epochs training loss falls and test loss (clean) rises."""

    kind: Literal["overfits"]
    case: Name
    turns_by: Annotated[int, Field(ge=1)]
    """The lowest test loss comes at this epoch or before."""


Check = Annotated[
    Difference | Ranking | Close | Ratio | Equivalent | Trend | RunStatus | Overfits, Field(discriminator="kind")
]


MetricCheck = Difference | Ranking | Close | Ratio | Equivalent | Trend
"""The checks that compare values of a metric."""


class Claim(Model):
    """One statement of the report."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,19}$")]
    says: Text
    """The statement, in our words."""
    section: Annotated[str, Field(max_length=20)] = ""
    """Where the report says it."""
    checks: Annotated[Items[Check], Field(alias="check", min_length=1)]


def cases_of(check: Check) -> tuple[str, ...]:
    """Return the names of the cases that a check is about."""
    match check:
        case Ranking() | Equivalent() | Trend():
            return check.cases
        case Difference():
            return (check.case,) if check.than is None else (check.case, check.than)
        case Ratio():
            return (check.case, check.to)
        case Close() | RunStatus() | Overfits():
            return (check.case,)


def orders(check: Check) -> Iterator[tuple[str, str]]:
    """Yield the pairs (higher, lower) of cases that a check asserts."""
    match check:
        case Difference(kind="greater", than=str(than)):
            yield check.case, than
        case Difference(kind="less", than=str(than)):
            yield than, check.case
        case Ranking():
            yield from zip(check.cases, check.cases[1:], strict=False)
        case Trend(direction="falling"):
            yield from zip(check.cases, check.cases[1:], strict=False)
        case Trend():
            yield from zip(check.cases[1:], check.cases, strict=False)
        case Ratio(low=low) if low > 1:
            yield check.case, check.to
        case _:
            return
