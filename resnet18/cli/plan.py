"""The command `plan`, and what `run` says too before it begins."""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from tabulate import tabulate

from resnet18.cli import options as opt
from resnet18.cli.preview import Preview, asked, budget_text, claim_rows, counted, preview
from resnet18.records.record import Record
from resnet18.records.store import Store, is_done, last_attempts
from resnet18.spec.metric import duration
from resnet18.spec.plan import NotPlanned, Run
from resnet18.tables.pace import Basis, total_s

BASES: Mapping[Basis, str] = {
    "timed": "from timed steps",
    "records": "from records",
    "scaled": "scaled from other cases",
    "rule": "by a rule of thumb",
}


def plan_command(
    names: opt.Names = None,
    cases: opt.Case = None,
    hypotheses: opt.Hypotheses = False,
    scale: opt.Scale = "smoke",
    seeds: opt.Seeds = None,
    budget: opt.Budget = None,
    data: opt.Data = None,
    device: opt.Device = None,
    results: opt.Results = opt.LOCAL,
    options: opt.Set = None,
    time_steps: opt.Time = False,
) -> opt.Answer:
    """List the runs, which of them are recorded, and how long the others take. Nothing is run."""
    from resnet18.measure.devices import present_devices

    request, source = opt.request_of(scale, data, device, options)
    devices = present_devices(prove=False)
    wanted = asked(names, cases, request, source, seeds, devices, hypotheses=hypotheses, budget_s=budget)
    records = Store(results).read().records
    view = preview(wanted, records, "always" if time_steps else "never", budget_s=budget)
    rows = plan_rows(view, last_attempts(records))
    shown = [{**row, "seconds": "" if row["seconds"] is None else duration(row["seconds"])} for row in rows]
    table = tabulate(shown, headers={"seconds": "time"}, tablefmt="plain", disable_numparse=True)
    states = Counter(row["state"] for row in rows)
    counts = ", ".join(f"{count} {state}" for state, count in states.items())
    lines = [table, "", f"{len(rows)} runs at {scale} scale on {request.data_label}: {counts}"]
    lines += [f"not run: {case.label}: {case.reason}" for case in view.plan.not_planned]
    return opt.Answer(rows, "\n".join([*lines, "", announcement(view)]))


def plan_rows(view: Preview, known: Mapping[str, Record]) -> list[dict[str, Any]]:
    """Return a flat row for each run, whose last record is among the known ones, and each case that is not planned."""
    rows: list[dict[str, Any]] = [
        {
            "run_id": run.run_id,
            "cases": ", ".join(run.labels),
            "seed": run.experiment.seed,
            "epochs": run.experiment.epochs,
            "state": _state(known.get(run.run_id), view),
            "seconds": view.seconds.get(run.run_id),
        }
        for run in view.plan.runs
    ]
    empty = dict.fromkeys(("run_id", "cases", "seed", "epochs", "state", "seconds"))
    absent = view.plan.not_planned
    return rows + [{**empty, "cases": case.label, "state": f"not run: {case.reason}"} for case in absent]


def _state(record: Record | None, view: Preview) -> str:
    """Return `to run`, `recorded`, or why a recorded run is not done. Data are compared when runs start."""
    if record is None:
        return "to run"
    if record.run_id in view.done:
        return f"recorded ({record.status})"
    return "stale (other code)" if is_done(record, None) else f"to run again ({record.status})"


def announcement(view: Preview) -> str:
    """Return a line for each table, a line for all of them where there are several, and what the budget buys."""
    rows = preview_rows(view)
    rows = rows[:1] if len(rows) == 2 else rows
    lines = [f"{row['benchmark'] or 'In all'}: {_line(view, row, with_basis=row is rows[-1])}" for row in rows]
    return "\n".join(filter(None, (*lines, _slow_precision(view), budget_text(view))))


def events_of(view: Preview) -> list[dict[str, Any]]:
    """Return for programs what `announcement` says."""
    plans = [{"event": "plan", **row} for row in preview_rows(view)]
    return [*plans, *({"event": "claim", **row} for row in claim_rows(view))]


def preview_rows(view: Preview) -> list[dict[str, Any]]:
    """Return a flat row for each table of which anything is asked for, and a last row, without a name, for them all.

    Shared runs count once in that.
    """
    plan, rows = view.wanted.plan, []
    for name in (benchmark.name for benchmark in view.wanted.benchmarks):
        runs = [run for run in plan.runs if any(label.startswith(f"{name}/") for label in run.labels)]
        absent = [case for case in plan.not_planned if case.label.startswith(f"{name}/")]
        if runs or absent:
            rows.append(_row(view, name, runs, absent))
    return [*rows, _row(view, None, plan.runs, plan.not_planned)]


def _row(view: Preview, name: str | None, runs: Collection[Run], absent: Collection[NotPlanned]) -> dict[str, Any]:
    pending, jobs = [run for run in runs if run.run_id not in view.done], view.jobs or 1
    shared = sum(not run.is_timed for run in pending)
    at_a_time = max(1, min(jobs, shared))
    return {
        "benchmark": name,
        "runs": len(runs),
        "recorded": len(runs) - len(pending),
        "not_planned": len(absent),
        "reasons": list(dict.fromkeys(case.reason for case in absent)),
        "at_a_time": at_a_time,
        "alone": len(pending) if at_a_time == 1 else len(pending) - shared,
        "seconds": total_s(pending, view.seconds, jobs),
        "basis": ", ".join(text for basis, text in BASES.items() if basis in view.bases) or None,
    }


def _line(view: Preview, row: Mapping[str, Any], *, with_basis: bool) -> str:
    runs = counted(row["runs"], "run")
    if row["recorded"]:
        runs += f", {row['recorded']} recorded"
    if row["not_planned"]:
        runs += f", {row['not_planned']} not planned ({', '.join(row['reasons'])})"
    if row["recorded"] == row["runs"]:
        return f"{runs}; nothing is left to run" if row["runs"] else runs
    if row["seconds"] is None:
        return f"{runs}; time unknown" + ("" if view.jobs is None else "; add --time to `plan` for an estimate")
    time = f"about {duration(row['seconds'])} here"
    if row["at_a_time"] > 1:  # how much runs slow each other down is not known
        time = f"at best {time}, {row['at_a_time']} at a time" + (", timed runs alone" if row["alone"] else "")
    return f"{runs}; {time}" + (f", {row['basis']}" if with_basis else "")


def _slow_precision(view: Preview) -> str:
    """Return a warning where runs are in a precision that this machine's processor emulates."""
    from resnet18.measure.devices import emulates_bf16

    on_cpu = {"cpu"} if set(view.wanted.devices) - {"cpu"} else {"cpu", "auto"}
    pending = [run.execution for run in view.wanted.plan.runs if run.run_id not in view.done]
    count = sum(how.precision == "bf16" and how.device in on_cpu for how in pending)
    if not count or view.jobs is None or not emulates_bf16():
        return ""
    return f"slow here: the processor emulates bf16 ({count} of {len(pending)} runs); faster: -o precision=fp32"
