"""Quantities: the metrics of a record, numbers as a report printed them, sizes of memory, and durations."""

import re
from dataclasses import dataclass
from math import isfinite
from typing import Literal

Quantity = Literal["accuracy", "seconds", "bytes", "loss", "slope", "epochs", "other"]

TABLE_METRICS = ("best_accuracy", "train_s", "whole_program_s")
"""Metrics that a table of a benchmark that can be run may print."""


@dataclass(frozen=True)
class MetricFacts:
    """What a metric is, in words."""

    title: str
    quantity: Quantity
    needs: str = ""  # without which a run has no such value
    is_share: bool = False  # a value is a percentage; a difference of two is in points
    is_change: bool = False  # within one run: a bound on it is a direction, on any other metric a value
    unit: str = ""  # of a metric that is not the suite's own

    @property
    def takes_logs(self) -> bool:
        """Whether values are compared by ratio, as times and memory are: their logarithms are averaged."""
        return self.quantity in {"seconds", "bytes"}

    @property
    def margin_unit(self) -> str:
        """The unit of a margin."""
        return MARGIN_UNITS[self.quantity] or self.unit


CLEAN, ALIKE = "clean test accuracy", "epochs tested on equally many images"
QUARTERS = f"{CLEAN}, last quarter of epochs minus the quarter before"
CUT = f"a cut of the learning rate, with 3 {ALIKE} on either side"
AT_CUT = f"{CLEAN} after the {{}} cut of the learning rate minus before"
METRICS: dict[str, MetricFacts] = {
    "best_accuracy": MetricFacts("best test accuracy, as published", "accuracy", is_share=True),
    "clean_accuracy": MetricFacts(CLEAN, "accuracy", is_share=True),
    "train_s": MetricFacts("time of training alone", "seconds"),
    "whole_program_s": MetricFacts("time of the whole program", "seconds"),
    "process_peak_bytes": MetricFacts("peak device memory of the process", "bytes", "a measurement of device memory"),
    "final_train_accuracy": MetricFacts("training accuracy, last epoch", "accuracy", is_share=True),
    "final_train_loss": MetricFacts("training loss, last epoch", "loss"),
    "train_loss_drop": MetricFacts("training loss, first epoch minus last", "loss", "2 epochs", is_change=True),
    "test_loss_drop": MetricFacts("clean test loss, first epoch minus last", "loss", f"2 {ALIKE}", is_change=True),
    "train_loss_slope": MetricFacts("training loss per epoch, second half", "slope", f"5 {ALIKE}"),
    "test_loss_slope": MetricFacts("clean test loss per epoch, second half", "slope", f"5 {ALIKE}"),
    "lowest_loss_epoch": MetricFacts("epoch of the lowest clean test loss", "epochs", f"5 {ALIKE}"),
    "generalization_gap": MetricFacts(f"training accuracy of the last epoch minus {CLEAN}", "accuracy"),
    "epochs": MetricFacts("epochs", "epochs"),
    "epochs_to_level": MetricFacts(f"epochs until {CLEAN} reaches a level", "epochs", f"5 {ALIKE}"),
    "epochs_to_plateau": MetricFacts(f"epochs until {CLEAN} is within 2 points of its highest", "epochs", f"5 {ALIKE}"),
    "jitter": MetricFacts(f"noise of {CLEAN} from epoch to epoch", "accuracy", f"5 {ALIKE}"),
    "late_gain": MetricFacts(QUARTERS, "accuracy", f"8 {ALIKE}", is_change=True),
    "gain_at_first_cut": MetricFacts(AT_CUT.format("first"), "accuracy", CUT, is_change=True),
    "gain_at_last_cut": MetricFacts(AT_CUT.format("last"), "accuracy", CUT, is_change=True),
}
MARGIN_UNITS: dict[Quantity, str] = {"accuracy": "points", "seconds": "%", "bytes": "%", "loss": "nats", "slope": "%"}
MARGIN_UNITS |= {"epochs": "epochs", "other": ""}
"""The unit of a margin. Times and memory are compared by ratio: their margin is a percentage."""
UNITS_OF: dict[Quantity, dict[str, float]] = {
    "accuracy": {"%": 1.0, "points": 1.0},
    "seconds": {"s": 1.0, "ms": 1e-3, "min": 60.0, "h": 3_600.0},
    "bytes": {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30},
}
"""The units of a quantity in percent, seconds or bytes; a quantity that is not listed needs none."""
UNITS = {unit: worth for units in UNITS_OF.values() for unit, worth in units.items()}
LARGEST_SIZE = 2**50


