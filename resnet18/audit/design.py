"""Tables as experimental designs: the factors in which cases differ, and which of them never vary alone."""

import json
from collections.abc import Collection, Iterator, Mapping

from pydantic import BaseModel

from resnet18.audit.reading import Reading
from resnet18.spec.experiment import Execution, Experiment

Factor = tuple[str, ...]
"""A path: `("optimizer",)` is a factor, `("optimizer", "lr")` one of cases that share the optimizer."""
Levels = Mapping[Factor, str]
"""The level of each factor that a case has, as JSON."""

IN_PARTS = {"seed", "augmentation", "test_augmentation", "optimizer", "schedule"}
AS_TRAINING = "as augmentation"


def levels_of(reading: Reading) -> dict[str, Levels]:
    """Return the levels of every case, by its name."""
    return {
        case.name: _of_experiment(*reading.specs[case.name])
        if case.name in reading.specs
        else {(name,): json.dumps(level) for name, level in case.factors.items()}
        for case in reading.benchmark.cases
    }


def _of_experiment(experiment: Experiment, execution: Execution) -> Levels:
    levels: dict[Factor, str] = {("device",): execution.device}
    for key, value in experiment.model_dump(mode="json", exclude=IN_PARTS).items():
        levels[key,] = json.dumps(value)
    for key, part in (("optimizer", experiment.optimizer), ("schedule", experiment.schedule)):
        levels |= {(key,): part.name, **_arguments((key,), part)}
    for operation in experiment.augmentation:
        path = ("augmentation", operation.name)
        levels |= {path: "present", **_arguments(path, operation)}
    same = experiment.test_augmentation == experiment.augmentation
    shown = [operation.model_dump(mode="json") for operation in experiment.test_augmentation]
    return {**levels, ("test_augmentation",): AS_TRAINING if same else json.dumps(shown)}


def _arguments(path: Factor, part: BaseModel) -> Levels:
    values = part.model_dump(mode="json", exclude={"name"})
    return {(*path, key): json.dumps(value) for key, value in values.items()}


def differing(one: Levels, other: Levels) -> frozenset[Factor]:
    """Return the factors in which two cases differ. What is part of a differing factor is none of its own."""
    unequal = {factor for factor in {*one, *other} if one.get(factor) != other.get(factor)}
    return frozenset(factor for factor in unequal if not unequal.intersection(parents(factor)))


def parents(factor: Factor) -> Iterator[Factor]:
    """Yield the factors that a factor is part of."""
    return (factor[:length] for length in range(1, len(factor)))


def varying(cases: Collection[Levels]) -> frozenset[Factor]:
    """Return the factors in which any two cases differ."""
    return frozenset(factor for factor in {key for one in cases for key in one} if _varies(factor, cases))


def _varies(factor: Factor, cases: Collection[Levels]) -> bool:
    """Say whether two cases that agree in what the factor is part of differ in it."""
    seen: dict[tuple[str | None, ...], set[str | None]] = {}
    for levels in cases:
        above = tuple(levels.get(parent) for parent in parents(factor))
        seen.setdefault(above, set()).add(levels.get(factor))
    return any(len(found) > 1 for found in seen.values())


def never_alone(cases: Collection[Levels]) -> frozenset[Factor]:
    """Return the factors that vary, but between no two cases that agree in all else."""
    return frozenset(factor for factor in varying(cases) if not _is_alone(factor, cases))


def _is_alone(factor: Factor, cases: Collection[Levels]) -> bool:
    seen: dict[frozenset[tuple[Factor, str]], set[str | None]] = {}
    for levels in cases:
        rest = frozenset((key, level) for key, level in levels.items() if not is_part(key, factor))
        seen.setdefault(rest, set()).add(levels.get(factor))
    return any(len(found) > 1 for found in seen.values())


def is_part(factor: Factor, of: Factor) -> bool:
    """Say whether a factor is another, or part of it."""
    return factor[: len(of)] == of
