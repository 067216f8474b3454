"""The command `export`: recorded results for dashboards. Whatever is heavy is imported inside."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnet18.cli import options as opt
from resnet18.cli.errors import echo_either, errors_reported
from resnet18.cli.report import readings_of
from resnet18.spec.errors import EnvironmentMissingError, SpecError, UnfinishedError, did_you_mean
from resnet18.spec.load import load_benchmarks

if TYPE_CHECKING:
    from resnet18.tables.tables import Row

KNOWN = "csv, csv-runs, github-smaller, github-bigger, tensorboard"


def export_command(
    form: Annotated[str, typer.Argument(metavar="FORMAT", help=f"{KNOWN}.")],
    names: opt.Names = None,
    results: opt.Results = opt.LOCAL,
    to: Annotated[
        Path | None, opt.option("--to", "PATH", "File, for tensorboard a folder; the terminal if left out.")
    ] = None,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Write recorded results in the format of a dashboard. Nothing is run."""
    with errors_reported(debug):
        from resnet18.report.exports import FORMATS, TENSORBOARD, notes_of
        from resnet18.tables.tables import rows_of

        if form not in FORMATS:
            raise SpecError(f'export "{form}"', f"unknown format{did_you_mean(form, FORMATS)}", allowed=list(FORMATS))
        if form == TENSORBOARD and to is None:
            raise SpecError(f"export {form}", "writes a folder", next_step="name it with --to DIR")
        benchmarks = load_benchmarks(tuple(names or ()))
        readings = readings_of(results)
        rows = rows_of(benchmarks, readings.records)
        shown = {record.run_id for row in rows for record in row.records}
        hidden = () if names else {record.run_id for record in readings.records} - shown
        for note in (*notes_of(form, rows), *_of_no_case(hidden)):
            typer.echo(note, err=True)
        if readings.records and not rows:
            what = "no recorded run is of these benchmarks"
            raise UnfinishedError(str(results), what, next_step="name others, or a TOML file of your own")
        if rows:
            runs, text = _written(form, rows, to)
            said = (
                (text or "").removesuffix("\n") if to is None else f"{form}: {to}" + (f", {runs} runs" if runs else "")
            )
            row = {"format": form, "to": to and str(to), "runs": runs, "text": text}
            echo_either(row, said, as_json=as_json)
        raise typer.Exit(4 if readings.refused else 0)


def _of_no_case(hidden: Collection[str]) -> list[str]:
    which = "candidates of a hypothesis, or runs of a TOML file of your own, which can be named"
    return [f"left out: {len(hidden)} recorded runs that are no case of the suite's tables ({which})"] if hidden else []


def _written(form: str, rows: Sequence["Row"], to: Path | None) -> tuple[int | None, str | None]:
    """Write what was asked for, whole or not at all; return how many runs a folder got, or the text for the terminal.

    Raises:
        EnvironmentMissingError: it cannot be written.
        SpecError: the place is no file.
    """
    from resnet18.records import disk
    from resnet18.report.exports import TENSORBOARD, TEXTS, write_events

    try:
        if form == TENSORBOARD and to is not None:
            return write_events(rows, to), None
        text = TEXTS[form](rows)
        if to is None:
            return None, text
        if to.is_symlink() or (to.exists() and not to.is_file()):
            redirect = "name a new one, or leave --to out and redirect the output"
            raise SpecError(str(to), "is no file", next_step=redirect)
        disk.make_folder(to.parent)
        disk.replace(to, text.encode())
    except OSError as error:
        raise EnvironmentMissingError(str(to), f"cannot be written: {error.strerror}") from None
    return None, None
