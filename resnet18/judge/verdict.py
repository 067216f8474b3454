"""Verdicts: what the records of one request say of each claim, at a family-wise error of 5 % over all claims."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from resnet18.judge.checks import Comparison, compare
from resnet18.judge.reason import CannotJudgeError, Reason, check_comparable, measured_in_order
from resnet18.records.record import Record, Status
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.claim import Check, Claim, RunStatus, cases_of, is_about_a_value
from resnet18.spec.experiment import FEWEST_SEEDS, is_cifar10
from resnet18.spec.metric import parse_printed
from resnet18.spec.resolve import Request
from resnet18.tables.selection import CaseRecords, Selection, device_of, reported_head
from resnet18.tables.statistics import ALPHA, holm_levels, seeds_needed

Word = Literal["supported", "contradicted", "inconclusive", "not run"]
ENDINGS: frozenset[Status] = frozenset({"ok", "diverged", "oom_device", "oom_host"})
"""How a run can end that was carried out: other endings say nothing of it."""
CARD_TOLERANCE = 0.05
"""Drivers keep a few percent of a card's memory for themselves."""


@dataclass(frozen=True)
class CheckResult:
    """What became of one check of a claim: comparisons, an outcome without numbers, or the reason why there is none."""

    check: Check
    comparisons: tuple[Comparison, ...] = ()
    status_holds: bool | None = None
    """For a check of how runs end."""
    reason: Reason | None = None
    """Why it can neither hold nor fall."""

    @property
    def judged(self) -> tuple[Comparison, ...]:
        """The comparisons, none where there is a reason not to judge them."""
        return self.comparisons if self.reason is None else ()

    @property
    def is_missing(self) -> bool:
        """Whether nothing was run that bears on it."""
        return self.reason is not None and self.reason.bearing != "open"


@dataclass(frozen=True)
class Verdict:
    """What the records say of one claim."""

    benchmark: Benchmark
    claim: Claim
    word: Word
    results: tuple[CheckResult, ...]
    level: float
    """The level that its p was held against (Holm)."""

    @property
    def comparisons(self) -> list[Comparison]:
        """Those that were judged."""
        return [part for result in self.results for part in result.judged]

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why parts of it could not be judged, each reason once."""
        return tuple(dict.fromkeys(result.reason for result in self.results if result.reason is not None))

    @property
    def out_of_reach(self) -> tuple[Reason, ...]:
        """Those of the reasons for which no number of seeds would support the claim."""
        return tuple(reason for reason in self.reasons if reason.bearing == "out of reach")

    @property
    def is_open(self) -> bool:
        """Whether more seeds could change it."""
        return self.word == "inconclusive" and self.deciding is not None

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
    by_name = {selection.benchmark.name: selection for selection in selections}
    names = {benchmark.name for benchmark in benchmarks}
    chapter = [case for selection in selections if selection.benchmark.name in names for case in selection.cases]
    claims = [(benchmark, claim) for benchmark in benchmarks for claim in benchmark.claims]
    results = [
        tuple(result_of(check, by_name.get(benchmark.name), chapter, request) for check in claim.checks)
        for benchmark, claim in claims
    ]
    levels = holm_levels([p_of_claim(found) for found in results])
    return tuple(
        verdict_at(benchmark, claim, found, level, len(claims))
        for (benchmark, claim), found, level in zip(claims, results, levels, strict=True)
    )


def result_of(
    check: Check, selection: Selection | None, chapter: Collection[CaseRecords], request: Request
) -> CheckResult:
    """Return what became of a check on the records of its table, None where there are none, within its chapter."""
    if selection is None or not selection.cases:
        return CheckResult(check, reason=Reason("no_records"))
    if (other := other_terms(check, request)) is not None:
        return CheckResult(check, reason=other)
    by_name = {case.name: case for case in selection.cases}
    cases = [by_name[name] for name in cases_of(check)]
    try:
        check_comparable(check, cases)
        if isinstance(check, RunStatus):
            return CheckResult(check, status_holds=_status_holds(check, cases[0]))
        return CheckResult(check, tuple(compare(check, cases, chapter)), reason=_few_seeds(cases))
    except CannotJudgeError as error:
        return CheckResult(check, reason=error.reason)


def other_terms(check: Check, request: Request) -> Reason | None:
    """Return why a check of a value cannot be judged under the request; those of direction always can."""
    if not is_about_a_value(check) or reported_head(request) == "reported":
        return None
    if not is_cifar10(request.data_label):
        return Reason("other_data")
    return Reason("other_options" if request.scale == "paper" else "other_scale")


def _few_seeds(cases: Sequence[CaseRecords]) -> Reason | None:
    """Return that there are too few seeds; the case is named where another has more."""
    seeds = {case.name: len(measured_in_order(case)) for case in cases}
    least = min(seeds, key=lambda name: seeds[name])
    if seeds[least] >= FEWEST_SEEDS:
        return None
    return Reason("few_seeds", least if len({*seeds.values()}) > 1 else "", count=seeds[least], of=FEWEST_SEEDS)


def _status_holds(check: RunStatus, case: CaseRecords) -> bool:
    """Say whether every run of the case ended with the status, of those on the device that the report means."""
    kind = check.device.partition(":")[0]
    final = [record for record in case.records if record.status in ENDINGS and device_of(record) == kind]
    if not final:
        raise CannotJudgeError(Reason("no_run_on_device", what=kind))
    if (card := parse_printed(check.card or "")) is not None:
        final = [record for record in final if abs(_card_bytes(record) / card.value - 1) <= CARD_TOLERANCE]
        if not final:
            raise CannotJudgeError(Reason("no_run_on_card", what=card.text))
    if len(final) < FEWEST_SEEDS:
        raise CannotJudgeError(Reason("few_seeds", count=len(final), of=FEWEST_SEEDS))
    endings = {record.status for record in final}
    if len(endings) > 1 and check.status in endings:
        raise CannotJudgeError(Reason("endings_differ", what=", ".join(sorted(endings))))
    return endings == {check.status}


def _card_bytes(record: Record) -> float:
    """Return the device memory that a run had."""
    cap = parse_printed(record.spec.execution.memory_cap or "")
    return cap.value if cap else float((record.fingerprint.numerics or {}).get("gpu_memory_bytes", 0))


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
    judged = tuple(
        replace(result, comparisons=tuple(_judged(part, level, count, claims) for part in result.judged))
        if result.judged
        else result
        for result in results
    )
    outcomes = [part.holds for result in judged for part in result.judged if part.counts]
    outcomes += [result.status_holds for result in results if result.reason is None and not result.comparisons]
    word: Word = "supported"
    if False in outcomes:
        word = "contradicted"
    elif all(result.is_missing for result in results):
        word = "not run"
    elif None in outcomes or any(result.reason for result in results):
        word = "inconclusive"
    return Verdict(benchmark, claim, word, judged, level)


def _judged(part: Comparison, level: float, count: int, claims: int) -> Comparison:
    """Return a comparison with what it says, or the seeds that it would take at the level of Holm's first step."""
    if part.p_for <= level and not part.can_only_fail:
        return replace(part, holds=True)
    if count * part.p_against <= level:
        return replace(part, holds=False)
    alpha = ALPHA / claims if part.is_inside else ALPHA / claims / count
    one_run = part.against_one_run and not part.is_inside
    return replace(part, seeds=seeds_needed(part.last, part.region, alpha, one_run=one_run))
