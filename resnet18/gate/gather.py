"""Find the records of each side of a check, by the label of their case."""

from collections.abc import Collection, Mapping, Sequence

from resnet18.records.record import Record
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.errors import UnfinishedError
from resnet18.tables.selection import case_records, requests_of


def head_cases(benchmark: Benchmark, records: Collection[Record], where: str) -> dict[str, tuple[Record, ...]]:
    """Return the records of every case of a benchmark, as it was asked for; a case without any is there, empty.

    Raises:
        UnfinishedError: no record of the benchmark, or records of several ways of asking.
    """
    ways = (case_records(benchmark, request, records) for request in requests_of(records))
    found = [
        {f"{benchmark.name}/{case.name}": case.records for case in cases}
        for cases in ways
        if any(case.records for case in cases)
    ]
    distinct = [one for number, one in enumerate(found) if one not in found[:number]]
    if not distinct:
        raise UnfinishedError(where, f"no record of {benchmark.name}: nothing was measured")
    if len(distinct) > 1:
        raise UnfinishedError(where, "holds records of several scales, data sets or options: give each a folder")
    return distinct[0]


def alike(head: Mapping[str, Sequence[Record]], others: Collection[Record]) -> dict[str, tuple[Record, ...]]:
    """Return, by the same labels, the records of other code that are of the head's experiments."""
    label_of = {record.experiment_id: label for label, of_case in head.items() for record in of_case}
    return {label: tuple(one for one in others if label_of.get(one.experiment_id) == label) for label in head}


def every_case(benchmarks: Collection[Benchmark], records: Collection[Record]) -> dict[str, tuple[Record, ...]]:
    """Return the records of every case that has some; of several ways of asking, all labels but one name theirs."""
    requests = requests_of(records)
    found: dict[str, tuple[Record, ...]] = {}
    for benchmark in benchmarks:
        for request in requests:
            for case in case_records(benchmark, request, records):
                label = f"{benchmark.name}/{case.name}"
                if case.records and found.get(label, case.records) != case.records:
                    label = f"{label} ({', '.join((request.scale, request.data_label, *request.overrides))})"
                if case.records:
                    found[label] = case.records
    return found
