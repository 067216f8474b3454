"""What is known before anything runs: which runs are wanted and recorded, and how long the others take here."""

import platform
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from resnet18.cli.options import WhatToRun
from resnet18.cli.report import all_with
from resnet18.records.record import Record
from resnet18.records.store import is_done, last_attempts, machine_model
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.errors import EnvironmentMissingError, SpecError, UnfinishedError
from resnet18.spec.experiment import FEWEST_SEEDS, SCALES, TESTED_AT, DataSource
from resnet18.spec.identity import code_hash
from resnet18.spec.load import load_benchmarks
from resnet18.spec.metric import duration, how_many
from resnet18.spec.plan import Plan, Run, absent_device, plan
from resnet18.spec.resolve import Request, Specs, canonical_overrides
from resnet18.tables import pace
from resnet18.tables.pace import Basis, Pace, Sizes, by_rule, estimate, kind_of, total_s
from resnet18.tables.selection import select

if TYPE_CHECKING:
    from resnet18.judge.verdict import Verdict

MOST_TIMING_S = 10.0
TIMED_EPOCHS = 4
"""Of a step each; the first warms up."""
TIMED_STEP_S = 0.5
"""What a timed step on the CPU takes at most, by the rule of thumb: 2 images of 224 px, 89 of 32 px at width 64."""


@dataclass(frozen=True)
class Preview:
    """What the options of `plan` and `run` ask for, and what is known of it before the runs."""

    benchmarks: tuple[Benchmark, ...]
    request: Request
    source: DataSource
    plan: Plan  # with a budget only the runs that are chosen
    devices: Mapping[str, int]  # how many there are of each kind, where runs are carried out
    budget_s: float | None = None
    done: AbstractSet[str] = frozenset()  # ids of runs that need no attempt, as far as the data are the same
    jobs: int | None = 1  # runs at a time, but for timed runs; None: they run elsewhere, where no time is known
    seconds: Mapping[str, float] = field(default_factory=dict)  # of the pending runs, by id, as far as they are known
    bases: Collection[Basis] = ()  # what the seconds are based on
    claims: Sequence[dict[str, Any]] = ()  # with a budget: how many seeds each claim gets, or why it is left out

    @property
    def pending(self) -> list[Run]:
        """The runs that need an attempt."""
        return [run for run in self.plan.runs if run.run_id not in self.done]

    @property
    def auto_device(self) -> str:
        """The kind of device that `auto` takes."""
        return next((kind for kind in self.devices if kind != "cpu"), "cpu")

    def is_on_cpu(self, run: Run) -> bool:
        """Say whether a run takes the CPU."""
        return run.execution.device.replace("auto", self.auto_device) == "cpu"

    def of(self, runs: Iterable[Run]) -> "Preview":
        """Return the same of these runs."""
        return replace(self, plan=replace(self.plan, runs=tuple(runs)))


def outline(what: WhatToRun, source: DataSource, devices: Mapping[str, int]) -> Preview:
    """Return what the options ask for, which `filled` completes; with a budget, with the seeds that a verdict needs.

    Raises SpecError at an unknown name or case, and EnvironmentMissingError if a device asked for by name is missing.
    """
    benchmarks = load_benchmarks(what.names)
    request = Request(what.scale, source.label, canonical_overrides(what.options or [], what.device))
    has_budget = what.budget is not None
    if has_budget and (what.seeds or FEWEST_SEEDS) < FEWEST_SEEDS:
        raise SpecError(f"--seeds {what.seeds}", f"too few for --budget: a verdict needs {FEWEST_SEEDS}, 5 or 10")
    seeds = range(what.seeds or (max(TESTED_AT) if has_budget else SCALES[what.scale].seeds))
    planned = plan(benchmarks, request, seeds, devices, hypotheses=what.hypotheses, cases=what.cases or ())
    if what.device and (absent := absent_device(what.device, devices)):
        raise EnvironmentMissingError(f"--device {what.device}", absent, allowed=("auto", *sorted(devices)))
    return Preview(benchmarks, request, source, planned, devices, what.budget)


def filled(
    view: Preview,
    records: Collection[Record],
    *,
    time_steps: bool = False,
    keep_stale: bool = False,
    jobs: int | None = 1,
) -> Preview:
    """Return the preview with what is known of its runs; with a budget, of those that give the most verdicts in it.

    With `time_steps` or a budget, a few steps are timed of kinds of run whose pace no record tells.
    Raises SpecError at a budget for benchmarks without claims, UnfinishedError where it is too small for any claim.
    """
    known = last_attempts(records)
    done = {
        run.run_id
        for run in view.plan.runs
        if run.run_id in known  # the hash of code for which there is no record is not needed
        and is_done(known[run.run_id], None if keep_stale else code_hash(run.experiment, run.execution))
    }
    view = replace(view, done=done, jobs=jobs)
    if jobs is not None:
        paces, sizes = pace.paces_of(of_this_machine(records)), pace.KNOWN_SIZES.get(view.source.label)
        new = [run for run in view.pending if kind_of(run.experiment, run.execution) not in paces]
        if (new or (view.pending and sizes is None)) and (time_steps or view.budget_s is not None):
            sizes, timed_paces = time_some(new, view)
            paces |= timed_paces
        seconds, bases = estimate(view.pending, paces, sizes)
        view = replace(view, seconds=seconds, bases=bases)
    return view if view.budget_s is None else within_budget(view, records, view.budget_s)


