"""A table of anybody's runs as runs to be judged: a value for each case, seed and metric, or a curve over epochs."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from math import exp, isfinite, log
from pathlib import Path
from statistics import fmean
from typing import get_args

import numpy as np

from resnet18.judge.reason import CannotJudgeError, Reason
from resnet18.judge.runs_file import Codes, Numbers, RunRows, read_rows
from resnet18.judge.samples import Reservation
from resnet18.spec.benchmark import Benchmark, MetricRow
from resnet18.spec.claim import Check, MetricCheck, Overfits, RunStatus, cases_of, is_about_a_value
from resnet18.spec.metric import METRICS, MetricFacts
from resnet18.tables.metrics import CURVES, FROM_CURVES, STEPS, Curve

OVERFITS = ("final_train_accuracy", "train_loss_slope", "test_loss_slope", "lowest_loss_epoch")
WAYS = get_args(MetricRow.model_fields["epochs"].annotation)
"""How a value of a run comes from its epochs."""
SINGLE = 2.0**-23
"""Rounding of single precision, relative: digits beyond it are none of a measurement's."""
LEAST_STEP = 1e-12


@dataclass(frozen=True)
class TabledRuns:
    """Runs of a table, sorted by metric, case, seed and epoch."""

    benchmark: Benchmark
    metrics: tuple[str, ...]
    rows: RunRows
    starts: Codes
    """Where each run begins in the rows, and the end of the last."""
    keys: Codes
    """Of each run: its metric and case as one number, ascending."""
    values_of_runs: Numbers
    """Of each run: its value, from its epochs as the metric's row says."""
    _steps: dict[str, float] = field(default_factory=dict)
    _lent: dict[tuple[str, float | None], list[list[float]]] = field(default_factory=dict)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {case.name: at for at, case in enumerate(self.benchmark.cases)}

    @cached_property
    def _rows_of(self) -> dict[str, MetricRow]:
        return {row.metric: row for row in self.benchmark.table.metrics}

    def _runs(self, metric: str, case: str | None = None) -> slice:
        """Return which runs have a metric, all of them or those of a case."""
        if metric not in self.metrics:
            return slice(0, 0)
        first, count = self.metrics.index(metric) * len(self._places), len(self._places)
        if case is not None:
            first, count = first + self._places[case], 1
        return slice(*np.searchsorted(self.keys, [first, first + count]).tolist())

    def _lines(self, runs: slice) -> slice:
        """Return which rows are those of runs."""
        return slice(int(self.starts[runs.start]), int(self.starts[runs.stop]))

    def _seeds(self, metric: str, case: str) -> list[float]:
        seeds: list[float] = self.rows.seed[self.starts[self._runs(metric, case)]].tolist()
        return seeds

    def _inputs(self, metric: str) -> tuple[str, ...]:
        """Return the columns of values that a metric is read from: its own, else the curves that it follows from."""
        runs = self._runs(metric)
        is_own = runs.start < runs.stop or metric not in FROM_CURVES
        return (metric,) if is_own else FROM_CURVES[metric][0]

    def facts(self, metric: str) -> MetricFacts:
        """Return what a metric is."""
        if metric in METRICS:
            return METRICS[metric]
        row = self._rows_of[metric]
        is_share = row.measures == "accuracy" and row.unit != "points"
        return MetricFacts(row.title, row.measures, is_share=is_share, unit=row.unit or "")

    def require_comparable(self, check: Check) -> None:
        """Raise CannotJudgeError where values of a check's cases are missing, unreliable, or not to be compared."""
        if isinstance(check, RunStatus):
            raise CannotJudgeError(Reason("needs_records"))
        origin = self.benchmark.runs
        if is_about_a_value(check) and {"other", "scaled down"} & {origin.data, origin.scale, origin.size}:
            raise CannotJudgeError(Reason("other_runs"))
        cases = cases_of(check)
        for metric in OVERFITS if isinstance(check, Overfits) else (check.metric,):
            for case, source in ((case, source) for case in cases for source in self._inputs(metric)):
                if not self._seeds(source, case):
                    what = source if source == metric else f"{source} by epoch, from which {metric} follows"
                    raise CannotJudgeError(Reason("no_values", case, what=what))
        if isinstance(check, MetricCheck):
            self._require_fair(check)

    def _require_fair(self, check: MetricCheck) -> None:
        seeds = {tuple(self._seeds(self._inputs(check.metric)[0], case)) for case in cases_of(check)}
        if check.paired and len(seeds) > 1:
            raise CannotJudgeError(Reason("seeds_differ"))
        if self.facts(check.metric).quantity == "seconds":
            runs = [self._runs(check.metric, case) for case in cases_of(check)]
            lines = [self._lines(slice(at, at + 1)) for span in runs for at in _each(span)]
            marked = [bool(self.rows.unreliable[span].any()) for span in lines]
            if any(marked):
                raise CannotJudgeError(Reason("marked_unreliable", count=sum(marked), of=len(marked)))

    def values(self, case: str, metric: str, level: float | None = None) -> list[float]:
        """Return a metric of a case by its seeds, ascending; CannotJudgeError where a run has none."""
        inputs = self._inputs(metric)
        if inputs != (metric,):
            return self._from_curves(case, metric, level)
        found: list[float] = self.values_of_runs[self._runs(metric, case)].tolist()
        if self.facts(metric).takes_logs:
            if bad := [value for value in found if value <= 0]:
                raise CannotJudgeError(Reason("no_ratio", metric=metric, what=f"{bad[0]:g}"))
            return [log(value) for value in found]
        return found

    def _from_curves(self, case: str, metric: str, level: float | None) -> list[float]:
        names, function = FROM_CURVES[metric]
        if len({tuple(self._seeds(name, case)) for name in names}) > 1:
            raise CannotJudgeError(Reason("seeds_differ"))
        curves = zip(*([self._curve(at, case) for at in _each(self._runs(name, case))] for name in names), strict=True)
        found = [function(*run) if level is None else function(*run, level) for run in curves]
        known = [value for value in found if value is not None]
        if len(known) < len(found):
            raise CannotJudgeError(Reason("undefined", metric=metric))
        return known

    def _curve(self, run: int, case: str) -> Curve:
        """Return the values of a run by epoch; CannotJudgeError where an epoch is missing."""
        lines = self._lines(slice(run, run + 1))
        epochs = self.rows.epoch[lines]
        if epochs[-1] - epochs[0] + 1 != len(epochs):
            raise CannotJudgeError(Reason("epoch_missing", case))
        curve: list[float] = self.rows.value[lines].tolist()
        return curve

    def lent(self, metric: str, level: float | None = None) -> list[list[float]]:
        """Return the values of each case of the file; times lend nothing, since a machine slows its runs together."""
        if (metric, level) not in self._lent:
            found = self._lent[metric, level] = []
            for case in self._places if self.facts(metric).quantity != "seconds" else ():
                with suppress(CannotJudgeError):  # a case without such a value lends nothing
                    found.append(self.values(case, metric, level))
            found[:] = [values for values in found if values and all(map(isfinite, values))]
        return self._lent[metric, level]

    def step(self, metric: str, cases: Collection[str]) -> float:
        """Return the smallest difference of two values: as declared, else as printed; of logarithms for times."""
        facts, source = self.facts(metric), self._inputs(metric)[0]
        if source != metric and facts.quantity not in {"accuracy", "loss"}:
            return STEPS[facts.quantity]
        if source not in self._steps:
            row = self._rows_of.get(source)
            self._steps[source] = (row and row.rounding) or self._printed_step(source)
        step = self._steps[source]
        if facts.takes_logs:
            return step / fmean([exp(value) for case in cases for value in self.values(case, metric)])
        return step

    def _printed_step(self, metric: str) -> float:
        """Return the step of the last digit that is printed of any value, but none beyond single precision."""
        lines = self._lines(self._runs(metric))
        digits, largest = self.rows.decimals[lines].max(), np.abs(self.rows.value[lines]).max()
        return max(float(10.0**-digits), SINGLE * float(largest), LEAST_STEP)

    def chance(self, metric: str, cases: Collection[str]) -> float | None:  # noqa: ARG002 - that of every case
        """Return what guessing gets of a share, in percent."""
        row = self._rows_of.get(metric) or self._rows_of.get(self._inputs(metric)[0])
        return row.chance if row else None

    def is_blocked(self, metric: str) -> bool:
        """Say whether it is a time, and `order` shows that all runs of a seed came before those of the next.

        Blocks need the same seeds in every case; a case may lack the last of them.
        """
        runs = self._runs(metric)
        if self.facts(metric).quantity != "seconds" or runs.start == runs.stop:
            return False
        lines = self._lines(runs)
        seeds, block = np.unique(self.rows.seed[lines], return_inverse=True)
        first, last = np.full(len(seeds), np.inf), np.full(len(seeds), -np.inf)
        np.minimum.at(first, block, self.rows.order[lines])
        np.maximum.at(last, block, self.rows.order[lines])
        by_time = np.argsort(first)
        keys = self.keys[runs]
        place_in_case = np.arange(len(keys)) - np.searchsorted(keys, keys)
        are_alike = self.rows.seed[self.starts[runs]] == seeds[place_in_case]
        return bool((last[by_time][:-1] < first[by_time][1:]).all() and are_alike.all())

    def status_holds(self, check: RunStatus) -> bool:  # noqa: ARG002 - whatever it is
        """Raise CannotJudgeError: a table of values does not tell how runs ended."""
        raise CannotJudgeError(Reason("needs_records"))

    def reservations(self, check: Check) -> tuple[Reservation, ...]:  # noqa: ARG002 - those of every check
        """Return why a verdict says nothing of the report, from what the file says of its runs."""
        origin = self.benchmark.runs
        found: dict[Reservation, bool] = {
            "other_data": origin.data == "other",
            "scaled_down": origin.scale == "scaled down",
            "other_size": origin.size == "other",
            "unknown": None in {origin.data, origin.scale, origin.size},
        }
        return tuple(why for why, is_so in found.items() if is_so)


