"""The command `study`: what a study names is run part by part, in its order of worth, or only listed."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from math import inf
from time import monotonic
from typing import Annotated, Any

import typer
from tabulate import tabulate

from resnet18.cli import options as opt
from resnet18.cli.preview import Preview, filled, fitting, outline
from resnet18.cli.report import told
from resnet18.cli.run import carry_out, report_after, runner_of
from resnet18.spec.errors import SpecError
from resnet18.spec.experiment import CIFAR10, EMBEDDED, DataSource, parse_data
from resnet18.spec.load import load_benchmarks, suite_files
from resnet18.spec.metric import duration, how_many
from resnet18.spec.plan import Part, Study, load_study
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
    titles: Annotated[list[str] | None, opt.option("--part", "TITLE", "Only this part; may be repeated.")] = None,
    only_plan: Annotated[bool, opt.option("--plan", None, "List the parts and their times; run nothing.")] = False,
    budget: Annotated[float | None, opt.option("--budget", opt.TIME, BUDGET_HELP, parser=opt.seconds_of)] = None,
    data: Annotated[str | None, opt.option("--data", "NAME", DATA_HELP, *opt.DATA)] = None,
    device: opt.Device = None,
) -> opt.Answer:
    """Carry out the runs of a study that have no record yet, part by part, then write the report."""
    study = load_study(name)
    parts = study.named(titles or ())
    sources = sources_of(parts, data, may_be_absent=only_plan)
    if only_plan:
        from resnet18.measure.devices import present_devices

        views = outlines(study, sources, present_devices(prove=False), device)
        rows = plan_rows(views, how, budget or inf)
        return opt.Answer(rows, plan_text(rows))
    runner = runner_of(how, sources.values(), needs_times=budget is not None)
    views = outlines(study, sources, runner.devices, device)
    end_s = monotonic() + (budget or inf)
    finished = (carry_out(views[part.title], runner, end_s, part) for part in parts)
    benchmarks = load_benchmarks(one for part in study.parts for one in part.benchmarks)
    return report_after(finished, benchmarks, runner, study.parts)


def sources_of(parts: Sequence[Part], data: str | None, *, may_be_absent: bool) -> dict[str, DataSource]:
    """Return where the data of each part are, by its title; for a plan they `may_be_absent`.

    Raises SpecError where data are given that no part is of, and where a part's lie at no known place.
    """
    given, labels = parse_data(data) if data else None, sorted({part.data for part in parts})
    if given is not None and given.label not in labels:
        raise SpecError(f"--data {data}", f"is {given.label}, which no part is of", allowed=labels)
    known = {label: DataSource(label) for label in labels if label in {CIFAR10, EMBEDDED} or may_be_absent}
    known |= {given.label: given} if given is not None else {}
    for part in parts:
        if part.data not in known:
            what = f"is of {part.data}, and --data does not say where that lies"
            next_step = f"add --data imagefolder:PATH, of a folder or tar archive that is called {part.data}"
            raise SpecError(f'part "{part.title}"', what, next_step=next_step)
    return {part.title: known[part.data] for part in parts}


def outlines(
    study: Study, sources: Mapping[str, DataSource], devices: Mapping[str, int], device: str | None
) -> dict[str, Preview]:
    """Return what is asked for by each part that has a source, by its title.

    A run is timed, and goes alone, where its time counts in any part of the study, whichever part it is run for.
    """
    views = {}
    for part in study.parts:
        names, options = [*part.benchmarks], [*part.options]
        asked = part.hypotheses, part.scale, part.seeds
        what = opt.WhatToRun(names, [*part.cases], *asked, device=device, options=options)
        views[part.title] = outline(what, sources.get(part.title, DataSource(part.data)), devices)
    timed = {run.run_id for part in study.parts if part.times for run in views[part.title].plan.runs}
    return {
        title: view.of(replace(run, is_timed=run.run_id in timed) for run in view.plan.runs)
        for title, view in views.items()
        if title in sources
    }


def plan_rows(views: Mapping[str, Preview], how: opt.HowToRun, budget_s: float) -> list[dict[str, Any]]:
    """Return a flat row for each part; a run that several parts share is counted as to run in the first alone."""
    records, rows, planned = told(how.results).records, list[dict[str, Any]](), set[str]()
    for title, asked in views.items():
        view = filled(asked, records, keep_stale=how.keep_stale, jobs=how.jobs or 1)
        shared = {run.run_id for run in view.pending} & planned
        fit, left_out = fitting(replace(view, done=view.done | shared), budget_s)
        planned |= {run.run_id for run in fit.pending}
        seconds = total_s(fit.pending, fit.seconds, fit.jobs or 1)
        budget_s -= seconds or 0.0
        row = {
            "part": title,
            "runs": len(view.plan.runs),
            "recorded": len(view.done),
            "in_parts_above": len(shared),
            "to_run": len(fit.pending),
            "left_out": len(left_out),
            "not_planned": len(view.plan.not_planned),
            "seconds": seconds,
            "basis": (fit.pending and ", ".join(sorted(view.bases))) or None,
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
    runs, seconds = sum(row["to_run"] for row in rows), [row["seconds"] for row in rows]
    time = f"about {duration(sum(filter(None, seconds)))} here" + (", and more" if None in seconds else "")
    return f"{table}\n\n{how_many(runs, 'run')} to run; {time if runs else 'nothing is left to run'}"
