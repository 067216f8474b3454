"""The command `verify`: a recorded run is repeated."""

from pathlib import Path
from typing import Annotated

import typer

from resnet18.cli import options as opt
from resnet18.records.content import load_record
from resnet18.spec.experiment import parse_data

DATA_HELP = "cifar10, fashion-mnist-mini or imagefolder:PATH; default: the record's data set."
VERDICTS = {0: "bit-equal", 3: "another fingerprint", 4: "mismatch"}


def verify_command(
    record: Annotated[Path, typer.Argument(metavar="RECORD", help="File of a record: DIR/records/RUN.ATTEMPT.json.")],
    data: Annotated[str | None, opt.option("--data", "NAME", DATA_HELP, *opt.DATA)] = None,
) -> opt.Answer:
    """Repeat a recorded run and compare results. Exit codes: 0 equal; 3 another machine or version; 4 not equal."""
    from rich.console import Console

    from resnet18.execution.progress import Progress
    from resnet18.execution.trials import verify

    loaded = load_record(record)
    source = parse_data(data or loaded.spec.experiment.data)
    code, text = verify(loaded, source, Progress(Console(stderr=True)))
    row = {"record": record.name, "verdict": VERDICTS[code], "says": text, "exit_code": code}
    return opt.Answer(row, f"{record.name}: {text}", code)
