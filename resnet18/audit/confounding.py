"""Factors whose effects a table cannot tell apart, and the cases that would."""

from collections.abc import Collection, Iterator, Sequence

from resnet18.audit.design import Factor, Levels, levels_of, never_alone, varying
from resnet18.audit.finding import Remark, counted, listed
from resnet18.audit.reading import Reading
from resnet18.audit.separation import Extra, extra_cases


def confounded_factors(readings: Sequence[Reading]) -> Iterator[Remark]:
    """Find factors that vary between no two cases of a table that agree in all else."""
    for reading in readings:
        cases = levels_of(reading)
        mixed = never_alone(cases.values())
        if not mixed:
            continue
        of = f"{len(mixed)} of {counted(len(varying(cases.values())), 'factor')}"
        bundles = "; ".join(_bundle(bundle) for bundle in _bundles(mixed, cases.values()))
        says = f"{of} never {'varies' if len(mixed) == 1 else 'vary'} alone: {bundles}"
        extras = extra_cases(cases)
        enough = f"{counted(len(extras), 'extra case')} {'is' if len(extras) == 1 else 'are'} enough to separate them"
        yield Remark(reading.name, says, f"{enough}: {'; '.join(map(_shown, extras))}")


def _bundles(factors: Collection[Factor], cases: Collection[Levels]) -> list[list[Factor]]:
    """Return the factors, those together that divide the cases in the same way."""
    found: dict[tuple[int, ...], list[Factor]] = {}
    for factor in sorted(factors):
        levels = [levels.get(factor) for levels in cases]
        found.setdefault(tuple(levels.index(level) for level in levels), []).append(factor)
    return list(found.values())


def _bundle(factors: Sequence[Factor]) -> str:
    names = listed(map(_name, factors))
    return f"{names} (only with others)" if len(factors) == 1 else f"{names} (only together)"


def _name(factor: Factor) -> str:
    """Return the key of a factor, of an operation's presence its name alone."""
    return factor[1] if len(factor) == 2 and factor[0] == "augmentation" else ".".join(factor)


def _shown(extra: Extra) -> str:
    return f'"{extra.base}" with {listed(map(_name, extra.factors))} as in "{extra.like}"'
