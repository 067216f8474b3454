"""The command `resnet18`: every command by its name."""

from collections.abc import Callable

import typer

from resnet18.cli.audit import audit_command
from resnet18.cli.check import check_command
from resnet18.cli.compare import compare_command
from resnet18.cli.data import data_app
from resnet18.cli.env import env_command
from resnet18.cli.errors import write_whatever_the_locale
from resnet18.cli.export import export_command
from resnet18.cli.forecast import forecast_command
from resnet18.cli.merge import merge_command
from resnet18.cli.plan import plan_command
from resnet18.cli.power import power_command
from resnet18.cli.report import report_command
from resnet18.cli.run import run_command
from resnet18.cli.schema import schema_command
from resnet18.cli.verify import verify_command

app = typer.Typer(
    help="A lab report on ResNet-18 and CIFAR-10, re-created as a reproducible benchmark suite.",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain text: markup would take `[gate]` for a style
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS: dict[str, Callable[..., None]] = {
    "plan": plan_command,
    "run": run_command,
    "report": report_command,
    "verify": verify_command,
    "forecast": forecast_command,
    "audit": audit_command,
    "check": check_command,
    "compare": compare_command,
    "export": export_command,
    "power": power_command,
    "merge": merge_command,
    "env": env_command,
    "schema": schema_command,
}
"""In the order of the help."""
for _name, _command in COMMANDS.items():
    app.command(_name)(_command)
app.add_typer(data_app, name="data")


def main() -> None:
    """Run the command line."""
    write_whatever_the_locale("replace")  # for the boxes of help, until a command begins
    app()
