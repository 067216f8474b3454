"""What a report prints, held against arithmetic and schedules; and how it measured and printed."""

from collections.abc import Iterator, Sequence
from math import inf
from statistics import NormalDist

from resnet18.audit.claims import standard_error
from resnet18.audit.reading import TOLERANCE, Finding, Range, Reading, Unchecked, amount, number_of, quoted, words
from resnet18.spec.augmentation import Operation
from resnet18.spec.experiment import Experiment
from resnet18.spec.metric import METRICS, UNITS, UNITS_OF, Quantity
from resnet18.spec.optimizer import Step

NO_NUMBER = {
    *("", "-", "--", "\u2013", "\u2014", "/", "?", "n/a", "n.a.", "na", "nan", "none", "not available", "not reported"),
    *("crashed", "diverged", "failed", "timeout", "out of memory", "oom"),
}
"""Words that are printed where there is no number, in lower case."""


def wrong_arithmetic(reading: Reading) -> Iterator[Finding | Unchecked]:
    """Find derived numbers that no numbers rounding to the printed cells give."""
    for derived in reading.benchmark.printed.derived:
        label, printed = quoted([derived.name]), number_of(derived.printed, exact=True)
        cells, lack = reading.find(derived.metric, (derived.of, derived.to))
        missing = [lack] * bool(lack) + ["exact result"] * (printed is None)
        yield from (Unchecked(reading.name, label, what) for what in missing)
        if printed is None or lack:
            continue
        of, to = (cell.range for cell in cells)
        sign, result = ("/", of.over(to)) if derived.kind == "ratio" else ("-", of.minus(to))
        scale = 100.0 if sign == "/" and printed.unit == "%" else 1.0
        result = Range(*(end * scale for end in result))
        if result.is_outside(printed.low, printed.high):
            low, middle, high = (f"{end / UNITS.get(printed.unit, 1.0):.{printed.decimals}f}" for end in result)
            operation = f"{cells[0].number.text} {sign} {cells[1].number.text}"
            evidence = {operation: middle, "rounding allows": f"{low} to {high}", "printed": printed.text}
            yield Finding(f"{reading.name}: {label}", f"the number is not the {derived.kind} of the cells", evidence)


def other_scope(reading: Reading) -> Iterator[Finding]:
    """Find derived numbers that are said to be of one metric and are computed from another."""
    rows = {row.metric: row.title for row in reading.benchmark.table.metrics}
    titles = {**rows, **{metric: facts.title for metric, facts in METRICS.items()}}
    for derived in reading.benchmark.printed.derived:
        if (stated := derived.scope or derived.metric) != derived.metric:
            says = "the number is stated for one metric and computed from another"
            evidence = {
                "stated for": quoted([titles.get(stated, stated)]),
                "computed from": quoted([titles[derived.metric]]),
                "cells": f"{quoted([derived.of, derived.to])} of the row {quoted([rows[derived.metric]])}",
            }
            yield Finding(f'{reading.name}: "{derived.name}"', says, evidence)


def wrong_rates(reading: Reading) -> Iterator[Finding | Unchecked]:
    """Find printed learning rates that the schedule does not give, and rates for an epoch that there is none of."""
    for rate in reading.benchmark.printed.rates:
        number, label = number_of(rate.printed, exact=True), f"epoch {rate.epoch}"
        if number is None or not reading.specs:
            lack = "exact number" if reading.specs else "experiment"
            yield Unchecked(reading.name, f"learning rate of {label}", lack)
        low, high = (number.low * (1 - TOLERANCE), number.high * (1 + TOLERANCE)) if number else (-inf, inf)
        cases = {name: reading.specs[name][0] for name in rate.cases if name in reading.specs}
        given = {name: _rate_after(experiment, rate.epoch) for name, experiment in cases.items()}
        right = [name for name, after in given.items() if after is not None and low <= after <= high]
        for name in (name for name in given if name not in right):
            evidence = _computed(cases[name], rate.epoch, given[name])
            evidence |= {f"printed for {label}": rate.printed, "cases that give it": quoted(right)}
            says = "the schedule does not give the printed learning rate"
            if given[name] is None:
                says = "a learning rate is printed for an epoch that this case does not reach"
            yield Finding(f'{reading.name}: case "{name}"', says, evidence)


