"""The command `run`. Whatever takes long to import is imported where it is used."""

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import pairwise
from math import inf
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from resnet18.cli import options as opt
from resnet18.cli.plan import announcement, left_out_rows, left_out_text, summary_row
from resnet18.cli.preview import Preview, filled, fitting, of_this_machine, outline, verdicts_on
from resnet18.cli.report import reported
from resnet18.execution.job import CHECKPOINT_EVERY_S, Engine, Finished, Policy
from resnet18.records.record import Record
from resnet18.records.store import Store
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.claim import cases_of
from resnet18.spec.errors import SpecError, UnfinishedError, did_you_mean
from resnet18.spec.experiment import CIFAR10, TESTED_AT, DataSource, data_home
from resnet18.spec.identity import PACKAGE, definitions
from resnet18.spec.study import Part

if TYPE_CHECKING:
    from resnet18.execution.progress import Progress
    from resnet18.judge.verdict import Verdict


def run_command(
    names: opt.Names = None,
    cases: opt.Case = None,
    hypotheses: opt.Hypotheses = False,
    scale: opt.Scale = "smoke",
    seeds: opt.Seeds = None,
    budget: opt.Budget = None,
    until_decided: opt.UntilDecided = False,
    data: opt.Data = None,
    device: opt.Device = None,
    engine: opt.Engine = "local",
    resources: opt.Resources = None,
    jobs: opt.Jobs = None,
    results: opt.Results = opt.LOCAL,
    options: opt.Set = None,
    keep_stale: opt.Stale = False,
    retime: opt.Retime = False,
    checkpoint_every: opt.Checkpoint = CHECKPOINT_EVERY_S,
    time_limit: opt.Limit = None,
    as_json: opt.Json = False,
) -> opt.Answer:
    """Carry out the runs that have no record yet, then write the report."""
    _check_until_decided(until_decided, {"--seeds": seeds, "--budget": budget, "--retime": retime})
    request, source = opt.request_of(scale, data, device, options)
    check_is_there(source)  # before a cluster, a device or torch is asked for
    policy = Policy(keep_stale, checkpoint_every, time_limit)
    runner = runner_of(engine, resources, jobs, results, policy, budget, retime=retime, as_json=as_json)
    has = runner.devices
    seeds = max(TESTED_AT) if until_decided else seeds
    view = outline(names, cases, request, source, seeds, has, device=device, hypotheses=hypotheses, budget_s=budget)
    parts = until_decided_parts(view, runner) if until_decided else (carry_out(each, runner) for each in [view])
    return report_after(parts, view.benchmarks, runner)


@dataclass(frozen=True)
class Runner:
    """With what runs are carried out, and where they are recorded."""

    engine: Engine
    devices: Mapping[str, int]  # how many there are of each kind
    at_once: int | None  # runs at a time; None: on a cluster, where no time is known
    store: Store
    progress: "Progress"
    policy: Policy
    retime: bool  # whether runs whose times are unreliable are repeated


def check_is_there(source: DataSource) -> None:
    """Raise EnvironmentMissingError where CIFAR-10 is wanted and its archive is missing."""
    from resnet18.data.archives import find_archive

    if source.label == CIFAR10:
        find_archive(data_home())


def runner_of(
    engine: str,
    resources: str | None,
    jobs: int | None,
    results: Path,
    policy: Policy,
    budget_s: float | None,
    *,
    retime: bool,
    as_json: bool,
) -> Runner:
    """Return what the options name; SpecError at options that exclude each other."""
    from rich.console import Console

    from resnet18.execution.progress import Progress
    from resnet18.measure.devices import present_devices

    workers = _engine(engine, resources, jobs, budget_s, retime=retime)
    devices = workers.devices or present_devices(prove=True)
    at_once = (jobs or 1) if engine == "local" else None
    return Runner(workers, devices, at_once, Store(results), Progress(Console(), as_json=as_json), policy, retime)


def carry_out(view: Preview, runner: Runner, end_s: float = inf, part: str | None = None) -> tuple[Finished, ...]:
    """Carry out the runs that are not done, and return how all of them stand.

    Runs are left out that would end after `end_s`, in seconds of the monotonic clock, by their estimates. `part` is the
    title of a study's part, which is said first.
    """
    from resnet18.execution.runner import run_plan, summary

    store, progress, policy = runner.store, runner.progress, runner.policy
    records = store.read().records
    if runner.retime:
        again, says = _unreliable(view, records)
        progress.say(says)
        policy = replace(policy, again=again)
        records = tuple(record for record in records if record.run_id not in again)
    view = filled(view, records, time_steps=end_s < inf, keep_stale=policy.keep_stale, jobs=runner.at_once)
    view, left_out = fitting(view, end_s - monotonic())
    claims = ({"event": "claim", **row} for row in view.claims)
    heading, title = ("", {}) if part is None else (f"{part}: ", {"part": part})
    progress.tell(heading + announcement(view), {"event": "plan", **title, **summary_row(view)}, *claims)
    if left_out:
        rows = left_out_rows(view, left_out)
        progress.tell(left_out_text(rows), *({"event": "left_out", **row} for row in rows))
    definitions(PACKAGE)  # parsed for the code hash: in Python 3.11 no two threads can parse, as a library below does
    # The report's libraries are imported here while another process imports torch, before anything is timed.
    threading.Thread(target=import_module, args=("resnet18.report.report",), daemon=True).start()
    finished = run_plan(view.plan, view.request, view.source, runner.engine, store, records, progress, policy)
    progress.tell(summary(finished, view.plan))
    return finished


