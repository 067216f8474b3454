"""From a check and its records to comparisons: an estimate at each look, and the region that the check asserts."""

from collections.abc import Callable, Collection
from dataclasses import replace
from itertools import combinations, pairwise
from math import log

from resnet18.judge.sample import (
    Comparison,
    OutOfReachError,
    Sample,
    Unit,
    check_comparable,
    measured_in_order,
)
from resnet18.records.record import Record
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
)
from resnet18.spec.metric import MARGIN_UNITS, METRICS
from resnet18.tables.interim import LOOKS
from resnet18.tables.metrics import second_half, slope, turning_epoch
from resnet18.tables.selection import CaseRecords
from resnet18.tables.statistics import Region, contrast


def compare(check: Check, cases: dict[str, CaseRecords]) -> tuple[Comparison, ...]:
    """Return the comparisons that a check amounts to; all of them must hold.

    Raises:
        TooFewSeedsError: fewer than three seeds, or one of them has no number.
        CannotJudgeError: a case is missing, or the records must not be compared.
    """
    used = [cases[name] for name in cases_of(check)]
    check_comparable(used)
    if isinstance(check, RunStatus):
        return ()
    if isinstance(check, Overfits):
        return _overfits(check, used[0])
    unit = MARGIN_UNITS[METRICS[check.metric].quantity]
    sample = Sample(check, used, is_log=unit == "%")
    return tuple(MAKERS[type(check)](check, sample, Unit(unit, sample.is_log)))


def _widened(margin: float, *, is_log: bool) -> float:
    """Return a margin as it is laid around an estimate: that of a ratio around its logarithm."""
    return log(1 + margin / 100) if is_log else margin


def _difference(check: Difference, sample: Sample, unit: Unit) -> list[Comparison]:
    by = _widened(check.by, is_log=sample.is_log)
    if check.than is None:
        bound = check.than_value or 0.0
        region = Region(low=bound + by) if check.kind == "greater" else Region(high=bound - by)
        return [sample.comparison([check.case], [1], region, unit)]
    higher, lower = (check.case, check.than) if check.kind == "greater" else (check.than, check.case)
    return [sample.comparison([higher, lower], [1, -1], Region(low=by), unit)]


def _ranking(check: Ranking, sample: Sample, unit: Unit) -> list[Comparison]:
    return [sample.comparison(pair, [1, -1], Region(low=0.0), unit) for pair in pairwise(check.cases)]


def _equivalent(check: Equivalent, sample: Sample, unit: Unit) -> list[Comparison]:
    margin = _widened(check.margin, is_log=sample.is_log)
    return [sample.comparison(pair, [1, -1], Region(-margin, margin), unit) for pair in combinations(check.cases, 2)]


def _ratio(check: Ratio, sample: Sample, unit: Unit) -> list[Comparison]:
    return [sample.comparison([check.case, check.to], [1, -1], Region(log(check.low), log(check.high)), unit)]


def _close(check: Close, sample: Sample, unit: Unit) -> list[Comparison]:
    low, high = check.target
    margin = _widened(check.margin, is_log=sample.is_log)
    low, high = (log(low), log(high)) if sample.is_log else (low, high)
    made = sample.comparison([check.case], [1], Region(low - margin, high + margin), unit)
    return [replace(made, against_one_run=check.reported is not None)]


def _trend(check: Trend, sample: Sample, unit: Unit) -> list[Comparison]:
    """Return the change per step (a least-squares line through the means), and whether the last step is the smaller."""
    count, sign = len(check.cases), 1 if check.direction == "rising" else -1
    center = (count - 1) / 2
    spread = sum((at - center) ** 2 for at in range(count))
    line = [sign * (at - center) / spread for at in range(count)]
    title = METRICS[check.metric].title
    steps = sample.comparison(check.cases, line, Region(low=0.0), unit, f"{title} per step, {check.direction}")
    found = [replace(steps, falls=sign < 0)]
    # The middle of three cases has no weight in a line: a step back that is shown contradicts the trend.
    for pair in pairwise(check.cases):
        step = sample.comparison(pair, [-sign, sign], Region(low=0.0), unit, f"{title}, {check.direction} step by step")
        found.append(replace(step, can_only_fail=True))
    if check.flattens:
        bend = [0.0] * count
        for at, weight in ((0, -sign), (1, sign), (-2, sign), (-1, -sign)):
            bend[at] += weight
        what = f"{title}, more at the first step than at the last"
        found.append(sample.comparison(check.cases, bend, Region(low=0.0), unit, what))
    return found


MAKERS: dict[type, Callable[..., Collection[Comparison]]] = {
    Difference: _difference,
    Ranking: _ranking,
    Close: _close,
    Ratio: _ratio,
    Equivalent: _equivalent,
    Trend: _trend,
}


def _train_slope(record: Record) -> float:
    return slope([epoch.train.loss for epoch in second_half(record)])


def _test_slope(record: Record) -> float:
    return slope([epoch.clean.loss for epoch in second_half(record)])


def _overfits(check: Overfits, case: CaseRecords) -> tuple[Comparison, ...]:
    records = measured_in_order(case)
    if any(not second_half(record) for record in records):
        raise OutOfReachError("overfitting: needs 5 epochs")
    turn = Region(high=check.turns_by + 0.5)
    parts: list[tuple[str, str, Region, float, Callable[[Record], float]]] = [
        ("training loss per epoch, second half", "nats", Region(high=0), 0, _train_slope),
        ("test loss (clean) per epoch, second half", "nats", Region(low=0), 0, _test_slope),
        ("epoch of the lowest test loss (clean)", "epochs", turn, 1, turning_epoch),
    ]
    return tuple(
        Comparison(
            about=(case.name,),
            what=what,
            region=region,
            unit=Unit(unit, is_log=False),
            estimates={
                n: contrast([[value(one) for one in records[:n]]], [1], step) for n in LOOKS if n <= len(records)
            },
        )
        for what, unit, region, step, value in parts
    )
