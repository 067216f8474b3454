"""What is told before anything runs: the commands `plan`, also at the head of a `run`, `power` and `forecast`."""

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any

from tabulate import tabulate

from resnet18.cli import options as opt
from resnet18.cli.preview import Preview, budget_text, filled, outline
from resnet18.cli.report import all_with, told
from resnet18.records.record import Record
from resnet18.records.store import is_done, last_attempts
from resnet18.spec.errors import SpecError, did_you_mean
from resnet18.spec.experiment import SCALES, TESTED_AT, parse_data
from resnet18.spec.load import load_benchmarks
from resnet18.spec.metric import METRICS, duration, how_many, memory_in_bytes
from resnet18.spec.plan import EVERY_DEVICE, Run, plan
from resnet18.spec.resolve import Request, canonical_overrides
from resnet18.tables.pace import total_s

DIFFERENCE_HELP = "Difference to detect, in the metric's unit; may be repeated. Default: 0.25, 0.5, 1, 2 and 5."
METRIC_HELP = "A metric that benchmarks/README.md lists."
GIB = 2**30
CONTEXT_BYTES = 2 * GIB  # that a driver's context and the workspaces of libraries may take beside the training
LARGE_SHARE = 0.5  # share of the tensors in the large allowance. A choice, not a measurement (docs/forecast.md).
MEMORY_HELP = "Memory of a GPU, to say also which cases fit: 24GiB, or 24GB for the same, as cards are sold."
HEADS = {
    "case": "case",
    "peak_bytes": "peak GiB",
    "training_bytes": "training",
    **{f"{part}_bytes": part for part in ("weights", "gradients", "state", "activations", "input", "transient")},
    "phase": "peak in",
    "left_bytes": "left",
    "may_need_bytes": "may need",
    "verdict": "fits?",
}
"""Heads of the table. All bytes are shown in GiB; the parts are those of the peak."""


def plan_command(what: opt.WhatToRun, results: opt.Results = opt.LOCAL, time_steps: opt.Time = False) -> opt.Answer:
    """List the runs: which are recorded, and how long the others will take. No run is started."""
    from resnet18.measure.devices import present_devices

    source = parse_data(what.data or SCALES[what.scale].data)
    records = told(results).records
    view = filled(outline(what, source, present_devices(prove=False)), records, time_steps=time_steps)
    rows = plan_rows(view, last_attempts(records))
    shown = [{**row, "seconds": "" if row["seconds"] is None else duration(row["seconds"])} for row in rows]
    table = tabulate(shown, headers={"seconds": "time"}, tablefmt="plain", disable_numparse=True)
    return opt.Answer(rows, f"{table}\n\n{announcement(view)}")


def run_row(view: Preview, run: Run) -> dict[str, Any]:
    """Return a flat row about a run; its seconds are None where they are unknown."""
    return {
        "run_id": run.run_id,
        "cases": ", ".join(run.labels),
        "seed": run.experiment.seed,
        "epochs": run.experiment.epochs,
        "seconds": view.seconds.get(run.run_id),
    }


def plan_rows(view: Preview, known: Mapping[str, Record]) -> list[dict[str, Any]]:
    """Return a flat row for each run, whose last record is among the known ones, and each case that is not planned."""
    rows = list[dict[str, Any]]()
    for run in view.plan.runs:
        record, state = known.get(run.run_id), "to run"
        if record:
            is_stale, state = is_done(record, None), f"recorded ({record.status})"
            if run.run_id not in view.done:
                state = "stale (other code)" if is_stale else f"to run again ({record.status})"
        rows.append({**run_row(view, run), "state": state})
    absent = dict.fromkeys(("run_id", "cases", "seed", "epochs", "seconds"))
    rows += [
        absent | {"cases": label, "state": f"not run: {reason}"} for label, reason in view.plan.not_planned.items()
    ]
    return rows