def _each(span: slice) -> range:
    return range(span.start, span.stop)


def read_runs(path: Path, benchmark: Benchmark) -> TabledRuns:
    """Return the runs of a CSV file; SpecError tells its first mistakes by line and column."""
    checks = (check for claim in benchmark.claims for check in claim.checks)
    claimed = (check.metric for check in checks if isinstance(check, MetricCheck))
    metrics = tuple(dict.fromkeys([*(row.metric for row in benchmark.table.metrics), *CURVES, *claimed]))
    cases = [case.name for case in benchmark.cases]
    rows = read_rows(path, cases, metrics)
    rows = rows.ordered(np.lexsort((rows.epoch, rows.seed, rows.case, rows.metric)))
    keys = rows.metric * len(cases) + rows.case
    starts = np.flatnonzero(np.r_[True, (np.diff(keys) != 0) | (np.diff(rows.seed) != 0)])
    ends = np.r_[starts[1:], len(keys)]
    ways = {row.metric: row.epochs for row in benchmark.table.metrics}
    way = np.array([WAYS.index(ways.get(metric, "last")) for metric in metrics])[rows.metric[starts]]
    found = np.choose(way, _from_epochs(rows.value, starts, ends))
    return TabledRuns(benchmark, metrics, rows, np.r_[starts, len(keys)], keys[starts], found)


def _from_epochs(values: Numbers, starts: Codes, ends: Codes) -> list[Numbers]:
    """Return the value of each run from its epochs, once for each of `WAYS`."""
    late = [np.where(ends - back > starts, values[np.maximum(ends - 1 - back, starts)], np.nan) for back in range(3)]
    highest, lowest = np.maximum.reduceat(values, starts), np.minimum.reduceat(values, starts)
    return [values[ends - 1], highest, lowest, np.nanmedian(late, axis=0)]
