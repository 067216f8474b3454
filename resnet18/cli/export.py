"""The command `export`: recorded results in the format of a dashboard."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from resnet18.cli import options as opt
from resnet18.cli.report import readings_of
from resnet18.records import disk
from resnet18.spec.errors import EnvironmentMissingError, SpecError, UnfinishedError, disk_errors
from resnet18.spec.load import load_benchmarks

Format = Literal["csv", "csv-runs", "github-smaller", "github-bigger", "tensorboard"]
TO_HELP = "Output file (for tensorboard: a folder); default: standard output."
HIDDEN = "runs of --hypotheses, or of a TOML file of your own: name the file"


def export_command(
    form: Annotated[Format, typer.Argument(metavar="FORMAT", help="What to write; tensorboard is a folder.")],
    names: opt.Names = None,
    results: opt.Results = opt.LOCAL,
    to: Annotated[Path | None, opt.option("--to", "PATH", TO_HELP)] = None,
) -> opt.Answer:
    """Write recorded results as CSV, as JSON for a benchmark dashboard, or for TensorBoard."""
    from resnet18.report.exports import TENSORBOARD, TEXTS, notes_of, write_events
    from resnet18.tables.tables import rows_of

    if form == TENSORBOARD and to is None:
        raise SpecError(f"export {form}", "writes a folder", next_step="name it with --to DIR")
    readings = readings_of(results)
    rows = rows_of(load_benchmarks(names), readings.records)
    hidden = {record.run_id for record in readings.records} - {record.run_id for row in rows for record in row.records}
    for note in notes_of(form, rows):
        typer.echo(note, err=True)
    if hidden and not names:
        typer.echo(f"left out: {len(hidden)} recorded runs that are no case of the suite's tables ({HIDDEN})", err=True)
    if readings.refused and not readings.records:
        raise readings.refused[0]
    if not rows:
        what = "no recorded run is of these benchmarks"
        raise UnfinishedError(str(results), what, next_step="name others, or a TOML file of your own")
    row: dict[str, object] = {"format": form, "to": to and str(to), "runs": None, "text": None}
    said = f"{form}: {to}"
    if to is None:
        row["text"] = text = TEXTS[form](rows)
        said = text.removesuffix("\n")
    elif form == TENSORBOARD:
        row["runs"] = runs = write_events(rows, to)
        said += f", {runs} runs"
    else:
        write_whole(to, TEXTS[form](rows))
    return opt.Answer(row, said, 4 if readings.refused else 0)


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all; what is no plain file, such as a link, is not replaced."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise SpecError(str(path), "is no file", next_step="name a new one, or redirect the output instead of --to")
    with disk_errors(EnvironmentMissingError, str(path), "cannot be written"):
        disk.make_folder(path.parent)
        disk.replace(path, text.encode())
