"""A table of anybody's runs as runs to be judged: a value for each case, seed and metric, or a curve over epochs."""

from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from math import exp, isfinite, log
from pathlib import Path
from statistics import fmean, median

from resnet18.judge.reason import CannotJudgeError, Reason
from resnet18.judge.runs_file import RUN, read_rows
from resnet18.judge.samples import Reservation
from resnet18.spec.benchmark import Benchmark, MetricRow
from resnet18.spec.claim import Check, MetricCheck, Overfits, RunStatus, cases_of, is_about_a_value
from resnet18.spec.metric import METRICS, MetricFacts
from resnet18.tables.metrics import CURVES, FROM_CURVES, STEPS

FROM_EPOCHS: dict[str, Callable[[list[float]], float]] = {
    "last": lambda values: values[-1],
    "highest": max,
    "lowest": min,
    "median of the last three": lambda values: median(values[-3:]),
}
"""How a value of a run comes from its epochs, by `MetricRow.epochs`."""
OVERFITS = ("final_train_accuracy", "train_loss_slope", "test_loss_slope", "lowest_loss_epoch")
SINGLE = 2.0**-23
"""Rounding of single precision, relative: digits beyond it are none of a measurement's."""
LEAST_STEP = 1e-12


@dataclass(frozen=True)
class TabledRuns:
    """Runs of a table. A value of a whole run is a curve of one epoch."""

    benchmark: Benchmark
    curves: dict[tuple[str, str], dict[float, list[float]]]
    """Of each metric and case: the values of a run by epoch, by seed."""
    gaps: Collection[tuple[str, str]]
    """Metrics and cases with a curve that lacks an epoch."""
    marked: Counter[tuple[str, str]]
    """Of each metric and case: runs that are marked as unreliable."""
    steps: dict[str, float]
    """The smallest difference of two values of each metric of the table."""
    in_order: Collection[str]
    """Metrics of which all runs of a seed came before those of the next."""
    _lent: dict[tuple[str, float | None], list[list[float]]] = field(default_factory=dict)

    @cached_property
    def _declared(self) -> dict[str, MetricRow]:
        return {row.metric: row for row in self.benchmark.table.metrics}

    def _source(self, metric: str) -> tuple[tuple[str, ...], Callable[..., float | None]]:
        """Return the columns of values that a metric comes from, its own or curves, and how it does."""
        if metric in FROM_CURVES and metric not in self.steps:
            return FROM_CURVES[metric]
        return (metric,), FROM_EPOCHS[self._declared[metric].epochs if metric in self._declared else "last"]

    def facts(self, metric: str) -> MetricFacts:
        """Return what a metric is."""
        if metric in METRICS:
            return METRICS[metric]
        row = self._declared[metric]
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
        marked = sum(self.marked[check.metric, case] for case in cases_of(check))
        if marked and self.facts(check.metric).quantity == "seconds":
            raise CannotJudgeError(Reason("marked_unreliable", count=marked, of=sum(map(len, runs))))

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
        found = [value_of(*(run[seed] for run in runs), *levels) for seed in runs[0]]
        known = [value for value in found if value is not None]
        if len(known) < len(found):
            raise CannotJudgeError(Reason("undefined", metric=metric))
        if not self.facts(metric).takes_logs:
            return known
        if bad := [value for value in known if value <= 0]:
            raise CannotJudgeError(Reason("no_ratio", metric=metric, what=f"{bad[0]:g}"))
        return [*map(log, known)]

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
        row = self._declared.get(metric) or self._declared.get(self._source(metric)[0][0])
        return row.chance if row else None

    def is_blocked(self, metric: str) -> bool:
        """Say whether it is a time, and `order` shows that all runs of a seed came before those of the next.

        Blocks need the same seeds in every case; a case may lack the last of them.
        """
        seeds = [list(runs) for (name, _), runs in self.curves.items() if name == metric]
        every = max(seeds, key=len, default=[])
        are_alike = all(own == every[: len(own)] for own in seeds)
        return self.facts(metric).quantity == "seconds" and metric in self.in_order and are_alike

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
    declared = [row.metric for row in benchmark.table.metrics]
    claimed = [getattr(check, "metric", declared[0]) for claim in benchmark.claims for check in claim.checks]
    metrics = [*dict.fromkeys([*declared, *CURVES, *claimed])]
    rows = read_rows(path, [case.name for case in benchmark.cases], metrics)
    curves: dict[tuple[str, str], dict[float, list[float]]] = {}
    for metric, case, seed, value in zip(*(rows[name].tolist() for name in (*RUN, "value")), strict=True):
        curves.setdefault((metric, case), {}).setdefault(seed, []).append(value)
    gaps = rows[rows.duplicated(RUN) & (rows["epoch"].diff() != 1)]
    marked = rows[rows["unreliable"] > 0].drop_duplicates(RUN)
    spans = rows.groupby(["metric", "seed"])["order"].agg(["min", "max"]).sort_values("min")
    in_order = [str(name) for name, own in spans.groupby("metric") if (own["min"] > own["max"].shift())[1:].all()]
    rounding, steps = {row.metric: row.rounding for row in benchmark.table.metrics}, dict[str, float]()
    for name, own in rows.groupby("metric"):
        printed = min(map(_last_digit, own["printed"].unique()))
        steps[str(name)] = rounding.get(str(name)) or max(printed, SINGLE * own["value"].abs().max(), LEAST_STEP)
    return TabledRuns(
        benchmark,
        curves,
        {*zip(gaps["metric"], gaps["case"], strict=True)},
        Counter(zip(marked["metric"], marked["case"], strict=True)),
        steps,
        in_order,
    )


def _last_digit(printed: str) -> float:
    """Return the worth of the last digit of a number; an exponent moves it."""
    mantissa, _, exponent = printed.strip().lower().partition("e")
    return float(f"1e{int(exponent or 0) - len(mantissa.partition('.')[2])}")
