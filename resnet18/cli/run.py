"""The command `run`. Whatever is heavy is imported inside."""

import sys
import threading
from collections.abc import Collection, Iterable
from importlib import import_module
from typing import TYPE_CHECKING

import typer

from resnet18.cli import options as opt
from resnet18.cli.errors import echo, end_on_signals, errors_reported
from resnet18.cli.request import Asked, asked, fewest_seeds, request_of
from resnet18.execution.engine import CHECKPOINT_EVERY_S, CLUSTERS, Policy
from resnet18.spec.data import CIFAR10, data_home
from resnet18.spec.errors import SpecError

if TYPE_CHECKING:
    from resnet18.execution.engine import Engine, Finished
    from resnet18.execution.progress import Progress
    from resnet18.records.record import Record
    from resnet18.records.store import Store
    from resnet18.spec.plan import Plan


def run_command(
    names: opt.Names = None,
    cases: opt.Case = None,
    hypotheses: opt.Hypotheses = False,
    scale: opt.Scale = "smoke",
    seeds: opt.Seeds = None,
    budget: opt.Budget = None,
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
    debug: opt.Debug = False,
) -> None:
    """Run what is not recorded yet, one record a run, then write the report."""
    with errors_reported(debug):
        from rich.console import Console

        from resnet18.data.archives import find_archive
        from resnet18.execution.progress import Events, Progress
        from resnet18.execution.runner import run_plan
        from resnet18.measure.devices import present_devices
        from resnet18.records.store import Store

        end_on_signals()
        least = fewest_seeds(budget)  # a mistake is told before anything else
        request, source = request_of(scale, data, device, options)
        if source.label == CIFAR10:
            find_archive(data_home())  # before a cluster, a device or torch is asked for
        if retime:
            check_alone(jobs, engine, budget)
        workers = _engine(engine, resources, jobs, budget)
        devices = present_devices(prove=True) if workers.devices is None else workers.devices
        wanted = asked(names, cases, request, source, seeds, devices, hypotheses=hypotheses, least=least)
        store, progress = Store(results), Events(sys.stdout) if as_json else Progress(Console())
        records = store.read().records
        again = _unreliable(wanted, records, progress) if retime else {}
        records = tuple(record for record in records if record.run_id not in again)
        policy = Policy(keep_stale, checkpoint_every, time_limit, again)
        plan = _announce(wanted, records, policy, progress, budget, jobs or 1 if workers.devices is None else None)
        planned = {run.run_id for run in plan.runs}
        known = [record for record in records if record.run_id in planned]
        # The report's libraries are imported here while another process imports torch, before anything is timed.
        threading.Thread(target=import_module, args=("resnet18.report.report",), daemon=True).start()
        finished = run_plan(plan, wanted.request, wanted.source, workers, store, progress, policy, records=known)
        raise typer.Exit(_write_report(store, wanted, plan, finished, progress))


def check_alone(jobs: int | None, engine: str, budget: str | None) -> None:
    """Refuse to take times again where they would be unreliable again, or on a cluster's unknown nodes.

    Raises:
        SpecError: several runs at a time, another engine, or a budget, which chooses runs in its own way.
    """
    if budget is not None:
        raise SpecError("--retime", "and --budget choose runs, each in its own way", next_step="leave one of them out")
    if engine != "local":
        raise SpecError("--retime", f"takes times on this machine, not on {engine}'s nodes", allowed=["--engine local"])
    if jobs is not None and jobs > 1:
        raise SpecError("--retime", f"needs the machine for one run at a time, not {jobs}", allowed=["--jobs 1"])


def _engine(name: str, resources: str | None, jobs: int | None, budget: str | None) -> "Engine":
    """Return what carries the runs out.

    Raises:
        SpecError: an unknown engine, resources that mean nothing, or a budget where times are unknown.
        EnvironmentMissingError: it is not installed, or cannot be reached.
    """
    from resnet18.execution.engine import connect, parse_resources

    if name != "local":
        workers = connect(name, parse_resources(resources), jobs)
        if budget is not None:
            raise SpecError("--budget", f"needs times, and those of {name}'s nodes are unknown")
        return workers
    if resources is not None:
        raise SpecError(
            f"--resources {resources}",
            "is for nodes of a cluster: this machine's runs share it by --jobs",
            next_step=f"name the cluster with --engine ({' or '.join(CLUSTERS)})",
        )
    from resnet18.execution.local_engine import LocalEngine, shares
    from resnet18.measure.devices import nvidia_gpus
    from resnet18.measure.host import usable_processors

    gpus = nvidia_gpus()
    return LocalEngine(shares(jobs or 1, usable_processors()), gpus if len(gpus) > 1 else ())


def _unreliable(wanted: Asked, records: "Iterable[Record]", progress: "Progress") -> dict[str, int]:
    """Say which times are taken again, and return the attempts by which their runs are no longer done.

    Records of other machines, or an unknown machine, are left alone: a time taken here could not be set beside them.
    """
    from resnet18.cli.preview import of_this_machine
    from resnet18.tables.selection import unreliable_times

    found = unreliable_times(wanted.benchmarks, wanted.plan, records)
    again = {record.run_id: record.attempt for record in of_this_machine(found)}
    elsewhere = len(found) - len(again)
    left = f" Of other or unknown machines, and left alone: {elsewhere}." if elsewhere else ""
    progress.say(f"Unreliable times, taken again: {len(again)}.{left}")
    return again


def _announce(
    wanted: Asked,
    records: "tuple[Record, ...]",
    policy: Policy,
    progress: "Progress",
    budget: str | None,
    jobs: int | None,
) -> "Plan":
    """Say what will run, and return what the budget leaves of the plan.

    `jobs` is how many runs there are at a time on this machine; None: they go on elsewhere.
    """
    from resnet18.cli.plan import announcement, preview_rows, within_budget
    from resnet18.cli.preview import preview
    from resnet18.execution.progress import Events

    view = preview(wanted, records, "if long" if budget is None else "always", keep_stale=policy.keep_stale, jobs=jobs)
    plan, claims = within_budget(view, budget)
    if isinstance(progress, Events):
        for row in preview_rows(view):
            progress.send("plan", **row)
        for row in claims:
            progress.send("claim", **row)
    else:
        progress.say(announcement(view, plan, claims, budget))
    return plan


def _write_report(
    store: "Store", wanted: Asked, plan: "Plan", finished: "Collection[Finished]", progress: "Progress"
) -> int:
    """Say what happened, write the report, say where it is, and return the exit code."""
    from resnet18.cli.report import readings_of, write
    from resnet18.execution.progress import Events
    from resnet18.execution.runner import exit_code_of, summary

    if not isinstance(progress, Events):
        echo(summary(finished, plan))
    readings = readings_of(store.results)
    path = write(store.results, wanted.benchmarks, readings)
    exit_code = exit_code_of(finished) or (4 if readings.refused else 0)
    if isinstance(progress, Events):
        ok, recorded = sum(run.status == "ok" for run in finished), sum(run.was_recorded for run in finished)
        counts = {"runs": len(finished), "recorded": recorded, "ok": ok}
        progress.send("report", report=str(path), **counts, exit_code=exit_code)
    else:
        echo(f"report: {path} and report.html")
    return exit_code
