"""The command `plan`, and what `run` says too before it begins. Whatever is heavy is imported inside."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tabulate import tabulate

from resnet18.cli import options as opt
from resnet18.cli.errors import echo_either, errors_reported
from resnet18.cli.preview import Preview, preview
from resnet18.cli.request import asked, fewest_seeds, request_of, seconds_of
from resnet18.judge.reason import reason_text
from resnet18.records.record import Record
from resnet18.records.store import Store, is_done, last_attempts
from resnet18.spec.errors import SpecError, UnfinishedError
from resnet18.spec.experiment import FEWEST_SEEDS
from resnet18.spec.identity import code_hash
from resnet18.spec.metric import duration
from resnet18.spec.plan import NotPlanned, Plan, Run
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
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """List the runs, which of them are recorded, and how long the others take. Nothing is run."""
    with errors_reported(debug):
        from resnet18.measure.devices import present_devices  # pynvml: no other command needs it

        least = fewest_seeds(budget)
        devices = present_devices(prove=False)
        request, source = request_of(scale, data, device, options)
        wanted = asked(names, cases, request, source, seeds, devices, hypotheses=hypotheses, least=least)
        records = Store(results).read().records
        view = preview(wanted, records, "always" if time_steps or budget else "never")
        plan, claims = within_budget(view, budget)
        rows = plan_rows(plan, records, view.seconds)
        shown = [{**row, "seconds": "" if row["seconds"] is None else duration(row["seconds"])} for row in rows]
        table = tabulate(shown, headers={"seconds": "time"}, tablefmt="plain", disable_numparse=True)
        states = Counter(row["state"] for row in rows)
        lines = [
            f"{table}\n",
            f"{len(rows)} runs at {scale} scale on {wanted.request.data_label}: "
            + ", ".join(f"{count} {state}" for state, count in states.items()),
            *(f"not run: {case.label}: {case.reason}" for case in plan.not_planned),
            f"\n{announcement(view, plan, claims, budget)}",
        ]
        echo_either(rows, "\n".join(lines), as_json=as_json)


def plan_rows(plan: Plan, records: Iterable[Record], seconds: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return a flat row for each run and each case that is not planned; `seconds` are of runs, as far as known."""
    known = last_attempts(records)
    rows: list[dict[str, Any]] = [
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
    empty = dict.fromkeys(("run_id", "cases", "seed", "epochs", "state", "seconds"))
    return rows + [{**empty, "cases": case.label, "state": f"not run: {case.reason}"} for case in plan.not_planned]


def _state(record: Record | None) -> str:
    """Return `to run`, `recorded`, or why a recorded run is not done. Data are compared when runs start."""
    if record is None:
        return "to run"
    if is_done(record, code_hash(record.spec.experiment, record.spec.execution)):
        return f"recorded ({record.status})"
    return "stale (other code)" if is_done(record, None) else f"to run again ({record.status})"


def within_budget(view: Preview, budget: str | None) -> tuple[Plan, list[dict[str, Any]]]:
    """Return the runs that give the most verdicts in a time, and a flat row for each claim; without one all runs.

    Raises:
        SpecError: it is no length of time, or none of the benchmarks has claims.
        UnfinishedError: no claim can be decided; the message says why.
    """
    wanted = view.wanted
    if budget is None:
        return wanted.plan, []
    from resnet18.judge.planning import choose

    if not any(benchmark.claims for benchmark in wanted.benchmarks):
        raise SpecError("--budget", "these benchmarks have no claims to choose by", next_step="leave it out")
    device = next((kind for kind in wanted.devices if kind != "cpu"), "cpu")
    seconds = {**view.seconds, **dict.fromkeys(view.done, 0.0)}
    fates = choose(wanted.benchmarks, wanted.plan, wanted.request, seconds, device, seconds_of(budget))
    taken = set[str]().union(*(fate.runs(fate.seeds) for fate in fates))
    plan = replace(wanted.plan, runs=tuple(run for run in wanted.plan.runs if run.run_id in taken))
    rows = [
        {
            "benchmark": fate.benchmark,
            "claim": fate.claim.id,
            "says": fate.claim.says,
            "seeds": fate.seeds,
            "left_out": reason_text(fate.left_out) if fate.left_out else None,
        }
        for fate in fates
    ]
    if not taken:
        raise UnfinishedError("--budget", f"no claim can be decided:\n{_budget_text(view, plan, rows, budget)}")
    return plan, rows


def _budget_text(view: Preview, plan: Plan, claims: Sequence[Mapping[str, Any]], budget: str) -> str:
    taken = [row for row in claims if row["seeds"]]
    seconds = sum(view.seconds.get(run.run_id, 0.0) for run in plan.runs)
    time = f"in about {duration(seconds)}, one run after another, of {budget}"
    head = f"Budget: {len(taken)} of {len(claims)} claims get the seeds that a verdict needs, {time}."
    if any(row["seeds"] < FEWEST_SEEDS for row in taken):
        head = f"Budget: runs for {len(taken)} of {len(claims)} claims, {time}. "
        head += f"None of them can be decided: a verdict needs {FEWEST_SEEDS} seeds (--seeds {FEWEST_SEEDS})."
    lines = [f"  {row['claim']}, {_counted(row['seeds'], 'seed')}: {row['says']}" for row in taken]
    lines += [f"  left out: {row['claim']} ({row['left_out']}): {row['says']}" for row in claims if not row["seeds"]]
    return "\n".join([head, *lines])


def announcement(view: Preview, plan: Plan, claims: Sequence[Mapping[str, Any]], budget: str | None) -> str:
    """Return a line for each table, a line for all of them where there are several, and what the budget buys."""
    rows = preview_rows(view)
    rows = rows[:1] if len(rows) == 2 else rows
    lines = [f"{row['benchmark'] or 'In all'}: {_line(view, row, with_basis=row is rows[-1])}" for row in rows]
    lines += _slow_precision(view)
    return "\n".join([*lines, *([_budget_text(view, plan, claims, budget)] if budget else [])])


def preview_rows(view: Preview) -> list[dict[str, Any]]:
    """Return a flat row for each table of which anything is asked for, and a last row, without a name, for them all.

    Shared runs count once in that.
    """
    plan = view.wanted.plan
    rows = []
    for name in (benchmark.name for benchmark in view.wanted.benchmarks):
        runs = [run for run in plan.runs if any(label.startswith(f"{name}/") for label in run.labels)]
        absent = [case for case in plan.not_planned if case.label.startswith(f"{name}/")]
        if runs or absent:
            rows.append(_row(view, name, runs, absent))
    return [*rows, _row(view, None, plan.runs, plan.not_planned)]


def _row(view: Preview, name: str | None, runs: Collection[Run], absent: Collection[NotPlanned]) -> dict[str, Any]:
    pending, jobs = view.pending(runs), view.jobs or 1
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
    runs = _counted(row["runs"], "run")
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


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _slow_precision(view: Preview) -> Iterator[str]:
    """Yield a line on runs in a precision that this machine's processor emulates, where there are some."""
    from resnet18.measure.devices import emulates_bf16

    on_cpu = {"cpu"} if set(view.wanted.devices) - {"cpu"} else {"cpu", "auto"}
    pending = [run.execution for run in view.pending(view.wanted.plan.runs)]
    count = sum(how.precision == "bf16" and how.device in on_cpu for how in pending)
    if count and view.jobs is not None and emulates_bf16():
        yield f"slow here: the processor emulates bf16 ({count} of {len(pending)} runs); faster: -o precision=fp32"
