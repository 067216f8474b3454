"""The command `run`. Whatever takes long to import is imported where it is used."""

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
from resnet18.cli.plan import announcement, left_out_text, run_row, summary_row
from resnet18.cli.preview import Preview, filled, fitting, of_this_machine, outline, verdicts_on
from resnet18.cli.report import reported
from resnet18.execution.job import Engine, Finished, Policy
from resnet18.records.record import Record
from resnet18.records.store import Store
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.errors import EnvironmentMissingError, SpecError, SuiteError, UnfinishedError, disk_errors
from resnet18.spec.experiment import CIFAR10, SCALES, TESTED_AT, DataSource, data_folder, parse_data
from resnet18.spec.plan import Part

if TYPE_CHECKING:
    from resnet18.execution.progress import Progress
    from resnet18.judge.verdict import Verdict


LEAVE_ONE_OUT = "leave one of these options out"


def run_command(what: opt.WhatToRun, how: opt.HowToRun, until_decided: opt.UntilDecided = False) -> opt.Answer:
    """Carry out the runs that have no record yet, then write the report."""
    chosen_by = (
        ("--until-decided", until_decided),
        ("--seeds", until_decided and what.seeds),
        ("--retime", how.retime),
        ("--budget", what.budget),
    )
    if len(given := [option for option, value in chosen_by if value]) > 1:
        raise SpecError(" and ".join(given), "each chooses runs in its own way", next_step=LEAVE_ONE_OUT)
    source = parse_data(what.data or SCALES[what.scale].data)
    runner = runner_of(how, [source], needs_times=what.budget is not None)
    view = outline(replace(what, seeds=max(TESTED_AT)) if until_decided else what, source, runner.devices)
    parts = until_decided_parts(view, runner) if until_decided else (carry_out(each, runner) for each in [view])
    return report_after(parts, view.benchmarks, runner)


@dataclass(frozen=True)
class Runner:
    """With what runs are carried out, and where they are recorded."""

    how: opt.HowToRun
    engine: Engine
    devices: Mapping[str, int]  # how many there are of each kind
    progress: "Progress"
    store: Store


def runner_of(how: opt.HowToRun, sources: Iterable[DataSource], *, needs_times: bool) -> Runner:
    """Return what the options name.

    Raises EnvironmentMissingError where there is no place for data sets, or CIFAR-10 is wanted and its archive missing,
    before a cluster, a device or torch is asked for, and SpecError at options that exclude each other.
    """
    from rich.console import Console

    from resnet18.data.archives import find_archive
    from resnet18.execution.progress import Progress
    from resnet18.measure.devices import present_devices

    with disk_errors(EnvironmentMissingError, "working folder", "is gone", "change to a folder that is there"):
        Path.cwd()
    folder = data_folder()
    if any(source.label == CIFAR10 for source in sources):
        find_archive(folder)
    is_local, jobs = how.engine == "local", how.jobs or 1
    for is_mistake, where, what in (
        (how.retime and not is_local, "--retime", f"takes times on this machine, not on {how.engine}'s nodes"),
        (how.retime and jobs > 1, "--retime", f"needs the machine for one run at a time, not {jobs}"),
        (needs_times and not is_local, "--budget", f"needs times, and those of {how.engine}'s nodes are unknown"),
        (how.resources and is_local, "--resources", "is for nodes of a cluster (--engine ray or slurm)"),
    ):
        if is_mistake:
            raise SpecError(where, what, next_step=LEAVE_ONE_OUT)
    engine = engine_of(how)
    devices = engine.devices or present_devices(prove=True)
    return Runner(how, engine, devices, Progress(Console(), as_json=how.as_json), Store(how.results))


def engine_of(how: opt.HowToRun) -> Engine:
    """Return what carries the runs out; a SuiteError where a cluster does not answer."""
    if how.engine != "local":
        from resnet18.execution.cluster import connect, parse_resources

        return connect(how.engine, parse_resources(how.resources), how.jobs)
    from resnet18.execution.runner import LocalEngine, shares
    from resnet18.measure.devices import nvidia_gpus
    from resnet18.measure.host import usable_cpus

    gpus = nvidia_gpus()
    return LocalEngine(shares(how.jobs or 1, usable_cpus()), gpus if len(gpus) > 1 else ())


