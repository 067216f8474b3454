"""The command `compare`: two folders of records, for people."""

from pathlib import Path
from typing import Annotated

import typer

from resnet18.cli import options as opt
from resnet18.cli.check import final_records
from resnet18.cli.errors import echo_either, errors_reported
from resnet18.spec.benchmark import Gate
from resnet18.spec.errors import SpecError
from resnet18.spec.load import load_benchmarks

PEOPLE = Gate(seeds=2)
"""Thresholds of `compare`: a spread takes four seeds."""
NOT_IN_TURNS = "The two sides did not run in turns: what the machine did meanwhile counts as a change of time."


def compare_command(
    first: Annotated[Path, typer.Argument(metavar="A", help="Results folder to compare with.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Results folder that is judged.")],
    names: Annotated[list[str] | None, typer.Argument(metavar="[BENCHMARK]...", help="Names or TOML files.")] = None,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Compare two folders of records: bits, accuracy, time and memory. Refused (2) where that would mean nothing."""
    with errors_reported(debug):
        from resnet18.gate.baseline import every_case, obstacles
        from resnet18.gate.check import Sides, check
        from resnet18.report.markdown import check_text

        benchmarks = load_benchmarks(tuple(names or ()))
        a, b = (every_case(benchmarks, final_records(folder)) for folder in (first, second))
        if reasons := obstacles(a, b):
            raise SpecError(f"{first} and {second}", "cannot be compared:\n  " + "\n  ".join(reasons))
        both = [case for case in a if case in b]
        ours = {case: a[case] for case in both}
        judged = check(Sides(head={case: b[case] for case in both}, baseline=ours, base=ours), PEOPLE)
        text = check_text(judged, f"records of {second}", f"those of {first}", PEOPLE.false_alarm_rate)
        echo_either(judged.rows, f"{text}\n\n{NOT_IN_TURNS}", as_json=as_json)
        raise typer.Exit(judged.exit_code)
