"""The command `run`. Whatever is heavy is imported inside."""

import signal
import sys
import threading
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import typer

from resnet18.cli import options as opt
from resnet18.cli.errors import echo, errors_reported, stopped
from resnet18.cli.request import Asked, asked, demand_data, seconds_of, several_gpus, usable_processors
from resnet18.execution.engine import CHECKPOINT_EVERY_S, Policy
from resnet18.spec.errors import SpecError
from resnet18.spec.experiment import FEWEST_SEEDS

if TYPE_CHECKING:
    from collections.abc import Collection

    from resnet18.cli.preview import Timing
    from resnet18.execution.engine import Engine, Finished
    from resnet18.execution.progress import Progress
    from resnet18.records.record import Record
    from resnet18.records.store import Store
    from resnet18.spec.plan import Plan


def run_command(
    names: opt.Names = None,
    scale: opt.Scale = "smoke",
    seeds: opt.Seeds = None,
    data: opt.Data = None,
    device: opt.Device = None,
    options: opt.Set = None,
    cases: opt.Case = None,
    hypotheses: opt.Hypotheses = False,
    results: opt.Results = opt.LOCAL,
    keep_stale: opt.Stale = False,
    retime: opt.Retime = False,
    jobs: opt.Jobs = None,
    budget: opt.Budget = None,
    engine: opt.Engine = "local",
    resources: opt.Resources = None,
    checkpoint_every: opt.Checkpoint = CHECKPOINT_EVERY_S,
    time_limit: opt.Limit = None,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Run what is not recorded yet, one record a run, then write the report."""
    with errors_reported(debug):
        from resnet18.cli.retime import check_alone
        from resnet18.execution.runner import run_plan
        from resnet18.records.store import Store

        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, stop)
        if budget is not None:
            seconds_of(budget)  # a mistake is told before anything else
        demand_data(scale, data)
        if retime:
            check_alone(jobs, engine, budget)
        workers = _engine(engine, resources, jobs, budget)
        wanted = asked(
            names,
            scale,
            seeds,
            data,
            device,
            options,
            cases=cases,
            hypotheses=hypotheses,
            fewest_seeds=1 if budget is None else FEWEST_SEEDS,
            prove_devices=True,
            devices=workers.devices,
        )
        store, progress = Store(results), _progress(as_json)
        again = _unreliable(wanted, store, progress) if retime else {}
        policy = Policy(keep_stale, checkpoint_every, time_limit, again)
        here = None if workers.devices is not None else jobs or 1
        chosen, records = _announce(wanted, policy, store, progress, budget=budget, jobs=here)
        # The report's libraries are imported here while another process imports torch, before anything is timed.
        threading.Thread(target=import_module, args=("resnet18.report.report",), daemon=True).start()
        finished = run_plan(chosen, wanted.request, wanted.source, workers, store, progress, policy, records=records)
        raise typer.Exit(_write_report(results, wanted, chosen, finished, progress))


def _engine(name: str, resources: str | None, jobs: int | None, budget: str | None) -> "Engine":
    """Return what carries the runs out.

    Raises:
        SpecError: an unknown engine, resources that mean nothing, or a budget where times are unknown.
        EnvironmentMissingError: it is not installed, or cannot be reached.
    """
    from resnet18.execution.engine import CLUSTERS, connect, parse_resources

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

    return LocalEngine(shares(jobs or 1, usable_processors()), several_gpus())


def _announce(
    wanted: Asked, policy: Policy, store: "Store", progress: "Progress", *, budget: str | None, jobs: int | None
) -> "tuple[Plan, list[Record]]":
    """Say what will run; return what the budget leaves of the plan, and the records of its runs.

    `jobs` is how many runs there are at a time on this machine; None: they go on elsewhere.
    """
    from resnet18.cli.announce import announcement, events
    from resnet18.cli.preview import preview, within_budget
    from resnet18.execution.progress import Events

    timing: Timing = "never" if jobs is None else "always" if budget is not None else "if long"
    records = [record for record in store.read().records if record.run_id not in policy.again]
    view = preview(wanted, records, timing, keep_stale=policy.keep_stale, jobs=jobs)
    if budget is not None:
        view = within_budget(view, seconds_of(budget))
    text = announcement(view, budget)
    if isinstance(progress, Events):
        for event, row in events(view):
            progress.send(event, **row)
    else:
        progress.say(text)
    planned = {run.run_id for run in view.plan.runs}
    return view.plan, [record for record in records if record.run_id in planned]


def _unreliable(wanted: Asked, store: "Store", progress: "Progress") -> dict[str, int]:
    """Say which times are taken again, and return the attempts by which their runs are no longer done."""
    from resnet18.cli.preview import on_this_machine
    from resnet18.cli.retime import unreliable_times

    again, elsewhere = unreliable_times(wanted.benchmarks, wanted.plan, store.read().records, on_this_machine())
    left = f" Of other or unknown machines, and left alone: {elsewhere}." if elsewhere else ""
    progress.say(f"Unreliable times, taken again: {len(again)}.{left}")
    return again


def _write_report(
    results: Path, wanted: Asked, plan: "Plan", finished: "Collection[Finished]", progress: "Progress"
) -> int:
    """Say what happened, write the report, say where it is, and return the exit code."""
    from resnet18.cli.report import write
    from resnet18.execution.progress import Events
    from resnet18.execution.runner import exit_code_of, summary

    if not isinstance(progress, Events):
        echo(summary(finished, plan))
    written = write(results, wanted.benchmarks)
    exit_code = exit_code_of(finished) or written.exit_code
    if isinstance(progress, Events):
        ok, recorded = sum(one.status == "ok" for one in finished), sum(one.was_recorded for one in finished)
        counts = {"runs": len(finished), "recorded": recorded, "ok": ok}
        progress.send("report", report=str(written.path), **counts, exit_code=exit_code)
    else:
        echo(f"report: {written.where}")
    return exit_code


def _progress(as_json: bool) -> "Progress":
    """Return what shows the runs: events for a program, bars or lines for people."""
    from rich.console import Console

    from resnet18.execution.progress import Events, Progress

    return Events(sys.stdout) if as_json else Progress(Console())


def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature that signal asks for
    """End as an interrupt does: the runs are recorded as interrupted, their processes ended."""
    typer.echo(stopped(), err=True)
    sys.exit(128 + number)
