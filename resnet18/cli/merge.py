"""The command `merge`: the records of several machines in one folder."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from resnet18.cli import options as opt
from resnet18.cli.errors import echo_either, errors_reported


def merge_command(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Results folders, the one that wins first.")],
    into: Annotated[Path, opt.option("--into", "DIR", "Results folder that they are copied to.")],
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Join the records of several machines, copied byte for byte, and leave out runs that another folder has."""
    with errors_reported(debug):
        from resnet18.records.store import merge

        merged = merge(folders, into)
        for error in merged.refused:
            typer.echo(f"refused: {error}", err=True)
        row = {"into": str(into), "copied": merged.copied, "known": merged.known, "left_out": merged.left_out}
        row["refused"] = [str(error) for error in merged.refused]
        lines = [f"{merged.copied} records copied to {into}, {merged.known} there already"]
        lines += [f"left out: {text}" for text in merged.left_out]
        lines.append(f"next: resnet18 report --results {shlex.quote(str(into))}")
        echo_either(row, "\n".join(lines), as_json=as_json)
        raise typer.Exit(4 if merged.refused else 0)
