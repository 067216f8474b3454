"""The command `power`: how likely 3, 5 and 10 seeds show a difference."""

from collections.abc import Sequence
from typing import Annotated, Any

from resnet18.cli import options as opt
from resnet18.records.store import Store, last_attempts
from resnet18.spec.errors import SpecError, did_you_mean
from resnet18.spec.load import load_benchmarks
from resnet18.spec.metric import METRICS

DIFFERENCE_HELP = "Difference to detect, in the metric's unit; may be repeated. Default: 0.25, 0.5, 1, 2 and 5."


def power_command(
    names: opt.Names = None,
    difference: Annotated[
        list[float] | None, opt.option("--difference", "N", DIFFERENCE_HELP, least=0.001, most=1_000)
    ] = None,
    metric: Annotated[
        str, opt.option("--metric", "NAME", "A metric that benchmarks/README.md lists.")
    ] = "clean_accuracy",
    results: opt.Results = opt.LOCAL,
) -> opt.Answer:
    """Say how likely 3, 5 and 10 seeds show a difference. Without two seeds of a case, a variance is assumed."""
    from resnet18.judge.planning import DIFFERENCES, planned, power_rows, spreads

    known = [name for name in METRICS if name != "epochs_to_level"]
    if metric not in known:
        raise SpecError(f'--metric "{metric}"', f"unknown{did_you_mean(metric, known)}", allowed=known)
    records = last_attempts(Store(results).read().records).values()
    found = list(spreads(load_benchmarks(names), records, metric)) or planned(metric)
    claims = sum(len(benchmark.claims) for benchmark in load_benchmarks())
    rows = power_rows(found, difference or DIFFERENCES, metric, claims)
    return opt.Answer(rows, power_text(rows, METRICS[metric].title))


def power_text(rows: Sequence[dict[str, Any]], title: str) -> str:
    """Return the rows of a metric as a table."""
    from tabulate import tabulate

    from resnet18.spec.experiment import TESTED_AT
    from resnet18.tables.statistics import ALPHA, POWER

    cells = []
    for row in rows:
        interval = f" [{row['sigma_low']:.3g}, {row['sigma_high']:.3g}]" if row["df"] else ""
        powers = [f"{row[f'power_{n}']:.2f}" for n in TESTED_AT]
        seeds = row["seeds"] or f"more than {max(TESTED_AT)}"
        cells.append([row["where"], f"{row['sigma']:.3g}{interval}", row["df"], row["difference"], *powers, seeds])
    unit, claims = rows[0]["unit"], rows[0]["claims"]
    heads = ["runs", f"standard deviation ({unit})", "degrees of freedom", f"difference ({unit})"]
    heads += [*(f"power, {n} seeds" for n in TESTED_AT), f"seeds for {POWER}"]
    table = tabulate(cells, headers=heads, disable_numparse=True)
    note = (
        f"Power: the chance that a report of {claims} claims shows the difference of two cases, by the rule of its "
        f"verdicts ({100 * ALPHA:g} % for all claims together). Claims are tested at 3, 5 and 10 seeds only: where 10 "
        "are not enough, more runs will not settle it. Below 4 degrees of freedom: a rough guide."
    )
    return f"{title}\n\n{table}\n\n{note}"
