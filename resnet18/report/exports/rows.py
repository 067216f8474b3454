"""The cases of a folder with their records, each under a name that no other has."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from resnet18.records.record import Record
from resnet18.records.store import last_attempts
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.errors import one_line
from resnet18.tables.metrics import mixed_machines
from resnet18.tables.selection import CaseRecords, requests_of, select

LONGEST = 1_000
"""Characters of a name: Bencher takes 1,024."""


@dataclass(frozen=True)
class Row:
    """A case under one request, with its records."""

    benchmark: str
    case: str
    name: str
    """Benchmark and case, and the request where the folder holds several; printable, on one line, unique."""
    records: tuple[Record, ...]
    """One for each seed, by seed."""

    @property
    def measured(self) -> tuple[Record, ...]:
        """The records that hold a result, none where several data sets have one name."""
        found = tuple(record for record in self.records if record.status == "ok")
        return found if len({record.fingerprint.identity.data_sha256 for record in found}) < 2 else ()

    @property
    def costed(self) -> tuple[Record, ...]:
        """Those whose memory may be put together: all, none where they come from several machines or an unknown one."""
        found = self.measured
        return found if mixed_machines(found) is None else ()

    @property
    def timed(self) -> tuple[Record, ...]:
        """Those whose times may be put together: without a flag, and of one machine."""
        return tuple(record for record in self.costed if not record.flags)


def rows_of(benchmarks: Collection[Benchmark], records: Collection[Record]) -> tuple[Row, ...]:
    """Return every case that has a record, in the report's order: by request, table and case.

    A request that shows no other run than those before it is left out. The order of the records changes nothing.
    """
    last = tuple(last_attempts(records).values())
    groups, shown = list[tuple[str, list[tuple[Benchmark, CaseRecords]]]](), set[str]()
    for request in requests_of(last):
        views = select(benchmarks, request, last)
        ids = {record.run_id for view in views for record in view.records}
        if not ids <= shown:
            shown |= ids
            arms = [(view.benchmark, arm) for view in views for arm in view.cases if arm.records]
            groups.append((request.described, arms))
    suffixes = [f" ({described})" if len(groups) > 1 else "" for described, _ in groups]
    taken = set[str]()
    return tuple(
        Row(benchmark.name, arm.name, _unique(f"{benchmark.name}/{arm.name}{suffix}", taken), arm.records)
        for suffix, (_, arms) in zip(suffixes, groups, strict=True)
        for benchmark, arm in arms
    )


def _unique(name: str, taken: set[str]) -> str:
    """Return the name in printable characters, cut where it is too long, and numbered where another is the same."""
    base = one_line(name)[:LONGEST]
    found, number = base, 1
    while found in taken:
        number += 1
        found = f"{base} #{number}"
    taken.add(found)
    return found


def time_notes(rows: Collection[Row]) -> Iterator[str]:
    """Yield what is left out of times and memory, and why."""
    costed = {record.run_id: record for row in rows for record in row.costed}
    flagged = [record for record in costed.values() if record.flags]
    if flagged:
        flags = ", ".join(sorted({flag for record in flagged for flag in record.flags}))
        yield f"left out: the times of {len(flagged)} of {len(costed)} runs, which are flagged {flags}"
    for row in rows:
        if row.measured and not row.costed:
            yield f"left out: times and memory of {row.name}, whose runs come from {mixed_machines(row.measured)}"


def mixture_notes(rows: Collection[Row]) -> Iterator[str]:
    """Yield which cases are left out, or put together from records that differ in more than their seeds."""
    for row in rows:
        if not row.measured and any(record.status == "ok" for record in row.records):
            yield f"left out: {row.name}, whose runs were made from several data sets of one name"
        versions = {record.fingerprint.identity.code_hash for record in row.measured}
        if len(versions) > 1:
            yield f"note: {row.name} is put together from records of {len(versions)} versions of the code"
