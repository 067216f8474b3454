"""The commands `data fetch`, `data verify` and `data where`."""

from pathlib import Path
from typing import Annotated

import typer

from resnet18.cli import options as opt
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError, one_line, printable
from resnet18.spec.experiment import CIFAR10, data_home

FROM_HELP = "Check this archive and copy it instead of downloading."


def fetch_command(brought: Annotated[Path | None, opt.option("--from", "FILE", FROM_HELP)] = None) -> opt.Answer:
    """Download CIFAR-10 from a mirror or the official host. The variable RESNET18_CIFAR10_URL names a first address."""
    from resnet18.data.fetch import bring, fetch

    def say(text: str) -> None:
        typer.echo(printable(text), err=True)

    if brought is None:
        fetch(data_home(), say)
    else:
        bring(brought, data_home(), say)
    return opt.Answer({"folder": str(data_home())}, "next: resnet18 run --scale small")


def verify_command() -> opt.Answer:
    """Check CIFAR-10's archive and the files decoded from it. Exit codes: 0 correct; 4 damaged; 5 no archive."""
    from resnet18.data.archives import find_archive
    from resnet18.data.source import holdings

    rows, lines, exit_code = [], [], 0
    for held in holdings(data_home()):
        if held.label == CIFAR10 and held.kind != "part":
            state, says = "right", ""
            try:
                held.check()
            except IntegrityError as error:
                state, says, exit_code = "damaged", error.what, error.exit_code
                typer.echo(f"error: {error}", err=True)
            rows.append({**held.row(), "state": state, "says": says})
            lines.append(f"{state}: {one_line(str(held.path))}")
    try:
        find_archive(data_home())
    except EnvironmentMissingError as error:
        typer.echo(f"error: {error}", err=True)
        exit_code = exit_code or error.exit_code
    return opt.Answer(rows, "\n".join(lines), exit_code)


def where_command() -> opt.Answer:
    """Print the folder of data sets and its contents."""
    from rich.filesize import decimal
    from tabulate import tabulate

    from resnet18.data.source import holdings

    folder, found = str(data_home()), list(holdings(data_home()))
    cells = [(held.kind, one_line(held.label), decimal(held.size_bytes), one_line(held.path.name)) for held in found]
    table = tabulate(cells, tablefmt="plain") or "nothing is there yet; next: resnet18 data fetch"
    return opt.Answer({"folder": folder, "holds": [held.row() for held in found]}, f"{one_line(folder)}\n{table}")


DATA_COMMANDS = (fetch_command, verify_command, where_command)
