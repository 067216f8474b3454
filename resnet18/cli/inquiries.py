"""Commands that train nothing: they ask records, files or the machine. Whatever is heavy is imported inside."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from resnet18.cli.check import check_command, compare_command
from resnet18.cli.completion import SCHEMAS, schemas
from resnet18.cli.env import env_command
from resnet18.cli.errors import echo, echo_either, errors_reported
from resnet18.cli.export import export_command
from resnet18.cli.options import LOCAL, DebugOption, Files, JsonOption, Names, ResultsOption
from resnet18.spec.errors import SpecError, did_you_mean
from resnet18.spec.load import load_benchmarks


def power_command(
    names: Names = None,
    difference: Annotated[
        list[float] | None,
        typer.Option("--difference", min=0.001, max=1_000, help="In the metric's unit; may be repeated."),
    ] = None,
    metric: Annotated[str, typer.Option("--metric", help="A metric of claims.")] = "clean_accuracy",
    results: ResultsOption = LOCAL,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Say how many seeds a difference takes, from the spread of the recorded runs."""
    with errors_reported(debug):
        from resnet18.judge.seeds import DIFFERENCES, planned, power_rows, power_text, spreads
        from resnet18.records.store import Store, last_attempts
        from resnet18.spec.metric import METRICS

        if metric not in METRICS or metric == "epochs_to_level":
            known = [one for one in METRICS if one != "epochs_to_level"]
            raise SpecError(f'--metric "{metric}"', f"unknown{did_you_mean(metric, known)}", allowed=known)
        benchmarks = load_benchmarks(tuple(names or ()))
        records = last_attempts(Store(results).read().records).values()
        found = list(spreads(benchmarks, records, metric)) or planned(metric)
        claims = sum(len(one.claims) for one in load_benchmarks())
        rows = power_rows(found, difference or DIFFERENCES, metric, claims)
        echo_either(rows, power_text(rows), as_json=as_json)


def audit_command(files: Files = None, as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """Check published reports against themselves. Nothing is trained; whatever is found, the exit code is 0."""
    with errors_reported(debug):
        from resnet18.audit.audit import audit
        from resnet18.audit.text import audit_rows, audit_text
        from resnet18.audit.unchecked import unchecked

        benchmarks = load_benchmarks(tuple(files or ()))
        findings = audit(benchmarks)
        text = audit_text(findings, len(benchmarks), unchecked(benchmarks))
        echo_either(audit_rows(findings), text, as_json=as_json)


def merge_command(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Results folders, the one that wins first.")],
    into: Annotated[Path, typer.Option("--into", help="Results folder that they are copied to.")],
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Join the records of several machines, copied byte for byte, and leave out runs that another folder has."""
    with errors_reported(debug):
        from resnet18.records.merge import merge

        merged = merge(folders, into)
        for error in merged.refused:
            typer.echo(f"refused: {error}", err=True)
        if as_json:
            row = {"into": str(into), "copied": merged.copied, "known": merged.known, "left_out": merged.left_out}
            typer.echo(json.dumps({**row, "refused": [str(error) for error in merged.refused]}, indent=1))
        else:
            echo(f"{merged.copied} records copied to {into}, {merged.known} there already")
            for text in merged.left_out:
                echo(f"left out: {text}")
            echo(f"next: resnet18 report --results {shlex.quote(str(into))}")
        raise typer.Exit(4 if merged.refused else 0)


def schema_command(
    what: Annotated[str, typer.Argument(help="spec or record", autocompletion=schemas)] = "spec",
    as_json: JsonOption = False,  # noqa: ARG001 - as everywhere; it prints nothing else
    debug: DebugOption = False,
) -> None:
    """Print the JSON schema of benchmark files or of records."""
    with errors_reported(debug):
        typer.echo(json.dumps(_schema(what), indent=1))


def _schema(what: str) -> dict[str, Any]:
    if what == "spec":
        from resnet18.spec.schema import spec_schema

        return spec_schema()
    if what == "record":
        from resnet18.records.record import Record

        return Record.model_json_schema()
    raise SpecError(f'schema "{what}"', f"unknown{did_you_mean(what, SCHEMAS)}", allowed=SCHEMAS)


INQUIRIES: dict[str, Callable[..., None]] = {
    "audit": audit_command,
    "check": check_command,
    "compare": compare_command,
    "export": export_command,
    "power": power_command,
    "merge": merge_command,
    "env": env_command,
    "schema": schema_command,
}
