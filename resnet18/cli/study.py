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
from resnet18.records.store import Store
from resnet18.spec.errors import SpecError
from resnet18.spec.experiment import CIFAR10, EMBEDDED, DataSource, parse_data
from resnet18.spec.load import load_benchmarks, suite_files
from resnet18.spec.metric import duration
from resnet18.spec.study import Part, Study, load_study
from resnet18.tables.pace import total_s

STUDY_HELP = "A study of the suite (benchmarks/studies), or a TOML file."
BUDGET_HELP = "Leave out runs that would not end within this time; the first parts come first."
DATA_HELP = "Where the study's data set lies: imagefolder:PATH. cifar10 and fashion-mnist-mini need nothing."


def study_names(incomplete: str) -> list[str]:
    """Return the suite's studies that begin so, after Tab."""
    return [name for name in suite_files("studies") if name.startswith(incomplete)]


def study_command(
    name: Annotated[str, typer.Argument(metavar="STUDY", help=STUDY_HELP, autocompletion=study_names)],
    how: opt.HowToRun,
    titles: Annotated[
        list[str] | None, opt.option("--part", "TITLE", "Only the part with this title; may be repeated.")
    ] = None,
    only_plan: Annotated[
        bool, opt.option("--plan", None, "List the parts, what is recorded and how long the rest takes; run nothing.")
    ] = False,
    budget: Annotated[float | None, opt.option("--budget", opt.TIME, BUDGET_HELP, parser=opt.seconds_of)] = None,
    data: Annotated[str | None, opt.option("--data", "NAME", DATA_HELP, *opt.DATA)] = None,
    device: opt.Device = None,
) -> opt.Answer:
    """Carry out the runs of a study that have no record yet, part by part, then write the report."""
    study, given = load_study(name), None if data is None else parse_data(data)
    parts = study.named(titles or ())
    sources = {part.title: source_of(part, given, may_be_absent=only_plan) for part in parts}
    if only_plan:
        from resnet18.measure.devices import present_devices

        rows = plan_rows(outlines(study, sources, present_devices(prove=False), device), how, budget)
        return opt.Answer(rows, plan_text(rows))
    for source in sources.values():
        check_is_there(source)
    runner = runner_of(how, needs_times=budget is not None)
    views = outlines(study, sources, runner.devices, device)
    end_s = monotonic() + (inf if budget is None else budget)
    finished = (carry_out(views[part.title], runner, end_s, part) for part in parts)
    benchmarks = load_benchmarks(one for part in study.parts for one in part.benchmarks)
    return report_after(finished, benchmarks, runner, study.parts)


def source_of(part: Part, given: DataSource | None, *, may_be_absent: bool) -> DataSource:
    """Return where the data of a part are; for a plan they `may_be_absent`.

    Raises SpecError where they are not the data that are given, or none are and the suite has no place for them.
    """
    if given is not None and given.label == part.data:
        return given
    if part.data in {CIFAR10, EMBEDDED} or (given is None and may_be_absent):
        return DataSource(part.data)
    next_step = f"add --data imagefolder:PATH, of a folder or tar archive that is called {part.data}"
    says = "does not say where that lies" if given is None else f"is {given.label}"
    raise SpecError(f'part "{part.title}"', f"is of {part.data}, and --data {says}", next_step=next_step)


def outlines(
    study: Study, sources: Mapping[str, DataSource], devices: Mapping[str, int], device: str | None
) -> dict[str, Preview]:
    """Return what is asked for by each part that has a source, by its title.

    A run is timed, and goes alone, where its time counts in any part of the study, whichever part it is run for.
    """
    views = {}
    for part in study.parts:
        what = opt.WhatToRun(
            names=[*part.benchmarks],
            cases=[*part.cases],
            hypotheses=part.hypotheses,
            scale=part.scale,
            seeds=part.seeds,
            device=device,
            options=[*part.options],
        )
        views[part.title] = outline(what, sources.get(part.title, DataSource(part.data)), devices)
    timed = {run.run_id for part in study.parts if part.times for run in views[part.title].plan.runs}
    return {
        title: view.of(replace(run, is_timed=run.run_id in timed) for run in view.plan.runs)
        for title, view in views.items()
        if title in sources
    }


def plan_rows(views: Mapping[str, Preview], how: opt.HowToRun, budget_s: float | None) -> list[dict[str, Any]]:
    """Return a flat row for each part; a run that several parts share is counted as to run in the first alone."""
    records, rows, planned = Store(how.results).read().records, list[dict[str, Any]](), set[str]()
    left_s = inf if budget_s is None else budget_s
    for title, asked in views.items():
        view = filled(asked, records, keep_stale=how.keep_stale, jobs=how.jobs or 1)
        runs, recorded, shared = len(view.plan.runs), len(view.done), {run.run_id for run in view.pending} & planned
        view, left_out = fitting(replace(view, done=view.done | shared), left_s)
        seconds = total_s(view.pending, view.seconds, how.jobs or 1)
        left_s -= seconds or 0.0
        planned |= {run.run_id for run in view.pending}
        row = {
            "part": title,
            "runs": runs,
            "recorded": recorded,
            "in_parts_above": len(shared),
            "to_run": len(view.pending),
            "left_out": len(left_out),
            "not_planned": len(view.plan.not_planned),
            "seconds": seconds,
            "basis": ", ".join(sorted(view.bases)) if view.pending and view.bases else None,
        }
        rows.append(row)
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
