"""Printed numbers held against arithmetic, schedules and memory."""

from collections.abc import Iterator, Sequence
from math import inf

from resnet18.audit.reading import TOLERANCE, Amount, Finding, Range, Reading, Unchecked, number_of, quoted
from resnet18.spec.benchmark import Derived, PrintedMemory
from resnet18.spec.experiment import Experiment
from resnet18.spec.forecast import CONTEXT_BYTES, least_training_bytes
from resnet18.spec.metric import METRICS, Quantity
from resnet18.spec.optimizer import Step, learning_rate
from resnet18.spec.printed import UNITS, Printed, card_bytes

OUT_OF_MEMORY = ("out of memory", "oom")
IMAGES = 50_000
"""Training images of CIFAR-10, for the steps of an epoch where a case takes all."""
NEEDS = "weights, optimizer state and what autograd saves of a batch (or gradients, if more) take at least"
SHOWN_CUTS = 4
"""Cuts of a rate that are listed."""


def _exact(text: str, quantity: Quantity = "other") -> Printed | None:
    """Return a number that can be computed with, None where the report says "about" or prints none."""
    number = number_of(text, quantity)
    return None if number is None or number.is_approximate else number


def wrong_arithmetic(readings: Sequence[Reading]) -> Iterator[Finding | Unchecked]:
    """Find derived numbers that no numbers rounding to the printed cells give."""
    for reading in readings:
        for derived in reading.benchmark.printed.derived:
            label, printed = quoted([derived.name]), _exact(derived.printed)
            cells = reading.exact((derived.of, derived.to), derived.metric)
            yield from reading.missing(label, (derived.of, derived.to), derived.metric)
            if printed is None:
                yield Unchecked(reading.at(label), "exact result")
            elif len(cells) == 2:
                of, to = (cell.number for cell in cells)
                unit = UNITS.get(printed.unit, 1.0)
                result = _result(derived, of, to, 0.01 if (derived.kind, printed.unit) == ("ratio", "%") else unit)
                slack = TOLERANCE * max(1.0, abs(result.printed))
                if result.least > printed.high / unit + slack or result.most < printed.low / unit - slack:
                    low, middle, high = (f"{end:.{printed.decimals}f}" for end in result)
                    operation = f"{of.text} {'-' if derived.kind == 'difference' else '/'} {to.text}"
                    evidence = {operation: middle, "rounding allows": f"{low} to {high}", "printed": printed.text}
                    yield Finding(reading.at(label), f"the number is not the {derived.kind} of the cells", evidence)


def _result(derived: Derived, of: Printed, to: Printed, unit: float) -> Range:
    """Return what the operands give, with all that their rounding allows."""
    ends = (-inf, 0.0, inf)
    if derived.kind == "difference":
        ends = (of.low - to.high, of.value - to.value, of.high - to.low)
    elif to.low > 0:
        ratios = [number / divisor for number in (of.low, of.high) for divisor in (to.low, to.high)]
        ends = (min(ratios), of.value / to.value, max(ratios))
    return Range(*(end / unit for end in ends))


def other_scope(readings: Sequence[Reading]) -> Iterator[Finding]:
    """Find derived numbers that are said to be of one metric and are computed from another."""
    for reading in readings:
        rows = {row.metric: row.title for row in reading.benchmark.table.metrics}
        titles = {**rows, **{metric: facts.title for metric, facts in METRICS.items()}}
        for derived in reading.benchmark.printed.derived:
            if derived.scope is not None and derived.scope != derived.metric:
                stated, used = (quoted([titles.get(name, name)]) for name in (derived.scope, derived.metric))
                cells = f"{quoted([derived.of, derived.to])} of the row {quoted([rows[derived.metric]])}"
                says = "the number is stated for one metric and computed from another"
                evidence = {"stated for": stated, "computed from": used, "cells": cells}
                yield Finding(reading.at(quoted([derived.name])), says, evidence)


