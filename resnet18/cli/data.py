"""The commands `data fetch`, `data verify` and `data where`. Whatever is heavy is imported inside."""

from pathlib import Path
from typing import Annotated

import typer

from resnet18.cli import options as opt
from resnet18.cli.errors import echo, echo_either, errors_reported
from resnet18.spec.data import CIFAR10, EMBEDDED, data_home
from resnet18.spec.errors import IntegrityError, SpecError, did_you_mean, one_line

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
        Path | None, opt.option("--from", "FILE", "An archive that you have: it is checked and copied.")
    ] = None,
    debug: opt.Debug = False,
) -> None:
    """Fetch an archive, from RESNET18_CIFAR10_URL, mirrors or the official host; the only command with a network."""
    with errors_reported(debug):
        from resnet18.data.fetch import bring, fetch

        _check_name(name)
        if brought is None:
            fetch(data_home(), echo)
        else:
            bring(brought, data_home(), echo)
        echo("next: resnet18 run --scale small")


@data_app.command("verify")
def verify_command(name: NameArgument = CIFAR10, as_json: opt.Json = False, debug: opt.Debug = False) -> None:
    """Hash the archive again, and its decoded copies: all right (0), one damaged (4), no archive (5)."""
    with errors_reported(debug):
        from resnet18.data.archives import find_archive
        from resnet18.data.source import holdings

        _check_name(name)
        kept = [holding for holding in holdings(data_home()) if holding.label == CIFAR10 and holding.kind != "part"]
        damage = [holding.damage() for holding in kept]
        states = ["damaged" if error else "right" for error in damage]
        rows = [
            {**holding.row(), "state": state, "says": error.what if error else ""}
            for holding, state, error in zip(kept, states, damage, strict=True)
        ]
        lines = [f"{state}: {one_line(str(holding.path))}" for holding, state in zip(kept, states, strict=True)]
        if kept or as_json:
            echo_either(rows, "\n".join(lines), as_json=as_json)
        for error in filter(None, damage):
            echo(f"error: {error}", err=True)
        if any(damage):
            raise typer.Exit(IntegrityError.exit_code)
        find_archive(data_home())


@data_app.command("where")
def where_command(as_json: opt.Json = False, debug: opt.Debug = False) -> None:
    """Print the folder of data sets, and what is in it."""
    with errors_reported(debug):
        from rich.filesize import decimal

        from resnet18.data.source import holdings

        home, found = data_home(), list(holdings(data_home()))
        lines = [
            f"  {one.kind:<8}  {one_line(one.label):<20}  {decimal(one.size_bytes):>9}  {one_line(one.path.name)}"
            for one in found
        ]
        text = "\n".join([one_line(str(home)), *(lines or ["  nothing is there yet; next: resnet18 data fetch"])])
        echo_either({"folder": str(home), "holds": [one.row() for one in found]}, text, as_json=as_json)


def _check_name(name: str) -> None:
    if name != CIFAR10:
        known = "is part of the package: there is nothing to fetch"
        what = known if name == EMBEDDED else f"unknown{did_you_mean(name, (CIFAR10,))}"
        raise SpecError(f'data set "{name}"', what, allowed=(CIFAR10,))
