"""The command `merge`: the records of several results folders in one."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from resnet18.cli import options as opt
from resnet18.records.store import merge


def merge_command(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Results folders, the preferred one first.")],
    into: Annotated[Path, opt.option("--into", "DIR", "Results folder to copy to.")],
) -> opt.Answer:
    """Copy the records of several results folders into one. Of a run in several of them, the first folder's is kept."""
    merged = merge(folders, into)
    refused = [str(error) for error in merged.refused]
    for text in refused:
        typer.echo(f"refused: {text}", err=True)
    lines = [f"{merged.copied} records copied to {into}, {merged.known} there already"]
    lines += [f"left out: {text}" for text in merged.left_out]
    lines.append(f"next: resnet18 report --results {shlex.quote(str(into))}")
    counts = {"copied": merged.copied, "known": merged.known, "left_out": merged.left_out, "refused": refused}
    return opt.Answer({"into": str(into), **counts}, "\n".join(lines), 4 if refused else 0)
