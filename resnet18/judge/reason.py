"""Why a check cannot be judged: reasons with their sentences, and the rules by which records may be compared."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from resnet18.records.content import differ_in_code
from resnet18.records.record import TIME_IS_UNRELIABLE, Record
from resnet18.spec.claim import Check, MetricCheck
from resnet18.spec.metric import METRICS, duration, quantity_of
from resnet18.tables.metrics import MIXED, mixed
from resnet18.tables.selection import CaseRecords

Bearing = Literal["open", "missing", "out of reach"]
"""The records leave the check open; nothing that was run bears on it; it takes another scale, data, device, option."""
RETIME = "{count} of {of} times are unreliable ({what}); run --retime reruns them, report --accept-unreliable uses them"
REASONS: dict[str, tuple[Bearing, str]] = {
    "few_seeds": ("open", "{count} of at least {of} seeds"),
    "run_failed": ("open", 'seed {count} of "{case}" ended {what}'),
    "endings_differ": ("open", "runs ended differently: {what}"),
    "other_data": ("out of reach", "tested on CIFAR-10 only"),
    "other_scale": ("out of reach", "tested at paper scale only"),
    "other_options": ("out of reach", "an option changed the experiment"),
    "same_run": ("out of reach", "under these options two of its cases are the same run"),
    "no_device": ("out of reach", "{what}"),
    "no_run_on_device": ("out of reach", "no run on {what}"),
    "no_run_on_card": ("out of reach", "no run on a GPU with {what}"),
    "undefined": ("out of reach", "needs {needs}"),
    "too_few_epochs": ("out of reach", "overfitting: needs {count} epochs"),
    "no_records": ("missing", "no records"),
    "no_records_of_case": ("missing", '"{case}" has no records'),
    "seed_twice": ("missing", 'seed {count} of "{case}" is in two records'),
    **{code: ("missing", f"runs come from {where}") for code, where in MIXED.items()},
    "unreliable_times": ("missing", RETIME),
    "no_ratio": ("missing", "{what}: no ratio can be computed"),
    "no_noise": ("missing", "equal to the last bit for all seeds, so the variance is unknown"),
    "not_planned": ("missing", "{case} is not planned"),
    "time_unknown": ("missing", "the time of {case} is unknown"),
    "takes_too_long": ("missing", "needs about {needed}; {left} of the budget is left"),
    "other_device": ("missing", "{case} does not run on {what} here"),
}
"""Why a check cannot be judged, by code: how the records bear on it, and the sentence."""


@dataclass(frozen=True)
class Reason:
    """A code of `REASONS`, and what its sentence names; fields that a code has no use for stay empty."""

    code: str
    case: str = ""
    metric: str = ""
    count: int = 0
    """Seeds or times there are, epochs or seconds that are needed, or the seed in question."""
    of: int = 0
    """How many there should be, are left, or are in all."""
    what: str = ""
    """A value, a status, flags, a device or a card, as records and specs spell them."""

    @property
    def bearing(self) -> Bearing:
        """How the records bear on the check."""
        return REASONS[self.code][0]


def reason_text(reason: Reason, *, with_metric: bool = True) -> str:
    """Return a reason in words, after the metric and the case that it is about unless those are said already."""
    facts, template = METRICS.get(reason.metric), REASONS[reason.code][1]
    needs = facts.needs if facts else ""
    text = template.format(**vars(reason), needs=needs, needed=duration(reason.count), left=duration(reason.of))
    if reason.case and "{case}" not in template:
        text = f'"{reason.case}": {text}'
    return f"{facts.title}: {text}" if facts and with_metric else text


def reasons_text(reasons: Iterable[Reason]) -> str:
    """Return several reasons in words, each once."""
    return "; ".join(dict.fromkeys(map(reason_text, reasons)))


class CannotJudgeError(Exception):
    """The records do not bear on a check."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


def measured_in_order(case: CaseRecords) -> list[Record]:
    """Return the records of seeds 0, 1, 2, … without a gap; CannotJudgeError where one has no result."""
    for record in case.records:
        if record.status != "ok":
            raise CannotJudgeError(Reason("run_failed", case.name, count=record.seed, what=record.status))
    return [record for at, record in enumerate(case.records) if record.seed == at]


def check_comparable(check: Check, cases: Sequence[CaseRecords]) -> None:
    """Raise CannotJudgeError unless every case has records, which may be compared, and times are reliable.

    A seed with two records counts for none: its runs are no two draws, and make the spread too small.
    """
    if len({case.arm_id for case in cases}) < len(cases):
        raise CannotJudgeError(Reason("same_run"))
    for case in cases:
        if not case.records:
            absent = Reason("no_device", what=case.absent) if case.absent else Reason("no_records_of_case", case.name)
            raise CannotJudgeError(absent)
        seeds = [record.seed for record in case.records]
        if repeated := [seed for seed in seeds if seeds.count(seed) > 1]:
            raise CannotJudgeError(Reason("seed_twice", case.name, count=min(repeated)))
    quantity = quantity_of(check.metric) if isinstance(check, MetricCheck) else "other"
    measured = [record for case in cases for record in case.measured]
    if mixture := mixed(measured, are_costs=quantity in {"seconds", "bytes"}, are_compared=True):
        raise CannotJudgeError(Reason(mixture))
    if differ_in_code(record for case in cases for record in case.records):  # how runs end needs no measured one
        raise CannotJudgeError(Reason("several_codes"))
    flags = [set(TIME_IS_UNRELIABLE).intersection(record.flags) for record in measured]
    if quantity == "seconds" and any(flags):
        named = ", ".join(sorted(set().union(*flags)))
        raise CannotJudgeError(Reason("unreliable_times", count=sum(map(bool, flags)), of=len(flags), what=named))
