"""Baselines: folders of committed records, a folder for each machine; the sides of a check; what may be compared.

    results/baseline/KEY/index.json, results/baseline/KEY/records/RUN.ATTEMPT.json

KEY is a digest of the numerics of its runs: inside equal numerics bits are promised. Statistics are compared within a
coarser class: data, torch's minor version, precision.
"""

import json
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated

from pydantic import Field

from resnet18.records import disk
from resnet18.records.record import Record
from resnet18.records.store import Store, differ_in_code, machine_model
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.errors import IntegrityError, Model, SpecError, SuiteError, UnfinishedError
from resnet18.spec.identity import digest
from resnet18.spec.resolve import Request
from resnet18.spec.validation import first_finding, strict_json
from resnet18.tables.selection import case_records, requests_of

Cases = Mapping[str, Sequence[Record]]
"""Records by the label of their case, `benchmark/case`."""
INDEX = "index.json"
MAKE_ONE = "make one with: make baseline"


class KeptCase(Model):
    """A case of a baseline."""

    arm_id: str
    saved_bytes: Annotated[int, Field(ge=1)]
    """That autograd saves of a training batch."""


class Index(Model):
    """What a baseline holds."""

    schema_version: Annotated[int, Field(ge=1, le=1)]
    commit: str
    cases: dict[str, KeptCase]


@dataclass(frozen=True)
class Baseline:
    """A baseline that was read."""

    folder: Path
    index: Index
    records: tuple[Record, ...]

    @property
    def cases(self) -> Cases:
        """The records of each case."""
        kept = self.index.cases.items()
        return {label: [record for record in self.records if record.arm_id == case.arm_id] for label, case in kept}


def statistics_class(record: Record) -> tuple[object, ...]:
    """Return what accuracies must agree in to be compared: data, torch's minor version, precision."""
    numerics = _numerics(record)
    return numerics["data_sha256"], ".".join(str(numerics.get("torch")).split(".")[:2]), numerics.get("precision")


def numerics_key(records: Collection[Record]) -> str:
    """Return the name of the baseline of records: a digest of data and numerics of every case."""
    prints = {record.arm_id: record.fingerprint for record in records}
    return digest({key: [found.identity.data_sha256, found.numerics] for key, found in prints.items()})[:12]


def keep(root: Path, cases: Cases, saved_bytes: Mapping[str, int], source: Store) -> Path:
    """Copy records into the baseline of their numerics, in place of the one that was there, and return its folder.

    Raises UnfinishedError if a case has no result, SpecError if no commit names the code that made them.
    """
    records = [record for of_case in cases.values() for record in of_case]
    if not records or not all(cases.values()) or any(record.status != "ok" for record in records):
        raise UnfinishedError(str(source.results), "a baseline needs results of every case")
    commits = {record.fingerprint.identity.commit for record in records}
    if len(commits) != 1 or None in commits or any(record.fingerprint.identity.dirty for record in records):
        reason = "the records are not of one clean commit"
        raise SpecError(str(source.results), reason, next_step="commit, then: make baseline")
    folder = root / numerics_key(records)
    shutil.rmtree(folder, ignore_errors=True)
    store = Store(folder)
    store.make_writable()
    for record in records:
        store.save(record)
    shutil.rmtree(store.logs)
    kept = {label: KeptCase(arm_id=found[0].arm_id, saved_bytes=saved_bytes[label]) for label, found in cases.items()}
    index = Index(schema_version=1, commit=str(commits.pop()), cases=kept)
    disk.replace(folder / INDEX, (json.dumps(index.model_dump(), indent=1) + "\n").encode())
    return folder


def read_baseline(folder: Path) -> Baseline:
    """Return the baseline of a folder.

    Raises IntegrityError if its index or a record is damaged or of another version, UnfinishedError without records.
    """
    try:
        index = Index.model_validate(strict_json(disk.read(folder / INDEX)))
    except (OSError, ValueError, IntegrityError) as error:
        reason = f"is no index of a baseline that this suite reads: {first_finding(error, 'index')}"
        raise IntegrityError(str(folder / INDEX), reason, next_step=f"update the suite, or {MAKE_ONE}") from None
    readings = Store(folder).read()
    if readings.refused:
        first = readings.refused[0]
        raise IntegrityError(str(folder), f"damaged: {first.where}: {first.what}", next_step=MAKE_ONE)
    if not readings.records:
        raise UnfinishedError(str(folder), "the baseline has no records", next_step=MAKE_ONE)
    return Baseline(folder, index, readings.records)


