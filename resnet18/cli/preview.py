"""What is known before anything runs: which runs are wanted and recorded, and how long the others take here."""

import platform
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from resnet18.judge.reason import reason_text
from resnet18.records.content import knows_machine
from resnet18.records.record import Record
from resnet18.records.store import is_done, last_attempts
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.errors import EnvironmentMissingError, SpecError, UnfinishedError
from resnet18.spec.experiment import FEWEST_SEEDS, SCALES, DataSource
from resnet18.spec.identity import code_hash
from resnet18.spec.load import load_benchmarks
from resnet18.spec.metric import duration
from resnet18.spec.plan import Plan, Run, only_cases, plan
from resnet18.spec.resolve import DEVICE_OPTION, Request
from resnet18.tables import pace
from resnet18.tables.pace import Basis, Kind, Pace, Sizes, kind_of

if TYPE_CHECKING:
    from resnet18.judge.planning import Choice

WORTH_TIMING_S = 60.0
"""By the rule of thumb: an estimate of shorter runs would take about as long as the runs."""
MOST_TIMING_S = 10.0
TIMING_SHARE = 1 / 30
"""Of what the runs take by the rule of thumb: an estimate must not take long beside the runs."""
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
    plan: Plan
    """What is wanted, as far as the budget allows."""
    done: AbstractSet[str]
    """Ids of runs that need no attempt, as far as the data are the same."""
    seconds: Mapping[str, float]
    """Of the other runs, by id, as far as they are known."""
    bases: Collection[Basis]
    """What the seconds are based on."""
    jobs: int | None = 1
    """Runs at a time, but for timed runs; None: they run elsewhere, where no time is known."""
    choices: "Sequence[Choice]" = ()
    """Of the claims, under a budget."""
    budget_s: float | None = None


