"""The command `report`, and the report that ends every `run`. Whatever is heavy is imported inside."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from resnet18.cli import options as opt
from resnet18.cli.errors import echo_either, errors_reported
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.errors import UnfinishedError
from resnet18.spec.load import check_ids_differ, load_benchmarks

if TYPE_CHECKING:
    from resnet18.records.store import Readings


def report_command(
    names: opt.Names = None,
    results: opt.Results = opt.LOCAL,
    accept_unreliable: opt.Unreliable = False,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Write README.md and figures beside the records, for the suite's benchmarks and for TOML files of your own."""
    with errors_reported(debug):
        benchmarks = load_benchmarks(tuple(names or ()))
        readings = readings_of(results)
        path = write(results, benchmarks, readings, accept_unreliable=accept_unreliable)
        row = {"report": str(path), "records": len(readings.records), "left_out": len(readings.refused)}
        echo_either(row, f"report: {path} and report.html", as_json=as_json)
        raise typer.Exit(4 if readings.refused else 0)


def readings_of(results: Path) -> "Readings":
    """Return what a folder of records holds, and tell of records that are damaged.

    Raises:
        UnfinishedError: nothing.
    """
    from resnet18.records.store import Store

    readings = Store(results).read()
    if not readings.records and not readings.refused:
        raise UnfinishedError(str(results), "there are no records", next_step="make some with: make bench")
    for error in readings.refused:
        typer.echo(f"left out: {error}", err=True)
    return readings


def write(
    results: Path, benchmarks: tuple[Benchmark, ...], readings: "Readings", *, accept_unreliable: bool = False
) -> Path:
    """Write the report of all benchmarks of the suite and of the given ones, and return its path."""
    from resnet18.report.report import write_report

    suite = load_benchmarks()
    others = tuple(_apart(benchmark) for benchmark in benchmarks if benchmark not in suite)
    check_ids_differ(suite + others)
    return write_report(results, suite + others, readings, accept_unreliable=accept_unreliable)


def _apart(benchmark: Benchmark) -> Benchmark:
    """Return a file of the user's own as a report of its own: a copy of the suite's must not count with it."""
    name = benchmark.report_name
    return benchmark.model_copy(update={"report": name if name == benchmark.name else f"{name} ({benchmark.name})"})
