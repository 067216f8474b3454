"""Speed-ups: times of one experiment divided, with an interval, and refused where that means nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from resnet18.records.compare import differ_in_code, knows_machine
from resnet18.records.record import TIME_IS_UNRELIABLE
from resnet18.tables.metrics import CURVES, SCOPES, machine
from resnet18.tables.selection import CaseRecords
from resnet18.tables.statistics import ratio_of_medians

FEWEST_FOR_A_BOOTSTRAP = 5
"""Values a side from which the interval of a ratio of medians covers as it says."""


@dataclass(frozen=True)
class SpeedUp:
    """How many times faster one case is than another, or why that cannot be said."""

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


def speed_up(slow: CaseRecords, fast: CaseRecords, metric: str) -> SpeedUp:
    """Return the median time of one case divided by that of the other.

    Args:
        slow: the case whose time is divided.
        fast: the case by whose time it is divided.
        metric: a time scope; both sides have the same.
    """
    n = len(slow.measured), len(fast.measured)
    if (reason := _obstacle(slow, fast, metric)) is not None:
        return SpeedUp(None, None, n, reason)
    times = [[CURVES[metric](record) or 0.0 for record in case.measured] for case in (slow, fast)]
    if min(min(one) for one in times) <= 0:
        return SpeedUp(None, None, n, "not computed: a time of 0 s")
    ratio, low, high = ratio_of_medians(*times)
    return SpeedUp(ratio, (low, high) if min(n) >= FEWEST_FOR_A_BOOTSTRAP else None, n)


def _obstacle(slow: CaseRecords, fast: CaseRecords, metric: str) -> str | None:
    """Return why the two must not be divided, None where they may."""
    missing = [case.name for case in (slow, fast) if not case.measured]
    if missing:
        return f"not computed: no time of {missing[0]}"
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
    }
    return next((f"not computed: {what}" for what, is_so in obstacles.items() if is_so), None)


def machines_of(cases: Sequence[CaseRecords]) -> list[str]:
    """Return the machines that times come from, each once."""
    return sorted({machine(record) for case in cases for record in case.measured})
