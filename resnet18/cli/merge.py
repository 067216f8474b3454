"""The command `merge`: the records of several results folders in one."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from resnet18.cli import options as opt
from resnet18.records.store import merge


def merge_command(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR", help="Results folders, the preferred one first.")],
    into: Annotated[Path, opt.option("--into", "DIR", "Results folder to copy to.")],
) -> opt.Answer:
    """Copy the records of several results folders into one. Of a run in several, the first folder's record is kept."""
    found = merge(folders, into)
    left_out = [f"{name}: this run is recorded already, by another folder or machine" for name in found["left_out"]]
    for text in found["refused"]:
        typer.echo(f"refused: {text}", err=True)
    counts = {word: len(found[word]) for word in ("copied", "known")}
    lines = [f"{counts['copied']} records copied to {into}, {counts['known']} there already"]
    lines += [f"left out: {text}" for text in left_out]
    lines.append(f"next: resnet18 report --results {shlex.quote(str(into))}")
    row = {"into": str(into), **counts, "left_out": left_out, "refused": found["refused"]}
    return opt.Answer(row, "\n".join(lines), 4 if found["refused"] else 0)
