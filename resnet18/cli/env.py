"""The command `env`: what a report of a bug needs to know. Whatever is heavy is imported inside."""

import json

import typer

from resnet18 import __version__
from resnet18.cli.errors import echo, errors_reported
from resnet18.cli.options import DebugOption, JsonOption
from resnet18.spec.data import CIFAR10, EMBEDDED, data_home

ARCHIVES = ("cifar-10-python.tar.gz", "cifar-10-binary.tar.gz")


def env_command(as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """Print versions, devices and settings, to be pasted into a report of a bug. No names of users or hosts."""
    with errors_reported(debug):
        from resnet18.measure.surroundings import surroundings, without_home

        home = data_home()
        has_archive = any((home / name).is_file() for name in ARCHIVES)
        facts = {
            "resnet18": __version__,
            **surroundings(),
            "data_home": without_home(str(home)),
            f"data {EMBEDDED}": "embedded",
            f"data {CIFAR10}": "present" if has_archive else "absent",
        }
        width = max(map(len, facts))
        lines = [f"{key:{width}}  {'unknown' if value is None else value}" for key, value in facts.items()]
        if as_json:
            typer.echo(json.dumps(facts, indent=1))
        else:
            echo("\n".join(lines))