def until_decided_parts(view: Preview, runner: Runner) -> Iterator[tuple[Finished, ...]]:
    """Carry out 3 seeds of the cases of claims, then 5 and 10 of those that are still open, as parts are asked for.

    UnfinishedError where no claim can be decided under the request, whatever the number of seeds.
    """
    for before, seeds in pairwise((0, *TESTED_AT)):
        judged = _within_reach(view, runner)
        is_open = [verdict for verdict in judged if verdict.awaits_seeds]
        wanted = set[str]().union(*map(_labels, is_open if before else judged))
        if not wanted and not before:
            what = "no claim of these benchmarks can be decided with these data, scale, options and cases"
            raise UnfinishedError("--until-decided", what, next_step="leave it out")
        ids = ", ".join(verdict.claim.id for verdict in is_open)
        runner.progress.say(f"claims that {seeds} seeds may decide: {ids or 'none'}")
        if not wanted:
            break
        runs = tuple(run for run in view.plan.runs if before <= run.experiment.seed < seeds and wanted & {*run.labels})
        yield carry_out(replace(view, plan=replace(view.plan, runs=runs)), runner)


def _within_reach(view: Preview, runner: Runner) -> "list[Verdict]":
    """Return the verdicts so far on claims that are decided or await seeds, and whose cases are all planned."""
    from resnet18.judge.recorded import other_terms

    records, planned = runner.store.read().records, {label for run in view.plan.runs for label in run.labels}
    known = filled(view, records, keep_stale=runner.policy.keep_stale, jobs=None)
    return [
        verdict
        for verdict in verdicts_on(known, records)
        if (verdict.is_decided or verdict.awaits_seeds) and _labels(verdict) <= planned
        if not any(other_terms(check, verdict.benchmark, view.request) for check in verdict.claim.checks)
    ]


def _labels(verdict: "Verdict") -> set[str]:
    """Return `benchmark/case` of every case of a claim."""
    return {f"{verdict.benchmark.name}/{case}" for check in verdict.claim.checks for case in cases_of(check)}


def report_after(
    carried_out: Iterable[Collection[Finished]],
    benchmarks: Collection[Benchmark],
    runner: Runner,
    parts: Sequence[Part] = (),
) -> opt.Answer:
    """Carry runs out as they are asked for, then write the report, also after Ctrl-C, and say where it is."""
    finished = list[Finished]()
    try:
        for some in carried_out:
            finished += some
    except KeyboardInterrupt:
        with suppress(UnfinishedError):  # nothing is recorded yet
            runner.progress.say(reported(runner.store, benchmarks, finished, parts).text)
        raise
    return reported(runner.store, benchmarks, finished, parts)


def _check_until_decided(is_asked: bool, others: Mapping[str, object]) -> None:
    """Raise SpecError where another option chooses the runs, too."""
    for option, value in others.items():
        if is_asked and value:
            what = "each chooses runs in its own way"
            raise SpecError(f"--until-decided and {option}", what, next_step="leave one of these options out")


def _engine(name: str, resources: str | None, jobs: int | None, budget_s: float | None, *, retime: bool) -> Engine:
    """Return what carries the runs out; SpecError at options that exclude each other."""
    from resnet18.execution.cluster import CLUSTERS, connect, parse_resources

    known = ("local", *CLUSTERS)
    if name not in known:
        raise SpecError(f"--engine {name}", f"unknown{did_you_mean(name, known)}", allowed=known)
    is_local, clusters = name == "local", " or ".join(CLUSTERS)
    for is_mistake, where, what in (
        (retime and budget_s, "--retime and --budget", "each chooses runs in its own way"),
        (retime and not is_local, "--retime", f"takes times on this machine, not on {name}'s nodes"),
        (retime and (jobs or 1) > 1, "--retime", f"needs the machine for one run at a time, not {jobs}"),
        (budget_s and not is_local, "--budget", f"needs times, and those of {name}'s nodes are unknown"),
        (resources and is_local, f"--resources {resources}", f"is for nodes of a cluster (--engine {clusters})"),
    ):
        if is_mistake:
            raise SpecError(where, what, next_step="leave one of these options out")
    if not is_local:
        return connect(name, parse_resources(resources), jobs)
    from resnet18.execution.runner import LocalEngine, shares
    from resnet18.measure.devices import nvidia_gpus
    from resnet18.measure.host import usable_cpus

    gpus = nvidia_gpus()
    return LocalEngine(shares(jobs or 1, usable_cpus()), gpus if len(gpus) > 1 else ())


def _unreliable(view: Preview, records: Iterable[Record]) -> tuple[dict[str, int], str]:
    """Return the attempts whose times are taken again, and how many are: none of other or unknown machines."""
    from resnet18.tables.selection import unreliable_times

    found = unreliable_times(view.benchmarks, view.plan, records)
    again = {record.run_id: record.attempt for record in of_this_machine(found)}
    others = f"{len(found) - len(again)} of other or unknown machines not rerun"
    return again, f"Runs with unreliable times: {len(again)} rerun; {others}."
