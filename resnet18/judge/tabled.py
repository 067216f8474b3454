"""A table of anybody's runs as runs to be judged: a value for each case, seed and metric, or a curve over epochs."""

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product, takewhile
from math import exp, isfinite
from pathlib import Path
from statistics import fmean, median

import pandas as pd

from resnet18.judge.runs_file import RUN, read_rows
from resnet18.judge.samples import CannotJudgeError, Reason, Reservation, defined
from resnet18.spec.benchmark import Benchmark, MetricRow
from resnet18.spec.claim import Check, MetricCheck, Overfits, RunStatus, cases_of, is_about_a_value
from resnet18.spec.experiment import FEWEST_SEEDS
from resnet18.spec.metric import METRICS, MetricFacts
from resnet18.tables.metrics import CURVES, FROM_CURVES, STEPS

FROM_EPOCHS: dict[str, Callable[[list[float]], float]] = {
    "last": lambda values: values[-1],
    "highest": max,
    "lowest": min,
    "median of the last three": lambda values: median(values[-3:]),
}
"""How a value of a run comes from its epochs, by `MetricRow.epochs`."""
Curves = dict[tuple[str, str], dict[float, list[float]]]
"""Of each metric and case: the values of a run by epoch, by seed."""
OVERFITS = ("final_train_accuracy", "train_loss_slope", "test_loss_slope", "lowest_loss_epoch")
SINGLE = 2.0**-23
"""Rounding of single precision, relative: digits beyond it are none of a measurement's."""
LEAST_STEP = 1e-12


@dataclass(frozen=True)
class TabledRuns:
    """Runs of a table. A value of a whole run is a curve of one epoch."""

    benchmark: Benchmark
    declared: dict[str, MetricRow]
    curves: Curves
    gaps: Collection[tuple[str, str]]
    """Metrics and cases with a curve that lacks an epoch."""
    marked: Mapping[tuple[str, str], set[float]]
    """Of each metric and case: seeds of runs that are marked as unreliable."""
    steps: dict[str, float]
    """The smallest difference of two values of each metric of the table."""
    in_blocks: Collection[str]
    """Metrics of which all runs of a seed came before those of the next."""
    _lent: dict[tuple[str, float | None], list[list[float]]] = field(default_factory=dict)

    def _source(self, metric: str) -> tuple[tuple[str, ...], Callable[..., float | None]]:
        """Return the columns of values that a metric comes from, its own or curves, and how it does."""
        if metric in FROM_CURVES and metric not in self.steps:
            return FROM_CURVES[metric]
        return (metric,), FROM_EPOCHS[self.declared[metric].epochs if metric in self.declared else "last"]

    def facts(self, metric: str) -> MetricFacts:
        """Return what a metric is."""
        if metric in METRICS:
            return METRICS[metric]
        row = self.declared[metric]
        is_share = row.measures == "accuracy" and row.unit != "points"
        return MetricFacts(row.title, row.measures, is_share=is_share, unit=row.unit or "")

    def require_comparable(self, check: Check) -> None:
        """Raise CannotJudgeError where values of a check's cases are missing, unreliable, or not to be compared."""
        if isinstance(check, RunStatus):
            raise CannotJudgeError(Reason("needs_records"))
        origin = self.benchmark.runs
        if is_about_a_value(check) and {"other", "scaled down"} & {origin.data, origin.scale, origin.size}:
            raise CannotJudgeError(Reason("other_runs"))
        for metric in OVERFITS if isinstance(check, Overfits) else (check.metric,):
            for case, name in product(cases_of(check), self._source(metric)[0]):
                if (name, case) not in self.curves:
                    what = name if name == metric else f"{name} by epoch, from which {metric} follows"
                    raise CannotJudgeError(Reason("no_values", case, what=what))
        if isinstance(check, MetricCheck):
            self._require_fair(check)

    def _require_fair(self, check: MetricCheck) -> None:
        names, _ = self._source(check.metric)
        runs = [self.curves[names[0], case] for case in cases_of(check)]
        if check.paired and any(run.keys() != runs[0].keys() for run in runs):
            raise CannotJudgeError(Reason("seeds_differ"))
        marked = sum(len(self.marked.get((check.metric, case), ())) for case in cases_of(check))
        left = [self._seeds(check.metric, case, run) for case, run in zip(cases_of(check), runs, strict=True)]
        if marked and min(map(len, left)) < FEWEST_SEEDS and self.facts(check.metric).quantity == "seconds":
            raise CannotJudgeError(Reason("marked_unreliable", count=marked, of=sum(map(len, runs))))

    def _seeds(self, metric: str, case: str, seeds: Iterable[float]) -> list[float]:
        """Return the seeds before the first whose time is marked: what a later seed lacks takes nothing from these."""
        is_time = self.facts(metric).quantity == "seconds"
        marked = self.marked.get((metric, case), ()) if is_time else ()
        return [*takewhile(lambda seed: seed not in marked, seeds)]

    def values(self, case: str, metric: str, level: float | None = None) -> list[float]:
        """Return a metric of a case by its seeds, ascending; CannotJudgeError where a run has none."""
        names, value_of = self._source(metric)
        runs = [self.curves.get((name, case), {}) for name in names]
        if any(run.keys() != runs[0].keys() for run in runs):
            raise CannotJudgeError(Reason("seeds_differ"))
        follows = names != (metric,)
        if follows and any((name, case) in self.gaps for name in names):
            raise CannotJudgeError(Reason("epoch_missing", case))
        levels = [level] if follows and level is not None else []
        found = [value_of(*(run[seed] for run in runs), *levels) for seed in self._seeds(metric, case, runs[0])]
        return defined(found, metric, self.facts(metric))

    def identity(self, case: str) -> str:
        """Return the name of the case: a file has one table."""
        return case

    def lent(self, metric: str, cases: Collection[str], level: float | None = None) -> list[list[float]]:  # noqa: ARG002 - to any
        """Return the values of each case of the file; times lend nothing, since a machine slows its runs together."""
        if (metric, level) not in self._lent:
            found = list[list[float]]()
            for case in self.benchmark.cases if self.facts(metric).quantity != "seconds" else ():
                with suppress(CannotJudgeError):  # a case without such a value lends nothing
                    found.append(self.values(case.name, metric, level))
            self._lent[metric, level] = [values for values in found if values and all(map(isfinite, values))]
        return self._lent[metric, level]

    def step(self, metric: str, cases: Collection[str]) -> float:
        """Return the smallest difference of two values: as declared, else as printed; of logarithms for times."""
        facts, (source, *_) = self.facts(metric), self._source(metric)[0]
        if source != metric and facts.quantity not in {"accuracy", "loss"}:
            return STEPS[facts.quantity]
        if facts.takes_logs:
            return self.steps[source] / fmean([exp(value) for case in cases for value in self.values(case, metric)])
        return self.steps[source]

    def chance(self, metric: str, cases: Collection[str]) -> float | None:  # noqa: ARG002 - that of every case
        """Return what guessing gets of a share, in percent."""
        row = self.declared.get(metric) or self.declared.get(self._source(metric)[0][0])
        return row.chance if row else None

    def is_blocked(self, metric: str) -> bool:
        """Say whether it is a time, and `order` shows that all runs of a seed came before those of the next."""
        return self.facts(metric).quantity == "seconds" and metric in self.in_blocks

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


