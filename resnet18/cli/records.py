"""The commands `merge`, records of several machines in one folder, and `verify`, a recorded run repeated."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from resnet18.cli import options as opt
from resnet18.records.content import load_record
from resnet18.records.store import merge
from resnet18.spec.experiment import parse_data

DATA_HELP = "cifar10, fashion-mnist-mini or imagefolder:PATH; default: the record's (a folder needs its path)."
VERDICTS = {0: "bit-equal", 3: "another fingerprint", 4: "mismatch"}


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


def verify_command(
    record: Annotated[Path, typer.Argument(metavar="RECORD", help="A record's file, DIR/records/RUN.ATTEMPT.json.")],
    data: Annotated[str | None, opt.option("--data", "NAME", DATA_HELP, *opt.DATA)] = None,
) -> opt.Answer:
    """Repeat a recorded run and compare the bits. Exit codes: 0 equal; 3 machine or versions differ; 4 other bits."""
    from rich.console import Console

    from resnet18.execution.progress import Progress
    from resnet18.execution.trials import verify

    loaded = load_record(record)
    source = parse_data(data or loaded.spec.experiment.data)
    code, text = verify(loaded, source, Progress(Console(stderr=True)))
    row = {"record": record.name, "verdict": VERDICTS[code], "says": text, "exit_code": code}
    return opt.Answer(row, f"{record.name}: {text}", code)
