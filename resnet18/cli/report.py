"""The commands `report` and `export`: what recorded runs give; and the report that ends every `run`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnet18.cli import options as opt
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.errors import EnvironmentMissingError, SpecError, UnfinishedError, did_you_mean
from resnet18.spec.load import check_ids_differ, load_benchmarks

if TYPE_CHECKING:
    from resnet18.records.store import Readings
    from resnet18.tables.tables import Row

KNOWN = "csv, csv-runs, github-smaller, github-bigger, tensorboard"
TO_HELP = "File, for tensorboard a folder; the terminal if left out."
HIDDEN = "candidates of a hypothesis, or runs of a TOML file of your own, which can be named"


def report_command(
    names: opt.Names = None, results: opt.Results = opt.LOCAL, accept_unreliable: opt.Unreliable = False
) -> opt.Answer:
    """Write README.md and figures beside the records, for the suite's benchmarks and for TOML files of your own."""
    benchmarks = load_benchmarks(names)
    readings = readings_of(results)
    path = write(results, benchmarks, readings, accept_unreliable=accept_unreliable)
    row = {"report": str(path), "records": len(readings.records), "left_out": len(readings.refused)}
    return opt.Answer(row, f"report: {path} and report.html", 4 if readings.refused else 0)


def readings_of(results: Path) -> "Readings":
    """Return what a folder of records holds, and tell of records that are damaged; UnfinishedError if it is empty."""
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
    """Write the report of all benchmarks of the suite and of the given ones, and return its path.

    A file of the user's own is a report of its own: a copy of the suite's must not count with it.
    """
    from resnet18.report.report import write_report

    shown = list(load_benchmarks())
    for benchmark in benchmarks:
        if benchmark not in shown:
            own, name = benchmark.report_name, benchmark.name
            report = name if own == name else f"{own} ({name})"
            shown.append(benchmark.model_copy(update={"report": report}))
    check_ids_differ(shown)
    return write_report(results, shown, readings, accept_unreliable=accept_unreliable)


def export_command(
    form: Annotated[str, typer.Argument(metavar="FORMAT", help=f"{KNOWN}.")],
    names: opt.Names = None,
    results: opt.Results = opt.LOCAL,
    to: Annotated[Path | None, opt.option("--to", "PATH", TO_HELP)] = None,
) -> opt.Answer:
    """Write recorded results in the format of a dashboard. Nothing is run."""
    from resnet18.report.exports import FORMATS, TENSORBOARD, notes_of
    from resnet18.tables.tables import rows_of

    if form not in FORMATS:
        raise SpecError(f'export "{form}"', f"unknown format{did_you_mean(form, FORMATS)}", allowed=list(FORMATS))
    if form == TENSORBOARD and to is None:
        raise SpecError(f"export {form}", "writes a folder", next_step="name it with --to DIR")
    readings = readings_of(results)
    rows = rows_of(load_benchmarks(names), readings.records)
    for note in notes_of(form, rows):
        typer.echo(note, err=True)
    hidden = {record.run_id for record in readings.records} - {record.run_id for row in rows for record in row.records}
    if hidden and not names:
        typer.echo(f"left out: {len(hidden)} recorded runs that are no case of the suite's tables ({HIDDEN})", err=True)
    exit_code = 4 if readings.refused else 0
    if not rows:
        if readings.records:
            what = "no recorded run is of these benchmarks"
            raise UnfinishedError(str(results), what, next_step="name others, or a TOML file of your own")
        return opt.Answer(None, "", exit_code)
    row, text = _written(form, rows, to)
    return opt.Answer({"format": form, **row}, text, exit_code)


def _written(form: str, rows: Sequence["Row"], to: Path | None) -> tuple[dict[str, object], str]:
    """Write an export, whole or not at all; return what is said of it, or the text for the terminal."""
    from resnet18.records import disk
    from resnet18.report.exports import TENSORBOARD, TEXTS, write_events

    if to is None:
        text = TEXTS[form](rows)
        return {"to": None, "runs": None, "text": text}, text.removesuffix("\n")
    runs = None
    try:
        if form == TENSORBOARD:
            runs = write_events(rows, to)
        elif to.is_symlink() or (to.exists() and not to.is_file()):
            redirect = "name a new one, or leave --to out and redirect the output"
            raise SpecError(str(to), "is no file", next_step=redirect)
        else:
            disk.make_folder(to.parent)
            disk.replace(to, TEXTS[form](rows).encode())
    except OSError as error:
        raise EnvironmentMissingError(str(to), f"cannot be written: {error.strerror}") from None
    return {"to": str(to), "runs": runs, "text": None}, f"{form}: {to}" + (f", {runs} runs" if runs else "")
