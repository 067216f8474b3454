"""Tables as experimental designs: which factors never vary alone, and the fewest extra cases that would separate them.

An extra case is worth most where it links cases of the table: between two that differ in k factors, k - 1 extra cases
let all k vary alone, one after the other; a factor without such a path needs one of its own. Each further case that is
linked saves one. Cases can be linked without a detour where every factor splits them into two groups, and no two
factors have all four combinations of groups (the four-gamete test: a tree exists on which each factor changes once;
Gusfield, 1991). Links that share a factor save nothing together, so what is looked for is a division of the cases
into such trees, as few as possible, that share no factor.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations, islice, permutations
from typing import NamedTuple

from resnet18.audit.reading import Finding, Reading, words
from resnet18.spec.experiment import Execution, Experiment

IN_PARTS = {"seed", "augmentation", "test_augmentation", "optimizer", "schedule"}
SEARCHED = 8
"""Cases that are tried in every division (4,140 of 8). With more, extra cases are enough but perhaps not fewest."""


class Factor(NamedTuple):
    """A key in which cases may differ. Cases that do not have what it is part of do not have the factor."""

    key: str
    within: str = ""
    """The level of what it is part of: the learning rates of two optimizers are two factors."""

    @property
    def name(self) -> str:
        """The key; of an operation its name alone."""
        return self.key if self.within else self.key.removeprefix("augmentation.")

    def is_part(self, of: "Factor") -> bool:
        """Say whether the factor is another, or part of it."""
        return f"{self.key}.".startswith(f"{of.key}.")


Levels = Mapping[Factor, str]
"""The level of each factor that a case has, as JSON."""
Tree = tuple[str, ...]
"""The names of cases that are linked."""


class Extra(NamedTuple):
    """The case `base` with the levels that the case `like` has of some factors."""

    base: str
    factors: tuple[Factor, ...]
    like: str

    def __str__(self) -> str:
        return f'"{self.base}" with {words(factor.name for factor in self.factors)} as in "{self.like}"'


def levels_of(reading: Reading) -> dict[str, Levels]:
    """Return the levels of every case, by its name."""
    found: dict[str, Levels] = {
        case.name: _of_experiment(*reading.specs[case.name])
        if case.name in reading.specs
        else {Factor(name): json.dumps(level) for name, level in case.factors.items()}
        for case in reading.benchmark.cases
    }
    absent = {factor: "absent" for levels in found.values() for factor in levels if not factor.within}
    return {name: {**absent, **levels} for name, levels in found.items()}


def _of_experiment(experiment: Experiment, execution: Execution) -> Levels:
    levels = {Factor("device"): execution.device}
    for key, value in experiment.model_dump(mode="json", exclude=IN_PARTS).items():
        levels[Factor(key)] = json.dumps(value)
    for key, level, part in (
        ("optimizer", experiment.optimizer.name, experiment.optimizer),
        ("schedule", experiment.schedule.name, experiment.schedule),
        *((f"augmentation.{operation.name}", "present", operation) for operation in experiment.augmentation),
    ):
        levels[Factor(key)] = level
        for name, value in part.model_dump(mode="json", exclude={"name"}).items():
            levels[Factor(f"{key}.{name}", level)] = json.dumps(value)
    same = experiment.test_augmentation == experiment.augmentation
    shown = [operation.model_dump(mode="json") for operation in experiment.test_augmentation]
    return {**levels, Factor("test_augmentation"): "as augmentation" if same else json.dumps(shown)}


def varying(cases: Collection[Levels]) -> set[Factor]:
    """Return the factors in which cases differ."""
    found: defaultdict[Factor, set[str]] = defaultdict(set)
    for levels in cases:
        for factor, level in levels.items():
            found[factor].add(level)
    return {factor for factor, levels_found in found.items() if len(levels_found) > 1}


def never_alone(cases: Collection[Levels]) -> set[Factor]:
    """Return the factors that vary, but between no two cases that agree in all else."""
    return {factor for factor in varying(cases) if not _is_alone(factor, cases)}


def _is_alone(factor: Factor, cases: Collection[Levels]) -> bool:
    by_others: defaultdict[frozenset[tuple[Factor, str]], set[str | None]] = defaultdict(set)
    for levels in cases:
        others = frozenset((key, level) for key, level in levels.items() if not key.is_part(factor))
        by_others[others].add(levels.get(factor))
    return any(len(found) > 1 for found in by_others.values())


def _differing(one: Levels, other: Levels) -> set[Factor]:
    return {factor for factor in one.keys() & other.keys() if one[factor] != other[factor]}


def confounded_factors(readings: Sequence[Reading]) -> Iterator[Finding]:
    """Find factors that vary between no two cases of a table that agree in all else."""
    for reading in readings:
        cases = levels_of(reading)
        if mixed := never_alone(cases.values()):
            together: defaultdict[tuple[int, ...], list[str]] = defaultdict(list)
            for factor in sorted(mixed):
                levels = [levels.get(factor) for levels in cases.values()]
                together[tuple(levels.index(level) for level in levels)].append(factor.name)
            groups, extras = " / ".join(map(words, together.values())), extra_cases(cases)
            says = f"{len(mixed)} of {len(varying(cases.values()))} factors never vary alone"
            separate = f"{len(extras)} extra cases would separate them"
            yield Finding(reading.at(), says, {"factors that vary only together": groups, separate: extras})


def extra_cases(cases: Mapping[str, Levels]) -> list[Extra]:
    """Return cases that, added to the table, let every factor vary alone."""
    wanted = never_alone(cases.values())
    trees = _best_division(_linkable(cases, wanted), (), cases, wanted)
    linked = {factor for tree in trees for factor in _factors(tree, cases)}
    found = [extra for tree in trees for extra in _between(tree, cases)]
    return [*found, *(_single(factor, cases) for factor in sorted(wanted - linked))]


def applied(extra: Extra, cases: Mapping[str, Levels]) -> Levels:
    """Return the levels of an extra case."""
    changed = {
        key for case in (extra.base, extra.like) for key in cases[case] for of in extra.factors if key.is_part(of)
    }
    kept = {key: level for key, level in cases[extra.base].items() if key not in changed}
    return kept | {key: level for key, level in cases[extra.like].items() if key in changed}


def _linkable(cases: Mapping[str, Levels], wanted: set[Factor]) -> list[str]:
    """Return the first cases that differ from another in factors that never vary alone, and in nothing else."""
    distinct: dict[frozenset[tuple[Factor, str]], str] = {}
    for name, levels in cases.items():
        distinct.setdefault(frozenset(levels.items()), name)

    def is_linked(name: str) -> bool:
        return any(set() < _differing(cases[name], cases[other]) <= wanted for other in distinct.values())

    return list(islice(filter(is_linked, distinct.values()), SEARCHED))


def _best_division(
    names: Sequence[str], trees: tuple[Tree, ...], cases: Mapping[str, Levels], wanted: set[Factor]
) -> tuple[Tree, ...]:
    """Return the division of the cases into the fewest trees, each case joining a tree or starting one."""
    if not names:
        return trees
    name, *others = names
    found = []
    for at, tree in enumerate(trees):
        rest = trees[:at] + trees[at + 1 :]
        taken = {factor for other in rest for factor in _factors(other, cases)}
        if _is_tree((*tree, name), cases, wanted - taken):
            found.append(_best_division(others, ((*tree, name), *rest), cases, wanted))
    found.append(_best_division(others, (*trees, (name,)), cases, wanted))
    return min(found, key=len)


def _factors(tree: Tree, cases: Mapping[str, Levels]) -> set[Factor]:
    return {factor for one, two in combinations(tree, 2) for factor in _differing(cases[one], cases[two])}


def _is_tree(tree: Tree, cases: Mapping[str, Levels], free: set[Factor]) -> bool:
    """Say whether a tree links the cases on which each factor, all of them free, changes once."""
    factors = _factors(tree, cases)
    if not factors <= free or any(one.is_part(other) for one, other in permutations(factors, 2)):
        return False
    levels = [[cases[name].get(factor) for name in tree] for factor in factors]
    splits_in_two = all(len(set(each)) == 2 for each in levels)
    return splits_in_two and all(len(set(zip(*two, strict=True))) < 4 for two in combinations(levels, 2))


def _between(tree: Tree, cases: Mapping[str, Levels]) -> Iterator[Extra]:
    """Yield the points of a tree that are no case of the table, each described from the nearest case."""
    root, known = tree[0], [cases[name] for name in tree]
    beyond = {
        factor: [name for name in tree if cases[name].get(factor) != cases[root].get(factor)]
        for factor in _factors(tree, cases)
    }
    in_order = sorted(beyond, key=lambda factor: (-len(beyond[factor]), factor))
    for at, factor in enumerate(in_order):
        passed = tuple(other for other in in_order[: at + 1] if set(beyond[factor]) <= set(beyond[other]))
        point = Extra(root, passed, beyond[factor][0])
        levels = applied(point, cases)
        if levels not in known:
            others = [Extra(name, tuple(sorted(_differing(levels, cases[name]))), root) for name in beyond[factor]]
            yield min([point, *others], key=lambda extra: len(extra.factors))


def _single(factor: Factor, cases: Mapping[str, Levels]) -> Extra:
    """Return a case that has another case's level of one factor."""
    names = [name for name, levels in cases.items() if factor in levels]
    like = next(name for name in names if cases[name][factor] != cases[names[0]][factor])
    return Extra(names[0], (factor,), like)
