"""Numbers that a report computed from cells of its table."""

from collections.abc import Iterator, Mapping, Sequence
from math import inf

from resnet18.audit.differences import TOLERANCE
from resnet18.audit.finding import Remark, quoted
from resnet18.audit.reading import Reading
from resnet18.spec.benchmark import Derived
from resnet18.spec.metric import METRICS
from resnet18.spec.printed import UNITS, Printed, parse_printed


def wrong_arithmetic(readings: Sequence[Reading]) -> Iterator[Remark]:
    """Find derived numbers that no numbers rounding to the printed cells give."""
    for reading in readings:
        for derived in reading.benchmark.printed.derived:
            of, to = (reading.exact_cell(name, derived.metric) for name in (derived.of, derived.to))
            printed = parse_printed(derived.printed)
            if of is None or to is None or printed is None or printed.is_approximate:
                continue
            if (evidence := _contradiction(derived, of.number, to.number, printed)) is not None:
                says = f"the number is not the {derived.kind} of the printed cells, however they were rounded"
                yield Remark(f'{reading.name}: "{derived.name}"', says, evidence)


def _contradiction(derived: Derived, of: Printed, to: Printed, printed: Printed) -> str | None:
    """Return the computation with its result where the printed result is outside all that rounding allows."""
    if derived.kind == "difference":
        low, middle, high, sign = of.low - to.high, of.value - to.value, of.high - to.low, "-"
    elif to.low > 0:
        ends = (of.low / to.low, of.low / to.high, of.high / to.low, of.high / to.high)
        low, middle, high, sign = min(ends), of.value / to.value, max(ends), "/"
    else:
        low, middle, high, sign = -inf, 0.0, inf, "/"
    worth = 0.01 if derived.kind == "ratio" and printed.unit == "%" else UNITS.get(printed.unit, 1.0)
    low, middle, high = low / worth, middle / worth, high / worth
    printed_low, printed_high = (end / UNITS.get(printed.unit, 1.0) for end in (printed.low, printed.high))
    slack = TOLERANCE * max(1.0, abs(middle))
    if low <= printed_high + slack and printed_low <= high + slack:
        return None
    least, most = (f"{end:.{printed.decimals}f}" for end in (low, high))
    spread = "" if least == most else f" (rounding allows {least} to {most})"
    return f"{of.text} {sign} {to.text} = {middle:.{printed.decimals}f}{spread}, printed {printed.text}"


def other_scope(readings: Sequence[Reading]) -> Iterator[Remark]:
    """Find derived numbers that are said to be of one metric and are computed from another."""
    for reading in readings:
        titles = {row.metric: row.title for row in reading.benchmark.table.metrics}
        for derived in reading.benchmark.printed.derived:
            if derived.scope is None or derived.scope == derived.metric:
                continue
            stated, used = (_named(metric, titles) for metric in (derived.scope, derived.metric))
            says = f'the number is stated for "{stated}", its operands are "{used}"'
            evidence = f'{quoted([derived.of, derived.to])} are cells of the row "{titles[derived.metric]}"'
            yield Remark(f'{reading.name}: "{derived.name}"', says, evidence)


def _named(metric: str, titles: Mapping[str, str]) -> str:
    """Return what a metric is; one that is not the suite's own has the table's title."""
    return METRICS[metric].title if metric in METRICS else titles.get(metric, metric)
