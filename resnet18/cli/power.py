"""The command `power`: how many seeds a difference takes."""

from typing import Annotated

import typer

from resnet18.cli.errors import echo_either, errors_reported
from resnet18.cli.options import LOCAL, DebugOption, JsonOption, Names, ResultsOption
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
