"""Samples: the values of a metric by case and seed, and what the cases of a chapter lend each other."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isinf, log
from statistics import fmean
from typing import Literal, Protocol

import numpy as np

from resnet18.judge.reason import CannotJudgeError, Reason
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.claim import Check, MetricCheck, RunStatus, cases_of
from resnet18.spec.experiment import TESTED_AT
from resnet18.spec.metric import MetricFacts, parse_printed
from resnet18.tables.statistics import Estimate, blocked_contrast, contrast
from resnet18.tables.variances import WELCH, Floats, Prior, prior_of

Reservation = Literal["other_data", "scaled_down", "other_size", "confounded", "unknown"]
"""Why a verdict says nothing of the lab report: other data; fewer images, fewer epochs, or a narrower network; another
image size; cases differ in more than the claim names; or what the runs have in common with the report is not known."""
LIKES = {"clean_accuracy": ["best_accuracy"], "train_s": ["whole_program_s"], "whole_program_s": ["train_s"]}
"""Metrics whose printed values stand in for those of another: a report has one accuracy and one time."""


class Runs(Protocol):
    """Runs that claims are judged on: the records of a table, or a table of anybody's runs."""

    def facts(self, metric: str) -> MetricFacts:
        """Return what a metric is."""

    def require_comparable(self, check: Check) -> None:
        """Raise CannotJudgeError where runs of a check's cases are missing, failed, or must not be compared."""

    def values(self, case: str, metric: str, level: float | None = None) -> list[float]:
        """Return a metric of a case by its seeds, ascending; of records those of 0, 1, 2, … without a gap.

        CannotJudgeError where a run has none.
        """

    def lent(self, metric: str, cases: Collection[str], level: float | None = None) -> list[list[float]]:
        """Return the values of every arm of the chapter that may lend its variance to these cases."""

    def identity(self, case: str) -> str:
        """Return what a case's runs have in common with those of an equal case of another table."""

    def step(self, metric: str, cases: Collection[str]) -> float:
        """Return the smallest difference that two values can have."""

    def chance(self, metric: str, cases: Collection[str]) -> float | None:
        """Return what guessing gets of a share, in percent, None where it is not known."""

    def is_blocked(self, metric: str) -> bool:
        """Say whether runs of a seed followed each other, so that a drift of the machine moves them alike."""

    def status_holds(self, check: RunStatus) -> bool:
        """Say whether every run of a case ended as claimed; CannotJudgeError where no run can say so."""

    def reservations(self, check: Check) -> tuple[Reservation, ...]:
        """Return why a verdict on the check says nothing of the report."""


@dataclass(frozen=True)
class Samples:
    """Values of one quantity by case and seed, 0 to n - 1, and what all cases of a chapter say of its variance."""

    by_case: Mapping[str, Sequence[float]]
    priors: Mapping[int, Prior] = field(default_factory=dict)
    """By number of seeds; without one, the test is Welch's."""
    step: float = 0.0
    """The smallest difference that two values can have."""
    censored: frozenset[str] = frozenset()
    """Cases with a run that ended before it reached the level: their means are lower bounds."""
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
            return blocked_contrast([found[:n] for found in self.by_case.values()], groups, weights, self.step)
        found = contrast(groups, weights, self.step, self.priors.get(n, WELCH))
        signs = {weight > 0 for name, weight in zip(names, weights, strict=True) if weight and name in self.censored}
        return replace(found, is_least=True in signs, is_most=False in signs)

    def extremes(self, n: int) -> tuple[str, str]:
        """Return the cases with the highest and the lowest mean over the first n seeds."""
        lowest, *_, highest = sorted(self.by_case, key=lambda name: fmean(self.by_case[name][:n]))
        return highest, lowest


def priors_of(arms: Collection[Sequence[float]], step: float = 0.0) -> dict[int, Prior]:
    """Return what arms say together of the variance of a run, by number of seeds."""
    return {n: prior_of(_variances([arm[:n] for arm in arms if len(arm) >= n], step**2 / 12), n - 1) for n in TESTED_AT}


def _variances(arms: Sequence[Sequence[float]], least: float) -> Floats:
    """Return the variance of each arm of equally many seeds, at least so large; 0 says nothing and is left out."""
    if not arms:
        return np.array([])
    values = np.array(arms)
    own = np.where(np.ptp(values, axis=1) > 0, values.var(axis=1, ddof=1), 0.0)  # of equal values rounding leaves 1e-34
    found = np.maximum(own, least)
    return found[found > 0]


def defined(found: Sequence[float | None], metric: str, facts: MetricFacts) -> list[float]:
    """Return the values of runs, of times and memory their logarithms; CannotJudgeError where a run has none."""
    known = [value for value in found if value is not None]
    if len(known) < len(found):
        raise CannotJudgeError(Reason("undefined", metric=metric))
    if not facts.takes_logs:
        return known
    if bad := [value for value in known if value <= 0]:
        raise CannotJudgeError(Reason("no_ratio", metric=metric, what=f"{bad[0]:g}"))
    return [*map(log, known)]


def samples_of(runs: Runs, cases: Sequence[str], metric: str, level: float | None = None) -> Samples:
    """Return the values of cases with what their chapter lends.

    A run that never reached the level would have reached it after its last epoch: it counts as one epoch more, at
    least. CannotJudgeError where no run did.
    """
    by_case = {case: runs.values(case, metric, level) for case in cases}
    censored = frozenset(case for case, values in by_case.items() if any(map(isinf, values)))
    if censored:
        if all(isinf(value) for values in by_case.values() for value in values):
            raise CannotJudgeError(Reason("never_reached", what=f"{level:g}"))
        for case in censored:
            ends = runs.values(case, "epochs")
            by_case[case] = [end + 1 if isinf(at) else at for at, end in zip(by_case[case], ends, strict=True)]
    step, is_blocked = runs.step(metric, cases), runs.is_blocked(metric)
    # Cases that a machine slows together are not independent: they lend nothing.
    priors = {} if is_blocked or censored else priors_of(runs.lent(metric, cases, level), step)
    return Samples(by_case, priors, step, censored, is_blocked)


def printed_values(check: MetricCheck, benchmark: Benchmark) -> dict[str, float]:
    """Return what the report prints of a check's cases, of the metric or its like; empty where it does not of each."""
    keys = (check.metric, *LIKES.get(check.metric, ()))
    rows = {case.name: case.reported for case in benchmark.cases}
    texts = {name: next((rows[name][key] for key in keys if key in rows[name]), "") for name in cases_of(check)}
    values = {name: found.value for name, text in texts.items() if (found := parse_printed(text))}
    return values if len(values) == len(texts) else {}
