"""Find the records of cases. A selection is a way of asking: scale, data and options; ids tie its cases to records."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from resnet18.records.record import Record
from resnet18.spec.benchmark import Benchmark, Case
from resnet18.spec.data import is_cifar10
from resnet18.spec.errors import SpecError
from resnet18.spec.experiment import SCALES, Execution, Experiment
from resnet18.spec.identity import ids_of
from resnet18.spec.plan import absent_device
from resnet18.spec.resolve import DEVICE_OPTION, Request, resolve

LARGEST_FIRST = ("paper", "small", "smoke")


@dataclass(frozen=True)
class CaseRecords:
    """A case under a selection, with its records."""

    case: Case
    experiment: Experiment
    execution: Execution
    arm_id: str
    records: tuple[Record, ...]
    """One for each seed, by seed."""
    absent: str | None
    """Why it was not run, where no record comes from a device of its kind."""

    @property
    def name(self) -> str:
        """The case's name."""
        return self.case.name

    @property
    def measured(self) -> tuple[Record, ...]:
        """The records that hold a result."""
        return tuple(record for record in self.records if record.status == "ok")


@dataclass(frozen=True)
class Selection:
    """A benchmark under a request, with the records of its cases."""

    benchmark: Benchmark
    cases: tuple[CaseRecords, ...]

    @property
    def records(self) -> tuple[Record, ...]:
        """All records of its cases."""
        return tuple(record for case in self.cases for record in case.records)

    @property
    def measured(self) -> tuple[Record, ...]:
        """The records that hold a result."""
        return tuple(record for case in self.cases for record in case.measured)

    @property
    def is_half_recorded(self) -> bool:
        """Whether half of the cases that could be run have records."""
        possible = [case for case in self.cases if case.records or not case.absent]
        return 2 * sum(bool(case.records) for case in self.cases) >= len(possible)


def requests_of(records: Collection[Record]) -> tuple[Request, ...]:
    """Return every way in which the records were asked for, largest scale first, then the fewest options.

    The same without options is added: an option may have changed nothing, or the other run may have been skipped.
    """
    requests = {Request(record.scale, record.spec.experiment.data, record.spec.overrides) for record in records}
    requests |= {Request(request.scale, request.data, ()) for request in requests}

    def rank(request: Request) -> tuple[int, str, int, tuple[str, ...]]:
        return LARGEST_FIRST.index(request.scale), request.data_label, len(request.overrides), request.overrides

    return tuple(sorted(requests, key=rank))


def selections_by_request(
    benchmarks: Collection[Benchmark], records: Collection[Record]
) -> Iterator[tuple[Request, tuple[Selection, ...]]]:
    """Yield the tables of each request; a request that shows no other run than those before it is left out."""
    shown = set[str]()
    for request in requests_of(records):
        selections = select(benchmarks, request, records)
        ids = {record.run_id for selection in selections for record in selection.records}
        if not ids <= shown:
            shown |= ids
            yield request, selections


def select(benchmarks: Collection[Benchmark], request: Request, records: Collection[Record]) -> tuple[Selection, ...]:
    """Return the benchmarks of which there is a record under the request."""
    by_arm, devices = _by_arm(records), devices_of(records)
    runnable = (benchmark for benchmark in benchmarks if benchmark.can_run)
    selections = (Selection(benchmark, _cases(benchmark, request, by_arm, devices)) for benchmark in runnable)
    return tuple(selection for selection in selections if selection.records)


def case_records(benchmark: Benchmark, request: Request, records: Collection[Record]) -> tuple[CaseRecords, ...]:
    """Return each case of a benchmark with its records; none where the request's options do not fit it."""
    return _cases(benchmark, request, _by_arm(records), devices_of(records))


def devices_of(records: Collection[Record]) -> Mapping[str, int]:
    """Return how many devices of each kind records come from, which is all that counts as present.

    The report depends on records alone, not on the machine that renders it.
    """
    found = {"cpu": 1}
    for record in records:
        kind, index = device_of(record), record.spec.execution.device.partition(":")[2]
        found[kind] = max(found.get(kind, 1), int(index or 0) + 1)
    return {**found, "cpu": 1}


def device_of(record: Record) -> str:
    """Return the kind of device that a record comes from; of a run that ended early, the kind that was asked for."""
    asked = record.spec.execution.device.partition(":")[0]
    return str((record.fingerprint.numerics or {}).get("device", "cpu" if asked == "auto" else asked))


def _by_arm(records: Collection[Record]) -> dict[str, list[Record]]:
    by_arm: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda record: record.seed):
        by_arm.setdefault(record.arm_id, []).append(record)
    return by_arm


def _cases(
    benchmark: Benchmark, request: Request, by_arm: dict[str, list[Record]], devices: Mapping[str, int]
) -> tuple[CaseRecords, ...]:
    found = []
    for case in benchmark.cases:
        try:
            experiment, execution = resolve(benchmark, case, request, seed=0)
        except SpecError:
            return ()
        key = ids_of(experiment, execution).arm_id
        absent = absent_device(execution, devices)
        found.append(CaseRecords(case, experiment, execution, key, tuple(by_arm.get(key, ())), absent))
    return tuple(found)


def reported_head(request: Request) -> str | None:
    """Return the head under which reported values may stand beside measured ones; None where they may not."""
    options = [override for override in request.overrides if not override.startswith(DEVICE_OPTION)]
    changed = any(option.partition("=")[0].split(".")[0].strip() in Experiment.model_fields for option in options)
    if changed or not is_cifar10(request.data_label) or request.scale == "smoke":
        return None
    return "reported" if SCALES[request.scale].train_images == "all" else "reported at full size"
