"""Verdicts: what runs say of each claim here and of the report, at a family-wise error of 5 % over all claims."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from resnet18.judge.checks import Comparison, compare, kendall_tau
from resnet18.judge.recorded import RecordedRuns
from resnet18.judge.samples import CannotJudgeError, Reason, Reservation, Runs
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.claim import Check, Claim, MetricCheck, Overfits, Ranking, RunStatus, cases_of
from resnet18.spec.experiment import FEWEST_SEEDS, TESTED_AT
from resnet18.spec.resolve import Request
from resnet18.tables.selection import Selection
from resnet18.tables.statistics import ALPHA, Estimate, chance, holm_levels

Word = Literal["supported", "contradicted", "inconclusive", "not judgeable", "not run"]
TO_COME = frozenset({"few_seeds", "no_records", "no_records_of_case"})
"""Reasons not to judge that more seeds remove."""


@dataclass(frozen=True)
class CheckResult:
    """What became of one check of a claim: comparisons, an outcome without numbers, or the reason why there is none."""

    check: Check
    comparisons: tuple[Comparison, ...] = ()
    status_holds: bool | None = None
    """For a check of how runs end."""
    reason: Reason | None = None
    """Why it can neither hold nor fall."""
    of_report: tuple[Reservation, ...] = ()
    """Why it says nothing of the report."""
    cases: tuple[str, ...] = ()
    """Identities of its cases."""
    tau: Estimate | None = None
    """Of a ranking: Kendall's tau, mean over seeds."""

    @property
    def judged(self) -> tuple[Comparison, ...]:
        """The comparisons, none where there is a reason not to judge them."""
        return self.comparisons if self.reason is None else ()

    @property
    def fails(self) -> bool:
        """Whether it is shown not to hold, which contradicts its claim."""
        return self.status_holds is False or any(part.holds is False for part in self.judged)

    @property
    def is_missing(self) -> bool:
        """Whether nothing was run that bears on it."""
        return self.reason is not None and self.reason.bearing in {"missing", "out of reach"}