def summary_row(view: Preview) -> dict[str, Any]:
    """Return a flat row about all runs."""
    pending, absent = view.pending, view.plan.not_planned
    shared = sum(not run.is_timed for run in pending)
    at_a_time = max(1, min(view.jobs or 1, shared))
    return {
        "runs": len(view.plan.runs),
        "recorded": len(view.plan.runs) - len(pending),
        "not_planned": len(absent),
        "reasons": list(dict.fromkeys(absent.values())),
        "at_a_time": at_a_time,
        "alone": len(pending) - (shared if at_a_time > 1 else 0),
        "seconds": total_s(pending, view.seconds, at_a_time),
        "basis": ", ".join(sorted(view.bases)) or None,
    }


def announcement(view: Preview) -> str:
    """Return how many runs there are, how long they take, what is slow here, and what the budget buys."""
    row = summary_row(view)
    text = f"{how_many(row['runs'], 'run')} ({view.request.described})"
    text += f", {row['recorded']} recorded" if row["recorded"] else ""
    text += f", {row['not_planned']} not planned ({', '.join(row['reasons'])})" if row["not_planned"] else ""
    lines = [f"{text}; {_time(view, row)}"]
    if view.jobs is not None and (emulated := _emulated(view)):
        of = f"{emulated} of {how_many(len(view.pending), 'run')}"
        lines.append(f"slow here: the processor emulates bf16 ({of}); faster: -o precision=fp32")
    return "\n".join([*lines, budget_text(view)] if view.claims else lines)


def _time(view: Preview, row: Mapping[str, Any]) -> str:
    if not view.pending:
        return "nothing is left to run"
    if row["seconds"] is None:
        return "time unknown" + ("" if view.jobs is None else "; add --time to `plan` for an estimate")
    time = f"about {duration(row['seconds'])} here"
    if row["at_a_time"] > 1:  # how much runs slow each other down is not known
        time = f"at best {time}, {row['at_a_time']} at a time" + (", timed runs alone" if row["alone"] else "")
    return f"{time}, {row['basis']}"


def _emulated(view: Preview) -> int:
    """Return how many runs are in a precision that this machine's processor emulates."""
    from resnet18.measure.devices import emulates_bf16

    count = sum(run.execution.precision == "bf16" and view.is_on_cpu(run) for run in view.pending)
    return count if count and emulates_bf16() else 0


def left_out_text(rows: Collection[Mapping[str, Any]]) -> str:
    """Return the rows of runs for which a budget has no time as a line for each case."""
    lines = ["left out, as the budget has no time for them:"]
    for cases, seconds in {row["cases"]: row["seconds"] for row in rows}.items():
        seeds = ", ".join(str(row["seed"]) for row in rows if row["cases"] == cases)
        time = "time unknown" if seconds is None else f"about {duration(seconds)} each"
        lines.append(f"  {cases}: seed {seeds} ({time})")
    return "\n".join(lines)


def power_command(
    names: opt.Names = None,
    difference: Annotated[
        list[float] | None, opt.option("--difference", "N", DIFFERENCE_HELP, min=0.001, max=1_000)
    ] = None,
    metric: Annotated[str, opt.option("--metric", "NAME", METRIC_HELP)] = "clean_accuracy",
    results: opt.Results = opt.LOCAL,
) -> opt.Answer:
    """Say how likely 3, 5 and 10 seeds show a difference. Without two seeds of a case, a variance is assumed."""
    from resnet18.judge.planning import DIFFERENCES, planned, power_rows, spreads

    known = [name for name in METRICS if name != "epochs_to_level"]
    if metric not in known:
        raise SpecError(f'--metric "{metric}"', f"unknown{did_you_mean(metric, known)}", allowed=known)
    records = last_attempts(told(results).records).values()
    benchmarks = load_benchmarks(names)
    found = list(spreads(benchmarks, records, metric)) or planned(metric)
    reports = {benchmark.report for benchmark in benchmarks}
    claims = sum(len(one.claims) for one in all_with(benchmarks) if one.report in reports) or 1
    rows = power_rows(found, difference or DIFFERENCES, metric, claims)
    return opt.Answer(rows, power_text(rows, METRICS[metric].title))


