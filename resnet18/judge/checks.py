"""How each kind of check is carried out on records: the comparisons that it amounts to, or why there are none."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from math import log
from typing import Literal

from resnet18.judge.reason import CannotJudgeError, Reason
from resnet18.judge.sample import Comparison, Sample, check_comparable, measured_in_order, sample_of
from resnet18.records.record import Record, Status
from resnet18.spec.claim import (
    Check,
    Close,
    Difference,
    Equivalent,
    Overfits,
    Ranking,
    Ratio,
    RunStatus,
    Trend,
    cases_of,
    is_about_a_value,
    orders,
)
from resnet18.spec.data import is_cifar10
from resnet18.spec.experiment import FEWEST_SEEDS
from resnet18.spec.metric import METRICS, parse_printed
from resnet18.spec.resolve import Request
from resnet18.tables.metrics import FEWEST_EPOCHS_TO_OVERFIT, second_half, slope, turning_epoch
from resnet18.tables.selection import CaseRecords, Selection, device_of, reported_head
from resnet18.tables.statistics import Region

ENDINGS: frozenset[Status] = frozenset({"ok", "diverged", "oom_device", "oom_host"})
"""How a run can end that was carried out: other endings say nothing of it."""
CARD_TOLERANCE = 0.05
"""Drivers keep a few percent of a card's memory for themselves."""


@dataclass(frozen=True)
class CheckResult:
    """What became of one check of a claim: comparisons, an outcome without numbers, or the reason why there is none."""

    check: Check
    comparisons: tuple[Comparison, ...] = ()
    status_holds: bool | None = None
    """For a check of how runs end."""
    reason: Reason | None = None
    """Why it can neither hold nor fall."""

    @property
    def is_missing(self) -> bool:
        """Whether nothing was run that bears on it."""
        return self.reason is not None and self.reason.is_missing


def carry_out(check: Check, selection: Selection | None, request: Request) -> CheckResult:
    """Return what became of a check on the records of its table; None where there are none."""
    if selection is None or not selection.cases:
        return CheckResult(check, reason=Reason("no_records"))
    if (other := other_terms(check, request)) is not None:
        return CheckResult(check, reason=other)
    by_name = {case.name: case for case in selection.cases}
    cases = [by_name[name] for name in cases_of(check)]
    try:
        check_comparable(cases)
        if isinstance(check, RunStatus):
            return CheckResult(check, status_holds=_status_holds(check, cases[0]))
        comparisons = tuple(compare(check, cases))
        few = _few_seeds(cases)
    except CannotJudgeError as error:
        return CheckResult(check, reason=error.reason)
    return CheckResult(check, comparisons, reason=few)


def _few_seeds(cases: Sequence[CaseRecords]) -> Reason | None:
    """Return that there are too few seeds; the case is named where another has more."""
    seeds = {case.name: len(measured_in_order(case)) for case in cases}
    least = min(seeds, key=lambda name: seeds[name])
    if seeds[least] >= FEWEST_SEEDS:
        return None
    case = least if len({*seeds.values()}) > 1 else ""
    return Reason("few_seeds", case, count=seeds[least], of=FEWEST_SEEDS)


def other_terms(check: Check, request: Request) -> Reason | None:
    """Return why a check of a value cannot be judged under the request; those of direction always can."""
    if not is_about_a_value(check) or reported_head(request) == "reported":
        return None
    if not is_cifar10(request.data_label):
        return Reason("other_data")
    return Reason("other_options" if request.scale == "paper" else "other_scale")


def _status_holds(check: RunStatus, case: CaseRecords) -> bool:
    """Say whether every run of the case ended with the status, of those on the device that the report means."""
    kind = check.device.partition(":")[0]
    final = [record for record in case.records if record.status in ENDINGS and device_of(record) == kind]
    if not final:
        raise CannotJudgeError(Reason("no_run_on_device", what=kind))
    card = parse_printed(check.card) if check.card else None
    if card is not None:
        final = [record for record in final if _is_card(record, card.value)]
        if not final:
            raise CannotJudgeError(Reason("no_run_on_card", what=str(check.card)))
    if len(final) < FEWEST_SEEDS:
        raise CannotJudgeError(Reason("few_seeds", count=len(final), of=FEWEST_SEEDS))
    endings = {record.status for record in final}
    if len(endings) > 1 and check.status in endings:
        raise CannotJudgeError(Reason("endings_differ", what=", ".join(sorted(endings))))
    return endings == {check.status}


