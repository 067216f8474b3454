"""Speed-ups: times of one experiment divided, with an interval, and refused where that means nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from resnet18.analysis.metrics import CURVES, SCOPES, machine
from resnet18.analysis.sample import TIME_IS_UNRELIABLE
from resnet18.analysis.statistics import ratio_of_medians
from resnet18.analysis.view import Arm
from resnet18.records.compare import knows_machine
from resnet18.records.record import Record

FEWEST_FOR_A_BOOTSTRAP = 5
"""Values a side from which the interval of a ratio of medians covers as it says."""


@dataclass(frozen=True)
class SpeedUp:
    """How many times faster one arm is than another, or why that cannot be said."""

    ratio: float | None
    interval: tuple[float, float] | None
    """95 %, percentile bootstrap; None with fewer than five runs on either side."""
    n: tuple[int, int]
    reason: str = ""

    @property
    def text(self) -> str:
        """The ratio with its interval or its n, or the reason why there is none."""
        if self.ratio is None:
            return self.reason
        if self.interval is not None:
            return f"{self.ratio:.3g} [{self.interval[0]:.3g}, {self.interval[1]:.3g}]"
        return f"{self.ratio:.3g} (n = {self.n[0]} and {self.n[1]}: no interval)"


def speed_up(slow: Arm, fast: Arm, metric: str) -> SpeedUp:
    """Return the median time of one arm divided by that of the other.

    Args:
        slow: the arm whose time is divided.
        fast: the arm by whose time it is divided.
        metric: a time scope; both sides have the same.
    """
    n = len(slow.measured), len(fast.measured)
    if (reason := _obstacle(slow, fast, metric)) is not None:
        return SpeedUp(None, None, n, reason)
    times = [[CURVES[metric](record) or 0.0 for record in arm.measured] for arm in (slow, fast)]
    if min(min(one) for one in times) <= 0:
        return SpeedUp(None, None, n, "not computed: a time of 0 s")
    ratio, low, high = ratio_of_medians(*times)
    return SpeedUp(ratio, (low, high) if min(n) >= FEWEST_FOR_A_BOOTSTRAP else None, n)


def _obstacle(slow: Arm, fast: Arm, metric: str) -> str | None:
    """Return why the two must not be divided, None where they may."""
    for arm in (slow, fast):
        if not arm.measured:
            return f"not computed: no time of {arm.case.name}"
    if slow.experiment != fast.experiment:
        return "not computed: the experiments differ"
    for what, value in {
        "data differ": _data,
        "versions of the code differ": _code,
        "epochs differ": _epochs,
    }.items():
        if len({value(record) for arm in (slow, fast) for record in arm.measured}) > 1:
            return f"not computed: {what}"
    if mixed := _mixed((slow, fast)):
        return f"not computed: {mixed}"
    flags = {flag for arm in (slow, fast) for one in arm.measured for flag in one.flags if flag in TIME_IS_UNRELIABLE}
    if flags and metric in SCOPES:
        return f"not computed: times are unreliable (flags: {', '.join(sorted(flags))})"
    return None


def _mixed(arms: Sequence[Arm]) -> str | None:
    """Return why the machines of two arms forbid it: two that are known may differ, and are named then."""
    if not all(knows_machine(record.fingerprint.numerics) for arm in arms for record in arm.measured):
        return "an unknown machine"
    is_mixed = any(len({machine(record) for record in arm.measured}) > 1 for arm in arms)
    return "several machines in one arm" if is_mixed else None


def _data(record: Record) -> object:
    return record.fingerprint.identity.data_sha256


def _code(record: Record) -> object:
    return record.fingerprint.identity.code_hash


def _epochs(record: Record) -> object:
    return len(record.epochs)


def machines_of(arms: Sequence[Arm]) -> list[str]:
    """Return the machines that times come from, each once."""
    return sorted({machine(record) for arm in arms for record in arm.measured})
