"""Checks: what became of each part of a claim under one request, before anything is decided."""

from dataclasses import dataclass

from resnet18.judge.comparisons import compare
from resnet18.judge.sample import (
    CannotJudgeError,
    Comparison,
    OutOfReachError,
    TooFewSeedsError,
    measured_in_order,
)
from resnet18.records.record import Record, Status
from resnet18.spec.claim import Check, RunStatus, cases_of, is_about_a_value
from resnet18.spec.data import is_cifar10
from resnet18.spec.printed import parse_printed
from resnet18.spec.resolve import Request
from resnet18.tables.interim import LOOKS
from resnet18.tables.selection import Selection, device_of, reported_head

FEWEST_SEEDS = min(LOOKS)
ENDINGS: frozenset[Status] = frozenset({"ok", "diverged", "oom_device", "oom_host"})
"""How a run can end that was carried out: other endings say nothing of it."""
CARD_TOLERANCE = 0.05


@dataclass(frozen=True)
class CheckResult:
    """What became of one check of a claim: comparisons, an outcome without numbers, or the reason why there is none."""

    check: Check
    comparisons: tuple[Comparison, ...] = ()
    status_holds: bool | None = None
    """For a check of how runs end."""
    reason: str = ""
    is_missing: bool = False
    """Whether the reason is that something was not run, or cannot be compared."""

    lacks_seeds: bool = False
    """Whether the reason is that there are too few seeds, and nothing else."""
    is_out_of_reach: bool = False
    """Whether no further run of the same kind would bear on it."""

    @property
    def is_decidable(self) -> bool:
        """Whether it can hold or fall."""
        return not self.reason


def carry_out(check: Check, selection: Selection | None, request: Request) -> CheckResult:
    """Return what became of a check.

    Args:
        check: one part of a claim.
        selection: its table with the records; None where there are none.
        request: scale, data and options of the records.
    """
    if selection is None or not selection.cases:
        return CheckResult(check, reason="no records", is_missing=True)
    if (other := other_terms(check, request)) is not None:
        return CheckResult(check, reason=other, is_missing=True, is_out_of_reach=True)
    try:
        comparisons = compare(check, {case.name: case for case in selection.cases})
    except CannotJudgeError as error:
        missing, beyond = not isinstance(error, TooFewSeedsError), isinstance(error, OutOfReachError)
        return CheckResult(check, reason=str(error), is_missing=missing, is_out_of_reach=beyond)
    if isinstance(check, RunStatus):
        return _status(check, selection)
    if all(one.estimates for one in comparisons):
        return CheckResult(check, comparisons)
    seeds = {case.name: len(measured_in_order(case)) for case in selection.cases if case.name in cases_of(check)}
    return CheckResult(check, comparisons, reason=_shortest(seeds), lacks_seeds=True)


def _shortest(seeds: dict[str, int]) -> str:
    """Return how many seeds the shortest case has; its case is named where another has more."""
    least = min(seeds, key=lambda name: seeds[name])
    return f'case "{least}" has {_too_few(seeds[least])}' if len({*seeds.values()}) > 1 else _too_few(seeds[least])


def _too_few(seeds: int) -> str:
    return f"{seeds} of the {FEWEST_SEEDS} seeds that a verdict needs"


def other_terms(check: Check, request: Request) -> str | None:
    """Return why a check of a value cannot be judged under the request; those of direction always can."""
    if not is_about_a_value(check) or reported_head(request) == "reported":
        return None
    if not is_cifar10(request.data_label):
        return "judged on CIFAR-10 alone"
    return "judged at paper scale alone" if request.scale != "paper" else "an option changed the experiment"


def _status(check: RunStatus, selection: Selection) -> CheckResult:
    """Return whether every run of the case ended with the status, of those on the device that the report means."""
    case = next(case for case in selection.cases if case.name == check.case)
    kind = check.device.partition(":")[0]
    final = [record for record in case.records if record.status in ENDINGS and device_of(record) == kind]
    if not final:
        return CheckResult(check, reason=f"no run on {kind}", is_missing=True, is_out_of_reach=True)
    card = parse_printed(check.card) if check.card else None
    if card is not None:
        final = [record for record in final if _is_card(record, card.value)]
        if not final:
            return CheckResult(check, reason=f"no run on a card of {check.card}", is_missing=True, is_out_of_reach=True)
    if len(final) < FEWEST_SEEDS:
        return CheckResult(check, reason=_too_few(len(final)))
    endings = {record.status for record in final}
    if endings == {check.status}:
        return CheckResult(check, status_holds=True)
    if check.status not in endings:
        return CheckResult(check, status_holds=False)
    return CheckResult(check, reason=f"runs ended differently: {', '.join(sorted(endings))}")


def _is_card(record: Record, card_bytes: float) -> bool:
    """Say whether a run had as much device memory as the card: drivers keep a few percent for themselves."""
    numerics = record.fingerprint.numerics or {}
    cap = parse_printed(record.spec.execution.memory_cap or "")
    found = cap.value if cap else float(numerics.get("gpu_memory_bytes", 0))
    return abs(found - card_bytes) <= CARD_TOLERANCE * card_bytes