def read_runs(path: Path, benchmark: Benchmark) -> TabledRuns:
    """Return the runs of a CSV file; SpecError tells its first mistakes by line and column."""
    declared = {row.metric: row for row in benchmark.table.metrics}
    claimed = [getattr(check, "metric", "test_loss") for claim in benchmark.claims for check in claim.checks]
    metrics = [*dict.fromkeys([*declared, *CURVES, *claimed])]
    rows = read_rows(path, [case.name for case in benchmark.cases], metrics)
    curves: Curves = {}
    for metric, case, seed, value in zip(*(rows[name].tolist() for name in (*RUN, "value")), strict=True):
        curves.setdefault((metric, case), {}).setdefault(seed, []).append(value)
    lacking = rows.duplicated(RUN) & (rows["epoch"].diff() != 1)
    gaps = {*rows.loc[lacking, RUN[:2]].itertuples(index=False, name=None)}
    marked: dict[tuple[str, str], set[float]] = {}
    for metric, case, seed in rows.loc[rows["unreliable"] > 0, RUN].itertuples(index=False, name=None):
        marked.setdefault((metric, case), set()).add(seed)
    in_blocks = {str(name) for name, own in rows.groupby("metric") if _are_in_blocks(own)}
    steps = {str(name): _printed_step(own) for name, own in rows.groupby("metric")}
    steps |= {name: row.rounding for name, row in declared.items() if row.rounding and name in steps}
    return TabledRuns(benchmark, declared, curves, gaps, marked, steps, in_blocks)


def _are_in_blocks(rows: pd.DataFrame) -> bool:
    """Say whether all runs of a seed came before those of the next, and cases lack none of the seeds but the last."""
    runs = rows.drop_duplicates(RUN)
    has_each_before = runs.groupby("case").cumcount() + 1 == runs["seed"].rank(method="dense")
    spans = rows.groupby("seed")["order"].agg(["min", "max"]).sort_values("min")
    return bool(has_each_before.all() and (spans["min"] > spans["max"].shift())[1:].all())


def _printed_step(rows: pd.DataFrame) -> float:
    """Return the worth of the last digit that is printed of any value, but of none beyond single precision."""
    found = max(SINGLE * float(rows["value"].abs().max()), LEAST_STEP)
    numbers = (text.strip().lower().partition("e") for text in rows["printed"].unique().tolist())
    digits = max(len(number.partition(".")[2]) - int(exponent or 0) for number, _, exponent in numbers)
    return max(float(f"1e{-digits}"), found)
