"""The command `schema`: the JSON schema of benchmark files or of records."""

from typing import Annotated

import typer

from resnet18.cli import options as opt
from resnet18.cli.errors import echo_either, errors_reported
from resnet18.spec.errors import SpecError, did_you_mean

SCHEMAS = ("spec", "record")


def schema_command(
    what: Annotated[str, typer.Argument(metavar="spec|record", help="Of which files.")] = "spec",
    as_json: opt.Json = False,  # noqa: ARG001 - as everywhere; it prints nothing else
    debug: opt.Debug = False,
) -> None:
    """Print the JSON schema of benchmark files or of records."""
    with errors_reported(debug):
        if what not in SCHEMAS:
            raise SpecError(f'schema "{what}"', f"unknown{did_you_mean(what, SCHEMAS)}", allowed=SCHEMAS)
        from resnet18.records.record import Record
        from resnet18.spec.benchmark import spec_schema

        echo_either(spec_schema() if what == "spec" else Record.model_json_schema(), "", as_json=True)
