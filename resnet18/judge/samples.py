"""Samples: the values of a metric by case and seed with what a chapter's cases lend, or why a check has none."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isinf, log
from statistics import fmean
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from resnet18.spec.benchmark import Benchmark
from resnet18.spec.claim import MetricCheck, cases_of
from resnet18.spec.experiment import TESTED_AT
from resnet18.spec.metric import METRICS, MetricFacts, duration, parse_printed
from resnet18.tables.selection import MIXED
from resnet18.tables.statistics import Estimate, blocked_contrast, contrast
from resnet18.tables.variances import WELCH, Floats, Prior, prior_of

if TYPE_CHECKING:
    from resnet18.judge.recorded import RecordedRuns
    from resnet18.judge.tabled import TabledRuns

Reservation = Literal["other_data", "scaled_down", "other_size", "confounded", "unknown"]
"""Why a verdict says nothing of the lab report: other data; fewer images, fewer epochs, or a narrower network; another
image size; cases differ in more than the claim names; or what the runs have in common with the report is not known."""
LIKES = {"clean_accuracy": ["best_accuracy"], "train_s": ["whole_program_s"], "whole_program_s": ["train_s"]}
"""Metrics whose printed values stand in for those of another: a report has one accuracy and one time."""
Runs: TypeAlias = "RecordedRuns | TabledRuns"
"""Runs that claims are judged on: the records of a table, or a table of anybody's runs."""
Bearing = Literal["open", "missing", "out of reach", "no situation"]
"""The records leave the check open; nothing that was run bears on it; it takes another scale, data, device, option;
what it is about did not arise in the runs."""
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
    "needs_records": ("out of reach", "records tell how runs end, a table of values does not"),
    "other_runs": ("out of reach", "tested only on runs with the report's data, scale and size"),
    "undefined": ("no situation", "needs {needs}"),
    "not_fitted": ("no situation", "training accuracy reached {count} %, and overfitting needs {of} %"),
    "not_learned": ("no situation", "the best case reached {what} %, and guessing {count} %"),
    "never_reached": ("no situation", "no run reached {what} %"),
    "no_records": ("missing", "no records"),
    "no_records_of_case": ("missing", '"{case}" has no records'),
    "seed_twice": ("missing", 'seed {count} of "{case}" is in two records'),
    **{code: ("missing", f"runs come from {where}") for code, where in MIXED.items()},
    "unreliable_times": ("missing", RETIME),
    "marked_unreliable": ("missing", "{count} of {of} times are marked as unreliable"),
    "no_values": ("missing", '"{case}" has no values of {what}'),
    "seeds_differ": ("missing", "what is paired needs the same seeds on either side"),
    "epoch_missing": ("missing", "an epoch of a curve is missing"),
    "no_ratio": ("missing", "{what}: no ratio can be computed"),
    "not_planned": ("missing", "{case} is not planned"),
    "time_unknown": ("missing", "the time of {case} is unknown"),
    "takes_too_long": ("missing", "needs about {needed}; {left} of the budget is left"),
    "unlikely": ("missing", "not even {count} seeds would probably decide it"),
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


def reasons_text(reasons: Iterable[Reason], *, with_metric: bool = True) -> str:
    """Return several reasons in words, each once."""
    return "; ".join(dict.fromkeys(reason_text(reason, with_metric=with_metric) for reason in reasons))


class CannotJudgeError(Exception):
    """The records do not bear on a check."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


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
