"""The command `export`: recorded results for dashboards. Whatever is heavy is imported inside."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnet18.cli import options as opt
from resnet18.cli.errors import echo, errors_reported
from resnet18.spec.errors import EnvironmentMissingError, SpecError, UnfinishedError, did_you_mean
from resnet18.spec.load import load_benchmarks

if TYPE_CHECKING:
    from resnet18.records.record import Record
    from resnet18.tables.runs import Row

KNOWN = "csv, csv-runs, github-smaller, github-bigger, tensorboard"


def export_command(
    form: Annotated[str, typer.Argument(metavar="FORMAT", help=f"{KNOWN}.")],
    names: opt.Names = None,
    results: opt.Results = opt.LOCAL,
    to: Annotated[
        Path | None, typer.Option("--to", help="File, for tensorboard a folder; the terminal if left out.")
    ] = None,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Write recorded results in the format of a dashboard. Nothing is run."""
    with errors_reported(debug):
        from resnet18.records.store import Store
        from resnet18.report.exports import FORMATS
        from resnet18.tables.runs import rows_of

        if form not in FORMATS:
            raise SpecError(f'export "{form}"', f"unknown format{did_you_mean(form, FORMATS)}", allowed=list(FORMATS))
        if FORMATS[form].folder is not None and to is None:
            raise SpecError(f"export {form}", "writes a folder", next_step="name it with --to DIR")
        benchmarks = load_benchmarks(tuple(names or ()))
        readings = Store(results).read()
        for error in readings.refused:
            typer.echo(f"left out: {error}", err=True)
        if not readings.records and not readings.refused:
            raise UnfinishedError(str(results), "there are no records", next_step="make some with: make bench")
        rows = rows_of(benchmarks, readings.records)
        for note in _notes(form, rows, () if names else readings.records):
            typer.echo(note, err=True)
        if readings.records:
            _export(form, rows, results, to, as_json=as_json)
        raise typer.Exit(4 if readings.refused else 0)


def _export(form: str, rows: Sequence["Row"], results: Path, to: Path | None, *, as_json: bool) -> None:
    """Write what was asked for, whole or not at all, and say so."""
    from resnet18.report.exports import FORMATS

    if not rows:
        what = "no recorded run is of these benchmarks"
        raise UnfinishedError(str(results), what, next_step="name others, or a TOML file of your own")
    runs: int | None = None
    text: str | None = None
    wanted = FORMATS[form]
    try:
        if wanted.folder is not None and to is not None:
            runs = wanted.folder(rows, to)
        elif wanted.text is not None:
            text = wanted.text(rows)
            if to is not None:
                _write(to, text)
                text = None
    except OSError as error:
        raise EnvironmentMissingError(str(to), f"cannot be written: {error.strerror}") from None
    if as_json:
        row = {"format": form, "to": None if to is None else str(to), "runs": runs, "text": text}
        typer.echo(json.dumps(row, indent=1))
    elif text is not None:
        typer.echo(text, nl=False)
    else:
        echo(f"{form}: {to}" if runs is None else f"{form}: {to}, {runs} runs")


def _write(path: Path, text: str) -> None:
    from resnet18.records import disk

    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise SpecError(str(path), "is no file", next_step="name a new one, or leave --to out and redirect the output")
    disk.make_folder(path.parent)
    disk.replace(path, text.encode())


def _notes(form: str, rows: Sequence["Row"], records: Sequence["Record"]) -> Iterator[str]:
    """Yield what the export leaves out, for people: the output itself has no place for it."""
    from resnet18.report.exports import FORMATS, notes_of

    yield from notes_of(FORMATS[form], rows)
    hidden = {record.run_id for record in records} - {record.run_id for row in rows for record in row.records}
    if hidden:
        which = "candidates of a hypothesis, or runs of a TOML file of your own, which can be named"
        yield f"left out: {len(hidden)} recorded runs that are no case of the suite's tables ({which})"
