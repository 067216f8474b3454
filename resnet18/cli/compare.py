"""The command `compare`: two results folders side by side."""

from pathlib import Path
from typing import Annotated

import typer

from resnet18.cli import options as opt
from resnet18.cli.check import final_records
from resnet18.spec.benchmark import Gate
from resnet18.spec.errors import SpecError
from resnet18.spec.load import load_benchmarks

PEOPLE = Gate(seeds=2)
"""Thresholds of `compare`: a spread takes four seeds."""
NOT_IN_TURNS = "The two sides did not run in turns: a difference in time may come from other work on the machine."


def compare_command(
    first: Annotated[Path, typer.Argument(metavar="A", help="Results folder that is the reference.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Results folder that is compared with A.")],
    names: opt.Names = None,
) -> opt.Answer:
    """Compare two results folders: equal results, accuracy, time, memory. Exit code 2: not comparable."""
    from resnet18.gate.baseline import every_case, obstacles
    from resnet18.gate.check import Sides, check, exit_code_of
    from resnet18.report.markdown import check_text

    benchmarks = load_benchmarks(names)
    a, b = (every_case(benchmarks, final_records(folder)) for folder in (first, second))
    if reasons := obstacles(a, b):
        raise SpecError(f"{first} and {second}", "cannot be compared:\n  " + "\n  ".join(reasons))
    ours = {case: records for case, records in a.items() if case in b}
    judged = check(Sides(head={case: b[case] for case in ours}, baseline=ours, base=ours), PEOPLE)
    text = check_text(judged, f"records of {second}", f"those of {first}", PEOPLE.false_alarm_rate)
    return opt.Answer([finding._asdict() for finding in judged], f"{text}\n\n{NOT_IN_TURNS}", exit_code_of(judged))
