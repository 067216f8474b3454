"""What is known before anything runs: which runs are wanted and recorded, and how long the others take here."""

import platform
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any

from tabulate import tabulate

from resnet18.judge.reason import reason_text
from resnet18.records.content import knows_machine
from resnet18.records.record import Record
from resnet18.records.store import is_done, last_attempts
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.errors import EnvironmentMissingError, SpecError, UnfinishedError
from resnet18.spec.experiment import FEWEST_SEEDS, SCALES, DataSource, Execution
from resnet18.spec.identity import code_hash
from resnet18.spec.load import load_benchmarks
from resnet18.spec.metric import duration
from resnet18.spec.plan import Plan, Run, absent_device, only_cases, plan
from resnet18.spec.resolve import Request
from resnet18.tables import pace
from resnet18.tables.pace import Basis, Kind, Pace, Sizes, kind_of

WORTH_TIMING_S = 60.0
"""By the rule of thumb: an estimate of shorter runs would take about as long as the runs."""
MOST_TIMING_S = 10.0
UNKNOWN_SIZES = Sizes(50_000, 10_000)
"""What the rule of thumb takes a data set for that is not opened yet."""


@dataclass(frozen=True)
class Asked:
    """What the options of `plan` and `run` ask for, checked in full before anything is run."""

    benchmarks: tuple[Benchmark, ...]
    request: Request
    source: DataSource
    plan: Plan
    devices: Mapping[str, int]
    """How many there are of each kind."""


@dataclass(frozen=True)
class Preview:
    """What is known before the runs."""

    wanted: Asked
    """With a budget only the runs that are chosen."""
    done: AbstractSet[str]
    """Ids of runs that need no attempt, as far as the data are the same."""
    jobs: int | None = 1
    """Runs at a time, but for timed runs; None: they run elsewhere, where no time is known."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Of the pending runs, by id, as far as they are known."""
    bases: Collection[Basis] = ()
    """What the seconds are based on."""
    claims: Sequence[dict[str, Any]] = ()
    """Under a budget, a flat row for each claim: with how many seeds it is run, or why it is left out."""
    budget_s: float | None = None

    @property
    def pending(self) -> list[Run]:
        """The runs that need an attempt."""
        return [run for run in self.wanted.plan.runs if run.run_id not in self.done]


def asked(
    names: list[str] | None,
    cases: list[str] | None,
    request: Request,
    source: DataSource,
    seeds: int | None,
    devices: Mapping[str, int],
    *,
    device: str | None = None,
    hypotheses: bool = False,
    budget_s: float | None = None,
) -> Asked:
    """Return what the options ask for; with a budget every case gets as many seeds as a verdict needs at least.

    Raises SpecError at an unknown name or case, and EnvironmentMissingError if a device asked for by name is missing.
    """
    benchmarks = load_benchmarks(names)
    least = 1 if budget_s is None else FEWEST_SEEDS
    numbers = range(seeds or max(SCALES[request.scale].seeds, least))
    planned = plan(benchmarks, request, numbers, devices, hypotheses=hypotheses)
    if cases:
        planned = only_cases(planned, cases, names or ())
    if device and (absent := absent_device(Execution.model_construct(device=device), devices)):
        raise EnvironmentMissingError(f"--device {device}", absent, allowed=("auto", *sorted(devices)))
    return Asked(benchmarks, request, source, planned, devices)


def preview(
    wanted: Asked,
    records: Collection[Record],
    *,
    timing_s: float | None = None,
    keep_stale: bool = False,
    jobs: int | None = 1,
    budget_s: float | None = None,
) -> Preview:
    """Return what is known of the runs that are wanted; with a budget, of those that give the most verdicts in it.

    For `timing_s` seconds a few steps are timed of kinds of run whose pace no record tells. None: for a thirtieth
    of the time that they take by the rule of thumb, where that is a minute or more; for a budget ten seconds.

    Raises SpecError at a budget for benchmarks without claims, UnfinishedError where it is too small for any claim.
    """
    known = last_attempts(records)
    done = {
        run.run_id
        for run in wanted.plan.runs
        if run.run_id in known  # the hash of code for which there is no record is not needed
        and is_done(known[run.run_id], None if keep_stale else code_hash(run.experiment, run.execution))
    }
    view = Preview(wanted, done, jobs)
    if jobs is not None:
        timing_s = timing_s if budget_s is None else MOST_TIMING_S
        seconds, bases = estimated(view.pending, wanted, records, timing_s)
        view = replace(view, seconds=seconds, bases=bases)
    return view if budget_s is None else within_budget(view, budget_s)


