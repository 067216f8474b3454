"""`--case`: only some of the tables' cases, by the labels that `resnet18 plan` lists."""

import shlex
from collections.abc import Collection, Sequence
from dataclasses import replace
from difflib import get_close_matches

from resnet18.spec.benchmark import Benchmark
from resnet18.spec.errors import SpecError
from resnet18.spec.hypothesis import with_sub_cases
from resnet18.spec.plan import Plan, every_case

MOST_NEAR = 3


def only_cases(planned: Plan, wanted: Sequence[str], benchmarks: Collection[Benchmark], names: Sequence[str]) -> Plan:
    """Return the plan of these cases alone. A run that other cases share keeps all of its labels.

    Args:
        planned: all that the tables have.
        wanted: each `CASE`, in whichever of the tables has it, or `BENCHMARK/CASE`; none of them: every case.
        benchmarks: the tables.
        names: what the user calls them.

    Raises:
        SpecError: a case that is not planned.
    """
    if not wanted:
        return planned
    labels = dict.fromkeys(label for run in planned.runs for label in run.labels)
    labels.update(dict.fromkeys(one.label for one in planned.not_planned))
    chosen = set[str]()
    for text in wanted:
        found = [label for label in labels if text in _names(label)]
        if not found:
            raise _unknown(text, labels, benchmarks, names)
        chosen.update(found)
    return replace(
        planned,
        runs=tuple(run for run in planned.runs if chosen.intersection(run.labels)),
        not_planned=tuple(one for one in planned.not_planned if one.label in chosen),
    )


def _unknown(text: str, labels: Collection[str], benchmarks: Collection[Benchmark], names: Sequence[str]) -> SpecError:
    """Return what is said of a case that is not planned."""
    where = f'--case "{text}"'
    with_candidates = [with_sub_cases(one) for one in benchmarks]
    if any(text in _names(f"{benchmark.name}/{case.name}") for benchmark, case in every_case(with_candidates)):
        return SpecError(where, "is a candidate of a hypothesis, and planned with those", next_step="add --hypotheses")
    listing = shlex.join(["resnet18", "plan", *names])
    return SpecError(where, f"no table has it{_near(text, labels)}", next_step=f"list the cases with: {listing}")


def _names(label: str) -> tuple[str, str]:
    """Return both ways to name a case."""
    return label, label.partition("/")[2]


def _near(text: str, labels: Collection[str]) -> str:
    """Return ` (did you mean ...?)` with the labels that are nearest, however they are capitalised, or nothing."""
    known = {name.casefold(): label for label in labels for name in _names(label)}
    near = dict.fromkeys(known[one] for one in get_close_matches(text.casefold(), known, n=MOST_NEAR))
    quoted = ", ".join(f'"{label}"' for label in near)
    return f" (did you mean {quoted}?)" if near else ""
