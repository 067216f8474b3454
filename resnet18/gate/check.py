"""One check: bits, and by statistics accuracy, times and memory, over all cases, with Holm over all statistics.

Accuracy is held against the baseline's spread, times and memory against a base that ran in turns.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import exp, log, sqrt
from statistics import fmean, variance

from scipy.special import stdtr, stdtrit

from resnet18.gate.exact import Cases, Finding, Outcome, exact_findings, other_numerics
from resnet18.records.record import Record
from resnet18.spec.benchmark import Gate
from resnet18.tables.metrics import clean_accuracy, train_s
from resnet18.tables.statistics import Estimate, contrast, holm_levels, p_above

GONE = "in the baseline, and among the cases no longer; if that was meant: make baseline"
STOPPED = frozenset({"interrupted", "timeout"})
"""Ends that say nothing of the code."""
FEWEST_PAIRS = 3
INTERVAL = 0.999
"""Of the prediction interval that is printed; what decides is p, held against Holm's level."""
RESOLUTION = 1e-4
"""Of the logarithm of a ratio: resident memory comes in pages, and times in the clock's ticks."""


@dataclass(frozen=True)
class Sides:
    """What is compared. Runs that failed are there too."""

    head: Cases
    """That is judged."""
    baseline: Cases
    """Committed records, for bits and for the spread of accuracy."""
    base: Cases | None = None
    """Of another commit that ran in turns with the head, for times and memory; without it they are not compared."""
    saved_bytes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """What autograd saves of a batch of a case: in the baseline, and now."""


@dataclass(frozen=True)
class Check:
    """All that a check says."""

    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> int:
        """0: nothing found. 1: a regression. 3: what had to be measured was not."""
        verdicts = {finding.verdict for finding in self.findings}
        if "regression" in verdicts:
            return 1
        return 3 if "missing" in verdicts or "ok" not in verdicts else 0

    @property
    def rows(self) -> list[dict[str, str]]:
        """The findings as JSON rows."""
        return [asdict(finding) for finding in self.findings]


@dataclass(frozen=True)
class Suspicion:
    """A metric that is judged by statistics: the verdict waits for all others (Holm)."""

    case: str
    metric: str
    p: float
    """Chance of data as far from no change as these, if there is none."""
    says: str


def check(sides: Sides, gate: Gate) -> Check:
    """Judge the records of a head. That any of the suspicions is wrongly called a regression has the gate's rate."""
    found = list(_found(sides, gate))
    levels = iter(holm_levels([each.p for each in found if isinstance(each, Suspicion)], gate.false_alarm_rate))
    findings = []
    for each in found:
        if isinstance(each, Suspicion):
            level = next(levels)
            verdict: Outcome = "regression" if each.p <= level else "ok"
            says = f"{each.says}; p = {each.p:.2g}, alarm at {level:.2g}"
            findings.append(Finding(each.case, each.metric, verdict, says))
        else:
            findings.append(each)
    return Check(tuple(findings))


def _found(sides: Sides, gate: Gate) -> Iterator[Finding | Suspicion]:
    for case in sides.baseline:
        if case not in sides.head:
            yield Finding(case, "status", "missing", GONE)
    for case, records in sides.head.items():
        yield from _of_case(case, sides.baseline.get(case, ()), records, gate)
        if case in sides.saved_bytes:
            old, new = sides.saved_bytes[case]
            changed = f"{old:,} bytes and now {new:,}: {100 * (new / old - 1):+.1f} %"
            yield Finding(case, "saved_bytes", *(("ok", f"{new:,} bytes") if old == new else ("regression", changed)))
        if sides.base is None:
            says = "times and memory need a base that runs in turns: BASE=commit"
            yield Finding(case, "costs", "not compared", says)
        elif crashed := _failed(sides.base.get(case, ())):
            yield Finding(case, "costs", "missing", f"the base {_end(crashed)}")
        elif measured := _measured(records):
            yield from costs(case, _measured(sides.base.get(case, ())), measured, gate)


def _of_case(case: str, old: Sequence[Record], new: Sequence[Record], gate: Gate) -> Iterator[Finding | Suspicion]:
    failed, old_measured, new_measured = _failed(new), _measured(old), _measured(new)
    if failed and old_measured:
        verdict: Outcome = "missing" if failed.status in STOPPED else "regression"
        yield Finding(case, "status", verdict, f"seed {failed.seed} {_end(failed)}")
    elif not new_measured:
        yield Finding(case, "status", "missing", "no run of the head has a result: nothing was measured")
    elif not old_measured:
        yield Finding(case, "status", "missing", "no baseline: make baseline")
    else:
        exact = [*exact_findings(case, old_measured, new_measured)]
        yield from exact
        if exact[-1].metric != "spec":
            yield _accuracy(case, old_measured, new_measured, gate)


