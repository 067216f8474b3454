"""The command `study`: what a study names is run part by part, in its order of worth, or only listed."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from math import inf
from time import monotonic
from typing import Annotated, Any

import typer
from tabulate import tabulate

from resnet18.cli import options as opt
from resnet18.cli.preview import Preview, filled, fitting, outline
from resnet18.cli.run import carry_out, check_is_there, report_after, runner_of
from resnet18.execution.job import CHECKPOINT_EVERY_S, Policy
from resnet18.records.store import Store
from resnet18.spec.errors import SpecError
from resnet18.spec.experiment import CIFAR10, EMBEDDED, DataSource, parse_data
from resnet18.spec.load import load_benchmarks
from resnet18.spec.metric import duration
from resnet18.spec.resolve import canonical_overrides
from resnet18.spec.study import Part, Study, load_study, studies
from resnet18.tables.pace import total_s

STUDY_HELP = "A study of the suite (benchmarks/studies), or a TOML file."
BUDGET_HELP = "Leave out runs that would not end within this time; the first parts come first."
DATA_HELP = "Where the study's data set lies: imagefolder:PATH. cifar10 and fashion-mnist-mini need nothing."


def study_names(incomplete: str) -> list[str]:
    """Return the suite's studies that begin so, after Tab."""
    return [name for name in studies() if name.startswith(incomplete)]


def study_command(
    name: Annotated[str, typer.Argument(metavar="STUDY", help=STUDY_HELP, autocompletion=study_names)],
    titles: Annotated[
        list[str] | None, opt.option("--part", "TITLE", "Only the part with this title; may be repeated.")
    ] = None,
    only_plan: Annotated[
        bool, opt.option("--plan", None, "List the parts, what is recorded and how long the rest takes; run nothing.")
    ] = False,
    budget: Annotated[
        float | None, typer.Option("--budget", metavar="90s|30m|2h", help=BUDGET_HELP, parser=opt.seconds_of)
    ] = None,
    data: Annotated[str | None, opt.option("--data", "NAME", DATA_HELP, *opt.DATA)] = None,
    device: opt.Device = None,
    engine: opt.Engine = "local",
    resources: opt.Resources = None,
    jobs: opt.Jobs = None,
    results: opt.Results = opt.LOCAL,
    keep_stale: opt.Stale = False,
    retime: opt.Retime = False,
    checkpoint_every: opt.Checkpoint = CHECKPOINT_EVERY_S,
    time_limit: opt.Limit = None,
    as_json: opt.Json = False,
) -> opt.Answer:
    """Carry out the runs of a study that have no record yet, part by part, then write the report."""
    study = load_study(name)
    parts = study.named(titles or ())
    sources = sources_of(parts, data, may_be_absent=only_plan)
    if only_plan:
        from resnet18.measure.devices import present_devices

        views = outlines(study, sources, present_devices(prove=False), device)
        rows = plan_rows(views, Store(results), budget, keep_stale=keep_stale, jobs=jobs or 1)
        return opt.Answer(rows, plan_text(rows))
    for source in sources.values():
        check_is_there(source)
    policy = Policy(keep_stale, checkpoint_every, time_limit)
    runner = runner_of(engine, resources, jobs, results, policy, budget, retime=retime, as_json=as_json)
    views = outlines(study, sources, runner.devices, device)
    end_s = monotonic() + (inf if budget is None else budget)
    finished = (
        carry_out(views[part.title], replace(runner, retime=retime and part.times), end_s, part.title) for part in parts
    )
    benchmarks = load_benchmarks(one for part in study.parts for one in part.benchmarks)
    return report_after(finished, benchmarks, runner, study.parts)