def _rate_after(experiment: Experiment, epoch: int) -> float | None:
    """Return the rate once the epoch of this number is over, as the schedule numbers epochs; None after the last."""
    schedule = experiment.schedule
    finished = epoch - schedule.first_epoch + 1 if isinstance(schedule, Step) else epoch
    if finished > experiment.epochs:
        return None
    images = 50_000 if experiment.train_images == "all" else experiment.train_images  # those of CIFAR-10
    steps = -(-images // experiment.batch_size)
    return schedule.rate(experiment.optimizer.lr, finished * steps, steps, experiment.epochs)


def _computed(experiment: Experiment, epoch: int, after: float | None) -> dict[str, object]:
    """Return the computation of a rate as evidence: `0.001 x 0.1^2: 0.00001; cut after epochs: 80 and 160`."""
    schedule, start = experiment.schedule, amount(experiment.optimizer.lr)
    if after is None:
        return {"epochs": experiment.epochs}
    if not isinstance(schedule, Step):
        return {f"{start} under the schedule {schedule.name}": amount(after)}
    cuts = [number for number in range(schedule.first_epoch, epoch + 1) if number % schedule.every == 0]
    listed = cuts[:4] + ["later"] * (len(cuts) > 4)
    return {f"{start} x {amount(schedule.factor)}^{len(cuts)}": amount(after), "cut after epochs": listed}


def best_on_test(readings: Sequence[Reading]) -> Iterator[Finding]:
    """Find reports whose numbers are the best of several evaluations on the test set."""
    by_count: dict[int, list[Reading]] = {}
    for reading in readings:
        if reading.benchmark.printed.epoch_chosen_on == "test":
            epochs = {experiment.epochs for experiment, _ in reading.specs.values()}
            for count in epochs or {reading.benchmark.printed.epochs or 0}:
                by_count.setdefault(count, []).append(reading)
    evidence: dict[str, object] = {}
    for count, chosen in sorted(by_count.items()):
        where = words(reading.name for reading in chosen)
        if count > 1:
            excess = expected_maximum(count)
            points = sorted(excess * error for reading in chosen for error in _error_of_best(reading))
            ends = dict.fromkeys(amount(point, "points", ".2f") for point in points[:1] + points[-1:])
            bias = [amount(excess, "standard deviations", ".2f"), *ends]
            evidence[f"best of {count:,} in {where}, if epochs were independent and equally good"] = bias
        elif count == 0:
            evidence[f"best of an unstated number in {where}"] = "the bias cannot be told"
    if evidence:
        says = "accuracies are the best of several evaluations on the test set, so they are too high"
        yield Finding(readings[0].benchmark.report, says, evidence)


def _error_of_best(reading: Reading) -> list[float]:
    """Return the standard error of a table's best accuracy, nothing where it is not known."""
    accuracies = [cell.number.value for cell in reading.cells if cell.row.measures == "accuracy"]
    images = reading.benchmark.printed.test_images
    return [standard_error(max(accuracies), images)] if images and accuracies else []


def expected_maximum(count: int) -> float:
    """Return the mean of the largest of so many standard normal numbers, up to 100,000 of them: 1.54 for 10.

    The density of the largest of k is k f(x) F(x)^(k-1) (order statistics; H. A. David, 1970), by the trapezoidal rule.
    """
    normal, step = NormalDist(), 0.02
    points = (step * at - 10 for at in range(1_001))
    return sum(x * count * normal.pdf(x) * normal.cdf(x) ** (count - 1) * step for x in points)


def idle_operations(reading: Reading) -> Iterator[Finding]:
    """Find image operations that change nothing with the arguments given."""
    found: dict[Operation, dict[str, None]] = {}
    for case, (experiment, _) in reading.specs.items():
        for operation in (*experiment.augmentation, *experiment.test_augmentation):
            if operation.changes_nothing:
                found.setdefault(operation, {})[case] = None
    for operation, cases in found.items():
        arguments = operation.model_dump(mode="json", exclude={"name"}).items()
        key = f"augmentation.{operation.name}."
        sources = [each.source for each in reading.benchmark.assumptions if f"{each.key}.".startswith(key)]
        evidence = {
            "arguments": [f"{name} = {value}" for name, value in arguments],
            "cases": quoted(cases),
            "assumed, not stated": quoted(sources[:1]),
        }
        yield Finding(reading.name, f"{operation.name} changes no image", evidence)


def unstated_values(readings: Sequence[Reading]) -> Iterator[Finding]:
    """Find what a report does not say although its numbers depend on it."""
    if keys := dict.fromkeys(each.key for reading in readings for each in reading.benchmark.assumptions):
        counts = [f"{reading.name} {len(reading.benchmark.assumptions)}" for reading in readings]
        says = f"values on which the numbers depend are not stated: {len(keys)}"
        evidence = {"values": keys, "by file": counts if len(counts) > 1 else ()}
        yield Finding(readings[0].benchmark.report, says, evidence)


def unread_cells(reading: Reading) -> Iterator[Finding]:
    """Find what is neither read as a number nor known as a word that stands for none."""
    printed = reading.benchmark.printed
    texts: list[tuple[str, str, Quantity]] = [
        (f'"{case.name}" ({row.title})', case.reported.get(row.metric, ""), row.measures)
        for row in reading.benchmark.table.metrics
        for case in reading.benchmark.cases
    ]
    texts += [(f'"{derived.name}"', derived.printed, "other") for derived in printed.derived]
    texts += [(f"learning rate of epoch {rate.epoch}", rate.printed, "other") for rate in printed.rates]
    texts += [(f'memory of "{memory.case}"', memory.printed, "bytes") for memory in printed.memory]
    unread: dict[str, list[str]] = {}
    for label, text, quantity in texts:
        if number_of(text, quantity) is None and text.strip().lower() not in NO_NUMBER:
            unread.setdefault(label, []).append(text)
    if unread:
        yield Finding(reading.name, "what is printed is not read as a number", unread)


def uneven_precision(reading: Reading) -> Iterator[Finding]:
    """Find rows whose numbers have neither the same decimals nor the same significant digits."""
    for row in reading.benchmark.table.metrics:
        numbers = [cell.number for cell in reading.row(row.metric)]
        examples = {number.decimals: number.text for number in reversed(numbers)}
        if len(examples) > 1 and len({len(number.digits) for number in numbers}) > 1:
            evidence = {f"{count} decimals": text for count, text in sorted(examples.items())}
            yield Finding(reading.name, f'the numbers of "{row.title}" have different decimals', evidence)


def missing_units(reading: Reading) -> Iterator[Finding]:
    """Find accuracies, times and memory that are printed without a unit; shares of 1 need none."""
    for row in reading.benchmark.table.metrics:
        cells = reading.row(row.metric, exact=False)
        bare = [cell.number.text for cell in cells if not cell.number.unit]
        if bare and row.measures in UNITS_OF:
            evidence = {"without a unit": f"{len(bare)} of {len(cells)} numbers", "as in": bare[:3]}
            yield Finding(reading.name, f'numbers of "{row.title}" have no unit', evidence)
