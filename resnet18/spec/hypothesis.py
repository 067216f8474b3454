"""Hypotheses: each candidate for an unknown key becomes a case of its own."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from resnet18.spec.benchmark import Benchmark, Candidate, Case, Hypothesis
from resnet18.spec.resolve import set_value


def with_sub_cases(benchmark: Benchmark) -> Benchmark:
    """Return the benchmark with a case for every candidate, after its own cases."""
    found = [case for one in benchmark.hypotheses for _, _, case in sub_cases(benchmark, one)]
    return benchmark.model_copy(update={"cases": (*benchmark.cases, *found)})


def sub_cases(benchmark: Benchmark, hypothesis: Hypothesis) -> Iterator[tuple[Candidate, Case, Case]]:
    """Yield each candidate with a case that it applies to and the sub-case in which the key has its value.

    Raises:
        SpecError: the case has no such key.
    """
    cases = {case.name: case for case in benchmark.cases}
    for candidate in hypothesis.candidates:
        for name in hypothesis.cases:
            yield candidate, cases[name], _sub_case(benchmark, cases[name], hypothesis.key, candidate)


def _sub_case(benchmark: Benchmark, case: Case, key: str, candidate: Candidate) -> Case:
    values: dict[str, Any] = deepcopy({**benchmark.experiment, **case.experiment})
    where = f'{benchmark.name}: hypothesis "{key}", case "{case.name}"'
    set_value(values, key.split("."), deepcopy(candidate.value), where)
    top = key.split(".", maxsplit=1)[0]
    changed = {**case.experiment, top: values[top]}
    name = f"{case.name} [{key}: {candidate.name}]"
    about_size = case.about_size or key == "image_size"
    return Case(name=name, experiment=changed, execution=case.execution, reported=case.reported, about_size=about_size)
