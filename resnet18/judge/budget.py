"""Which runs give the most verdicts in a given time.

A claim is taken with all the runs that its verdict needs: every case that it is about, with as many seeds as it is
first tested at. Claims of direction come first, which any data and size can show, and among them the claim that takes
the least time; runs that are recorded, or taken for another claim, cost nothing. What is left goes to the next number
of seeds. The choice is greedy: another may fit more in.
"""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace

from resnet18.judge.checks import other_terms
from resnet18.judge.reason import Reason
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.claim import Check, Claim, Overfits, RunStatus, cases_of, is_about_a_value
from resnet18.spec.experiment import TESTED_AT
from resnet18.spec.plan import Plan, Run
from resnet18.spec.resolve import Request
from resnet18.tables.metrics import FEWEST_EPOCHS_TO_OVERFIT


@dataclass(frozen=True)
class Situation:
    """What the choice depends on beside the claims and the time."""

    plan: Plan
    request: Request
    seconds: Mapping[str, float]
    """Of runs, by id, as far as they are known."""
    done: Set[str]
    """Ids of runs that need no attempt."""
    device: str
    """Kind of the device that `auto` takes."""


@dataclass(frozen=True)
class Fate:
    """What becomes of one claim."""

    benchmark: str
    claim: Claim
    cases: tuple[tuple[Run, ...], ...]
    """Runs of each of its cases, by seed."""
    reason: Reason | None
    """Why no number of seeds decides it here, or why its runs cannot be planned."""
    seeds: int = 0
    """Of each of its cases; 0: it is left out."""
    takes_s: float = 0.0
    """What it would add, where that is more than what is left."""
    left_s: float = 0.0

    def runs(self, seeds: int) -> dict[str, Run]:
        """Return its runs with so many seeds, by id."""
        return {run.run_id: run for case in self.cases for run in case[:seeds]}


@dataclass(frozen=True)
class Choice:
    """What fits the budget."""

    runs: tuple[Run, ...]
    """In the plan's order, recorded runs among them."""
    seconds: float
    """Of those that are not recorded."""
    fates: tuple[Fate, ...]
    """Of all claims, in the order of their tables."""

    @property
    def taken(self) -> tuple[Fate, ...]:
        """The claims whose runs are made."""
        return tuple(fate for fate in self.fates if fate.seeds)


def choose(benchmarks: Iterable[Benchmark], situation: Situation, budget_s: float) -> Choice:
    """Return the runs that give the most verdicts within so many seconds, by a greedy choice.

    With fewer seeds than a verdict needs claims are taken with those, and none of them can be decided.
    """
    fates = [_fate(benchmark.name, claim, situation) for benchmark in benchmarks for claim in benchmark.claims]
    about_values = [any(is_about_a_value(check) for check in fate.claim.checks) for fate in fates]
    candidates = [at for at, fate in enumerate(fates) if fate.reason is None]
    planned = len({run.experiment.seed for run in situation.plan.runs})
    taken, left_s = dict[str, Run](), budget_s

    def added_s(at: int, seeds: int) -> float:
        new = fates[at].runs(seeds).keys() - situation.done - taken.keys()
        return sum(situation.seconds[run_id] for run_id in new)

    for seeds in [n for n in TESTED_AT if n <= planned] or [planned]:
        waiting, candidates = candidates, []
        while affordable := [
            (about_values[at], cost_s, at) for at in waiting if (cost_s := added_s(at, seeds)) <= left_s
        ]:
            _, cost_s, at = min(affordable)
            left_s -= cost_s
            taken.update(fates[at].runs(seeds))
            fates[at] = replace(fates[at], seeds=seeds)
            waiting.remove(at)
            candidates.append(at)
        for at in waiting:
            if not fates[at].seeds:
                fates[at] = replace(fates[at], takes_s=added_s(at, seeds), left_s=left_s)
    runs = tuple(run for run in situation.plan.runs if run.run_id in taken)
    return Choice(runs, budget_s - left_s, tuple(fates))


def _fate(benchmark: str, claim: Claim, situation: Situation) -> Fate:
    cases, reasons = list[tuple[Run, ...]](), list[Reason | None]()
    for check in claim.checks:
        reasons.append(other_terms(check, situation.request))
        for label in (f"{benchmark}/{case}" for case in cases_of(check)):
            runs = [run for run in situation.plan.runs if label in run.labels]
            cases.append(tuple(sorted(runs, key=lambda run: run.experiment.seed)))
            reasons.append(_obstacle(check, label, cases[-1], situation))
    return Fate(benchmark, claim, tuple(cases), next((reason for reason in reasons if reason), None))


def _obstacle(check: Check, label: str, runs: tuple[Run, ...], situation: Situation) -> Reason | None:
    """Return why no number of seeds of a case decides a check here, or why its runs cannot be planned."""
    if not runs:
        absent = {case.label: case.reason for case in situation.plan.not_planned}
        return Reason("no_device", what=absent[label]) if label in absent else Reason("not_planned", label)
    if any(run.run_id not in situation.seconds and run.run_id not in situation.done for run in runs):
        return Reason("time_unknown", label)
    if isinstance(check, Overfits) and runs[0].experiment.epochs < FEWEST_EPOCHS_TO_OVERFIT:
        return Reason("too_few_epochs", count=FEWEST_EPOCHS_TO_OVERFIT)
    kind = runs[0].execution.device.partition(":")[0]
    if isinstance(check, RunStatus) and check.device.partition(":")[0] != (
        situation.device if kind == "auto" else kind
    ):
        return Reason("other_device", label, what=check.device)
    return None