def _is_card(record: Record, card_bytes: float) -> bool:
    """Say whether a run had as much device memory as the card."""
    numerics = record.fingerprint.numerics or {}
    cap = parse_printed(record.spec.execution.memory_cap or "")
    found = cap.value if cap else float(numerics.get("gpu_memory_bytes", 0))
    return abs(found - card_bytes) <= CARD_TOLERANCE * card_bytes


def compare(check: Check, cases: Sequence[CaseRecords]) -> Iterator[Comparison]:
    """Yield the comparisons that a check amounts to, all of which must hold; how runs end is none.

    Raises:
        CannotJudgeError: the records do not bear on the check.
    """
    if isinstance(check, Overfits):
        yield from _overfits(check, cases)
    elif isinstance(check, Trend):
        yield from _trend(check, sample_of(check, cases))
    elif not isinstance(check, RunStatus):
        sample = sample_of(check, cases)
        is_one_run = isinstance(check, Close) and check.reported is not None
        for names, region in _regions(check, is_log=sample.unit == "%"):
            yield replace(sample.comparison(names, [1, -1][: len(names)], region), against_one_run=is_one_run)


def _regions(check: Check, *, is_log: bool) -> Iterator[tuple[tuple[str, ...], Region]]:
    """Yield a case with the region of its mean, or two with that of the first's less the second's."""

    def widened(margin: float) -> float:
        """Return a margin as it is laid around an estimate: that of a ratio around its logarithm."""
        return log(1 + margin / 100) if is_log else margin

    match check:
        case Difference(than=None, than_value=float(bound), by=by):
            yield (check.case,), Region(low=bound + by) if check.kind == "greater" else Region(high=bound - by)
        case Difference(by=by):
            yield from ((pair, Region(low=widened(by))) for pair in orders(check))
        case Ranking():
            yield from ((pair, Region(low=0.0)) for pair in orders(check))
        case Equivalent():
            margin = widened(check.margin)
            yield from ((pair, Region(-margin, margin)) for pair in combinations(check.cases, 2))
        case Ratio():
            yield (check.case, check.to), Region(log(check.low), log(check.high))
        case Close():
            low, high = (log(end) if is_log else end for end in check.target)
            yield (check.case,), Region(low - widened(check.margin), high + widened(check.margin))


def _trend(check: Trend, sample: Sample) -> Iterator[Comparison]:
    """Yield the change per step (a least-squares line through the means), each step, and whether the trend flattens."""
    count, sign = len(check.cases), 1 if check.direction == "rising" else -1
    center = (count - 1) / 2
    spread = sum((at - center) ** 2 for at in range(count))
    line = [sign * (at - center) / spread for at in range(count)]
    up, title = Region(low=0.0), METRICS[check.metric].title
    yield replace(
        sample.comparison(check.cases, line, up, f"{title} per step, {check.direction}"),
        falls=check.direction == "falling",
    )
    # The middle of three cases has no weight in a line: a step back that is shown contradicts the trend.
    for pair in pairwise(check.cases):
        step = sample.comparison(pair, [-sign, sign], up, f"{title}, {check.direction} step by step")
        yield replace(step, can_only_fail=True)
    if check.flattens:
        bend = [0.0] * count
        for at, weight in ((0, -sign), (1, sign), (-2, sign), (-1, -sign)):
            bend[at] += weight
        yield sample.comparison(check.cases, bend, up, f"{title}, more at the first step than at the last")


def _overfits(check: Overfits, cases: Sequence[CaseRecords]) -> Iterator[Comparison]:
    records = measured_in_order(cases[0])
    if not all(second_half(record) for record in records):
        raise CannotJudgeError(Reason("too_few_epochs", count=FEWEST_EPOCHS_TO_OVERFIT))
    parts: list[tuple[str, str, Region, float, Callable[[Record], float]]] = [
        ("training loss per epoch, second half", "nats", Region(high=0), 0, lambda record: _slope(record, "train")),
        ("test loss (clean) per epoch, second half", "nats", Region(low=0), 0, lambda record: _slope(record, "clean")),
        ("epoch of the lowest test loss (clean)", "epochs", Region(high=check.turns_by + 0.5), 1, turning_epoch),
    ]
    for what, unit, region, step, value in parts:
        sample = Sample(what, unit, {check.case: [value(record) for record in records]}, step)
        yield sample.comparison([check.case], [1], region)


def _slope(record: Record, score: Literal["train", "clean"]) -> float:
    return slope([getattr(epoch, score).loss for epoch in second_half(record)])