def asked(
    names: list[str] | None,
    cases: list[str] | None,
    request: Request,
    source: DataSource,
    seeds: int | None,
    devices: Mapping[str, int],
    *,
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
    for option in request.overrides:
        if option.startswith(DEVICE_OPTION):
            device = option.removeprefix(DEVICE_OPTION)
            kind, _, index = device.partition(":")
            numbered = [f"{kind}:{number}" for number in range(devices.get(kind, 0))]
            if kind != "auto" and device not in (numbered if index else devices):
                allowed = numbered or ("auto", *sorted(devices))
                raise EnvironmentMissingError(f"--device {device}", "there is no such device", allowed=allowed)
    return Asked(benchmarks, request, source, planned, devices)


def preview(
    wanted: Asked,
    records: Collection[Record],
    timing: Literal["never", "if long", "always"],
    *,
    keep_stale: bool = False,
    jobs: int | None = 1,
    budget_s: float | None = None,
) -> Preview:
    """Return what is known of the runs that are wanted.

    Args:
        wanted: the plan.
        records: all that there are.
        timing: whether a few steps may be timed, for up to ten seconds, of kinds of run of which no record tells the
            pace; `if long`: only where the runs take a minute by the rule of thumb, for a thirtieth of their time;
            for a budget always.
        keep_stale: whether a run is done by a record that other code made.
        jobs: how many runs there are at a time on this machine; None: they run elsewhere.
        budget_s: choose the runs that give the most verdicts in this time; UnfinishedError where it is too little.
    """
    known = last_attempts(records)
    done = {
        run.run_id
        for run in wanted.plan.runs
        if run.run_id in known  # the hash of code for which there is no record is not needed
        and is_done(known[run.run_id], None if keep_stale else code_hash(run.experiment, run.execution))
    }
    pending = [run for run in wanted.plan.runs if run.run_id not in done]
    if budget_s is not None:
        timing = "always"
    seconds, bases = estimated(pending, wanted, records, timing) if jobs is not None else ({}, ())
    view = Preview(wanted, wanted.plan, done, seconds, bases, jobs)
    return view if budget_s is None else within_budget(view, budget_s)


def estimated(
    pending: Sequence[Run], wanted: Asked, records: Iterable[Record], timing: Literal["never", "if long", "always"]
) -> tuple[Mapping[str, float], Collection[Basis]]:
    """Return the seconds of runs by id, as far as they are known, and what they are based on."""
    paces = pace.paces_of(of_this_machine(records))
    sizes = pace.KNOWN_SIZES.get(wanted.source.label)
    new = [run for run in pending if kind_of(run.experiment, run.execution) not in paces]
    if new and timing != "never":
        rule_s = sum(pace.by_rule(run.experiment).seconds(run.experiment, sizes or UNKNOWN_SIZES) for run in new)
        if timing == "always" or rule_s >= WORTH_TIMING_S:
            limit_s = MOST_TIMING_S if timing == "always" else min(MOST_TIMING_S, rule_s * TIMING_SHARE)
            sizes, timed_paces = time_some(new, wanted, limit_s)
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
    examples, weights = dict[Kind, Run](), Counter[Kind]()
    for run in runs:
        kind = kind_of(run.experiment, run.execution)
        examples[kind] = run
        weights[kind] += int(pace.images_of(run.experiment, sizes)[0] * pace.work(run.experiment) / 1e6) + 1
    heaviest_first = [examples[kind] for kind, _ in weights.most_common()]
    found = timed(heaviest_first, wanted.source, data.sha256, limit_s, wanted.devices)
    return sizes, {kind: Pace(*timing, "timed") for kind, run in examples.items() if (timing := found.get(run.run_id))}


def within_budget(view: Preview, budget_s: float) -> Preview:
    """Return the preview with the runs that give the most verdicts in a time, and the choice of each claim."""
    from resnet18.judge.planning import choose

    wanted = view.wanted
    if not any(benchmark.claims for benchmark in wanted.benchmarks):
        raise SpecError("--budget", "these benchmarks have no claims to choose by", next_step="leave it out")
    device = next((kind for kind in wanted.devices if kind != "cpu"), "cpu")
    seconds = {**view.seconds, **dict.fromkeys(view.done, 0.0)}
    choices = choose(wanted.benchmarks, wanted.plan, wanted.request, seconds, device, budget_s)
    taken = set[str]().union(*(choice.runs(choice.seeds) for choice in choices))
    chosen = replace(wanted.plan, runs=tuple(run for run in wanted.plan.runs if run.run_id in taken))
    view = replace(view, plan=chosen, choices=choices, budget_s=budget_s)
    if not taken:
        raise UnfinishedError("--budget", f"no claim can be decided:\n{budget_text(view)}")
    return view


def claim_rows(view: Preview) -> list[dict[str, Any]]:
    """Return a flat row for each claim under a budget."""
    return [
        {
            "benchmark": choice.benchmark,
            "claim": choice.claim.id,
            "says": choice.claim.says,
            "seeds": choice.seeds,
            "left_out": reason_text(choice.left_out) if choice.left_out else None,
        }
        for choice in view.choices
    ]


def budget_text(view: Preview) -> str:
    """Return what the budget buys, claim by claim; nothing without one."""
    if view.budget_s is None:
        return ""
    rows = claim_rows(view)
    taken = [row for row in rows if row["seeds"]]
    seconds = sum(view.seconds.get(run.run_id, 0.0) for run in view.plan.runs)
    time = f"in about {duration(seconds)}, one run after another, of {duration(view.budget_s)}"
    head = f"Budget: {len(taken)} of {len(rows)} claims get the seeds that a verdict needs, {time}."
    if any(row["seeds"] < FEWEST_SEEDS for row in taken):
        head = f"Budget: runs for {len(taken)} of {len(rows)} claims, {time}. "
        head += f"None of them can be decided: a verdict needs {FEWEST_SEEDS} seeds (--seeds {FEWEST_SEEDS})."
    lines = [f"  {row['claim']}, {counted(row['seeds'], 'seed')}: {row['says']}" for row in taken]
    lines += [f"  left out: {row['claim']} ({row['left_out']}): {row['says']}" for row in rows if not row["seeds"]]
    return "\n".join([head, *lines])


def counted(number: int, what: str) -> str:
    """Return a number with what it counts."""
    return f"{number} {what}{'' if number == 1 else 's'}"
