"""One check: bits, and by statistics accuracy, times and memory, over all cases, with Holm over all statistics.

Bits, times and memory are held against a base that ran beside it, else bits against the baseline. Where they are
equal, so are accuracies; where not, accuracies are held against the baseline's spread.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, expm1, log, sqrt
from statistics import fmean, variance
from typing import Literal, NamedTuple

from resnet18.gate.baseline import Cases, other_numerics
from resnet18.records.record import Record, difference
from resnet18.records.store import first_difference
from resnet18.spec.benchmark import Gate
from resnet18.tables.metrics import clean_accuracy, train_s
from resnet18.tables.statistics import POWER, Estimate, Region, contrast, holm_levels, least_excess

MEANT = "if that was meant, commit it, then: make baseline"
ACCURACY = "clean_accuracy"
GONE = f"in the baseline, and among the cases no longer; {MEANT}"
NOTHING_BEFORE = "neither a base nor a baseline has a result of this experiment: make baseline"
STOPPED = frozenset({"interrupted", "timeout"})
"""Ends that say nothing of the code."""
FEWEST_PAIRS = 3
NO_CHANGE = Region(0.0, 0.0)
"""Outside it in either direction is a change, an unintended gain too."""
RESOLUTION = 1e-4
"""Of the logarithm of a ratio: resident memory comes in pages, and times in the clock's ticks."""
Outcome = Literal["ok", "regression", "not compared", "missing"]
"""`not compared`: others stand for the case. `missing`: what a check needs was not recorded, nothing passes on it."""


class Finding(NamedTuple):
    """What a check says of a metric of a case."""

    case: str
    metric: str
    verdict: Outcome
    says: str


@dataclass(frozen=True)
class Suspicion:
    """A metric that is judged by statistics: the verdict waits for all others (Holm)."""

    case: str
    metric: str
    p: float
    """Chance of data as far from no change as these, if there is none."""
    says: str
    growth: Estimate | None = None
    overlooked: float = 0.0
    """Of a cost: the logarithm of how it grew, and how much of that is overlooked."""

    def judged(self, level: float) -> Finding:
        """Return the finding at Holm's level; of a cost with the growth that would be found with a chance of 80 %."""
        verdict: Outcome = "regression" if self.p <= level else "ok"
        says = f"{self.says}; p = {self.p:.2g}, alarm at {level:.2g}"
        if self.growth:
            least = 100 * expm1(self.overlooked + least_excess(self.growth, level, POWER))
            says += f"; growth by {least:.1f} % is found with a chance of {100 * POWER:.0f} %"
        return Finding(self.case, self.metric, verdict, says)


@dataclass(frozen=True)
class Sides:
    """What is compared, by case. Runs that failed are there too."""

    head: Cases
    """The records that are judged."""
    baseline: Cases
    """Committed records, for bits and for the spread of accuracy."""
    base: Cases | None = None
    """Of another commit that ran beside the head, for bits, times and memory; without it costs have no pairs."""
    saved_bytes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """What autograd saves of a batch of a case: with the older code, and now."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Cases that were not run, and why."""


def exit_code_of(findings: Iterable[Finding]) -> int:
    """Return 0 where nothing was found, 1 at a regression, 3 where something that had to be measured was not."""
    verdicts = {finding.verdict for finding in findings}
    if "regression" in verdicts:
        return 1
    return 3 if "missing" in verdicts or "ok" not in verdicts else 0


def check(sides: Sides, gate: Gate) -> list[Finding]:
    """Judge the records of a head. That any of the suspicions is wrongly called a regression has the gate's rate."""
    found: list[Finding | Suspicion] = []
    found += [Finding(case, "all", "not compared", why) for case, why in sides.left_out.items()]
    gone = sides.baseline.keys() - sides.head.keys() - sides.left_out.keys()
    found += [Finding(case, "status", "missing", GONE) for case in sorted(gone)]
    for case in sides.head:
        found += [*_results(case, sides, gate), *_costs(case, sides, gate)]
    found += _over_all_cases(sides, gate)
    levels = iter(holm_levels([each.p for each in found if isinstance(each, Suspicion)], gate.false_alarm_rate))
    return [each.judged(next(levels)) if isinstance(each, Suspicion) else each for each in found]


