"""Verdicts: what the records of one request say of each claim, at a family-wise error of 5 % over all claims."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

from resnet18.judge.checks import CheckResult, carry_out
from resnet18.judge.reason import Reason
from resnet18.judge.sample import Comparison
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.claim import Check, Claim
from resnet18.spec.resolve import Request
from resnet18.tables.selection import Selection
from resnet18.tables.statistics import ALPHA, holm_levels, seeds_needed

Word = Literal["supported", "contradicted", "inconclusive", "not run"]


@dataclass(frozen=True)
class Judged:
    """A comparison with what it says at its claim's level."""

    check: Check
    comparison: Comparison
    holds: bool | None
    """None: open."""
    seeds: int | None
    """Seeds of each case that would settle it if the estimate were the truth; None: more than `MOST_SEEDS`."""

    @property
    def counts(self) -> bool:
        """Whether the claim waits for it: a comparison that can only fail counts where it does."""
        return self.holds is False or not self.comparison.can_only_fail

    @property
    def cost(self) -> float:
        """Its seeds as a number that can be ordered."""
        return inf if self.seeds is None else self.seeds


@dataclass(frozen=True)
class Verdict:
    """What the records say of one claim."""

    benchmark: Benchmark
    claim: Claim
    word: Word
    results: tuple[CheckResult, ...]
    judged: tuple[Judged, ...]
    level: float
    """The level that its p was held against (Holm)."""

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why parts of it could not be judged, each reason once."""
        return tuple(dict.fromkeys(result.reason for result in self.results if result.reason is not None))

    @property
    def out_of_reach(self) -> tuple[Reason, ...]:
        """Those of the reasons for which no number of seeds would support the claim."""
        return tuple(reason for reason in self.reasons if reason.is_out_of_reach)

    @property
    def n(self) -> int:
        """Seeds of the smallest case that was judged."""
        return min((judged.comparison.last.n for judged in self.judged), default=0)

    @property
    def is_open(self) -> bool:
        """Whether more seeds could change it."""
        return self.word == "inconclusive" and self.deciding is not None

    @property
    def deciding(self) -> Judged | None:
        """The open comparison that would settle the claim first, if estimates were the truth.

        One refuted part refutes the claim, a step back of a trend too. The claim holds once the last part that it
        needs holds, and not at all while a part cannot be judged or points the other way.
        """
        still_open = [judged for judged in self.judged if judged.holds is None]
        failing = [judged for judged in still_open if not judged.comparison.is_inside]
        refutes = min(failing, key=lambda judged: judged.cost, default=None)
        if self.reasons or any(judged.counts for judged in failing):
            return refutes
        needed = [judged for judged in still_open if judged.counts]
        supports = max(needed, key=lambda judged: judged.cost, default=None)
        return refutes if refutes and supports and refutes.cost < supports.cost else supports


def judge(
    benchmarks: Collection[Benchmark], selections: Collection[Selection], request: Request
) -> tuple[Verdict, ...]:
    """Return the verdict on every claim of one report, in the order of its tables.

    Args:
        benchmarks: all tables of the report; a claim without records counts towards the number of claims tested, so
            that a verdict does not depend on which other tables were run.
        selections: the tables of which there are records under the request.
        request: scale, data and options of the records.
    """
    by_name = {selection.benchmark.name: selection for selection in selections}
    claims = [(benchmark, claim) for benchmark in benchmarks for claim in benchmark.claims]
    results = [
        tuple(carry_out(check, by_name.get(benchmark.name), request) for check in claim.checks)
        for benchmark, claim in claims
    ]
    levels = holm_levels([p_of_claim(found) for found in results])
    return tuple(
        verdict_at(benchmark, claim, found, level, len(claims))
        for (benchmark, claim), found, level in zip(claims, results, levels, strict=True)
    )


def p_of_claim(results: Sequence[CheckResult]) -> float:
    """Return the p that a claim gives to Holm: of all its parts holding, or of one of them failing.

    A claim whose parts all hold needs no correction inside it (each must pass); that one of K fails is tested K times.
    How runs end is no random matter here and has no p.
    """
    comparisons = [comparison for result in results if result.reason is None for comparison in result.comparisons]
    if not comparisons:
        return 1.0
    p_against = min(1.0, len(comparisons) * min(comparison.p_against for comparison in comparisons))
    if not all(result.reason is None for result in results):
        return p_against
    return min(max(comparison.p_for for comparison in comparisons if not comparison.can_only_fail), p_against)


def verdict_at(
    benchmark: Benchmark, claim: Claim, results: tuple[CheckResult, ...], level: float, claims: int
) -> Verdict:
    """Return the verdict on a claim at its level, one of so many claims."""
    parts = [(result.check, part) for result in results if result.reason is None for part in result.comparisons]
    judged = tuple(_judged(check, part, level, len(parts), claims) for check, part in parts)
    outcomes = [part.holds for part in judged if part.counts] + [
        result.status_holds for result in results if result.reason is None and not result.comparisons
    ]
    if False in outcomes:
        word: Word = "contradicted"
    elif all(result.is_missing for result in results):
        word = "not run"
    elif None in outcomes or not all(result.reason is None for result in results):
        word = "inconclusive"
    else:
        word = "supported"
    return Verdict(benchmark, claim, word, results, judged, level)


def _judged(check: Check, comparison: Comparison, level: float, count: int, claims: int) -> Judged:
    """Return what a comparison says, and the seeds that it would take at the level of Holm's first step."""
    if comparison.p_for <= level and not comparison.can_only_fail:
        return Judged(check, comparison, holds=True, seeds=None)
    if count * comparison.p_against <= level:
        return Judged(check, comparison, holds=False, seeds=None)
    alpha = ALPHA / claims if comparison.is_inside else ALPHA / claims / count
    one_run = comparison.against_one_run and not comparison.is_inside
    seeds = seeds_needed(comparison.last, comparison.region, alpha, one_run=one_run)
    return Judged(check, comparison, None, seeds)
