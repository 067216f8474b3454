"""The command `run`. Whatever is heavy is imported inside."""

import signal
import sys
import threading
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import typer

from resnet18.cli.errors import HIDDEN, echo, errors_reported, stopped
from resnet18.cli.options import (
    LOCAL,
    BudgetOption,
    CaseOption,
    CheckpointOption,
    DataOption,
    DebugOption,
    DeviceOption,
    EngineOption,
    HypothesesOption,
    JobsOption,
    JsonOption,
    LimitOption,
    Names,
    OnlyOption,
    ProcessorsOption,
    ResourcesOption,
    ResultsOption,
    RetimeOption,
    ScaleOption,
    SeedsOption,
    SetOption,
    StaleOption,
)
from resnet18.cli.request import Asked, asked, demand_data, seconds_of, several_gpus, usable_processors
from resnet18.execution.policy import CHECKPOINT_EVERY_S, Policy
from resnet18.spec.errors import SpecError
from resnet18.spec.scale import FEWEST_SEEDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from resnet18.cli.preview import Timing
    from resnet18.execution.engines.engine import Finished, Site
    from resnet18.execution.progress import Progress
    from resnet18.records.record import Record
    from resnet18.records.store import Store


@dataclass(frozen=True)
class Orders:
    """How `run` carries out what is asked for."""

    results: Path
    budget: str | None
    jobs: int
    as_json: bool
    on_processors: str | None
    """This is one of several runners that share the work."""
    only: str | None
    """Ids of the runs that a budget chose, for one of several runners."""
    retime: bool = False
    """Whether unreliable times are taken again."""


def run_command(
    names: Names = None,
    scale: ScaleOption = "smoke",
    seeds: SeedsOption = None,
    data: DataOption = None,
    device: DeviceOption = None,
    options: SetOption = None,
    cases: CaseOption = None,
    hypotheses: HypothesesOption = False,
    results: ResultsOption = LOCAL,
    keep_stale: StaleOption = False,
    retime: RetimeOption = False,
    jobs: JobsOption = None,
    budget: BudgetOption = None,
    engine: EngineOption = "local",
    resources: ResourcesOption = None,
    checkpoint_every: CheckpointOption = CHECKPOINT_EVERY_S,
    time_limit: LimitOption = None,
    as_json: JsonOption = False,
    on_processors: ProcessorsOption = None,
    only: OnlyOption = None,
    debug: DebugOption = False,
) -> None:
    """Run what is not recorded yet, one record a run, then write the report."""
    with errors_reported(debug):
        from resnet18.cli.retime import check_alone
        from resnet18.execution.engines.sites import reach
        from resnet18.execution.side_by_side import pin

        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, stop)
        if budget is not None:
            seconds_of(budget)  # a mistake is told before anything else
        demand_data(scale, data)
        if retime:
            check_alone(jobs, engine, budget)
        site = reach(engine, resources, jobs)
        if site is not None and budget is not None:
            raise SpecError("--budget", f"needs times, and nobody knows those of {engine}'s nodes")
        if on_processors is not None:
            pin(on_processors)
        devices = None if site is None else site.devices
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
            devices=devices,
        )
        policy = Policy(keep_stale, checkpoint_every, time_limit, on_processors is None, several_gpus())
        orders = Orders(results, budget, jobs or 1, as_json, on_processors, only, retime)
        raise typer.Exit(_carried_out(wanted, orders, policy, site))


def _carried_out(wanted: Asked, orders: Orders, policy: Policy, site: "Site | None") -> int:
    """Say what will run, run it, write the report, and return the exit code."""
    from resnet18.execution.engines.local import LocalEngine
    from resnet18.execution.runner import run_plan
    from resnet18.execution.side_by_side import run_side_by_side, shares
    from resnet18.records.store import Store

    store = Store(orders.results)
    opening = LocalEngine if site is None else site.open
    if orders.on_processors is not None:
        _share(wanted, orders, policy, store)
        return 0
    groups = shares(orders.jobs, usable_processors()) if site is None and orders.jobs > 1 else []
    if orders.retime:
        policy = replace(policy, again=_unreliable(wanted, orders, store))
    chosen, records = _announce(wanted, orders, policy, store, is_here=site is None)
    if groups:
        only = ["--only", ",".join(run.run_id for run in chosen.plan.runs)] if orders.budget else []
        run_side_by_side(groups, sys.argv[1:], only)
    carry_out = partial(run_plan, opening=opening, records=None if groups else records)
    return _run(chosen, orders, policy, store, carry_out)


