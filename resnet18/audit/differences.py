"""How far apart two printed numbers are: accuracies in points, times and memory by ratio in percent."""

from math import inf

from resnet18.audit.reading import COSTS
from resnet18.spec.metric import MARGIN_UNITS, Quantity
from resnet18.spec.printed import Printed

TOLERANCE = 1e-9
"""Numbers that differ by less, relative to their size, differ by the arithmetic of this machine alone."""


def gap(quantity: Quantity, one: Printed, other: Printed) -> float:
    """Return by how much one number is above another, as printed; negative where it is below."""
    return _gap(quantity, one.value, other.value)


def least_gap(quantity: Quantity, one: Printed, other: Printed) -> float:
    """Return the least gap between numbers that round to these."""
    return _gap(quantity, one.low, other.high)


def largest_gap(quantity: Quantity, one: Printed, other: Printed) -> float:
    """Return the largest gap between numbers that round to these."""
    return _gap(quantity, one.high, other.low)


def _gap(quantity: Quantity, one: float, other: float) -> float:
    if quantity not in COSTS:
        return one - other
    return (one / other - 1) * 100 if other > 0 else inf


def differ(one: Printed, other: Printed) -> bool:
    """Say whether no number rounds to both."""
    slack = TOLERANCE * max(abs(one.value), abs(other.value))
    return max(one.low, other.low) > min(one.high, other.high) + slack


def shown_gap(quantity: Quantity, size: float) -> str:
    """Return a gap with its unit: `0.39 points`, `4.8 %`; of what has no unit of its own three digits."""
    digits = ".1f" if quantity in COSTS else ".2f" if quantity == "accuracy" else ".3g"
    return with_unit(quantity, format(size, digits))


def with_unit(quantity: Quantity, number: str) -> str:
    """Return a number with the unit of gaps, where there is one."""
    return f"{number} {MARGIN_UNITS[quantity]}".rstrip()