def of_this_machine(records: Iterable[Record]) -> list[Record]:
    """Return the records of a machine with this one's processor and GPU, as far as they are known."""
    from resnet18.measure.devices import cpu_flags_sha256, cpu_model, listed_gpus

    here: dict[str, set[str | None]] = {
        "system": {platform.system()},
        "architecture": {platform.machine()},
        "cpu_model": {cpu_model()},
        "cpu_flags_sha256": {cpu_flags_sha256()},
        "gpu_model": {None, *listed_gpus().values()},
    }

    def is_here(numerics: Mapping[str, Any]) -> bool:
        return machine_model(numerics) is not None and all(numerics.get(key) in values for key, values in here.items())

    return [record for record in records if is_here(record.fingerprint.numerics or {})]


def time_some(runs: Sequence[Run], view: Preview) -> tuple[Sizes, dict[Specs, Pace]]:
    """Return the sizes of the data set, and the pace of as many kinds of run as there is time for, heaviest first."""
    from resnet18.data.source import open_data
    from resnet18.execution.trials import shortened, timed

    data = open_data(view.source, verify=True)
    sizes = Sizes(len(data.train.labels), len(data.test.labels))
    short = dict[Specs, Run]()
    for run in sorted(runs, key=lambda run: -by_rule(run.experiment).seconds(run.experiment, sizes)):
        images = run.experiment.batch_size
        if view.is_on_cpu(run):  # batch norm needs two
            images = min(images, max(2, int(TIMED_STEP_S / by_rule(run.experiment).train_image_s)))
        execution = run.execution.model_copy(update={"compile": False})
        few_steps = replace(shortened(run, images, TIMED_EPOCHS), execution=execution)
        short.setdefault(kind_of(run.experiment, run.execution), few_steps)
    found = timed([*short.values()], view.source, data.sha256, MOST_TIMING_S)
    known = {kind: found.get(run.run_id) for kind, run in short.items()}
    return sizes, {kind: pace.pace_of(*told, "from timed steps") for kind, told in known.items() if told}


def verdicts_on(view: Preview, records: Iterable[Record]) -> "list[Verdict]":
    """Return the verdicts on the claims of the tables, as the report judges them, without records of pending runs."""
    from resnet18.judge.verdict import judge

    stale = {run.run_id for run in view.pending}
    known = [record for record in last_attempts(records).values() if record.run_id not in stale]
    shown, suite = all_with(view.benchmarks), load_benchmarks()
    asked = [benchmark for benchmark in shown if benchmark in view.benchmarks or benchmark not in suite]
    reports = dict.fromkeys(benchmark.report for benchmark in asked)
    families = [[benchmark for benchmark in shown if benchmark.report == report] for report in reports]
    judged = [judge(family, select(family, view.request, known), view.request) for family in families]
    return [verdict for verdicts in judged for verdict in verdicts if verdict.benchmark in asked]


def within_budget(view: Preview, records: Iterable[Record], budget_s: float) -> Preview:
    """Return the preview of the runs that give the most verdicts in a time."""
    from resnet18.judge.planning import choose
    from resnet18.judge.samples import reason_text

    if not any(benchmark.claims for benchmark in view.benchmarks):
        raise SpecError("--budget", "these benchmarks have no claims to choose by", next_step="leave it out")
    seconds = {**view.seconds, **dict.fromkeys(view.done, 0.0)}
    choices = choose(verdicts_on(view, records), view.plan, view.request, seconds, view.auto_device, budget_s)
    taken = set[str]().union(*(choice.runs(choice.seeds) for choice in choices))
    claims = [
        {
            "benchmark": choice.benchmark,
            "claim": choice.claim.id,
            "seeds": choice.seeds,
            "chance": round(choice.chance, 3),
            "left_out": reason_text(choice.left_out) if choice.left_out else None,
            "says": choice.claim.says,
        }
        for choice in choices
    ]
    view = replace(view.of(run for run in view.plan.runs if run.run_id in taken), claims=claims)
    if not taken:
        raise UnfinishedError("--budget", f"too small for any verdict:\n{budget_text(view)}")
    return view


def fitting(view: Preview, left_s: float) -> tuple[Preview, list[Run]]:
    """Return the preview without pending runs that do not end within a time, taken in the plan's order, and those runs.

    In infinite time all runs fit, in any other none whose own time is unknown.
    """
    fit, left_out = list[Run](), dict[str, Run]()
    for run in view.pending if left_s < inf else ():
        seconds = total_s([*fit, run], view.seconds, view.jobs or 1)
        if seconds is not None and seconds <= left_s:
            fit.append(run)
        else:
            left_out[run.run_id] = run
    return view.of(run for run in view.plan.runs if run.run_id not in left_out), [*left_out.values()]


def budget_text(view: Preview) -> str:
    """Return what the budget buys, claim by claim."""
    verdicts = sum(row["chance"] for row in view.claims)
    head = f"Budget: {verdicts:.1f} verdicts expected of {how_many(len(view.claims), 'claim')}"
    time = f"about {duration(total_s(view.pending, view.seconds) or 0.0)}, one after another"
    heads = {"chance": "chance of a verdict", "left_out": "left out because"}
    table = tabulate(view.claims, headers=heads, tablefmt="plain", floatfmt=".2f")
    return f"{head}. The chosen runs take {time}.\n{table}"
