"""Verdicts: what the records of one request say of each claim, at a family-wise error of 5 % over all claims."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

from resnet18.judge.checks import CheckResult, carry_out
from resnet18.judge.sample import Comparison
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.claim import Claim
from resnet18.spec.resolve import Request
from resnet18.tables.interim import LOOKS
from resnet18.tables.selection import Selection
from resnet18.tables.statistics import ALPHA, holm_levels, seeds_needed

Word = Literal["supported", "contradicted", "inconclusive", "not run"]
LAST_LOOK = max(LOOKS)


@dataclass(frozen=True)
class Judged:
    """A comparison with what it says at its claim's level."""

    comparison: Comparison
    holds: bool | None
    """None: not resolved."""
    seeds: int | None
    """Seeds of each case that would resolve it, if the estimate were the truth; None: more than anybody would run."""

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
    def reason(self) -> str:
        """Why it is not run or inconclusive, where that is not a matter of the numbers."""
        return "; ".join(dict.fromkeys(result.reason for result in self.results if result.reason))

    @property
    def n(self) -> int:
        """Seeds of the smallest case that was judged."""
        found = [one.comparison.last.n for one in self.judged if one.comparison.estimates]
        return min(found, default=0)

    @property
    def is_open(self) -> bool:
        """Whether more seeds could change it."""
        return self.word == "inconclusive" and self.deciding is not None

    @property
    def deciding(self) -> Judged | None:
        """The open comparison that would settle the claim first, if estimates were the truth.

        A claim falls with the first of its parts that does, a step back of a trend among them; it holds with the last
        of those it needs, and not at all while one cannot be judged or points the other way.
        """
        still_open = [one for one in self.judged if one.holds is None]
        needed = [one for one in still_open if one.counts]
        failing = [one for one in still_open if not one.comparison.is_inside]
        falls = min(failing, key=lambda one: one.cost, default=None)
        if self.reason or any(one.counts for one in failing):
            return falls
        holds = max(needed, key=lambda one: one.cost, default=None)
        return falls if falls and holds and falls.cost < holds.cost else holds

    @property
    def out_of_reach(self) -> str:
        """Why no number of seeds would support it, empty where some might."""
        return "; ".join(dict.fromkeys(result.reason for result in self.results if result.is_out_of_reach))


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
    claims = [(one, claim) for one in benchmarks for claim in one.claims]
    results = [_results(claim, by_name.get(one.name), request) for one, claim in claims]
    ps = [_p(found) for found in results]
    return tuple(
        _verdict(one, claim, found, level, len(claims))
        for (one, claim), found, level in zip(claims, results, holm_levels(ps), strict=True)
    )


def _results(claim: Claim, selection: Selection | None, request: Request) -> tuple[CheckResult, ...]:
    return tuple(carry_out(check, selection, request) for check in claim.checks)


def _p(results: Sequence[CheckResult]) -> float:
    """Return the p that a claim gives to Holm: of all its parts holding, or of one of them failing.

    A claim whose parts all hold needs no correction inside it (each must pass); that one of K fails is tested K times.
    How runs end is no random matter here and has no p.
    """
    comparisons = [one for result in results if result.is_decidable for one in result.comparisons]
    if not comparisons:
        return 1.0
    p_against = min(1.0, len(comparisons) * min(one.p_against for one in comparisons))
    complete = all(result.is_decidable for result in results)
    return min(max(one.p_for for one in comparisons if not one.can_only_fail) if complete else 1.0, p_against)


def _verdict(
    benchmark: Benchmark, claim: Claim, results: tuple[CheckResult, ...], level: float, claims: int
) -> Verdict:
    comparisons = [one for result in results if result.is_decidable for one in result.comparisons]
    judged = tuple(_judged(one, level, len(comparisons), claims) for one in comparisons)
    outcomes = [one.holds for one in judged if one.counts] + [
        one.status_holds for one in results if one.is_decidable and not one.comparisons
    ]
    if False in outcomes:
        word: Word = "contradicted"
    elif all(result.is_missing for result in results):
        word = "not run"
    elif None in outcomes or not all(result.is_decidable for result in results):
        word = "inconclusive"
    else:
        word = "supported"
    return Verdict(benchmark, claim, word, results, judged, level)


def _judged(comparison: Comparison, level: float, count: int, claims: int) -> Judged:
    """Return what a comparison says, and the seeds that it would take at the level of Holm's first step."""
    if comparison.p_for <= level and not comparison.can_only_fail:
        return Judged(comparison, holds=True, seeds=None)
    if count * comparison.p_against <= level:
        return Judged(comparison, holds=False, seeds=None)
    alpha = ALPHA / claims if comparison.is_inside else ALPHA / claims / count
    one_run = comparison.against_one_run and not comparison.is_inside
    return Judged(comparison, None, seeds_needed(comparison.last, comparison.region, alpha, one_run=one_run))