@dataclass(frozen=True)
class Verdict:
    """What runs say of one claim."""

    benchmark: Benchmark
    claim: Claim
    here: Word
    results: tuple[CheckResult, ...]
    level: float
    """The level that its p was held against (Holm)."""

    @property
    def of_report(self) -> tuple[Reservation, ...]:
        """Why the word is not one about the report; empty where it is."""
        decisive = [result for result in self.results if result.fails] or self.results
        found = {why for result in decisive for why in result.of_report}
        return tuple(why for why in get_args(Reservation) if why in found)

    @property
    def labels(self) -> tuple[str, ...]:
        """`benchmark/case` of every case that the claim is about."""
        names = dict.fromkeys(name for check in self.claim.checks for name in cases_of(check))
        return tuple(f"{self.benchmark.name}/{name}" for name in names)

    @property
    def is_decided(self) -> bool:
        """Whether the claim is supported or contradicted."""
        return self.here in {"supported", "contradicted"}

    @property
    def comparisons(self) -> list[Comparison]:
        """Those that were judged."""
        return [part for result in self.results for part in result.judged]

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why parts of it could not be judged, each reason once."""
        return tuple(dict.fromkeys(result.reason for result in self.results if result.reason is not None))

    @property
    def awaits_seeds(self) -> bool:
        """Whether it is not decided, and more seeds could decide it, those that judging starts with among them."""
        is_open = self.here == "inconclusive" and self.deciding is not None
        return is_open or (not self.is_decided and all(reason.code in TO_COME for reason in self.reasons))

    @property
    def deciding(self) -> Comparison | None:
        """The open comparison that would settle the claim first, if estimates were the truth.

        One refuted part refutes the claim, a step back of a trend too. The claim holds once the last part that it
        needs holds, and not at all while a part cannot be judged or points the other way.
        """
        still_open = [part for part in self.comparisons if part.holds is None]
        failing = [part for part in still_open if not part.is_inside]
        refutes = min(failing, key=lambda part: part.cost, default=None)
        if self.reasons or any(part.counts for part in failing):
            return refutes
        supports = max((part for part in still_open if part.counts), key=lambda part: part.cost, default=None)
        return refutes if refutes and supports and refutes.cost < supports.cost else supports


def judge(
    benchmarks: Collection[Benchmark], selections: Collection[Selection], request: Request
) -> tuple[Verdict, ...]:
    """Return the verdict on every claim of one report, in the order of its tables.

    `benchmarks` are all tables of the report, `selections` those of which there are records under the request: a claim
    without records is one of those tested, so that its level does not depend on which other tables were run. What their
    cases lend each other does.
    """
    names = {benchmark.name for benchmark in benchmarks}
    own = {selection.benchmark.name: selection for selection in selections if selection.benchmark.name in names}
    chapter = tuple(case for selection in own.values() for case in selection.cases)
    runs = {name: RecordedRuns(found, request, chapter) for name, found in own.items() if found.cases}
    return judge_runs(benchmarks, lambda benchmark: runs.get(benchmark.name))


def judge_runs(benchmarks: Collection[Benchmark], runs_of: Callable[[Benchmark], "Runs | None"]) -> tuple[Verdict, ...]:
    """Return the verdict on every claim of tables, on the runs of each, None where it has none.

    Claims of two tables that say the same of the same runs are tested once.
    """
    claims = [(benchmark, claim) for benchmark in benchmarks for claim in benchmark.claims]
    results = [tuple(result_of(check, runs_of(benchmark)) for check in claim.checks) for benchmark, claim in claims]
    first: dict[object, int] = {}
    same = [first.setdefault(_tested(found) or at, at) for at, found in enumerate(results)]
    tested = sorted({*same})
    levels = dict(zip(tested, holm_levels([p_of_claim(results[at]) for at in tested]), strict=True))
    return tuple(
        verdict_at(benchmark, claim, found, levels[at], len(tested))
        for (benchmark, claim), found, at in zip(claims, results, same, strict=True)
    )


def _tested(results: Sequence[CheckResult]) -> object:
    """Return what a claim tests: values and regions, whatever its cases are called; nothing where it has none."""
    parts = tuple((part.facts, part.region, part.weights, part.last) for r in results for part in r.judged)
    return (parts, *(result.cases for result in results)) if all(result.judged for result in results) else None


def result_of(check: Check, runs: "Runs | None") -> CheckResult:
    """Return what became of a check on the runs of its table, None where there are none."""
    if runs is None:
        return CheckResult(check, reason=Reason("no_records"))
    try:
        runs.require_comparable(check)
        of_report, cases = runs.reservations(check), tuple(map(runs.identity, cases_of(check)))
        if isinstance(check, RunStatus):
            return CheckResult(check, status_holds=runs.status_holds(check), of_report=of_report, cases=cases)
        parts, tau = tuple(compare(check, runs)), kendall_tau(check, runs) if isinstance(check, Ranking) else None
        return CheckResult(check, parts, reason=_few_seeds(check, runs), of_report=of_report, cases=cases, tau=tau)
    except CannotJudgeError as error:
        return CheckResult(check, reason=error.reason)


def _few_seeds(check: MetricCheck | Overfits, runs: Runs) -> Reason | None:
    """Return that there are too few seeds; the case is named where another has more."""
    metric, level = ("lowest_loss_epoch", None) if isinstance(check, Overfits) else (check.metric, check.level)
    seeds = {case: len(runs.values(case, metric, level)) for case in cases_of(check)}
    least = min(seeds, key=lambda name: seeds[name])
    if seeds[least] >= FEWEST_SEEDS:
        return None
    return Reason("few_seeds", least if len({*seeds.values()}) > 1 else "", count=seeds[least], of=FEWEST_SEEDS)


def p_of_claim(results: Sequence[CheckResult]) -> float:
    """Return the p that a claim gives to Holm: of all its parts holding, or of one of them failing.

    A claim whose parts all hold needs no correction inside it (each must pass); that one of K fails is tested K times.
    How runs end is no random matter here and has no p.
    """
    parts = [part for result in results for part in result.judged]
    if not parts:
        return 1.0
    p_against = min(1.0, len(parts) * min(part.p_against for part in parts))
    if any(result.reason for result in results):
        return p_against
    return min(max(part.p_for for part in parts if not part.can_only_fail), p_against)


def verdict_at(
    benchmark: Benchmark, claim: Claim, results: tuple[CheckResult, ...], level: float, claims: int
) -> Verdict:
    """Return the verdict on a claim at its level, one of so many claims."""
    count = sum(len(result.judged) for result in results)

    def settled(part: Comparison) -> Comparison:
        """Add what a comparison says, or how likely more seeds settle it at the level of Holm's first step."""
        holds = outcome_of(part, level, count)
        chances = chances_of(part, ALPHA / claims, count, after=part.last.n) if holds is None else {}
        return replace(part, holds=holds, chances=chances)

    judged = tuple(
        replace(result, comparisons=tuple(map(settled, result.judged))) if result.judged else result
        for result in results
    )
    return Verdict(benchmark, claim, word_of(judged), judged, level)


def word_of(results: Sequence[CheckResult]) -> Word:
    """Return what judged checks say of their claim."""
    outcomes = [part.holds for result in results for part in result.judged if part.counts]
    outcomes += [result.status_holds for result in results if result.reason is None and not result.comparisons]
    if False in outcomes:
        return "contradicted"
    if all(result.is_missing for result in results):
        return "not run"
    if any(result.reason is not None and result.reason.bearing == "no situation" for result in results):
        return "not judgeable"
    return "inconclusive" if None in outcomes or any(result.reason for result in results) else "supported"


def outcome_of(part: Comparison, level: float, count: int) -> bool | None:
    """Return whether a comparison holds at the level of its claim, which has so many; None: open."""
    if part.p_for <= level and not part.can_only_fail:
        return True
    return False if count * part.p_against <= level else None


def chances_of(part: Comparison, level: float, count: int, *, after: int) -> dict[int, float]:
    """Return the chance that each interim analysis after so many seeds settles one of a claim's so many comparisons."""
    looks = [n for n in TESTED_AT if n > after]
    alpha = level if part.is_inside else level / count
    p = part.region.p_inside(part.last) if part.is_inside else part.region.p_outside(part.last)
    if p == 1.0:
        return dict.fromkeys(looks, 0.0)
    one_run = part.against_one_run and not part.is_inside
    means = [0.0, *(-pair[max(pair)].value for pair in part.pairs[: part.widest_of - 1])] if part.pairs else []
    return {n: chance(part.last, part.region, n, alpha, one_run=one_run, means=means) for n in looks}
