"""The command `schema`: the JSON schema of benchmark files or of records."""

import json
from typing import Annotated

import typer

from resnet18.cli import options as opt
from resnet18.records.record import Record
from resnet18.spec.benchmark import spec_schema
from resnet18.spec.errors import SpecError, did_you_mean

SCHEMAS = ("spec", "record")


def schema_command(
    what: Annotated[str, typer.Argument(metavar="spec|record", help="Of which files.")] = "spec",
) -> opt.Answer:
    """Print the JSON schema of benchmark files or of records."""
    if what not in SCHEMAS:
        raise SpecError(f'schema "{what}"', f"unknown{did_you_mean(what, SCHEMAS)}", allowed=SCHEMAS)
    schema = spec_schema() if what == "spec" else Record.model_json_schema()
    return opt.Answer(schema, json.dumps(schema, indent=1))
