"""The command `report`, and the report that ends every `run`."""

from collections.abc import Iterable
from pathlib import Path

import typer

from resnet18.cli import options as opt
from resnet18.records.store import Readings, Store
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.errors import UnfinishedError
from resnet18.spec.load import check_ids_differ, load_benchmarks


def report_command(
    names: opt.Names = None, results: opt.Results = opt.LOCAL, accept_unreliable: opt.Unreliable = False
) -> opt.Answer:
    """Write the report (README.md, report.html, figures) from records. Name TOML files of your own to include them."""
    benchmarks = load_benchmarks(names)
    readings = readings_of(results)
    path = write(results, benchmarks, readings, accept_unreliable=accept_unreliable)
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
    results: Path, benchmarks: Iterable[Benchmark], readings: Readings, *, accept_unreliable: bool = False
) -> Path:
    """Write the report of all benchmarks of the suite and of the given ones, and return its path."""
    from resnet18.report.report import write_report

    return write_report(results, all_with(benchmarks), readings, accept_unreliable=accept_unreliable)


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