def estimated(
    pending: Sequence[Run], wanted: Asked, records: Iterable[Record], timing_s: float | None
) -> tuple[Mapping[str, float], Collection[Basis]]:
    """Return the seconds of runs by id, as far as they are known, and what they are based on."""
    paces = pace.paces_of(of_this_machine(records))
    sizes = pace.KNOWN_SIZES.get(wanted.source.label)
    new = [run for run in pending if kind_of(run.experiment, run.execution) not in paces]
    if new and timing_s != 0:
        rule_s = sum(pace.by_rule(run.experiment).seconds(run.experiment, sizes or UNKNOWN_SIZES) for run in new)
        if timing_s is None:
            timing_s = min(MOST_TIMING_S, rule_s / 30) if rule_s >= WORTH_TIMING_S else 0.0
        if timing_s:
            sizes, timed_paces = time_some(new, wanted, timing_s)
            paces |= timed_paces
        if not paces:
            sizes = sizes or UNKNOWN_SIZES
            paces = {kind_of(run.experiment, run.execution): pace.by_rule(run.experiment) for run in new}
    return pace.estimate(pending, paces, sizes)


def of_this_machine(records: Iterable[Record]) -> list[Record]:
    """Return the records of a machine with this one's processor and GPU, as far as they are known."""
    from resnet18.measure.devices import cpu_flags_sha256, cpu_model, listed_gpus

    here: dict[str, str | None] = {"system": platform.system(), "architecture": platform.machine()}
    here |= {"cpu_model": cpu_model(), "cpu_flags_sha256": cpu_flags_sha256()}
    models = {None, *listed_gpus().values()}
    found = []
    for record in records:
        numerics = record.fingerprint.numerics or {}
        is_alike = all(numerics.get(key) == value for key, value in here.items())
        if is_alike and numerics.get("gpu_model") in models and knows_machine(numerics):
            found.append(record)
    return found


def time_some(runs: Sequence[Run], wanted: Asked, limit_s: float) -> tuple[Sizes, dict[Kind, Pace]]:
    """Return the sizes of the data set, and the pace of as many kinds of run as there is time for, heaviest first."""
    from resnet18.data.source import open_data
    from resnet18.execution.trials import timed

    data = open_data(wanted.source, verify=True)
    sizes = Sizes(len(data.train.labels), len(data.test.labels))
    runs = sorted(runs, key=lambda run: pace.images_of(run.experiment, sizes)[0] * pace.work(run.experiment))
    examples = {kind_of(run.experiment, run.execution): run for run in reversed(runs)}
    found = timed([*examples.values()], wanted.source, data.sha256, limit_s, wanted.devices)
    return sizes, {kind: Pace(*timing, "timed") for kind, run in examples.items() if (timing := found.get(run.run_id))}


def within_budget(view: Preview, budget_s: float) -> Preview:
    """Return the preview of the runs that give the most verdicts in a time."""
    from resnet18.judge.planning import choose

    wanted = view.wanted
    if not any(benchmark.claims for benchmark in wanted.benchmarks):
        raise SpecError("--budget", "these benchmarks have no claims to choose by", next_step="leave it out")
    device = next((kind for kind in wanted.devices if kind != "cpu"), "cpu")
    seconds = {**view.seconds, **dict.fromkeys(view.done, 0.0)}
    choices = choose(wanted.benchmarks, wanted.plan, wanted.request, seconds, device, budget_s)
    taken = set[str]().union(*(choice.runs(choice.seeds) for choice in choices))
    chosen = replace(wanted.plan, runs=tuple(run for run in wanted.plan.runs if run.run_id in taken))
    claims = [
        {
            "benchmark": choice.benchmark,
            "claim": choice.claim.id,
            "seeds": choice.seeds,
            "left_out": reason_text(choice.left_out) if choice.left_out else None,
            "says": choice.claim.says,
        }
        for choice in choices
    ]
    view = replace(view, wanted=replace(wanted, plan=chosen), claims=claims, budget_s=budget_s)
    if not taken:
        raise UnfinishedError("--budget", f"no claim can be decided:\n{budget_text(view)}")
    return view


def budget_text(view: Preview) -> str:
    """Return what the budget buys, claim by claim; nothing without one."""
    if view.budget_s is None:
        return ""
    enough = sum(row["seeds"] >= FEWEST_SEEDS for row in view.claims)
    needed_s = sum(view.seconds.get(run.run_id, 0.0) for run in view.wanted.plan.runs)
    time = f"in about {duration(needed_s)}, one run after another, of {duration(view.budget_s)}"
    head = f"Budget: {enough} of {len(view.claims)} claims get the {FEWEST_SEEDS} seeds that a verdict needs, {time}."
    return f"{head}\n{tabulate(view.claims, headers={'left_out': 'left out'}, tablefmt='plain')}"
