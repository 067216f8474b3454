"""The command `verify`: a recorded run carried out again."""

from pathlib import Path
from typing import Annotated

import typer

from resnet18.cli import options as opt
from resnet18.cli.errors import echo_either, end_on_signals, errors_reported


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

        end_on_signals()
        loaded = load_record(record)
        source = parse_data(data or loaded.spec.experiment.data)
        found = verify(loaded, source, Progress(Console(stderr=as_json)))
        verdict = {0: "bit-equal", 3: "another fingerprint", 4: "mismatch"}[found.exit_code]
        row = {"record": record.name, "verdict": verdict, "says": found.text, "exit_code": found.exit_code}
        echo_either(row, f"{record.name}: {found.text}", as_json=as_json)
        raise typer.Exit(found.exit_code)