def sources_of(parts: Collection[Part], data: str | None, *, may_be_absent: bool) -> dict[str, DataSource]:
    """Return where the data of each part are, by its title.

    Raises SpecError where they are not the data that are given, or none are and the suite has no place for them. For a
    plan the data `may_be_absent`.
    """
    given = None if data is None else parse_data(data)
    is_used = given is None or any(part.data == given.label for part in parts)
    found = {}
    for part in parts:
        place = f'part "{part.title}"'
        if given is not None and part.data == given.label:
            found[part.title] = given
        elif is_used and (part.data in {CIFAR10, EMBEDDED} or (given is None and may_be_absent)):
            found[part.title] = DataSource(part.data)
        elif given is None:
            next_step = f"add --data imagefolder:PATH, of a folder or tar archive that is called {part.data}"
            raise SpecError(place, f"is of {part.data}, and --data does not say where that lies", next_step=next_step)
        else:
            next_step = f"give {part.data} with --data, or choose other parts with --part"
            raise SpecError(f"--data {data}", f"is {given.label}, but {place} is of {part.data}", next_step=next_step)
    return found


def outlines(
    study: Study, sources: Mapping[str, DataSource], devices: Mapping[str, int], device: str | None
) -> dict[str, Preview]:
    """Return what is asked for by each part that has a source, by its title.

    A run is timed, and goes alone, where its time counts in any part of the study, whichever part it is run for.
    """
    asked = {}
    for part in study.parts:
        request = replace(part.request, overrides=canonical_overrides([*part.options], device))
        source = sources.get(part.title, DataSource(part.data))
        names, cases = [*part.benchmarks], [*part.cases]
        asked[part.title] = outline(
            names, cases, request, source, part.seeds, devices, device=device, hypotheses=part.hypotheses
        )
    timed = {run.run_id for part in study.parts if part.times for run in asked[part.title].plan.runs}
    return {title: _timed(view, timed) for title, view in asked.items() if title in sources}


def _timed(view: Preview, timed: Collection[str]) -> Preview:
    """Return the preview with these runs timed, and no others."""
    runs = tuple(replace(run, is_timed=run.run_id in timed) for run in view.plan.runs)
    return replace(view, plan=replace(view.plan, runs=runs))


def plan_rows(
    views: Mapping[str, Preview], store: Store, budget_s: float | None, *, keep_stale: bool, jobs: int
) -> list[dict[str, Any]]:
    """Return a flat row for each part; a run that several parts share is counted as to run in the first alone."""
    records, rows, planned = store.read().records, list[dict[str, Any]](), set[str]()
    left_s = inf if budget_s is None else budget_s
    for title, asked in views.items():
        view = filled(asked, records, keep_stale=keep_stale, jobs=jobs)
        wanted, recorded = len(view.plan.runs), len(view.done)
        shared = {run.run_id for run in view.pending} & planned
        view, left_out = fitting(replace(view, done=view.done | shared), left_s)
        seconds = total_s(view.pending, view.seconds, jobs)
        left_s -= seconds or 0.0
        planned |= {run.run_id for run in view.pending}
        counts = {"recorded": recorded, "in_parts_above": len(shared), "to_run": len(view.pending)}
        counts |= {"left_out": len(left_out), "not_planned": len(view.plan.not_planned)}
        basis = ", ".join(sorted(view.bases)) if view.pending and view.bases else None
        rows.append({"part": title, "runs": wanted, **counts, "seconds": seconds, "basis": basis})
    return rows


def plan_text(rows: Collection[Mapping[str, Any]]) -> str:
    """Return the rows of the parts as a table, with how long all of them take."""
    cells = [
        {**row, "seconds": "unknown" if row["seconds"] is None else duration(row["seconds"]) if row["to_run"] else ""}
        for row in rows
    ]
    heads = {"in_parts_above": "in parts above", "to_run": "to run", "left_out": "left out", "not_planned": "no device"}
    table = tabulate(cells, headers={**heads, "seconds": "time"}, tablefmt="plain", disable_numparse=True)
    known = sum(row["seconds"] or 0.0 for row in rows)
    runs = sum(row["to_run"] for row in rows)
    time = f"about {duration(known)} here" + (", and more" if any(row["seconds"] is None for row in rows) else "")
    return f"{table}\n\n{runs} runs to run; {time if runs else 'nothing is left to run'}"