def quantity_of(metric: str) -> Quantity:
    """Return what a metric measures; of one that is not the suite's own, `other`."""
    return METRICS[metric].quantity if metric in METRICS else "other"


def units_of_values(quantity: Quantity) -> list[str]:
    """Return the units that values of a quantity can be in, the usual one first; none where it has no unit."""
    return [unit for unit, worth in UNITS_OF.get(quantity, {}).items() if worth == 1]


_NUMBER = re.compile(
    r"(?P<about>about |approximately |approx\. |circa |ca\. |~ ?)?(?P<number>[+-]?\d[\d,]*(\.\d+)?(e[+-]?\d+)?)"
    r"\s*(?P<unit>%|[A-Za-z]+)?",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True)
class PrintedNumber:
    """A printed number, in percent, seconds, bytes, or without a unit."""

    text: str
    value: float
    half_step: float  # half of the last printed digit: the true value lies within it on either side
    decimals: int  # digits after the point, as printed
    unit: str  # empty where none was printed
    is_approximate: bool

    @property
    def low(self) -> float:
        """The least number that rounds to this one."""
        return self.value - self.half_step

    @property
    def high(self) -> float:
        """The greatest number that rounds to this one."""
        return self.value + self.half_step

    @property
    def digits(self) -> str:
        """The digits as printed, from the first that is not zero; those of an exponent are left out."""
        mantissa = self.text.lower().partition("e")[0]
        return "".join(filter(str.isdigit, mantissa)).lstrip("0")


def parse_printed(text: str) -> PrintedNumber | None:
    """Return the number that a string is, None where it is none: "Out of Memory"."""
    found = _NUMBER.fullmatch(text.strip())
    if found is None or (found["unit"] and found["unit"] not in UNITS):
        return None
    digits = found["number"].replace(",", "")
    mantissa, _, exponent = digits.lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    worth = UNITS[found["unit"]] if found["unit"] else 1.0
    value = float(digits) * worth
    half_step = 0.5 * float(f"1e{int(exponent or 0) - decimals}") * worth
    if not isfinite(value) or not isfinite(half_step):  # 0e999 is 0 to the nearest infinity
        return None
    return PrintedNumber(text, value, half_step, decimals, found["unit"] or "", found["about"] is not None)


def memory_in_bytes(text: object) -> int:
    """Return the bytes of a memory such as `24GiB`, to the nearest. As cards are sold, `24 GB` are 24 GiB.

    Raises ValueError if no memory has such a size, and at "about" so much.
    """
    binary = text.replace("GB", "GiB").replace("MB", "MiB") if isinstance(text, str) else ""
    printed = parse_printed(binary)
    is_exact = printed and not printed.is_approximate and printed.unit in UNITS_OF["bytes"]
    size = round(printed.value) if printed and is_exact else 0
    if not 1 <= size <= LARGEST_SIZE:
        units = ", ".join(UNITS_OF["bytes"])
        raise ValueError(f'"{text}" is no size of a memory; write a number and one of {units}, for example "24GiB"')
    return size


def how_many(number: int, noun: str) -> str:
    """Return a number of things: `1 run`, `2,000 runs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return a length of time: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:.1f} h"