def _results(case: str, sides: Sides, gate: Gate) -> Iterator[Finding | Suspicion]:
    """Judge how the runs of a case ended, and what they found: spec, sizes, bits, accuracies."""
    failed, head = _failed(sides.head[case]), _measured(sides.head[case])
    baseline = _measured(sides.baseline.get(case, ()))
    base = baseline if sides.base is None else _measured(sides.base.get(case, ()))
    if failed and base:
        verdict: Outcome = "missing" if failed.status in STOPPED else "regression"
        yield Finding(case, "status", verdict, f"seed {failed.seed} {_end(failed)}")
    elif not head:
        yield Finding(case, "status", "missing", "no run of the head has a result: nothing was measured")
    elif not base:
        yield Finding(case, "status", "missing", NOTHING_BEFORE)
    elif changed := difference(_spec(base[0]), _spec(head[0])):
        yield Finding(case, "spec", "regression", f"{changed}; {MEANT}")
    else:
        yield Finding(case, "spec", "ok", f"experiment and execution are equal (arm {head[0].arm_id})")
        sizes = {"parameters": (base[0].parameters, head[0].parameters), "steps": (_steps(base[0]), _steps(head[0]))}
        sizes |= {"saved_bytes": sides.saved_bytes[case]} if case in sides.saved_bytes else {}
        for metric, (old, new) in sizes.items():
            yield Finding(case, metric, *(("ok", f"{new}") if old == new else ("regression", f"{old} and now {new}")))
        if case not in sides.saved_bytes:
            yield Finding(case, "saved_bytes", "not compared", "the code of the other side has not told them")
        bits = _bits(case, base, head, gate)
        if bits.verdict == "regression" and _bits(case, baseline, head, gate).verdict == "ok":
            bits = bits._replace(verdict="ok", says="other than the base's, equal to those of the baseline: meant")
        yield bits
        settled = Finding(case, ACCURACY, "ok", "settled by the bits")
        yield settled if bits.verdict == "ok" else _accuracy(case, baseline, head, gate)


def _failed(records: Sequence[Record]) -> Record | None:
    return next((record for record in records if record.status != "ok"), None)


def _end(record: Record) -> str:
    return f"ended {record.status}: {record.failure.message if record.failure else ''}"


def _measured(records: Sequence[Record]) -> list[Record]:
    """Return the records that hold a result, by seed."""
    return sorted((record for record in records if record.status == "ok"), key=lambda record: record.seed)


def _steps(record: Record) -> str:
    return f"{sum(epoch.steps for epoch in record.epochs)} in {len(record.epochs)} epochs"


def _spec(record: Record) -> dict[str, object]:
    return record.spec.model_dump(mode="json", exclude={"experiment": {"seed"}, "overrides": True, "assumptions": True})


def _pairs(base: Sequence[Record], head: Sequence[Record]) -> list[tuple[Record, Record]]:
    """Return the records of each seed that both sides have."""
    known = {record.seed: record for record in base}
    return [(known[record.seed], record) for record in head if record.seed in known]


def _bits(case: str, base: Sequence[Record], head: Sequence[Record], gate: Gate) -> Finding:
    """Hold the results of each seed against each other, to the last bit, where the numerics are equal."""
    pairs = _pairs(base, head)
    alike = [pair for pair in pairs if not other_numerics(*pair)]
    if not alike:
        fields = ", ".join(other_numerics(*pairs[0])) if pairs else ""
        why = f"they ran under other numerics: {fields}" if pairs else "no seed is in both"
        return Finding(case, "bits", "not compared", why)
    for old, new in alike:
        if old.result_hash != new.result_hash:
            return Finding(case, "bits", "regression", f"seed {new.seed}: {first_difference(old, new)}; {MEANT}")
    says = f"equal to the last bit for {len(alike)} of {len(head)} seeds"
    if is_few := len(alike) < gate.seeds:
        says += f"; a check takes {gate.seeds}, both sides have seeds {', '.join(str(new.seed) for _, new in alike)}"
    return Finding(case, "bits", "missing" if is_few else "ok", says)


def prediction(old: Sequence[float], new: Sequence[float], resolution: float = 0.0) -> Estimate:
    """Return the gap of the means, with its standard error s·√(1/k + 1/n), df = n + k - 2.

    s² pools the variances of both sides and is at least that of rounding to `resolution`. With the n old values alone,
    skewed accuracies alarm four times in a hundred (docs/decisions/0010).
    """
    n, k = len(old), len(new)
    squares = (n - 1) * variance(old) + (k - 1) * variance(new)
    s2 = max(squares / (n + k - 2), resolution**2 / 12)
    return Estimate(fmean(new) - fmean(old), sqrt(s2 * (1 / k + 1 / n)), n + k - 2, min(n, k), s2)


