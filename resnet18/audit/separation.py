"""The fewest extra cases that let every factor of a table vary alone.

An extra case is worth most where it links cases of the table: between two that differ in k factors, k - 1 extra cases
let all k vary alone, one after the other; a factor without such a path needs one of its own. Each further case that is
linked saves one. Cases can be linked without a detour where every factor splits them into two groups, and no two
factors have all four combinations of groups (the four-gamete test: a tree exists on which each factor changes once;
Gusfield, 1991). Links that share a factor save nothing together, so what is looked for is a division of the cases
into such trees, as few as possible, that share no factor.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from resnet18.audit.design import Factor, Levels, differing, is_part, never_alone, parents

SEARCHED = 8
"""Cases that are tried in every division (4,140 of 8). With more, extra cases are enough but perhaps not fewest."""

Tree = tuple[str, ...]


@dataclass(frozen=True)
class Extra:
    """A case of the table with some factors changed."""

    base: str
    factors: tuple[Factor, ...]
    like: str
    """The case that has the other levels."""


def extra_cases(cases: Mapping[str, Levels]) -> tuple[Extra, ...]:
    """Return cases that, added to the table, let every factor vary alone."""
    wanted = never_alone(cases.values())
    trees = _best_division(_linkable(cases, wanted), (), cases, wanted)
    linked: set[Factor] = set().union(*(_factors(tree, cases) for tree in trees))
    found = [extra for tree in trees for extra in _between(tree, cases)]
    return (*found, *(_single(factor, cases) for factor in sorted(wanted - linked)))


def applied(extra: Extra, cases: Mapping[str, Levels]) -> Levels:
    """Return the levels of an extra case."""
    base, like = cases[extra.base], cases[extra.like]
    for factor in extra.factors:
        rest = {key: level for key, level in base.items() if not is_part(key, factor)}
        base = rest | {key: level for key, level in like.items() if is_part(key, factor)}
    return base


def _linkable(cases: Mapping[str, Levels], wanted: frozenset[Factor]) -> Sequence[str]:
    """Return the first cases that differ from another in factors that never vary alone, and in nothing else."""
    distinct: dict[frozenset[tuple[Factor, str]], str] = {}
    for name, levels in cases.items():
        distinct.setdefault(frozenset(levels.items()), name)
    found: list[str] = []
    for name in distinct.values():
        if len(found) < SEARCHED and any(_links(cases[name], cases[other], wanted) for other in distinct.values()):
            found.append(name)
    return found


def _links(one: Levels, other: Levels, wanted: frozenset[Factor]) -> bool:
    between = differing(one, other)
    return bool(between) and between <= wanted


def _best_division(
    names: Sequence[str], trees: tuple[Tree, ...], cases: Mapping[str, Levels], wanted: frozenset[Factor]
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


def _factors(tree: Tree, cases: Mapping[str, Levels]) -> frozenset[Factor]:
    return frozenset[Factor]().union(*(differing(cases[one], cases[two]) for one, two in combinations(tree, 2)))


def _is_tree(tree: Tree, cases: Mapping[str, Levels], free: frozenset[Factor]) -> bool:
    """Say whether a tree links the cases on which each factor, all of them free, changes once."""
    factors = _factors(tree, cases)
    if not factors <= free or any(factors.intersection(parents(factor)) for factor in factors):
        return False
    levels = {factor: [cases[name].get(factor) for name in tree] for factor in factors}
    if any(len(set(each)) > 2 for each in levels.values()):
        return False
    return all(len(set(zip(levels[one], levels[two], strict=True))) < 4 for one, two in combinations(factors, 2))


def _between(tree: Tree, cases: Mapping[str, Levels]) -> Iterator[Extra]:
    """Yield the points of a tree that are no case of the table, each told from the nearest case."""
    root, known = tree[0], {frozenset(cases[name].items()) for name in tree}
    beyond = {
        factor: [name for name in tree if cases[name].get(factor) != cases[root].get(factor)]
        for factor in _factors(tree, cases)
    }
    in_order = sorted(beyond, key=lambda factor: (-len(beyond[factor]), factor))
    for at, factor in enumerate(in_order):
        passed = tuple(one for one in in_order[: at + 1] if set(beyond[factor]) <= set(beyond[one]))
        point = Extra(root, passed, beyond[factor][0])
        levels = applied(point, cases)
        if frozenset(levels.items()) not in known:
            others = [Extra(name, tuple(sorted(differing(levels, cases[name]))), root) for name in beyond[factor]]
            yield min([point, *others], key=lambda extra: len(extra.factors))


def _single(factor: Factor, cases: Mapping[str, Levels]) -> Extra:
    """Return a case that has another case's level of one factor, where both agree in what it is part of."""
    by_parents: dict[tuple[str | None, ...], str] = {}
    for name, levels in cases.items():
        first = by_parents.setdefault(tuple(levels.get(parent) for parent in parents(factor)), name)
        if cases[first].get(factor) != levels.get(factor):
            return Extra(first, (factor,), name)
    raise ValueError(f"{factor} does not vary")
