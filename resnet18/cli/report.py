"""The command `report`, and the report that ends every `run`."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from resnet18.cli import options as opt
from resnet18.execution.job import Finished
from resnet18.records.store import Readings, Store
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.errors import UnfinishedError
from resnet18.spec.load import check_ids_differ, load_benchmarks
from resnet18.spec.study import Part, load_study

STUDY_HELP = "A study whose parts are the report's; other runs are listed last."


def report_command(
    names: opt.Names = None,
    study: Annotated[str | None, opt.option("--study", "NAME", STUDY_HELP)] = None,
    results: opt.Results = opt.LOCAL,
    accept_unreliable: opt.Unreliable = False,
) -> opt.Answer:
    """Write the report (README.md, report.html, parts, figures) from records. Name TOML files of your own to add."""
    parts = load_study(study).parts if study else ()
    wanted = dict.fromkeys([*(names or ()), *(name for part in parts for name in part.benchmarks)])
    readings = readings_of(results)
    path = write(results, load_benchmarks(tuple(wanted)), readings, parts, accept_unreliable=accept_unreliable)
    row = {"report": str(path), "records": len(readings.records), "left_out": len(readings.refused)}
    return opt.Answer(row, f"report: {path} and report.html", 4 if readings.refused else 0)


def readings_of(results: Path) -> Readings:
    """Return what a folder of records holds, and tell of records that are damaged; UnfinishedError if it is empty."""
    readings = Store(results).read()
    if not readings.records and not readings.refused:
        raise UnfinishedError(str(results), "there are no records", next_step="make some with: make bench")
    for error in readings.refused:
        typer.echo(f"left out: {error}", err=True)
    return readings


def write(
    results: Path,
    benchmarks: Iterable[Benchmark],
    readings: Readings,
    parts: Sequence[Part] = (),
    *,
    accept_unreliable: bool = False,
) -> Path:
    """Write the report of all benchmarks of the suite and of the given ones, by parts of a study; return its path."""
    from resnet18.report.report import write_report

    return write_report(results, all_with(benchmarks), readings, parts, accept_unreliable=accept_unreliable)


def all_with(benchmarks: Iterable[Benchmark]) -> tuple[Benchmark, ...]:
    """Return all benchmarks of the suite and the given ones.

    A file of the user's own is a report of its own: a copy of the suite's must not count with it.
    """
    shown = load_benchmarks()
    for benchmark in benchmarks:
        if benchmark not in shown:
            own, name = benchmark.report, benchmark.name
            shown += (benchmark.model_copy(update={"report": name if own == name else f"{own} ({name})"}),)
    check_ids_differ(shown)
    return shown


def reported(
    store: Store, benchmarks: Iterable[Benchmark], finished: Collection[Finished], parts: Sequence[Part]
) -> opt.Answer:
    """Write the report, and say where it is."""
    from resnet18.execution.runner import exit_code_of

    readings = readings_of(store.results)
    path = write(store.results, benchmarks, readings, parts)
    exit_code = exit_code_of(finished) or (4 if readings.refused else 0)
    event = {
        "event": "report",
        "report": str(path),
        "runs": len(finished),
        "recorded": sum(run.was_recorded for run in finished),
        "ok": sum(run.status == "ok" for run in finished),
        "exit_code": exit_code,
    }
    return opt.Answer(event, f"report: {path} and report.html", exit_code)
