"""What scatters: accuracy against the baseline's spread, times and memory against a base that ran in turns."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import fmean, variance

from scipy.special import stdtr, stdtrit

from resnet18.gate.exact import Finding, other_numerics
from resnet18.records.record import Record
from resnet18.spec.benchmark import Gate
from resnet18.tables.metrics import clean_accuracy, train_s
from resnet18.tables.statistics import Estimate, contrast, p_above

FEWEST_PAIRS = 3
INTERVAL = 0.999
"""Of the prediction interval that is printed; what decides is p, held against Holm's level."""
RESOLUTION = 1e-4
"""Of the logarithm of a ratio: resident memory comes in pages, and times in the clock's ticks."""


@dataclass(frozen=True)
class Suspicion:
    """A metric that is judged by statistics: the verdict waits for all others (Holm)."""

    case: str
    metric: str
    p: float
    """Chance of data as far from no change as these, if there is none."""
    says: str


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


def growth(ratios: Sequence[float]) -> Estimate:
    """Return the mean logarithm of ratios, head by base, of pairs that ran one after the other."""
    return contrast([[log(ratio) for ratio in ratios]], [1.0], resolution=RESOLUTION)


def p_of_growth(found: Estimate, overlooked_percent: float) -> float:
    """Return the one-sided p of a growth of no more than is overlooked."""
    return p_above(found, log(1 + overlooked_percent / 100))


def accuracy(case: str, base: Sequence[Record], head: Sequence[Record], gate: Gate) -> Finding | Suspicion:
    """Judge the mean accuracy of the new runs by the baseline's prediction interval."""
    metric = "clean_accuracy"
    if len(base) < 2 * gate.seeds:
        says = f"the baseline has n = {len(base)}, its spread takes {2 * gate.seeds}: make baseline"
        return Finding(case, metric, "missing", says)
    old, new = ([100 * clean_accuracy(record) for record in side] for side in (base, head))
    gap = prediction(old, new, resolution=100 / head[0].epochs[-1].clean.images)
    half = float(stdtrit(gap.df, 0.5 + INTERVAL / 2)) * gap.se
    says = (
        f"{fmean(new):.2f} % (n = {len(new)}); predicted {fmean(old):.2f} ± {half:.2f} points "
        f"(n = {len(old)}, {100 * INTERVAL:.1f} %)"
    )
    return Suspicion(case, metric, p_of_change(gap), says)


COSTS: dict[str, tuple[Callable[[Record], float | None], Callable[[Gate], float], str]] = {
    "train_s": (train_s, lambda gate: gate.slower_percent, "training time"),
    "rss_peak_bytes": (lambda record: record.memory.rss_peak_bytes, lambda gate: gate.larger_percent, "peak memory"),
}
"""By metric: its value, by how many percent it may grow, and its name."""


def costs(case: str, base: Sequence[Record], head: Sequence[Record], gate: Gate) -> Iterator[Finding | Suspicion]:
    """Yield the judgement of each cost, by the ratios of pairs that ran one after the other, one seed a pair."""
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
            says = (
                f"{name} head by base {exp(found.value):.4f} [{low:.4f}, {high:.4f}] "
                f"(n = {len(ratios)} pairs, 95 %), overlooked up to {1 + allowed(gate) / 100:g}"
            )
            yield Suspicion(case, metric, p_of_growth(found, allowed(gate)), says)
