"""A published report checked against itself, by its own words and numbers alone: nothing is trained.

A table is an experimental design, too: factors that never vary alone cannot be told apart.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, combinations, groupby
from textwrap import TextWrapper
from typing import NamedTuple

from resnet18.audit import claims, numbers
from resnet18.audit.reading import Finding, Reading, Unchecked, reports, words
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.errors import visible
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
    """Find factors that vary between no two cases of a table that agree in all else, and cases that separate them."""
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
    """Return cases that, added to the table, let every factor vary alone: enough, but not always the fewest.

    Between two cases that differ in k factors, k - 1 extra cases let all k vary alone, one after the other. Any other
    factor needs an extra case of its own. Pairs that differ in the fewest factors are taken first.
    """
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


Finder = Callable[[Sequence[Reading]], Iterable[Finding | Unchecked]]
"""Finds what is wrong with the tables of one report."""


def _each(check: Callable[[Reading], Iterable[Finding | Unchecked]]) -> Finder:
    return lambda readings: chain.from_iterable(map(check, readings))


KINDS: dict[str, tuple[Finder, str]] = {
    "arithmetic": (_each(numbers.wrong_arithmetic), "a computed number does not follow from the printed cells"),
    "scope": (_each(numbers.other_scope), "a number is stated for one metric and computed from another"),
    "ranking": (_each(claims.contradicted), "the text says what the table does not"),
    "learning rate": (_each(numbers.wrong_rates), "a printed learning rate does not follow from the schedule"),
    "same experiment": (claims.unequal_twins, "one experiment is printed with several values"),
    "same value": (claims.equal_strangers, "several experiments are printed with one value"),
    "sampling error": (_each(claims.within_sampling_error), "a difference is as small as between two random test sets"),
    "noise floor": (claims.below_noise_floor, "a difference is smaller than between two runs of the same work"),
    "confounded": (_each(confounded_factors), "effects cannot be told apart, because their factors never vary alone"),
    "best epoch": (numbers.best_on_test, "the test set chose the epoch, so the printed accuracy is too high"),
    "identity": (_each(numbers.idle_operations), "an image operation changes nothing"),
    "unread": (_each(numbers.unread_cells), "a cell is not read as a number, so nothing is checked with it"),
    "precision": (_each(numbers.uneven_precision), "numbers of one metric are printed with different digits"),
    "unit": (_each(numbers.missing_units), "numbers are printed without their unit"),
    "unstated": (numbers.unstated_values, "the numbers depend on values that the report does not state"),
}
"""In the order in which they are told: contradictions, doubtful differences, the way of measuring, the form."""


def audit(benchmarks: Collection[Benchmark]) -> tuple[list[tuple[str, Finding]], list[Unchecked]]:
    """Return what each report says against itself, by kind, and what could not be checked, by file."""
    together = reports(benchmarks)
    found = [(kind, each) for kind, (check, _) in KINDS.items() for report in together for each in check(report)]
    files = [reading.name for report in together for reading in report]
    unchecked = [each for _, each in found if isinstance(each, Unchecked)]
    findings = [(kind, each) for kind, each in found if isinstance(each, Finding)]
    return findings, sorted(unchecked, key=lambda each: files.index(each.file))


def audit_rows(findings: Sequence[tuple[str, Finding]]) -> list[dict[str, str]]:
    """Return flat rows with the keys `kind`, `where`, `says` and `evidence`."""
    rows = []
    for kind, (where, says, evidence) in findings:
        shown = "; ".join(f"{label}: {text}" for label, value in evidence.items() if (text := words(value)))
        rows.append({"kind": kind, "where": where, "says": says, "evidence": shown})
    return rows


def audit_text(findings: Sequence[tuple[str, Finding]], unchecked: Sequence[Unchecked], files: int) -> str:
    """Return the findings by kind, each with its evidence, how many there are in how many files, what is unchecked."""
    parts = []
    for kind, rows in groupby(audit_rows(findings), key=lambda row: row["kind"]):
        lines = [f"{kind}: {KINDS[kind][1]}"]
        for row in rows:
            lines += [_wrapped(f"{row['where']}: {row['says']}", 2, 4), _wrapped(row["evidence"], 6, 6)]
        parts.append("\n".join(lines))
    count = f"{len(findings)} finding{'s' * (len(findings) > 1)}" if findings else "nothing found"
    parts.append(f"{count} in {files} file{'s' * (files > 1)}")
    if unchecked:
        lines = ["not checked, because something is missing:"]
        for file, found in groupby(unchecked, key=lambda each: each.file):
            lacks = ", ".join(f"{each.label} (no {each.lacks})" for each in found)
            lines.append(_wrapped(f"{file}: {lacks}", 2, 4))
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _wrapped(text: str, first: int, later: int) -> str:
    """Return indented lines of text; whatever comes from a file is made safe for a terminal."""
    around = TextWrapper(110, " " * first, " " * later, break_long_words=False, break_on_hyphens=False)
    return around.fill(visible(text))