def _accuracy(case: str, base: Sequence[Record], head: Sequence[Record], gate: Gate) -> Finding | Suspicion:
    """Judge the mean accuracy of the new runs by the baseline's prediction interval."""
    base = [record for record in base if record.arm_id == head[0].arm_id]  # a baseline may be of an older spec
    if len(head) < gate.seeds:
        return Finding(case, ACCURACY, "missing", f"{len(head)} seeds were run, a check takes {gate.seeds}")
    if len(base) < 2 * gate.seeds:
        says = f"the baseline has n = {len(base)}, its spread takes {2 * gate.seeds}: make baseline"
        return Finding(case, ACCURACY, "missing", says)
    old, new = ([clean_accuracy(record) for record in side] for side in (base, head))
    gap = prediction(old, new, resolution=100 / head[0].epochs[-1].clean.images)
    half = gap.interval(0.999)[1] - gap.value  # what decides is p, held against Holm's level
    predicted = f"{fmean(old):.2f} ± {half:.2f} points (n = {len(old)}, 99.9 %)"
    says = f"{fmean(new):.2f} % (n = {len(new)}); predicted {predicted}"
    return Suspicion(case, ACCURACY, NO_CHANGE.p_outside(gap), says)


COSTS: dict[str, tuple[Callable[[Record], float | None], Callable[[Gate], float], str]] = {
    "train_s": (train_s, lambda gate: gate.slower_percent, "time"),
    "rss_peak_bytes": (lambda record: record.memory.rss_peak_bytes, lambda gate: gate.larger_percent, "peak memory"),
}
"""By metric: its value, by how many percent it may grow, and its name."""


def growth(ratios: Sequence[float]) -> Estimate:
    """Return the mean logarithm of ratios, head by base, of pairs that ran at the same time."""
    return contrast([[log(ratio) for ratio in ratios]], [1.0], resolution=RESOLUTION)


def _costs(case: str, sides: Sides, gate: Gate) -> Iterator[Finding | Suspicion]:
    """Judge how much each cost grew beyond what is overlooked, by pairs that ran at the same time, a seed each."""
    base, head = (sides.base or {}).get(case, ()), _measured(sides.head[case])
    pairs, needed = _pairs(_measured(base), head), max(FEWEST_PAIRS, gate.seeds)
    verdict: Outcome = "not compared"
    why = ""
    if sides.base is None:
        why = "needs a base that runs beside it: make regress"
    elif failed := _failed(base):
        verdict, why = "missing", f"the base {_end(failed)}"
    elif pairs and (others := other_numerics(*pairs[0])):
        why = f"they ran under other numerics: {', '.join(others)}"
    for metric in COSTS if head or why else ():
        ratios = _ratios(metric, case, sides)
        if why:
            yield Finding(case, metric, verdict, why)
        elif len(ratios) < needed:
            yield Finding(case, metric, "missing", f"{len(ratios)} pairs of a base and a head, {needed} are needed")
        else:
            yield _grown(case, metric, ratios, gate)


def _over_all_cases(sides: Sides, gate: Gate) -> Iterator[Suspicion]:
    """Judge the time of all cases together: what slows each of them is seen sooner in the pairs of all."""
    ratios = [_ratios("train_s", case, sides) for case in sides.head]
    if sum(len(of_case) >= FEWEST_PAIRS for of_case in ratios) > 1:
        yield _grown("all cases", "train_s", [ratio for of_case in ratios for ratio in of_case], gate)


def _ratios(metric: str, case: str, sides: Sides) -> list[float]:
    """Return a cost of the head by that of the base, for each seed that both have measured under equal numerics."""
    value = COSTS[metric][0]
    pairs = _pairs(_measured((sides.base or {}).get(case, ())), _measured(sides.head[case]))
    alike = [pair for pair in pairs if not other_numerics(*pair)]
    return [new / old for first, second in alike if (old := value(first)) and (new := value(second))]


def _grown(case: str, metric: str, ratios: Sequence[float], gate: Gate) -> Suspicion:
    _, allowed, name = COSTS[metric]
    found, most = growth(ratios), log(1 + allowed(gate) / 100)
    ends = ", ".join(f"{exp(end):.4f}" for end in found.interval())
    says = f"{name}, head by base {exp(found.value):.4f} [{ends}] (n = {len(ratios)} pairs, 95 %)"
    return Suspicion(case, metric, found.p_above(most), f"{says}, overlooked up to {exp(most):g}", found, most)
