"""The command `verify`: a recorded run carried out again."""

import json
import signal
from pathlib import Path
from typing import Annotated

import typer

from resnet18.cli import options as opt
from resnet18.cli.errors import echo, errors_reported
from resnet18.cli.run import stop


def verify_command(
    record: Annotated[Path, typer.Argument(metavar="RECORD", help="A record's file, DIR/records/RUN.ATTEMPT.json.")],
    data: opt.Data = None,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Carry a recorded run out again: bit-equal (0), another fingerprint (3, with its fields), or a mismatch (4)."""
    with errors_reported(debug):
        from rich.console import Console

        from resnet18.execution.progress import Progress
        from resnet18.execution.verify import verify
        from resnet18.records.content import load_record
        from resnet18.spec.data import parse_data

        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, stop)
        loaded = load_record(record)
        label = loaded.spec.experiment.data
        found = verify(loaded, parse_data(data or label), Progress(Console(stderr=as_json)))
        if as_json:
            row = {"record": record.name, "verdict": found.verdict, "says": found.text, "exit_code": found.exit_code}
            typer.echo(json.dumps(row, indent=1))
        else:
            echo(f"{record.name}: {found.text}")
        raise typer.Exit(found.exit_code)
