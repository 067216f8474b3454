"""The command `resnet18`. Each handler is a few lines; whatever is heavy is imported inside it."""

import json
import signal
from pathlib import Path
from typing import Annotated

import typer

from resnet18.cli.data import data_app
from resnet18.cli.errors import echo, echo_either, errors_reported, write_whatever_the_locale
from resnet18.cli.inquiries import INQUIRIES
from resnet18.cli.options import DataOption, DebugOption, Files, JsonOption, ScaleOption, SetOption, asked
from resnet18.cli.plan import plan_command
from resnet18.cli.report import report_command
from resnet18.cli.run import run_command, stop

app = typer.Typer(
    help="A lab report on ResNet-18 and CIFAR-10, re-created as a reproducible benchmark suite.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


app.command("plan")(plan_command)
app.command("run")(run_command)
app.command("report")(report_command)


@app.command("verify")
def verify_command(
    record: Annotated[Path, typer.Argument(metavar="RECORD", help="A record's file, DIR/records/RUN.ATTEMPT.json.")],
    data: DataOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Carry a recorded run out again: bit-equal (0), another fingerprint (3, with its fields), or a mismatch (4)."""
    with errors_reported(debug):
        from rich.console import Console

        from resnet18.execution.progress import Progress
        from resnet18.execution.verify import verify
        from resnet18.records.parse import load_record
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


@app.command("forecast")
def forecast_command(
    files: Files = None,
    memory: Annotated[str | None, typer.Option("--memory", help="Of the card, as in 24GiB: asks for verdicts.")] = None,
    scale: ScaleOption = "paper",
    options: SetOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Predict the peak memory of each case, without a GPU and without data."""
    with errors_reported(debug):
        from resnet18.report.forecast import card_bytes, forecast_rows, forecast_text
        from resnet18.spec.resolve import Request

        card = card_bytes(memory) if memory is not None else None
        wanted = asked(files, scale, 1, None, None, options)
        from resnet18.training.forecast import forecasts  # torch: a mistake above is answered without it

        found, usual = forecasts(wanted.benchmarks, (wanted.request, Request(wanted.request.scale)))
        rows = forecast_rows(wanted.benchmarks, wanted.request, (found, usual), card)
        echo_either(rows, forecast_text(rows), as_json=as_json)


for _name, _command in INQUIRIES.items():
    app.command(_name)(_command)
app.add_typer(data_app, name="data")


def main() -> None:
    """Run the command line."""
    write_whatever_the_locale("replace")  # for the boxes of help, until a command begins
    app()