def wrong_rates(readings: Sequence[Reading]) -> Iterator[Finding | Unchecked]:
    """Find printed learning rates that the schedule does not give, and rates for an epoch that there is none of."""
    for reading in readings:
        for rate in reading.benchmark.printed.rates:
            number = _exact(rate.printed)
            if number is None or not reading.specs:
                lack = "exact number" if reading.specs else "experiment"
                yield Unchecked(reading.at(f"learning rate of epoch {rate.epoch}"), lack)
            low, high = (number.low * (1 - TOLERANCE), number.high * (1 + TOLERANCE)) if number else (-inf, inf)
            cases = {name: reading.specs[name][0] for name in rate.cases if name in reading.specs}
            given = {name: rate_after(experiment, rate.epoch) for name, experiment in cases.items()}
            right = [name for name, after in given.items() if after is not None and low <= after <= high]
            for name in (name for name in given if name not in right):
                says = "a learning rate is printed for an epoch that this case does not reach"
                evidence: dict[str, object] = {"epochs": cases[name].epochs}
                if given[name] is not None:
                    says = "the schedule does not give the printed learning rate"
                    evidence = _computed(cases[name], rate.epoch)
                evidence |= {f"printed for epoch {rate.epoch}": rate.printed, "cases that give it": quoted(right)}
                yield Finding(reading.at(f'case "{name}"'), says, evidence)


def rate_after(experiment: Experiment, epoch: int) -> float | None:
    """Return the rate once the epoch of this number is over, as the schedule numbers epochs; None after the last."""
    schedule = experiment.schedule
    finished = epoch - schedule.first_epoch + 1 if isinstance(schedule, Step) else epoch
    if finished > experiment.epochs:
        return None
    images = IMAGES if experiment.train_images == "all" else experiment.train_images
    steps = -(-images // experiment.batch_size)
    return learning_rate(schedule, experiment.optimizer.lr, finished * steps, steps, experiment.epochs)


def _computed(experiment: Experiment, epoch: int) -> dict[str, object]:
    """Return the computation as evidence: `0.001 x 0.1^2: 0.00001; cut after epochs: 80 and 160`."""
    schedule, start, after = experiment.schedule, Amount(experiment.optimizer.lr), rate_after(experiment, epoch)
    if not isinstance(schedule, Step):
        return {f"{start} under the schedule {schedule.name}": Amount(after or 0.0)}
    cuts = [number for number in range(schedule.first_epoch, epoch + 1) if number % schedule.every == 0]
    computed = {f"{start} x {Amount(schedule.factor)}^{len(cuts)}": Amount(after or 0.0)}
    return {**computed, "cut after epochs": cuts[:SHOWN_CUTS] + ["later"] * (len(cuts) > SHOWN_CUTS)}


def impossible_memory(readings: Sequence[Reading]) -> Iterator[Finding | Unchecked]:
    """Find memory below the least that training needs, and cards that a case must, or cannot, have fitted."""
    for reading in readings:
        needs = {name: least_training_bytes(experiment) for name, (experiment, _) in reading.specs.items()}
        for memory in reading.benchmark.printed.memory:
            lack = _memory_lacks(memory) if memory.case in needs else "experiment"
            found = None if lack else _of_printed(memory, needs[memory.case])
            if lack:
                yield Unchecked(reading.at(f'memory of "{memory.case}"'), lack)
            if found:
                yield Finding(reading.at(f'case "{memory.case}"'), *found)
        cards = [(size, one.card) for one in reading.benchmark.printed.memory if (size := card_bytes(one.card or ""))]
        for case in (case for case in needs if cards and needs[case] > max(cards)[0]):
            if reading.specs[case][1].device != "cpu" and any(cell.case == case for cell in reading.cells):
                says = "numbers are printed for this case, which the largest card cannot hold"
                evidence = {"largest card": max(cards)[1], NEEDS: _mib(needs[case])}
                yield Finding(reading.at(f'case "{case}"'), says, evidence)


def _of_printed(memory: PrintedMemory, least: int) -> tuple[str, dict[str, object]] | None:
    """Return what is wrong with the memory that is printed for a case which needs at least so many bytes."""
    evidence: dict[str, object] = {"printed": memory.printed, NEEDS: _mib(least)}
    printed, twice = _exact(memory.printed, "bytes"), 2 * least + CONTEXT_BYTES
    if printed and printed.high < least:
        return "the printed memory is less than training needs", evidence
    if not printed and twice <= (card_bytes(memory.card or "") or 0):
        says = "it is surprising that memory ran out: training fits the card more than twice"
        return says, {**evidence, "twice that and 2 GiB": _mib(twice), "card": memory.card}
    return None


def _memory_lacks(memory: PrintedMemory) -> str:
    """Return what printed memory lacks to be checked."""
    if memory.printed.strip().lower() in OUT_OF_MEMORY:
        return "" if card_bytes(memory.card or "") else "memory of the card"
    printed = _exact(memory.printed, "bytes")
    return "" if printed and printed.unit else "exact number with a unit"


def _mib(size: float) -> Amount:
    return Amount(size / 2**20, "MiB", ",.0f")