def power_text(rows: Sequence[dict[str, Any]], title: str) -> str:
    """Return the rows of a metric as a table."""
    from resnet18.tables.statistics import ALPHA, POWER

    cells = []
    unit, claims = rows[0]["unit"], rows[0]["claims"]
    for row in rows:
        interval = f" [{row['sigma_low']:.3g}, {row['sigma_high']:.3g}]" if row["df"] else ""
        cell = {
            "runs": row["where"],
            f"standard deviation ({unit})": f"{row['sigma']:.3g}{interval}",
            "degrees of freedom": row["df"],
            f"difference ({unit})": row["difference"],
            **{f"power, {n} seeds": f"{row[f'power_{n}']:.2f}" for n in TESTED_AT},
            f"seeds for {POWER}": row["seeds"] or f"more than {max(TESTED_AT)}",
        }
        cells.append(cell)
    table = tabulate(cells, headers="keys", disable_numparse=True)
    note = (
        f"Power: the chance that a report of {how_many(claims, 'claim')} shows the difference of two cases, by the "
        f"rule of its verdicts ({100 * ALPHA:g} % for all claims together). Claims are tested at 3, 5 and 10 seeds "
        "only: where 10 are not enough, more runs will not settle it. Below 4 degrees of freedom: a rough guide."
    )
    return f"{title}\n\n{table}\n\n{note}"


def forecast_command(
    names: opt.Names = None,
    scale: opt.Scale = "paper",
    memory: Annotated[str | None, opt.option("--memory", "SIZE", MEMORY_HELP)] = None,
    options: opt.Set = None,
) -> opt.Answer:
    """Predict the peak memory of each case, without a GPU or data."""
    try:
        card = None if memory is None else memory_in_bytes(memory)
    except ValueError as error:
        raise SpecError("--memory", str(error)) from None
    request = Request(scale, overrides=canonical_overrides(options or [], None))
    benchmarks = load_benchmarks(names)
    runs = plan(benchmarks, request, [0], EVERY_DEVICE).runs  # a mistake is told before torch is imported
    from resnet18.training.forecast import forecasts

    rows, forecast = list[dict[str, Any]](), forecasts(runs)
    for label in (f"{benchmark.name}/{case.name}" for benchmark in benchmarks for case in benchmark.cases):
        found = forecast[label]
        row = {
            "case": label,
            "verdict": None if card is None else verdict(found.peak_bytes, card),
            "peak_bytes": found.peak_bytes,
            "phase": found.phase,
            **{f"{part}_bytes": size for part, size in found.parts.items()},
            "training_bytes": found.training_bytes,
            "saved_bytes": found.saved_bytes,
        }
        if card is not None:
            row["left_bytes"] = card - found.peak_bytes
            row["may_need_bytes"] = int(large_allowance(found.peak_bytes))
        rows.append(row)
    shown = [key for key in HEADS if rows[0].get(key) is not None]
    cells = [[f"{row[key] / GIB:,.2f}" if isinstance(row[key], int) else row[key] for key in shown] for row in rows]
    table = tabulate(cells, headers=[HEADS[key] for key in shown], tablefmt="plain", disable_numparse=True)
    hint = "" if "verdict" in shown else "\n\nto see which cases fit a GPU: --memory 24GiB"
    return opt.Answer(rows, f"{table}{hint}")


def large_allowance(peak_bytes: int) -> float:
    """Return the most bytes that a process is expected to need beside tensors of this size: context, workspaces."""
    return CONTEXT_BYTES + LARGE_SHARE * peak_bytes


def verdict(peak_bytes: int, card: int) -> str:
    """Say whether tensors fit a card (bytes): `fits` with the large allowance, `out of memory` even without any."""
    if peak_bytes > card:
        return "out of memory"
    return "fits" if peak_bytes + large_allowance(peak_bytes) <= card else "unsure"
