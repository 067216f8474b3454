"""The command `report`, and the report that ends every `run`. Whatever is heavy is imported inside."""

import json
from dataclasses import dataclass
from pathlib import Path

import typer

from resnet18.cli import options as opt
from resnet18.cli.errors import echo, errors_reported
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.errors import UnfinishedError
from resnet18.spec.load import check_ids_differ, load_benchmarks


@dataclass(frozen=True)
class Written:
    """A report that was written."""

    path: Path
    records: int
    left_out: int
    """Records that are damaged."""

    @property
    def where(self) -> str:
        """The pages, in words."""
        return f"{self.path} and report.html"

    @property
    def exit_code(self) -> int:
        """4 where a record is damaged."""
        return 4 if self.left_out else 0


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
        written = write(results, benchmarks, accept_unreliable=accept_unreliable)
        if as_json:
            row = {"report": str(written.path), "records": written.records, "left_out": written.left_out}
            typer.echo(json.dumps(row, indent=1))
        else:
            echo(f"report: {written.where}")
        raise typer.Exit(written.exit_code)


def write(results: Path, benchmarks: tuple[Benchmark, ...], *, accept_unreliable: bool = False) -> Written:
    """Write the report of all benchmarks of the suite and of the given ones, and tell of damaged records."""
    from resnet18.records.store import Store
    from resnet18.report.report import write_report

    readings = Store(results).read()
    if not readings.records and not readings.refused:
        raise UnfinishedError(str(results), "there are no records", next_step="make some with: make bench")
    suite = load_benchmarks()
    others = tuple(_apart(benchmark) for benchmark in benchmarks if benchmark not in suite)
    check_ids_differ(suite + others)
    path = write_report(results, suite + others, readings, accept_unreliable=accept_unreliable)
    for error in readings.refused:
        typer.echo(f"left out: {error}", err=True)
    return Written(path, len(readings.records), len(readings.refused))


def _apart(benchmark: Benchmark) -> Benchmark:
    """Return a file of the user's own as a report of its own: a copy of the suite's must not count with it."""
    name = benchmark.report_name
    return benchmark.model_copy(update={"report": name if name == benchmark.name else f"{name} ({benchmark.name})"})
