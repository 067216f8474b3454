"""What a reader must know of a table's costs: unreliable times, times of the data loader, and memory by source."""

from collections.abc import Callable, Sequence
from statistics import fmean, median

import pandas as pd

from resnet18.records.record import Record
from resnet18.spec.resolve import Request
from resnet18.tables.cells import DAGGER, NOTHING, missing
from resnet18.tables.markdown import escape, table
from resnet18.tables.metrics import SCOPES
from resnet18.tables.selection import CaseRecords, Selection, reported_head

MOST_CAUSES = 3
LOADER_BOUND = 0.5
"""Share of the training time spent waiting for data from which a time says more of the loader than of the device."""
MEBIBYTE = 2**20


def unreliable_notes(view: Selection) -> list[str]:
    """Return what the dagger beside a time means here: it decides no verdict and enters no speed-up."""
    unreliable = [record for record in view.measured if record.has_unreliable_times]
    if not unreliable or not _has_times(view):
        return []
    causes = sorted({text for record in unreliable for text in record.unreliable_because or record.flags})
    shown = [*causes[:MOST_CAUSES], *([f"and {len(causes) - MOST_CAUSES} more"] if len(causes) > MOST_CAUSES else [])]
    times = f"the times of {len(unreliable)} of {len(view.measured)} runs are unreliable"
    return [f"-{DAGGER}: {times}: they decide no verdict and enter no speed-up. {escape('; '.join(shown))}."]


def loader_notes(view: Selection) -> list[str]:
    """Return a warning for the cases whose time is mostly waiting for data, and what a step costs beside an image."""
    if not _has_times(view):
        return []
    shares = {arm.name: _waiting_share(arm.measured) for arm in view.cases if arm.measured}
    bound = {name: share for name, share in shares.items() if share > LOADER_BOUND}
    notes = []
    if bound:
        cases = ", ".join(f'"{name}" ({100 * share:.0f} %)' for name, share in bound.items())
        notes.append(
            f"- These times measure the data loader, not the device (share of training spent waiting): {escape(cases)}."
        )
    return notes + _first_epoch_note(view) + _step_note(view)


def _first_epoch_note(view: Selection) -> list[str]:
    """Return what the first epoch costs beside the later ones: caches fill, libraries choose their kernels."""
    runs = [record for record in view.measured if len(record.epochs) > 1]
    shares = [one.epochs[0].train_s / later_s for one in runs if (later_s := _later_s(one)) > 0]
    if not shares:
        return []
    middle = 100 * (median(shares) - 1)
    return [f"- The first epoch takes {middle:+.0f} % beside the later ones (median of {len(shares)} runs)."]


def _later_s(record: Record) -> float:
    return median(epoch.train_s for epoch in record.epochs[1:])


def _waiting_share(records: Sequence[Record]) -> float:
    train_s = sum(epoch.train_s for record in records for epoch in record.epochs)
    waiting_s = sum(epoch.data_wait_s for record in records for epoch in record.epochs)
    return waiting_s / train_s if train_s else 0.0


def _step_note(view: Selection) -> list[str]:
    """Return the fit of an epoch's time to images and steps, where three cases differ in the batch size alone.

    Time = a + b steps, least squares over the medians: a is what the images cost however they are batched.
    """
    points = [(arm.measured[0].epochs[0].steps, _epoch_s(arm.measured)) for arm in view.cases if arm.measured]
    sizes = {arm.experiment.batch_size for arm in view.cases if arm.measured}
    others = {
        arm.experiment.model_copy(update={"batch_size": 1}).model_dump_json() for arm in view.cases if arm.measured
    }
    if len(sizes) < 3 or len(others) > 1 or len({steps for steps, _ in points}) < 3:
        return []
    mean_steps, mean_s = (fmean(column) for column in zip(*points, strict=True))
    spread = sum((steps - mean_steps) ** 2 for steps, _ in points)
    per_step_s = sum((steps - mean_steps) * (seconds - mean_s) for steps, seconds in points) / spread
    fixed_s = mean_s - per_step_s * mean_steps
    fit = f"{fixed_s:.3g} s for its images and {1e3 * per_step_s:.3g} ms for each step"
    line = f"a line through the medians of {len(points)} batch sizes"
    waiting = f"{100 * _waiting_share(view.measured):.0f} % of the training time is waiting for data"
    return [f"- An epoch takes {fit} ({line}); {waiting}."]


def _epoch_s(records: Sequence[Record]) -> float:
    """Return the median seconds of training of an epoch, the first left out where there are others."""
    return median(epoch.train_s for record in records for epoch in record.epochs[1:] or record.epochs)


def _has_times(view: Selection) -> bool:
    return any(row.metric in SCOPES for row in view.benchmark.table.metrics)


def _above_baseline(record: Record) -> int | None:
    peak, baseline = record.memory.device_peak_bytes, record.memory.device_baseline_bytes
    return None if peak is None or baseline is None else max(peak - baseline, 0)


SOURCES: dict[str, tuple[str, Callable[[Record], int | None]]] = {
    "allocated (torch)": ("memory.allocated_peak_bytes", lambda record: record.memory.allocated_peak_bytes),
    "reserved (torch)": ("memory.reserved_peak_bytes", lambda record: record.memory.reserved_peak_bytes),
    "device less baseline (NVML)": ("memory.device_peak_bytes", _above_baseline),
    "process (NVML)": ("memory.process_peak_bytes", lambda record: record.memory.process_peak_bytes),
    "host, resident (getrusage)": ("memory.rss_peak_bytes", lambda record: record.memory.rss_peak_bytes),
}
"""Each with the record's key whose null gives the reason."""


def memory_lines(view: Selection, request: Request) -> list[str]:
    """Return peaks of memory by case and source in MiB beside what the report printed, with the reasons for gaps."""
    if not view.benchmark.printed.memory or not view.records:
        return []
    printed = {one.case: one.printed for one in view.benchmark.printed.memory}
    head = reported_head(request)
    rows = []
    for arm in view.cases:
        row = {view.benchmark.table.case_title: arm.name}
        row[f"{head or 'reported'}"] = printed.get(arm.name, NOTHING) if head else NOTHING
        row |= {f"{title}, MiB": _peaks(arm, value) for title, (_, value) in SOURCES.items()}
        rows.append({**row, "n (seeds)": str(len(arm.measured))})
    lines = ["Peak memory of a run, median with the lowest and the highest:", "", table(pd.DataFrame(rows)), ""]
    reasons = {
        f"{title}: {record.nulls[key]}"
        for title, (key, value) in SOURCES.items()
        for record in view.measured
        if value(record) is None and key in record.nulls
    }
    return [*lines, *(f"- {escape(one)}." for one in sorted(reasons)), ""]


def _peaks(arm: CaseRecords, value: Callable[[Record], int | None]) -> str:
    if not arm.measured:
        return missing(arm)
    found = [one / MEBIBYTE for record in arm.measured if (one := value(record)) is not None]
    if not found:
        return NOTHING
    middle, low, high = (f"{one:,.0f}" for one in (median(found), min(found), max(found)))
    return middle if low == high else f"{middle} [{low} to {high}]"