def baseline_for(root: Path, cases: Cases, say: Callable[[str], None]) -> Baseline:
    """Return the baseline to judge records by: that of their numerics, else the largest of their class.

    `say` is told of those that cannot be read. Raises UnfinishedError if none fits, as `read_baseline` if none is read.
    """
    found, left_out = list[Baseline](), list[SuiteError]()
    for path in sorted(root.glob(f"*/{INDEX}")):
        try:
            found.append(read_baseline(path.parent))
        except SuiteError as error:
            left_out.append(error)
            say(f"left out: {error}")
    if not found:
        raise left_out[0] if left_out else UnfinishedError(str(root), "no baseline", next_step=MAKE_ONE)
    head = [record for of_case in cases.values() for record in of_case if record.status == "ok"]
    key = numerics_key(head)
    classes = {statistics_class(record) for record in head}
    fitting = [kept for kept in found if classes <= {statistics_class(record) for record in kept.records}]
    if not fitting:
        ours = "; ".join(sorted("data {:.8}…, torch {}, precision {}".format(*map(str, parts)) for parts in classes))
        unread = "".join(f"; left out: {error.where}" for error in left_out)
        raise UnfinishedError(str(root), f"no baseline of this class ({ours}){unread}", next_step=MAKE_ONE)
    return max(fitting, key=lambda kept: (kept.folder.name == key, len(kept.records)))


def head_cases(benchmark: Benchmark, records: Collection[Record], where: str) -> Cases:
    """Return the records of every case of a benchmark, as it was asked for; a case without any is there, empty.

    Raises UnfinishedError if there is no record of the benchmark, or if they were asked for in several ways.
    """
    asked = (_by_label(benchmark, request, records) for request in requests_of(records))
    found = [cases for cases in asked if any(cases.values())]
    if not found:
        raise UnfinishedError(where, f"no record of {benchmark.name}: nothing was measured")
    if any(cases != found[0] for cases in found):
        raise UnfinishedError(where, "holds records of several scales, data sets or options: give each a folder")
    return found[0]


def _by_label(benchmark: Benchmark, request: Request, records: Collection[Record]) -> Cases:
    return {f"{benchmark.name}/{case.name}": case.records for case in case_records(benchmark, request, records)}


def every_case(benchmarks: Collection[Benchmark], records: Collection[Record]) -> Cases:
    """Return the records of every case that has some; later labels of several ways of asking name theirs."""
    found: dict[str, Sequence[Record]] = {}
    for benchmark, request in product(benchmarks, requests_of(records)):
        asked = ", ".join((request.scale, request.data_label, *request.overrides))
        for label, of_case in _by_label(benchmark, request, records).items():
            if of_case:
                found[label if found.get(label, of_case) == of_case else f"{label} ({asked})"] = of_case
    return found


def obstacles(first: Cases, second: Cases) -> list[str]:
    """Return why two folders of records cannot be compared; nothing where they can."""
    found = []
    for which, cases in (("the first", first), ("the second", second)):
        if any(record.fingerprint.identity.dirty for records in cases.values() for record in records):
            found.append(f"{which} has records of a checkout with uncommitted changes, which cannot be made again")
        if differ_in_code(record for records in cases.values() for record in records):
            found.append(f"{which} has records of several versions of the code")
    both = [case for case in first if first[case] and second.get(case)]
    for case in both:
        pair = first[case][0], second[case][0]
        for key in other_numerics(*pair):
            old, new = (_numerics(record).get(key, "unknown") for record in pair)
            found.append(f"{case}: {key}" + (f" is {old} and {new}" if old != new else ""))
    return found if both else [*found, "no case has records in both"]


def other_numerics(first: Record, second: Record) -> list[str]:
    """Return the fields in which data and numerics of two records differ: then no bits are promised.

    Nor are they where the processor is unknown: two unknown processors need not be equal.
    """
    a, b = _numerics(first), _numerics(second)
    unknown = [] if machine_model(a) or machine_model(b) else ["cpu_model, which is unknown"]
    return [*(key for key in a | b if a.get(key) != b.get(key)), *unknown]


def _numerics(record: Record) -> dict[str, object]:
    numerics = sorted((record.fingerprint.numerics or {}).items())
    return {"data_sha256": record.fingerprint.identity.data_sha256, **dict(numerics)}