def _failed(records: Sequence[Record]) -> Record | None:
    return next((record for record in records if record.status != "ok"), None)


def _end(record: Record) -> str:
    return f"ended {record.status}: {record.failure.message if record.failure else ''}"


def _measured(records: Sequence[Record]) -> list[Record]:
    """Return the records that hold a result, by seed."""
    return sorted((record for record in records if record.status == "ok"), key=lambda record: record.seed)


def prediction(old: Sequence[float], new: Sequence[float], resolution: float = 0.0) -> Estimate:
    """Return the gap of the means, with its standard error s·√(1/k + 1/n), df = n + k - 2.

    s² pools the variances of both sides and is at least that of rounding to `resolution`. With the n old values alone,
    skewed accuracies alarm four times in a hundred (docs/decisions/0010). A single new value adds nothing to s.
    """
    n, k = len(old), len(new)
    squares = (n - 1) * variance(old) + ((k - 1) * variance(new) if k > 1 else 0.0)
    s2 = max(squares / (n + k - 2), resolution**2 / 12)
    return Estimate(fmean(new) - fmean(old), sqrt(s2 * (1 / k + 1 / n)), n + k - 2, min(n, k), s2)


def p_of_change(gap: Estimate) -> float:
    """Return the two-sided p of no change: an unintended gain is a change too."""
    if gap.se == 0:
        return 1.0 if gap.value == 0 else 0.0
    return 2 * float(stdtr(gap.df, -abs(gap.value) / gap.se))


def _accuracy(case: str, base: Sequence[Record], head: Sequence[Record], gate: Gate) -> Finding | Suspicion:
    """Judge the mean accuracy of the new runs by the baseline's prediction interval."""
    metric = "clean_accuracy"
    if len(base) < 2 * gate.seeds:
        says = f"the baseline has n = {len(base)}, its spread takes {2 * gate.seeds}: make baseline"
        return Finding(case, metric, "missing", says)
    old, new = ([100 * clean_accuracy(record) for record in side] for side in (base, head))
    gap = prediction(old, new, resolution=100 / head[0].epochs[-1].clean.images)
    half = float(stdtrit(gap.df, 0.5 + INTERVAL / 2)) * gap.se
    predicted = f"{fmean(old):.2f} ± {half:.2f} points (n = {len(old)}, {100 * INTERVAL:.1f} %)"
    return Suspicion(case, metric, p_of_change(gap), f"{fmean(new):.2f} % (n = {len(new)}); predicted {predicted}")


COSTS: dict[str, tuple[Callable[[Record], float | None], Callable[[Gate], float], str]] = {
    "train_s": (train_s, lambda gate: gate.slower_percent, "training time"),
    "rss_peak_bytes": (lambda record: record.memory.rss_peak_bytes, lambda gate: gate.larger_percent, "peak memory"),
}
"""By metric: its value, by how many percent it may grow, and its name."""


def growth(ratios: Sequence[float]) -> Estimate:
    """Return the mean logarithm of ratios, head by base, of pairs that ran one after the other."""
    return contrast([[log(ratio) for ratio in ratios]], [1.0], resolution=RESOLUTION)


def costs(case: str, base: Sequence[Record], head: Sequence[Record], gate: Gate) -> Iterator[Finding | Suspicion]:
    """Judge how much each cost grew beyond what is overlooked, by pairs that ran one after the other, a seed each."""
    known = {record.seed: record for record in base}
    pairs = [(known[record.seed], record) for record in head if record.seed in known]
    others = ", ".join(other_numerics(*pairs[0])) if pairs else ""
    for metric, (value, allowed, name) in COSTS.items():
        ratios = [b / a for old, new in pairs if (a := value(old)) and (b := value(new))]
        if others:
            yield Finding(case, metric, "not compared", f"base and head ran under other numerics: {others}")
        elif len(ratios) < FEWEST_PAIRS:
            says = f"{len(ratios)} pairs of a base and a head, {FEWEST_PAIRS} are needed"
            yield Finding(case, metric, "missing", says)
        else:
            found = growth(ratios)
            low, high = (exp(end) for end in found.interval())
            says = f"{name} head by base {exp(found.value):.4f} [{low:.4f}, {high:.4f}] (n = {len(ratios)} pairs, 95 %)"
            says += f", overlooked up to {1 + allowed(gate) / 100:g}"
            yield Suspicion(case, metric, p_above(found, log(1 + allowed(gate) / 100)), says)
