"""The command `power`: how many seeds a difference takes."""

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Annotated, Any

import typer

from resnet18.cli import options as opt
from resnet18.cli.errors import echo_either, errors_reported
from resnet18.spec.errors import SpecError, did_you_mean
from resnet18.spec.load import load_benchmarks

ENOUGH_DF = 4
"""Degrees of freedom from which a standard deviation is an estimate: five seeds of one case."""
SEEDS = ("seeds", "seeds_corrected")


def power_command(
    names: opt.Names = None,
    difference: Annotated[
        list[float] | None,
        typer.Option("--difference", min=0.001, max=1_000, help="In the metric's unit; may be repeated."),
    ] = None,
    metric: Annotated[str, typer.Option("--metric", help="A metric of claims.")] = "clean_accuracy",
    results: opt.Results = opt.LOCAL,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Say how many seeds a difference takes, from the spread of the recorded runs."""
    with errors_reported(debug):
        from resnet18.judge.power import DIFFERENCES, planned, power_rows, spreads
        from resnet18.records.store import Store, last_attempts
        from resnet18.spec.metric import METRICS

        if metric not in METRICS or metric == "epochs_to_level":
            known = [name for name in METRICS if name != "epochs_to_level"]
            raise SpecError(f'--metric "{metric}"', f"unknown{did_you_mean(metric, known)}", allowed=known)
        benchmarks = load_benchmarks(tuple(names or ()))
        records = last_attempts(Store(results).read().records).values()
        found = list(spreads(benchmarks, records, metric)) or planned(metric)
        claims = sum(len(benchmark.claims) for benchmark in load_benchmarks())
        rows = power_rows(found, difference or DIFFERENCES, metric, claims)
        echo_either(rows, power_text(rows), as_json=as_json)


def power_text(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows for people: a table under each spread."""
    from tabulate import tabulate

    from resnet18.spec.metric import METRICS
    from resnet18.tables.statistics import ALPHA, MOST_SEEDS, POWER

    parts = []
    for _, group in groupby(rows, key=itemgetter("where", "df", "sigma")):
        mine = list(group)
        first, unit = mine[0], mine[0]["unit"]
        known = f"{first['where']}: {METRICS[first['metric']].title}, standard deviation {first['sigma']:.3g} {unit}"
        if first["df"]:
            known += f" [{first['sigma_low']:.3g}, {first['sigma_high']:.3g}], {first['df']} degrees of freedom"
            known += "; fewer than five seeds: a rough guide" if first["df"] < ENOUGH_DF else ""
        cells = [
            [row["difference"], *(f"more than {MOST_SEEDS:,}" if n is None else n for n in map(row.get, SEEDS))]
            for row in mine
        ]
        heads = [f"difference ({unit})", "seeds of each case", f"the same among {first['claims']} claims"]
        parts.append(f"{known}\n{tabulate(cells, headers=heads, disable_numparse=True)}")
    return "\n\n".join([*parts, f"Power {POWER}, two-sided level {100 * ALPHA:g} %, tested once."])
