"""What a file states that is left alone, since no printed number bears on it."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from resnet18.audit.finding import quoted
from resnet18.audit.memory import memory_lacks
from resnet18.audit.reading import Reading, reports
from resnet18.audit.statements import rows_of
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.claim import Check, Close, Difference, Overfits, RunStatus, cases_of
from resnet18.spec.printed import parse_printed

EXPERIMENT = "no experiment"


@dataclass(frozen=True)
class Unchecked:
    """A claim, or something printed, that was left alone, wholly or in part."""

    file: str
    what: str
    lacks: str
    """A metric that is not printed, or what is missing, in a few words."""


def unchecked(benchmarks: Collection[Benchmark]) -> tuple[Unchecked, ...]:
    """Return what no finding can be about, in the order of the files."""
    return tuple(
        Unchecked(reading.name, what, lacks)
        for report in reports(benchmarks)
        for reading in report
        for what, lacks in (*_claims(reading), *_printed(reading))
    )


def _claims(reading: Reading) -> Iterator[tuple[str, str]]:
    for claim in reading.benchmark.claims:
        lacks = dict.fromkeys(filter(None, (_lacks(reading, check) for check in claim.checks)))
        if lacks:
            yield claim.id, "; ".join(lacks)


def _lacks(reading: Reading, check: Check) -> str:
    """Return what a check would need to be held against the table, nothing where it has it."""
    match check:
        case RunStatus():
            return check.kind
        case Overfits():
            return "losses by epoch"
    rows = rows_of(reading, check.metric)
    if len(rows) != 1:
        return f"{check.metric}, which {len(rows)} rows may be" if rows else check.metric
    about_is_enough = isinstance(check, Close) or (isinstance(check, Difference) and check.than is None)
    cell = reading.cell if about_is_enough else reading.exact_cell
    return _exact([name for name in cases_of(check) if cell(name, rows[0].metric) is None])


def _exact(cases: list[str]) -> str:
    return f"no exact number of {quoted(dict.fromkeys(cases))}" if cases else ""


def _printed(reading: Reading) -> Iterator[tuple[str, str]]:
    """Yield what the report says about its own numbers and lacks something."""
    printed = reading.benchmark.printed
    for derived in printed.derived:
        number = parse_printed(derived.printed)
        missing = _missing(reading, derived.metric, (derived.of, derived.to))
        lacks = missing or ("no exact result" if number is None or number.is_approximate else "")
        yield from _named(f'"{derived.name}"', lacks)
    for rate in printed.rates:
        number = parse_printed(rate.printed)
        lacks = "no exact number" if number is None or number.is_approximate else ""
        yield from _named(f"learning rate of epoch {rate.epoch}", lacks if reading.specs else EXPERIMENT)
    for memory in printed.memory:
        yield from _named(f'memory of "{memory.case}"', memory_lacks(memory) if reading.specs else EXPERIMENT)
    for work in printed.same_work:
        yield from _named(f"same work of {quoted(work.cases)}", _missing(reading, work.metric, work.cases))


def _missing(reading: Reading, metric: str, cases: Collection[str]) -> str:
    return _exact([name for name in cases if reading.exact_cell(name, metric) is None])


def _named(what: str, lacks: str) -> Iterator[tuple[str, str]]:
    if lacks:
        yield what, lacks
