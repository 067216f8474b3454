"""Which runs to make when time is short: those that let the most claims be decided.

A claim is worth nothing by halves, so it is taken with all the runs that its verdict needs: every case that it is
about, with as many seeds as the first look has. Claims of direction come first, which any data and size can show, and
among them the one that takes the least time; runs that are recorded, or taken for another claim, cost nothing. What is
left goes to further seeds, look by look. That is greedy: another choice may fit more in.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from resnet18.judge.checks import other_terms
from resnet18.judge.reason import Reason
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.claim import Check, Claim, Overfits, RunStatus, cases_of, is_about_a_value
from resnet18.spec.plan import Plan, Run
from resnet18.spec.resolve import Request
from resnet18.spec.scale import FEWEST_SEEDS, TESTED_AT
from resnet18.tables.metrics import FEWEST_EPOCHS_TO_OVERFIT


@dataclass(frozen=True)
class Fate:
    """What becomes of one claim."""

    benchmark: str
    claim: str
    says: str
    seeds: int
    """Of each of its cases; 0: it is left out."""
    reason: Reason | None = None
    """Why no number of seeds decides it here, or why its runs cannot be planned."""
    takes_s: float = 0.0
    """What it would add, where that is more than what is left."""
    left_s: float = 0.0


@dataclass(frozen=True)
class Choice:
    """What fits the budget."""

    runs: tuple[Run, ...]
    """In the plan's order, recorded ones among them."""
    seconds: float
    """Of those that are not recorded."""
    fates: tuple[Fate, ...]
    """Of all claims, in the order of their tables."""

    @property
    def taken(self) -> tuple[Fate, ...]:
        """The claims whose runs are made."""
        return tuple(fate for fate in self.fates if fate.seeds)

    @property
    def decided(self) -> tuple[Fate, ...]:
        """The claims that get as many seeds as a verdict needs."""
        return tuple(fate for fate in self.fates if fate.seeds >= FEWEST_SEEDS)


@dataclass(frozen=True)
class Situation:
    """What the choice depends on beside the claims and the time."""

    plan: Plan
    request: Request
    seconds: Mapping[str, float]
    """Of runs, by id, as far as they are known."""
    done: Collection[str]
    """Ids of runs that need no attempt."""
    device: str
    """Kind of the device that `auto` takes."""


@dataclass(frozen=True)
class _Candidate:
    benchmark: str
    claim: Claim
    at: int
    """Its place in the order of claims."""
    cases: tuple[tuple[Run, ...], ...]
    """Runs of each case, by seed."""

    @property
    def is_about_a_value(self) -> bool:
        return any(is_about_a_value(check) for check in self.claim.checks)

    def runs(self, seeds: int) -> tuple[Run, ...]:
        return tuple(run for case in self.cases for run in case[:seeds])


def choose(benchmarks: Iterable[Benchmark], situation: Situation, budget_s: float) -> Choice:
    """Return the runs that let the most claims be decided within so many seconds, by a greedy choice.

    With fewer seeds than a verdict needs claims are taken with those, and none of them can be decided.
    """
    plan = situation.plan
    by_case = _by_case(plan)
    seeds = len({run.experiment.seed for run in plan.runs})
    claims = [(one.name, claim) for one in benchmarks for claim in one.claims]
    candidates, fates = list[_Candidate](), dict[int, Fate]()
    for at, (name, claim) in enumerate(claims):
        fates[at] = Fate(name, claim.id, claim.says, 0, _obstacle(name, claim, by_case, situation))
        cases = tuple(by_case.get(f"{name}/{case}", ()) for check in claim.checks for case in cases_of(check))
        if not fates[at].reason:
            candidates.append(_Candidate(name, claim, at, cases))
    taken, left_s = dict[str, Run](), budget_s
    for look in [look for look in TESTED_AT if look <= seeds] or [seeds]:
        waiting, candidates = candidates, []
        added_s = partial(_added_s, seeds=look, taken=taken, situation=situation)
        while waiting and (one := _next(waiting, added_s, left_s)) is not None:
            left_s -= added_s(one)
            taken.update({run.run_id: run for run in one.runs(look)})
            fates[one.at] = replace(fates[one.at], seeds=look)
            waiting.remove(one)
            candidates.append(one)
        for one in waiting:
            if not fates[one.at].seeds:
                fates[one.at] = replace(fates[one.at], takes_s=added_s(one), left_s=left_s)
    chosen = tuple(run for run in plan.runs if run.run_id in taken)
    return Choice(chosen, budget_s - left_s, tuple(fates.values()))


def _by_case(plan: Plan) -> dict[str, tuple[Run, ...]]:
    """Return the runs of each case, by seed."""
    found: dict[str, list[Run]] = {}
    for run in sorted(plan.runs, key=lambda run: run.experiment.seed):
        for label in run.labels:
            found.setdefault(label, []).append(run)
    return {label: tuple(runs) for label, runs in found.items()}


def _next(waiting: Collection[_Candidate], added_s: Callable[[_Candidate], float], left_s: float) -> _Candidate | None:
    """Return the claim to take next, of those for which there is time left."""
    costs = {one.at: added_s(one) for one in waiting}
    affordable = [one for one in waiting if costs[one.at] <= left_s]
    return min(affordable, key=lambda one: (one.is_about_a_value, costs[one.at], one.at), default=None)


def _added_s(one: _Candidate, *, seeds: int, taken: Mapping[str, Run], situation: Situation) -> float:
    """Return what a claim would add to the time."""
    new = {run.run_id for run in one.runs(seeds)} - set(situation.done) - set(taken)
    return sum(situation.seconds[run_id] for run_id in new)


def _obstacle(name: str, claim: Claim, by_case: Mapping[str, tuple[Run, ...]], situation: Situation) -> Reason | None:
    """Return why no number of seeds decides a claim here, or why its runs cannot be planned; None if nothing does."""
    for check in claim.checks:
        if (other := other_terms(check, situation.request)) is not None:
            return other
        for case in cases_of(check):
            label = f"{name}/{case}"
            if (found := _obstacle_of_case(check, label, by_case.get(label, ()), situation)) is not None:
                return found
    return None


def _obstacle_of_case(check: Check, label: str, runs: tuple[Run, ...], situation: Situation) -> Reason | None:
    absent = {one.label: one.reason for one in situation.plan.not_planned}
    if not runs:
        return Reason("no_device", what=absent[label]) if label in absent else Reason("not_planned", label)
    if any(run.run_id not in situation.seconds and run.run_id not in situation.done for run in runs):
        return Reason("time_unknown", label)
    if isinstance(check, Overfits) and runs[0].experiment.epochs < FEWEST_EPOCHS_TO_OVERFIT:
        return Reason("too_few_epochs", count=FEWEST_EPOCHS_TO_OVERFIT)
    if isinstance(check, RunStatus) and _kind(runs[0], situation) != check.device.partition(":")[0]:
        return Reason("other_device", label, what=check.device)
    return None


def _kind(run: Run, situation: Situation) -> str:
    kind = run.execution.device.partition(":")[0]
    return situation.device if kind == "auto" else kind
