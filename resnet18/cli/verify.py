"""The command `verify`: a recorded run carried out again."""

from pathlib import Path
from typing import Annotated

import typer

from resnet18.cli import options as opt
from resnet18.records.content import load_record
from resnet18.spec.experiment import parse_data


def verify_command(
    record: Annotated[Path, typer.Argument(metavar="RECORD", help="A record's file, DIR/records/RUN.ATTEMPT.json.")],
    data: opt.Data = None,
) -> opt.Answer:
    """Carry a recorded run out again: bit-equal (0), another fingerprint (3, with its fields), or a mismatch (4)."""
    from rich.console import Console

    from resnet18.execution.progress import Progress
    from resnet18.execution.trials import verify

    loaded = load_record(record)
    source = parse_data(data or loaded.spec.experiment.data)
    found = verify(loaded, source, Progress(Console(stderr=True)))
    verdict = {0: "bit-equal", 3: "another fingerprint", 4: "mismatch"}[found.exit_code]
    row = {"record": record.name, "verdict": verdict, "says": found.text, "exit_code": found.exit_code}
    return opt.Answer(row, f"{record.name}: {found.text}", found.exit_code)
