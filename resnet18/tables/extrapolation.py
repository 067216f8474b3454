"""What training at full size would take, from runs of a slice of it: an estimate that decides no claim.

A slice is a case as it stands at paper scale, over fewer images or epochs. Only training is extrapolated: evaluations
do not grow with either.
"""

from collections.abc import Collection
from statistics import fmean

from resnet18.records.record import Record
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.experiment import Experiment
from resnet18.spec.resolve import Request, resolve
from resnet18.tables.cells import DAGGER, NOTHING, missing
from resnet18.tables.metrics import mixed_machines, train_s
from resnet18.tables.pace import KNOWN_SIZES, images_of
from resnet18.tables.selection import CaseRecords, Selection
from resnet18.tables.statistics import contrast

CUT = ("train_images", "epochs", "test_images_epoch", "test_images_last")
"""What a slice may have less of."""


def full_size(case: CaseRecords, benchmark: Benchmark, request: Request) -> Experiment | None:
    """Return the experiment that a case is a slice of; None where it is none, or images of the data are not counted."""
    full, _ = resolve(benchmark, case.case, Request("paper", request.data_label), seed=case.experiment.seed)
    whole = case.experiment.model_copy(update={key: getattr(full, key) for key in CUT})
    cut = _images(case.experiment, request) < _images(full, request)
    return full if request.data_label in KNOWN_SIZES and whole == full and cut else None


def can_extrapolate(case: CaseRecords, benchmark: Benchmark, request: Request) -> bool:
    """Say whether a case has times of a slice, none of them unreliable."""
    times = case.measured and not any(record.has_unreliable_times for record in case.measured)
    return bool(times) and full_size(case, benchmark, request) is not None


def has_extrapolation(selection: Selection, request: Request) -> bool:
    """Say whether a table has a time that is extrapolated, and beside it the reported one."""
    prints_it = any(row.metric == "train_s" for row in selection.benchmark.table.metrics)
    return prints_it and any(can_extrapolate(case, selection.benchmark, request) for case in selection.cases)


def _images(experiment: Experiment, request: Request) -> int:
    """Return how many images pass through training, each as often as it does."""
    sizes = KNOWN_SIZES.get(request.data_label)
    return images_of(experiment, sizes)[0] if sizes else 0


def trained_images(record: Record) -> int:
    """Return how many images passed through training, each as often as it did."""
    return sum(epoch.train.images for epoch in record.epochs)


def extrapolated(case: CaseRecords, benchmark: Benchmark, request: Request) -> str:
    """Return seconds of training at full size: mean over runs with its 95 % interval (Student's t), or why none.

    Each run's seconds for an image, times the images of all epochs at full size.
    """
    if not case.measured:
        return missing(case)
    full = full_size(case, benchmark, request)
    if full is None:
        return NOTHING
    if (mixed := mixed_machines(case.measured)) is not None:
        return f"{mixed}: not averaged"
    if any(record.has_unreliable_times for record in case.measured):
        return f"not extrapolated{DAGGER}"
    values = [train_s(record) / trained_images(record) * _images(full, request) for record in case.measured]
    if len(values) == 1:
        return f"{values[0]:,.0f} (n = 1: no interval)"
    low, high = contrast([values], [1]).interval()
    return f"{fmean(values):,.0f} [{max(low, 0):,.0f}, {high:,.0f}]"


def extrapolation_note(cases: Collection[CaseRecords], benchmark: Benchmark, request: Request) -> list[str]:
    """Return what an extrapolated time is made of, as an item of a list in markdown; nothing where there is none."""
    parts = set()
    for case in cases:
        full = full_size(case, benchmark, request)
        if full is not None and can_extrapolate(case, benchmark, request):
            slices = sorted({f"{trained_images(record):,}" for record in case.measured})
            parts.add(f"{_images(full, request):,} images from {' or '.join(slices)}")
    if not parts:
        return []
    what = f"- Extrapolated to full size: training of {'; '.join(sorted(parts))}, every epoch's counted."
    limits = "The interval knows how runs differ, and not whether a long run keeps its pace. It decides no claim."
    return [f"{what} {limits}"]
