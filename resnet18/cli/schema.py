"""The command `schema`: the JSON schema of benchmark files or of records."""

import json
from typing import Annotated, Literal

import typer

from resnet18.cli import options as opt
from resnet18.records.record import Record
from resnet18.spec.benchmark import spec_schema

What = Literal["spec", "record"]


def schema_command(
    what: Annotated[
        What, typer.Argument(metavar="WHAT", help="Schema of benchmark files (spec) or of records (record).")
    ] = "spec",
) -> opt.Answer:
    """Print the JSON schema of benchmark files or of records."""
    schema = spec_schema() if what == "spec" else Record.model_json_schema()
    return opt.Answer(schema, json.dumps(schema, indent=1))
