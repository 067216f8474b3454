"""Cells of tables: a number with its spread, or a word where there is none."""

from collections.abc import Sequence
from statistics import fmean, median, stdev

from resnet18.records.record import Status
from resnet18.spec.plan import OUT_OF_MEMORY
from resnet18.tables.metrics import clean_accuracy
from resnet18.tables.selection import CaseRecords
from resnet18.tables.statistics import contrast, sampling_error

NOTHING = "\N{EN DASH}"
STATUS_TEXT: dict[Status, str] = {
    "ok": "ok",
    "oom_device": OUT_OF_MEMORY,
    "oom_host": "Out of Memory (host)",
    "diverged": "diverged",
    "timeout": "timed out",
    "crashed": "crashed",
    "interrupted": "interrupted",
    "unsupported": "unsupported",
}
DAGGER = " \N{DAGGER}"
"""Beside a time that is unreliable."""


def missing(case: CaseRecords) -> str:
    """Return what stands in a cell without a number: how the runs ended, or why there are none."""
    if case.records:
        return ", ".join(dict.fromkeys(STATUS_TEXT[record.status] for record in case.records))
    return f"not run: {case.absent}" if case.absent else "not run"


def accuracy(shares: Sequence[float]) -> str:
    """Return the mean in percent with its 95 % interval over seeds (Student's t); the mean alone for one seed."""
    return _mean(shares, ".2f", " %", (0, 100))


def gap(shares: Sequence[float]) -> str:
    """Return the mean difference in points with its 95 % interval over seeds; the mean alone for one seed."""
    return _mean(shares, "+.2f", "", (-100, 100))


def _mean(shares: Sequence[float], form: str, unit: str, ends: tuple[float, float]) -> str:
    """Return a mean of shares in percent, its interval cut at what a share can be."""
    values = [100 * share for share in shares]
    mean = f"{fmean(values):{form}}{unit}"
    if len(values) == 1:
        return mean
    low, high = contrast([values], [1]).interval()
    return f"{mean} [{max(low, ends[0]):{form}}, {min(high, ends[1]):{form}}]"


def seconds(values: Sequence[float]) -> str:
    """Return the median, with the lowest and the highest where they differ."""
    digits = _digits(median(values))
    middle, low, high = (f"{one:.{digits}f}" for one in (median(values), min(values), max(values)))
    return middle if low == high else f"{middle} [{low} to {high}]"


def errors(case: CaseRecords) -> str:
    """Return the standard deviation over seeds, and the standard error of the test set (clean accuracy)."""
    if not case.measured:
        return missing(case)
    shares = [clean_accuracy(record) for record in case.measured]
    images = min(record.epochs[-1].clean.images for record in case.measured)
    seeds = f"{100 * stdev(shares):.2f}" if len(shares) > 1 else NOTHING
    return f"{seeds} / {100 * sampling_error(fmean(shares), images):.2f}"


def _digits(value: float) -> int:
    """Return the decimals of a time: three significant digits are more than a shared machine repeats."""
    return 2 if value < 10 else 1 if value < 1_000 else 0
