"""Times put in relation: speed-ups, and what training at full size would take. Refused where they mean nothing.

A slice is a case as it stands at paper scale, over fewer images or epochs. Only training is extrapolated: evaluations
do not grow with either.
"""

from collections.abc import Iterable, Iterator

from resnet18.records.content import differ_in_code, knows_machine
from resnet18.records.record import TIME_IS_UNRELIABLE, Record
from resnet18.records.store import is_done, last_attempts
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.claim import MetricCheck
from resnet18.spec.experiment import Experiment
from resnet18.spec.identity import code_hash
from resnet18.spec.metric import METRICS
from resnet18.spec.plan import Plan
from resnet18.spec.resolve import Request, resolve
from resnet18.tables.cells import Cell, Missing, Value, missing, not_averaged
from resnet18.tables.metrics import CURVES, SCOPES, machine, train_s
from resnet18.tables.pace import KNOWN_SIZES, images_of
from resnet18.tables.selection import CaseRecords, Selection
from resnet18.tables.statistics import contrast, ratio_of_medians

FEWEST_FOR_A_BOOTSTRAP = 5
"""Values a side from which the interval of a ratio of medians covers as it says."""
CUT = ("train_images", "epochs", "test_images_epoch", "test_images_last")
"""What a slice may have less of."""


def speed_up(slow: CaseRecords, fast: CaseRecords, metric: str) -> Value | Missing:
    """Return the median time of one case divided by that of another, or why that cannot be said.

    The 95 % interval (percentile bootstrap) is left out with fewer than five runs on either side.
    """
    obstacle = next(_obstacles(slow, fast, metric), None)
    if obstacle is not None:
        return Missing(("not_computed",), obstacle)
    n = len(slow.measured), len(fast.measured)
    ratio, low, high = ratio_of_medians(*_times(slow, fast, metric))
    return Value(ratio, "times", (low, high) if min(n) >= FEWEST_FOR_A_BOOTSTRAP else None, n)


def _times(slow: CaseRecords, fast: CaseRecords, metric: str) -> list[list[float]]:
    return [[CURVES[metric](record) or 0.0 for record in case.measured] for case in (slow, fast)]


def _obstacles(slow: CaseRecords, fast: CaseRecords, metric: str) -> Iterator[str]:
    """Yield why the two must not be divided."""
    yield from (f"no time of {case.name}" for case in (slow, fast) if not case.measured)
    records = [*slow.measured, *fast.measured]
    flags = {flag for record in records for flag in record.flags if flag in TIME_IS_UNRELIABLE}
    obstacles = {
        "the experiments differ": slow.experiment != fast.experiment,
        "data differ": len({record.fingerprint.identity.data_sha256 for record in records}) > 1,
        "versions of the code differ": differ_in_code((slow.measured, fast.measured)),
        "epochs differ": len({len(record.epochs) for record in records}) > 1,
        "an unknown machine": not all(knows_machine(record.fingerprint.numerics) for record in records),
        "several machines in one case": any(len(set(map(machine, case.measured))) > 1 for case in (slow, fast)),
        f"times are unreliable (flags: {', '.join(sorted(flags))})": bool(flags) and metric in SCOPES,
        "a time of 0 s": min(min(times, default=1) for times in _times(slow, fast, metric)) <= 0,
    }
    yield from (what for what, is_so in obstacles.items() if is_so)


def full_size(case: CaseRecords, benchmark: Benchmark, request: Request) -> Experiment | None:
    """Return the experiment that a case is a slice of; None where it is none, or the size of the data is not known."""
    full, _ = resolve(benchmark, case.case, Request("paper", request.data_label), seed=case.experiment.seed)
    whole = case.experiment.model_copy(update={key: getattr(full, key) for key in CUT})
    is_cut = images_at(case.experiment, request) < images_at(full, request)
    return full if request.data_label in KNOWN_SIZES and whole == full and is_cut else None


def can_extrapolate(case: CaseRecords, benchmark: Benchmark, request: Request) -> bool:
    """Say whether a case has times of a slice, none of them unreliable."""
    times = case.measured and not any(record.has_unreliable_times for record in case.measured)
    return bool(times) and full_size(case, benchmark, request) is not None


def has_extrapolation(selection: Selection, request: Request) -> bool:
    """Say whether a table has a time that is extrapolated, and beside it the reported one."""
    prints_it = any(row.metric == "train_s" for row in selection.benchmark.table.metrics)
    return prints_it and any(can_extrapolate(case, selection.benchmark, request) for case in selection.cases)


def images_at(experiment: Experiment, request: Request) -> int:
    """Return how many images pass through training, each as often as it does."""
    sizes = KNOWN_SIZES.get(request.data_label)
    return images_of(experiment, sizes)[0] if sizes else 0


def trained_images(record: Record) -> int:
    """Return how many images passed through training, each as often as it did."""
    return sum(epoch.train.images for epoch in record.epochs)


def extrapolated(case: CaseRecords, benchmark: Benchmark, request: Request) -> Cell:
    """Return seconds of training at full size: mean over runs with its 95 % interval (Student's t), or why none.

    Each run's seconds for an image, times the images of all epochs at full size.
    """
    if not case.measured:
        return missing(case)
    full = full_size(case, benchmark, request)
    if full is None:
        return Missing()
    if (refused := not_averaged(case, is_cost=True)) is not None:
        return refused
    if any(record.has_unreliable_times for record in case.measured):
        return Missing(("not_extrapolated",))
    values = [train_s(record) / trained_images(record) * images_at(full, request) for record in case.measured]
    if len(values) == 1:
        return Value(values[0], "full_size_seconds", n=(1,))
    estimate = contrast([values], [1])
    low, high = estimate.interval()
    return Value(estimate.value, "full_size_seconds", (max(low, 0), high), (len(values),))


def unreliable_times(benchmarks: Iterable[Benchmark], plan: Plan, records: Iterable[Record]) -> list[Record]:
    """Return the last attempts of a plan's runs whose times are unreliable, in tables that print or compare times.

    A run that did not end `ok` has no time, and a run that other code recorded is run again or kept for another reason.
    """
    timed = {benchmark.name for benchmark in benchmarks if _has_times(benchmark)}
    known = last_attempts(records)
    return [
        record
        for run in plan.runs
        if (record := known.get(run.run_id)) and any(label.partition("/")[0] in timed for label in run.labels)
        if record.status == "ok" and record.has_unreliable_times
        if is_done(record, code_hash(run.experiment, run.execution))
    ]


def _has_times(benchmark: Benchmark) -> bool:
    checks = [check for claim in benchmark.claims for check in claim.checks]
    metrics = [row.metric for row in benchmark.table.metrics]
    metrics += [check.metric for check in checks if isinstance(check, MetricCheck)]
    return any(METRICS[metric].quantity == "seconds" for metric in metrics)
