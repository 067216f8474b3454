"""The command `plan`. Whatever is heavy is imported inside."""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import typer
from tabulate import tabulate

from resnet18.cli import options as opt
from resnet18.cli.errors import echo, errors_reported
from resnet18.cli.request import asked, seconds_of
from resnet18.records.record import Record
from resnet18.records.store import is_done, last_attempts
from resnet18.spec.experiment import FEWEST_SEEDS
from resnet18.spec.identity import code_hash
from resnet18.spec.metric import duration
from resnet18.spec.plan import Plan
from resnet18.spec.resolve import Request

if TYPE_CHECKING:
    from resnet18.cli.preview import Timing


def plan_command(
    names: opt.Names = None,
    scale: opt.Scale = "smoke",
    seeds: opt.Seeds = None,
    data: opt.Data = None,
    device: opt.Device = None,
    options: opt.Set = None,
    cases: opt.Case = None,
    hypotheses: opt.Hypotheses = False,
    results: opt.Results = opt.LOCAL,
    budget: opt.Budget = None,
    time_steps: opt.Time = False,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """List the runs, which of them are recorded, and how long the others take. Nothing is run."""
    with errors_reported(debug):
        from resnet18.cli.announce import announcement
        from resnet18.cli.preview import preview, within_budget
        from resnet18.records.store import Store

        budget_s = None if budget is None else seconds_of(budget)
        wanted = asked(
            names,
            scale,
            seeds,
            data,
            device,
            options,
            cases=cases,
            hypotheses=hypotheses,
            fewest_seeds=1 if budget_s is None else FEWEST_SEEDS,
        )
        records = Store(results).read().records
        timing: Timing = "always" if time_steps or budget_s else "never"
        view = preview(wanted, records, timing)
        view = view if budget_s is None else within_budget(view, budget_s)
        text = announcement(view, budget)
        rows = plan_rows(view.plan, records, view.estimate.seconds)
        if as_json:
            typer.echo(json.dumps(rows, indent=1))
        else:
            echo(f"{plan_text(rows, view.plan, wanted.request)}\n\n{text}")


def plan_rows(plan: Plan, records: Iterable[Record], seconds: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return one flat row for each run.

    Args:
        plan: the runs.
        records: all that there are.
        seconds: that runs are expected to take here, by id, as far as they are known.
    """
    known = last_attempts(records)
    empty = dict.fromkeys(("run_id", "cases", "seed", "epochs", "state", "seconds"))
    absent = [{**empty, "cases": one.label, "state": f"not run: {one.reason}"} for one in plan.not_planned]
    rows = [
        {
            "run_id": run.run_id,
            "cases": ", ".join(run.labels),
            "seed": run.experiment.seed,
            "epochs": run.experiment.epochs,
            "state": _state(known.get(run.run_id)),
            "seconds": seconds.get(run.run_id),
        }
        for run in plan.runs
    ]
    return rows + absent


def plan_text(rows: list[dict[str, Any]], plan: Plan, request: Request) -> str:
    """Return the rows as a table, with a summary under it."""
    counts = {
        state: sum(row["state"] == state for row in rows) for state in dict.fromkeys(row["state"] for row in rows)
    }
    shown = [{**{key: row[key] for key in row if key != "seconds"}, "time": _time(row["seconds"])} for row in rows]
    lines = [
        tabulate(shown, headers="keys", tablefmt="plain", disable_numparse=True),
        "",
        f"{len(rows)} runs at {request.scale} scale on {request.data_label}: "
        + ", ".join(f"{count} {state}" for state, count in counts.items()),
        *(f"not run: {one.label}: {one.reason}" for one in plan.not_planned),
    ]
    return "\n".join(lines)


def _time(seconds: float | None) -> str:
    return "" if seconds is None else duration(seconds)


def _state(record: Record | None) -> str:
    """Return `to run`, `recorded`, or why a recorded run is not done. Data are compared when runs start."""
    if record is None:
        return "to run"
    if is_done(record, code_hash(record.spec.experiment, record.spec.execution)):
        return f"recorded ({record.status})"
    return "stale (other code)" if is_done(record, None) else f"to run again ({record.status})"