def carry_out(view: Preview, runner: Runner, end_s: float = inf, part: Part | None = None) -> tuple[Finished, ...]:
    """Carry out the runs that are not done, and return how all of them stand.

    Runs are left out that would end after `end_s`, in seconds of the monotonic clock, by their estimates. Of a part of
    a study, whose title is said first, unreliable times are taken again only where times count.
    """
    from resnet18.execution.runner import run_plan, summary

    how, store, progress = runner.how, runner.store, runner.progress
    policy = Policy(how.keep_stale, how.checkpoint_every, how.time_limit)
    records = store.read().records
    if how.retime and (part is None or part.times):
        again, says = unreliable(view, records)
        progress.say(says)
        policy = replace(policy, again=again)
        records = tuple(record for record in records if record.run_id not in again)
    view = filled(view, records, time_steps=end_s < inf, keep_stale=how.keep_stale, jobs=how.at_once)
    view, left_out = fitting(view, end_s - monotonic())
    heading, title = ("", {}) if part is None else (f"{part.title}: ", {"part": part.title})
    claims = ({"event": "claim", **row} for row in view.claims)
    progress.tell(heading + announcement(view), {"event": "plan", **title, **summary_row(view)}, *claims)
    if rows := [run_row(view, run) for run in left_out]:
        progress.tell(left_out_text(rows), *({"event": "left_out", **row} for row in rows))
    runner.engine.prepare(view.pending)
    import_module("resnet18.report.report")  # while another process imports torch, before anything is timed
    finished = run_plan(view.plan, view.request, view.source, runner.engine, store, records, progress, policy)
    progress.tell(summary(finished, view.plan))
    return finished


def unreliable(view: Preview, records: Iterable[Record]) -> tuple[dict[str, int], str]:
    """Return the attempts whose times are taken again, and how many are: none of other or unknown machines."""
    from resnet18.tables.selection import unreliable_times

    found = unreliable_times(view.benchmarks, view.plan, records)
    again = {record.run_id: record.attempt for record in of_this_machine(found)}
    others = f"{len(found) - len(again)} of other or unknown machines not rerun"
    return again, f"Runs with unreliable times: {len(again)} rerun; {others}."


def until_decided_parts(view: Preview, runner: Runner) -> Iterator[tuple[Finished, ...]]:
    """Carry out 3 seeds of the cases of claims, then 5 and 10 of those that are still open, as parts are asked for.

    UnfinishedError where no claim can be decided under the request, whatever the number of seeds.
    """
    for before, seeds in pairwise((0, *TESTED_AT)):
        judged = _within_reach(view, runner)
        is_open = [verdict for verdict in judged if verdict.awaits_seeds]
        wanted = {label for verdict in (is_open if before else judged) for label in verdict.labels}
        if not wanted and not before:
            what = "no claim of these benchmarks can be decided with these data, scale, options and cases"
            raise UnfinishedError("--until-decided", what, next_step="leave it out")
        ids = ", ".join(verdict.claim.id for verdict in is_open)
        runner.progress.say(f"claims that {seeds} seeds may decide: {ids or 'none'}")
        if not wanted:
            break
        runs = (run for run in view.plan.runs if before <= run.experiment.seed < seeds and wanted & {*run.labels})
        yield carry_out(view.of(runs), runner)


def _within_reach(view: Preview, runner: Runner) -> "list[Verdict]":
    """Return the verdicts so far on claims that are decided or await seeds, and whose cases are all planned."""
    from resnet18.judge.recorded import other_terms

    records, planned = runner.store.read().records, {label for run in view.plan.runs for label in run.labels}
    known = filled(view, records, keep_stale=runner.how.keep_stale, jobs=None)
    return [
        verdict
        for verdict in verdicts_on(known, records)
        if (verdict.is_decided or verdict.awaits_seeds) and planned.issuperset(verdict.labels)
        if not any(other_terms(check, verdict.benchmark, view.request) for check in verdict.claim.checks)
    ]


def report_after(
    carried_out: Iterable[Collection[Finished]],
    benchmarks: Collection[Benchmark],
    runner: Runner,
    parts: Sequence[Part] = (),
) -> opt.Answer:
    """Carry runs out as they are asked for, then write the report, and say where it is.

    It is written after Ctrl-C, too, and where an error ends the runs after the first new record.
    """
    finished, before = list[Finished](), runner.store.count()
    try:
        for some in carried_out:
            finished += some
    except (KeyboardInterrupt, SuiteError) as error:
        if isinstance(error, KeyboardInterrupt) or runner.store.count() > before:
            with suppress(SuiteError):  # nothing is recorded yet, or the disk is full
                runner.progress.say(reported(runner.store, benchmarks, finished, parts).text)
        raise
    return reported(runner.store, benchmarks, finished, parts)
