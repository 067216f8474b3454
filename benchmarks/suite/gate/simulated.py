"""Simulated checks, counted: how often anything is found, and how many seeds find what is there."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from judged import DEGREES, IN_USE, RULES, Floats, alarms, p_of_growth
from noise import CASES, NOTHING, Change, Noise, accuracies, log_bytes, log_times

from resnet18.spec.benchmark import Gate
from resnet18.tables.statistics import power

METRICS = ("accuracy", "time", "memory")
CHUNK = 80_000
"""Seeds drawn at once: some tens of megabytes."""
NORMAL_95 = 1.959964
MOST_SEEDS = 5_000


@dataclass(frozen=True)
class Share:
    """How many of so many, with Wilson's 95 % interval."""

    hits: int
    of: int

    @property
    def value(self) -> float:
        """The share itself."""
        return self.hits / self.of

    def interval(self) -> tuple[float, float]:
        """Return Wilson's interval."""
        z2 = NORMAL_95**2
        middle = (self.hits + z2 / 2) / (self.of + z2)
        half = NORMAL_95 * sqrt(self.hits * (self.of - self.hits) / self.of + z2 / 4) / (self.of + z2)
        return max(0.0, middle - half), min(1.0, middle + half)

    def row(self) -> dict[str, float]:
        """Return what a page shows."""
        low, high = self.interval()
        return {"hits": self.hits, "of": self.of, "value": self.value, "low": low, "high": high}


@dataclass(frozen=True)
class Setting:
    """How a check is made."""

    gate: Gate
    noise: Noise
    change: Change = NOTHING
    rule: str = IN_USE
    baseline: int = 2
    """Times the seeds."""


def p_values(random: np.random.Generator, setting: Setting, checks: int) -> Floats:
    """Return the p of each metric: checks x cases x metrics."""
    gate, noise, change, seeds = setting.gate, setting.noise, setting.change, setting.gate.seeds
    changed = np.arange(CASES) < (CASES if change.everywhere else 1)
    old, new = accuracies(random, noise, (checks, setting.baseline * seeds, seeds))
    new[:, changed] = 50 + change.wider * (new[:, changed] - 50)
    new -= change.points * changed[:, None] * (np.arange(seeds) < change.runs * seeds)
    times = log_times(random, noise, checks, seeds) + log(1 + change.slower / 100) * changed[:, None]
    peaks = log_bytes(random, noise, checks, seeds, 1 + change.larger / 100 * changed)
    found = (
        RULES[setting.rule](old, new, noise.step),
        p_of_growth(times, gate.slower_percent),
        p_of_growth(peaks, gate.larger_percent),
    )
    return np.stack(found, axis=-1)


def _chunks(random: np.random.Generator, setting: Setting, checks: int) -> Iterator[Floats]:
    at_once = max(1, CHUNK // setting.gate.seeds)
    for start in range(0, checks, at_once):
        yield p_values(random, setting, min(at_once, checks - start))


def false_alarms(seed: int, setting: Setting, checks: int) -> dict[str, Share]:
    """Return the share of checks that find anything, and that find something in each metric."""
    random, hits = np.random.default_rng(seed), np.zeros(1 + len(METRICS), dtype=int)
    for ps in _chunks(random, setting, checks):
        found = alarms(ps.reshape(len(ps), -1), setting.gate.false_alarm_rate).reshape(ps.shape)
        hits += [found.any((1, 2)).sum(), *found.any(1).sum(0)]
    return {name: Share(int(one), checks) for name, one in zip(("any", *METRICS), hits, strict=True)}


def caught(seed: int, setting: Setting, metric: str, checks: int) -> Share:
    """Return the share of checks that find a metric of the first case."""
    random, hits, at = np.random.default_rng(seed), 0, METRICS.index(metric)
    for ps in _chunks(random, setting, checks):
        found = alarms(ps.reshape(len(ps), -1), setting.gate.false_alarm_rate).reshape(ps.shape)
        hits += int(found[:, 0, at].sum())
    return Share(hits, checks)


def level_that_holds(seed: int, setting: Setting, checks: int) -> float:
    """Return the internal rate at which so many checks have just the declared one."""
    random = np.random.default_rng(seed)
    least = np.concatenate([ps.reshape(len(ps), -1).min(1) for ps in _chunks(random, setting, checks)])
    return float(np.quantile(least, setting.gate.false_alarm_rate)) * CASES * len(METRICS)


def given_a_baseline(seed: int, setting: Setting, baselines: int, heads: int) -> Floats:
    """Return the rate of false alarms in accuracy that each baseline has for all heads that are held against it."""
    random, seeds, rates = np.random.default_rng(seed), setting.gate.seeds, []
    level = setting.gate.false_alarm_rate / (CASES * len(METRICS))
    for _ in range(baselines):
        old, _ = accuracies(random, setting.noise, (1, setting.baseline * seeds, seeds))
        _, new = accuracies(random, setting.noise, (heads, 2, seeds))
        ps = RULES[setting.rule](np.broadcast_to(old, (heads, *old.shape[1:])), new, setting.noise.step)
        rates.append((ps <= level).any(1).mean())
    return np.array(rates)


def seeds_needed(effect: float, gate: Gate, chance: float, rule: str | None) -> int | None:
    """Return the least seeds that find a change with a chance, held against Holm's first level; normal noise.

    Args:
        effect: the change beyond what is overlooked, in standard deviations of one value (a pair's logarithm).
        gate: the thresholds.
        chance: wanted.
        rule: of accuracies, which are two-sided; None is a mean of pairs, one-sided.
    """
    level = gate.false_alarm_rate / (CASES * len(METRICS))

    def enough(seeds: int) -> bool:
        if rule is None:
            return power(effect, float("inf"), seeds, seeds - 1, level) >= chance
        return power(effect, float("inf"), seeds / 1.5, DEGREES[rule](seeds), level / 2) >= chance

    return next((seeds for seeds in range(3, MOST_SEEDS) if enough(seeds)), None)
