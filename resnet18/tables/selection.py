"""Find the records of cases. A selection is a way of asking: scale, data and options; ids tie its cases to records."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from resnet18.records.record import Record
from resnet18.records.store import differ_in_code, is_done, last_attempts, machine_model
from resnet18.spec.benchmark import Benchmark, Case
from resnet18.spec.claim import MetricCheck
from resnet18.spec.errors import SpecError
from resnet18.spec.experiment import SCALES, Execution, Experiment, is_cifar10
from resnet18.spec.identity import code_hash, ids_of
from resnet18.spec.metric import METRICS, how_many
from resnet18.spec.plan import Plan, absent_device
from resnet18.spec.resolve import DEVICE_OPTION, Request, resolve

MIXED = {
    "several_data_sets": "several data sets of one name",
    "several_codes": "several versions of the code",
    "unknown_machine": "an unknown machine",
    "several_machines": "several machines or installations",
}
"""Where results come from that must not be put together, by code."""
MANY = 1_000
"""Devices of a kind."""
LIBRARIES = ("torch", "cuda", "cudnn", "driver")


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

    @property
    def has_unreliable_times(self) -> bool:
        """Whether the times of a run with a result are unreliable."""
        return any(record.has_unreliable_times for record in self.measured)


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
    def has_to_be_shown(self) -> bool:
        """Whether half of it is recorded, or no run of a case has a result."""
        return self.is_half_recorded or any(case.records and not case.measured for case in self.cases)

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
    ranked = sorted(requests, key=lambda request: (request.data_label, len(request.overrides), request.overrides))
    return tuple(request for scale in reversed(SCALES) for request in ranked if request.scale == scale)


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
    runnable = [benchmark for benchmark in benchmarks if benchmark.can_run]
    return tuple(selection for selection in _selections(runnable, request, records) if selection.records)


def case_records(benchmark: Benchmark, request: Request, records: Collection[Record]) -> tuple[CaseRecords, ...]:
    """Return each case of a benchmark with its records; none where the request's options do not fit it."""
    return next(_selections([benchmark], request, records)).cases


def _selections(benchmarks: Iterable[Benchmark], request: Request, records: Collection[Record]) -> Iterator[Selection]:
    # The report depends on records alone, not on the machine that renders it: of a kind that ran, devices are present.
    present = dict.fromkeys({"cpu", *map(device_of, records)}, MANY)
    by_arm = defaultdict[str, list[Record]](list)
    for record in sorted(records, key=lambda record: record.seed):
        by_arm[record.arm_id].append(record)
    for benchmark in benchmarks:
        try:
            specs = [resolve(benchmark, case, request, seed=0) for case in benchmark.cases]
        except SpecError:
            specs = []
        cases = []
        for case, spec in zip(benchmark.cases, specs, strict=False):
            arm_id = ids_of(*spec).arm_id
            found = tuple(by_arm.get(arm_id, ()))
            cases.append(CaseRecords(case, *spec, arm_id, found, absent_device(spec[1].device, present)))
        yield Selection(benchmark, tuple(cases))


def device_of(record: Record) -> str:
    """Return the kind of device that a record comes from; of a run that ended early, the kind that was asked for."""
    asked = record.spec.execution.device.partition(":")[0]
    return str((record.fingerprint.numerics or {}).get("device", "cpu" if asked == "auto" else asked))


def changes_of(request: Request) -> list[str]:
    """Return the options that change what is trained."""
    options = [override for override in request.overrides if not override.startswith(DEVICE_OPTION)]
    return [option for option in options if option.partition("=")[0].split(".")[0].strip() in Experiment.model_fields]


def is_full_size(request: Request) -> bool:
    """Say whether values may be compared with reported ones: full size, CIFAR-10, and no option that changes a run."""
    return SCALES[request.scale].train_images == "all" and is_cifar10(request.data_label) and not changes_of(request)


def reported_head(request: Request) -> str:
    """Return the head of a column of reported values, which says what they are of where the measured ones differ."""
    return "reported" if is_full_size(request) else "reported, CIFAR-10, full size"


def mixed(records: Collection[Record], *, are_costs: bool, are_compared: bool = False) -> str | None:
    """Return why results of runs must not be put together, or not be compared, as a code of `MIXED`.

    Times and memory must come from one machine with one number of threads for each case, and from one machine with one
    set of libraries for each device. Two unknown machines need not be the same.
    """
    if len({record.fingerprint.identity.data_sha256 for record in records}) > 1:
        return "several_data_sets"
    if are_compared and differ_in_code(records):
        return "several_codes"
    if not are_costs or len(records) < 2:
        return None
    if any(machine_model(record.fingerprint.numerics) is None for record in records):
        return "unknown_machine"
    found = defaultdict[str, set[tuple[object, ...]]](set)
    for record in records:
        numerics = record.fingerprint.numerics or {}
        place = _model(record), *map(numerics.get, LIBRARIES)
        found[record.spec.execution.device].add(place)
        found[record.arm_id].add((*place, numerics.get("threads")))
    return "several_machines" if any(len(places) > 1 for places in found.values()) else None


def machine(record: Record) -> str:
    """Return the GPU or processor of a run, with its threads."""
    threads = (record.fingerprint.numerics or {}).get("threads")
    return f"{_model(record)}, {how_many(int(threads), 'thread')}" if threads else _model(record)


def _model(record: Record) -> str:
    return machine_model(record.fingerprint.numerics) or "unknown machine"


def optimizer_form(record: Record) -> str:
    """Return in which form the optimizer ran (loop, foreach, fused): each takes its own time."""
    return str((record.fingerprint.numerics or {}).get("optimizer_form", ""))


def unreliable_times(benchmarks: Iterable[Benchmark], plan: Plan, records: Iterable[Record]) -> list[Record]:
    """Return the last attempts of a plan's runs whose times are unreliable, in tables that print or compare times.

    A run that did not end `ok` has no time, and a run that other code recorded is run again or kept for another reason.
    """

    def has_times(benchmark: Benchmark) -> bool:
        checks = (check for claim in benchmark.claims for check in claim.checks if isinstance(check, MetricCheck))
        metrics = [about.metric for about in (*benchmark.table.metrics, *checks)]
        return any(METRICS[metric].quantity == "seconds" for metric in metrics)

    timed, known = {benchmark.name for benchmark in benchmarks if has_times(benchmark)}, last_attempts(records)
    return [
        record
        for run in plan.runs
        if (record := known.get(run.run_id)) and any(label.partition("/")[0] in timed for label in run.labels)
        if record.status == "ok" and record.has_unreliable_times
        if is_done(record, code_hash(run.experiment, run.execution))
    ]
