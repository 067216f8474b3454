"""The commands `data fetch`, `data verify` and `data where`."""

from pathlib import Path
from typing import Annotated

import typer

from resnet18.cli import options as opt
from resnet18.spec.errors import IntegrityError, SpecError, did_you_mean, one_line, printable
from resnet18.spec.experiment import CIFAR10, EMBEDDED, data_home

NameArgument = Annotated[str, typer.Argument(metavar="[DATA]", help=f"{CIFAR10}, which is the only one so far.")]


def fetch_command(
    name: NameArgument = CIFAR10,
    brought: Annotated[
        Path | None, opt.option("--from", "FILE", "An archive that you have: it is checked and copied.")
    ] = None,
) -> opt.Answer:
    """Fetch an archive, from RESNET18_CIFAR10_URL, mirrors or the official host; the only command with a network."""
    from resnet18.data.fetch import bring, fetch

    def say(text: str) -> None:
        typer.echo(printable(text), err=True)

    _check_name(name)
    if brought is None:
        fetch(data_home(), say)
    else:
        bring(brought, data_home(), say)
    return opt.Answer({"folder": str(data_home())}, "next: resnet18 run --scale small")


def verify_data_command(name: NameArgument = CIFAR10) -> opt.Answer:
    """Hash the archive again, and its decoded copies: all right (0), one damaged (4), no archive (5)."""
    from resnet18.data.archives import find_archive
    from resnet18.data.source import holdings

    _check_name(name)
    rows, lines = [], []
    for holding in holdings(data_home()):
        if holding.label == CIFAR10 and holding.kind != "part":
            error = holding.damage()
            state = "damaged" if error else "right"
            rows.append({**holding.row(), "state": state, "says": error.what if error else ""})
            lines.append(f"{state}: {one_line(str(holding.path))}")
            if error:
                typer.echo(f"error: {error}", err=True)
    is_damaged = any(row["state"] == "damaged" for row in rows)
    if not is_damaged:
        find_archive(data_home())
    return opt.Answer(rows, "\n".join(lines), IntegrityError.exit_code if is_damaged else 0)


def where_command() -> opt.Answer:
    """Print the folder of data sets, and what is in it."""
    from rich.filesize import decimal

    from resnet18.data.source import holdings

    found = list(holdings(data_home()))
    lines = [
        f"  {held.kind:<8}  {one_line(held.label):<20}  {decimal(held.size_bytes):>9}  {one_line(held.path.name)}"
        for held in found
    ]
    folder = str(data_home())
    text = "\n".join([one_line(folder), *(lines or ["  nothing is there yet; next: resnet18 data fetch"])])
    return opt.Answer({"folder": folder, "holds": [held.row() for held in found]}, text)


def _check_name(name: str) -> None:
    if name != CIFAR10:
        is_embedded = name == EMBEDDED
        what = "is part of the package: there is nothing to fetch" if is_embedded else "unknown"
        raise SpecError(f'data set "{name}"', what + did_you_mean(name, (CIFAR10,)), allowed=(CIFAR10,))
