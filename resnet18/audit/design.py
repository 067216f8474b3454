"""Tables as experimental designs: which factors never vary alone, and extra cases that are enough to separate them.

Between two cases that differ in k factors, k - 1 extra cases let all k vary alone, one after the other. Any other
factor needs an extra case of its own. Pairs that differ in the fewest factors are taken first.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from itertools import combinations
from typing import NamedTuple

from resnet18.audit.reading import Finding, Reading, words
from resnet18.spec.experiment import Execution, Experiment


class Factor(NamedTuple):
    """A key in which cases may differ. Cases that do not have what it is part of do not have the factor."""

    key: str
    within: str = ""
    """The level of what it is part of: the learning rates of two optimizers are two factors."""

    @property
    def name(self) -> str:
        """The key; of an operation its name alone."""
        return self.key if self.within else self.key.removeprefix("augmentation.")


Levels = Mapping[Factor, str]
"""The level of each factor that a case has, as JSON."""


class Extra(NamedTuple):
    """The case `base` with the levels that the case `like` has of some factors."""

    base: str
    factors: tuple[Factor, ...]
    like: str

    def __str__(self) -> str:
        return f'"{self.base}" with {words(factor.name for factor in self.factors)} as in "{self.like}"'


def confounded_factors(reading: Reading) -> Iterator[Finding]:
    """Find factors that vary between no two cases of a table that agree in all else."""
    cases = _levels_of(reading)
    if mixed := never_alone(cases.values()):
        together: defaultdict[tuple[int, ...], list[str]] = defaultdict(list)
        for factor in sorted(mixed):
            levels = [levels.get(factor) for levels in cases.values()]
            together[tuple(levels.index(level) for level in levels)].append(factor.name)
        groups, extras = " / ".join(map(words, together.values())), extra_cases(cases)
        says = f"{len(mixed)} of {len(_varying(cases.values()))} factors never vary alone"
        separate = f"{len(extras)} extra cases would separate them"
        yield Finding(reading.name, says, {"factors that vary only together": groups, separate: extras})


def _levels_of(reading: Reading) -> dict[str, Levels]:
    found: dict[str, Levels] = {
        case.name: _of_experiment(*reading.specs[case.name])
        if case.name in reading.specs
        else {Factor(name): json.dumps(level) for name, level in case.factors.items()}
        for case in reading.benchmark.cases
    }
    absent = {factor: "absent" for levels in found.values() for factor in levels if not factor.within}
    return {name: {**absent, **levels} for name, levels in found.items()}


def _of_experiment(experiment: Experiment, execution: Execution) -> Levels:
    asked = experiment.model_dump(mode="json", exclude={"seed"})
    operations, shown = asked.pop("augmentation"), asked.pop("test_augmentation")
    levels = {
        Factor("device"): execution.device,
        Factor("test_augmentation"): "as augmentation" if shown == operations else json.dumps(shown),
    }
    parts = [(f"augmentation.{operation['name']}", "present", operation) for operation in operations]
    for key, value in asked.items():
        if isinstance(value, dict):
            parts.append((key, value["name"], value))
        else:
            levels[Factor(key)] = json.dumps(value)
    for key, level, part in parts:
        levels[Factor(key)] = level
        levels |= {Factor(f"{key}.{name}", level): json.dumps(part[name]) for name in part if name != "name"}
    return levels


def _varying(cases: Collection[Levels]) -> set[Factor]:
    factors = {factor for levels in cases for factor in levels}
    return {factor for factor in factors if len({levels[factor] for levels in cases if factor in levels}) > 1}


def never_alone(cases: Collection[Levels]) -> set[Factor]:
    """Return the factors that vary, but between no two cases that agree in all else."""
    mixed = set()
    for factor in _varying(cases):
        by_others: defaultdict[frozenset[tuple[Factor, str]], set[str | None]] = defaultdict(set)
        for levels in cases:
            parts = {key for key in levels if key.within and key.key.startswith(f"{factor.key}.")}
            others = frozenset((key, level) for key, level in levels.items() if key != factor and key not in parts)
            by_others[others].add(levels.get(factor))
        if all(len(found) == 1 for found in by_others.values()):
            mixed.add(factor)
    return mixed


def extra_cases(cases: Mapping[str, Levels]) -> list[Extra]:
    """Return cases that, added to the table, let every factor vary alone: enough, but not always the fewest."""
    mixed = never_alone(cases.values())
    pairs = []
    for base, like in combinations(cases, 2):
        shared = cases[base].keys() & cases[like].keys()
        differing = {factor for factor in shared if cases[base][factor] != cases[like][factor]}
        if differing and differing <= mixed:
            pairs.append((base, like, differing))
    extras: list[Extra] = []
    for base, like, differing in sorted(pairs, key=lambda pair: len(pair[2])):
        if differing <= mixed:  # the cases on the way from the one to the other
            factors = tuple(sorted(differing))
            extras += [Extra(base, factors[:count], like) for count in range(1, len(factors))]
            mixed -= differing
    for factor in sorted(mixed):
        base, *others = (name for name, levels in cases.items() if factor in levels)
        like = next(name for name in others if cases[name][factor] != cases[base][factor])
        extras.append(Extra(base, (factor,), like))
    return extras
