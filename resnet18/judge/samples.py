"""Samples: the values of a quantity by case and seed, and what the cases of a chapter lend each other."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import fmean, variance

from resnet18.judge.reason import CannotJudgeError, measured_in_order
from resnet18.records.record import Record
from resnet18.spec.experiment import TESTED_AT
from resnet18.tables.metrics import mixed
from resnet18.tables.selection import CaseRecords
from resnet18.tables.statistics import Estimate, blocked_contrast, contrast
from resnet18.tables.variances import WELCH, Prior, prior_of


@dataclass(frozen=True)
class Samples:
    """Values of one quantity by case and seed, 0 to n - 1, and what all cases of a chapter say of its variance."""

    by_case: Mapping[str, Sequence[float]]
    priors: Mapping[int, Prior] = field(default_factory=dict)
    """By number of seeds; without one, the test is Welch's."""
    step: float = 0.0
    """The smallest difference that two values can have."""
    in_blocks: bool = False
    """Runs of a seed follow each other, and what moves them alike is no noise: so do times."""

    @property
    def looks(self) -> list[int]:
        """The interim analyses for which every case has seeds."""
        return [n for n in TESTED_AT if n <= min(map(len, self.by_case.values()))]

    def estimate(self, names: Sequence[str], weights: Sequence[float], n: int) -> Estimate:
        """Return the weighted sum of the means of cases over their first n seeds."""
        groups = [self.by_case[name][:n] for name in names]
        if self.in_blocks and len(self.by_case) > 1:
            return blocked_contrast([found[:n] for found in self.by_case.values()], groups, weights)
        return contrast(groups, weights, self.step, self.priors.get(n, WELCH))

    def extremes(self, n: int) -> tuple[str, str]:
        """Return the cases with the highest and the lowest mean over the first n seeds."""
        lowest, *_, highest = sorted(self.by_case, key=lambda name: fmean(self.by_case[name][:n]))
        return highest, lowest


def priors_of(arms: Collection[Sequence[float]], step: float = 0.0) -> dict[int, Prior]:
    """Return what arms say together of the variance of a run, by number of seeds."""
    least = step**2 / 12
    found = {n: [max(variance(arm[:n]), least) for arm in arms if len(arm) >= n] for n in TESTED_AT}
    return {n: prior_of([value for value in variances if value], n - 1) for n, variances in found.items()}


def samples_of(
    cases: Sequence[CaseRecords],
    chapter: Collection[CaseRecords],
    value: Callable[[Record], float],
    step: float,
    *,
    in_blocks: bool = False,
) -> Samples:
    """Return what a function says of the runs of cases, and of all cases of their chapter, each arm once.

    CannotJudgeError where a run of the cases has no such value.
    """
    by_case = {case.name: [value(record) for record in measured_in_order(case)] for case in cases}
    if in_blocks:  # cases that a machine slows together are not independent: they lend nothing
        return Samples(by_case, {}, step, in_blocks)
    by_arm, own = list[Sequence[float]](), [record for case in cases for record in case.measured]
    for case in {case.arm_id: case for case in chapter}.values():
        if not mixed([*own, *case.measured], are_costs=False, are_compared=True):
            with suppress(CannotJudgeError):  # an arm without such a value lends nothing
                by_arm.append([value(record) for record in measured_in_order(case)])
    return Samples(by_case, priors_of(by_arm, step), step)
