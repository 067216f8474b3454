"""The commands `data fetch`, `data verify` and `data where`. Whatever is heavy is imported inside."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from resnet18.cli.errors import errors_reported
from resnet18.cli.options import DebugOption, JsonOption
from resnet18.spec.data import CIFAR10, EMBEDDED, data_home
from resnet18.spec.errors import SpecError, did_you_mean, one_line

NameArgument = Annotated[str, typer.Argument(metavar="[DATA]", help=f"{CIFAR10}, which is the only one so far.")]

data_app = typer.Typer(
    help="Fetch CIFAR-10, check it, and say where data sets are kept.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@data_app.command("fetch")
def fetch_command(
    name: NameArgument = CIFAR10,
    brought: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="An archive that you have: it is checked and copied.")
    ] = None,
    debug: DebugOption = False,
) -> None:
    """Fetch an archive, from RESNET18_CIFAR10_URL, mirrors or the official host; the only command with a network."""
    with errors_reported(debug):
        from resnet18.data.bring import bring
        from resnet18.data.display import Display
        from resnet18.data.fetch import fetch
        from resnet18.data.sources import BINARY, PYTHON, wanted
        from resnet18.data.terms import Terms
        from resnet18.data.web import connect

        _check_name(name)
        display = Display(sys.stdout, time.monotonic)
        if brought is not None:
            bring(brought, (PYTHON, BINARY), data_home(), display)
        else:
            fetch(wanted(), (BINARY,), data_home(), Terms(connect, time.monotonic), display)
        display.say("next: resnet18 run --scale small")


@data_app.command("verify")
def verify_command(name: NameArgument = CIFAR10, as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """Hash the archive again, and its decoded copies: all right (0), one damaged (4), no archive (5)."""
    with errors_reported(debug):
        from resnet18.data.cifar10 import find_archive
        from resnet18.data.holdings import verified
        from resnet18.data.sources import BINARY, PYTHON

        _check_name(name)
        found = list(verified(data_home(), (PYTHON, BINARY)))
        lines = [f"{one.state}: {one_line(str(one.holding.path))}" for one in found]
        for line in [json.dumps([one.row() for one in found], indent=1)] if as_json else lines:
            typer.echo(line)
        damaged = [one.error for one in found if one.error is not None]
        for error in damaged:
            typer.echo(f"error: {error}", err=True)
        if damaged:
            raise typer.Exit(damaged[0].exit_code)
        find_archive(data_home())


@data_app.command("where")
def where_command(as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """Print the folder of data sets, and what is in it."""
    with errors_reported(debug):
        from resnet18.data.holdings import holdings
        from resnet18.data.sources import BINARY, PYTHON

        home = data_home()
        found = list(holdings(home, (PYTHON, BINARY)))
        if as_json:
            typer.echo(json.dumps({"folder": str(home), "holds": [one.row() for one in found]}, indent=1))
            return
        typer.echo(one_line(str(home)))
        for line in [one.text for one in found] or ["nothing is there yet; next: resnet18 data fetch"]:
            typer.echo(f"  {line}")


def _check_name(name: str) -> None:
    if name == EMBEDDED:
        raise SpecError(f'data set "{name}"', "is part of the package: there is nothing to fetch", allowed=(CIFAR10,))
    if name != CIFAR10:
        raise SpecError(f'data set "{name}"', f"unknown{did_you_mean(name, (CIFAR10,))}", allowed=(CIFAR10,))