def _run(
    wanted: Asked, orders: Orders, policy: Policy, store: "Store", carry_out: "Callable[..., tuple[Finished, ...]]"
) -> int:
    """Run the plan, write the report, and return the exit code."""
    from resnet18.cli.report import write
    from resnet18.execution.events import Events
    from resnet18.execution.runner import exit_code_of, summary

    progress = _progress(orders)
    # The report's libraries are imported here while another process imports torch, before anything is timed.
    threading.Thread(target=import_module, args=("resnet18.report.report",), daemon=True).start()
    finished = carry_out(wanted.plan, wanted.request, wanted.source, store, progress, policy)
    if not orders.as_json:
        echo(summary(finished, wanted.plan))
    written = write(orders.results, wanted.benchmarks)
    exit_code = exit_code_of(finished) or written.exit_code
    if isinstance(progress, Events):
        ok = sum(one.status == "ok" for one in finished)
        recorded = sum(one.was_recorded for one in finished)
        counts = {"runs": len(finished), "recorded": recorded, "ok": ok}
        progress.send("report", report=str(written.path), **counts, exit_code=exit_code)
    else:
        echo(f"report: {written.where}")
    return exit_code


def _share(wanted: Asked, orders: Orders, policy: Policy, store: "Store") -> None:
    """Carry out one runner's part of what several share."""
    from resnet18.execution.runner import run_plan
    from resnet18.execution.side_by_side import without_timed_runs

    plan = without_timed_runs(wanted.plan)
    if orders.only is not None:
        ids = set(orders.only.split(","))
        plan = replace(plan, runs=tuple(run for run in plan.runs if run.run_id in ids))
    run_plan(plan, wanted.request, wanted.source, store, _progress(orders), policy)


def _announce(
    wanted: Asked, orders: Orders, policy: Policy, store: "Store", *, is_here: bool
) -> "tuple[Asked, tuple[Record, ...]]":
    """Say what will run; return what is left of it by the budget, and the records of its runs."""
    from resnet18.cli.announce import announcement, events
    from resnet18.cli.preview import preview, within_budget
    from resnet18.execution.events import Events

    timing: Timing = "never" if not is_here else "always" if orders.budget is not None else "if long"
    records = tuple(record for record in store.read().records if record.run_id not in policy.again)
    jobs = orders.jobs if is_here else None
    view = preview(wanted, records, timing, keep_stale=policy.keep_stale, jobs=jobs)
    if orders.budget is not None:
        view = within_budget(view, seconds_of(orders.budget))
    text = announcement(view, orders.budget)
    progress = _progress(orders)
    if isinstance(progress, Events):
        for event, row in events(view):
            progress.send(event, **row)
    else:
        progress.say(text)
    planned = {run.run_id for run in view.plan.runs}
    return replace(wanted, plan=view.plan), tuple(record for record in records if record.run_id in planned)


def _unreliable(wanted: Asked, orders: Orders, store: "Store") -> dict[str, int]:
    """Say which times are taken again, and return the attempts by which their runs are no longer done."""
    from resnet18.cli.preview import on_this_machine
    from resnet18.cli.retime import unreliable_times

    again, elsewhere = unreliable_times(wanted.benchmarks, wanted.plan, store.read().records, on_this_machine())
    left = f" Of other or unknown machines, and left alone: {elsewhere}." if elsewhere else ""
    _progress(orders).say(f"Unreliable times, taken again: {len(again)}.{left}")
    return again


def _progress(orders: Orders) -> "Progress":
    """Return what shows the runs: events for a program, lines for people, which live where nobody else writes."""
    from rich.console import Console

    from resnet18.execution.events import Events
    from resnet18.execution.progress import Progress

    if orders.as_json:
        return Events(sys.stdout)
    is_alone = orders.on_processors is None
    return Progress(Console(), is_alone=is_alone, jobs=1 if is_alone else orders.jobs)


def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature that signal asks for
    """End as an interrupt does: the run is recorded as interrupted, its process ended."""
    if HIDDEN not in sys.argv:  # of several runners, the one that started the others says it
        typer.echo(stopped(), err=True)
    sys.exit(128 + number)
