"""How a report measured and printed: the chosen epoch, operations that do nothing, digits, units, what is unstated."""

from collections.abc import Iterator, Sequence
from math import sqrt
from statistics import NormalDist

from resnet18.audit.noise import variance
from resnet18.audit.numbers import OUT_OF_MEMORY
from resnet18.audit.reading import Amount, Finding, Place, Reading, number_of, quoted, words
from resnet18.spec.augmentation import Operation
from resnet18.spec.metric import Quantity
from resnet18.spec.printed import UNITS_OF

SHOWN = 3
"""Numbers that are quoted as examples."""
NO_NUMBER = {
    *OUT_OF_MEMORY,
    *("", "-", "--", "\u2013", "\u2014", "/", "?"),
    *("n/a", "n.a.", "na", "nan", "none", "not available", "not reported"),
    *("crashed", "diverged", "failed", "timeout"),
}
"""Words that are printed where there is no number, in lower case."""


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
        where, excess = words(reading.name for reading in chosen), expected_maximum(count)
        points = sorted(excess * one for one in map(_deviation, chosen) if one is not None)
        ends = dict.fromkeys(Amount(one, "points", ".2f") for one in points[:1] + points[-1:])
        if count > 1:
            bias = [Amount(excess, "standard deviations", ".2f"), *ends]
            evidence[f"best of {count:,} in {where}, if epochs were independent and equally good"] = bias
        elif count == 0:
            evidence[f"best of an unstated number in {where}"] = "the bias cannot be told"
    if evidence:
        says = "accuracies are the best of several evaluations on the test set, so they are too high"
        yield Finding(Place((readings[0].benchmark.report_name,)), says, evidence)


def _deviation(reading: Reading) -> float | None:
    """Return the standard deviation, in points, that drawing the test images gives a table's best accuracy."""
    accuracies = [cell.number.value for cell in reading.cells if cell.row.measures == "accuracy"]
    images = reading.benchmark.printed.test_images
    return 100 * sqrt(variance(max(accuracies)) / images) if images and accuracies else None


def expected_maximum(count: int) -> float:
    """Return the mean of the largest of so many standard normal numbers.

    The density of the largest of k is k f(x) F(x)^(k-1) (order statistics; H. A. David, 1970), integrated by the
    trapezoidal rule from -10 to 10, beyond which no maximum of up to 100,000 such numbers lies: 1.54 for 10.
    """
    normal, step = NormalDist(), 0.02
    points = (step * at - 10 for at in range(1_001))
    return sum(x * count * normal.pdf(x) * normal.cdf(x) ** (count - 1) * step for x in points)


def idle_operations(readings: Sequence[Reading]) -> Iterator[Finding]:
    """Find image operations that change nothing with the arguments given."""
    for reading in readings:
        found: dict[Operation, list[str]] = {}
        for case, (experiment, _) in reading.specs.items():
            for operation in dict.fromkeys((*experiment.augmentation, *experiment.test_augmentation)):
                if operation.changes_nothing:
                    found.setdefault(operation, []).append(case)
        for operation, cases in found.items():
            arguments = operation.model_dump(mode="json", exclude={"name"}).items()
            key = f"augmentation.{operation.name}."
            sources = [one.source for one in reading.benchmark.assumptions if f"{one.key}.".startswith(key)]
            evidence = {
                "arguments": [f"{key} = {value}" for key, value in arguments],
                "cases": quoted(cases),
                "assumed, not stated": quoted(sources[:1]),
            }
            yield Finding(reading.at(), f"{operation.name} changes no image", evidence)


def unstated_values(readings: Sequence[Reading]) -> Iterator[Finding]:
    """Find what a report does not say although its numbers depend on it."""
    by_file = {one.name: [each.key for each in one.benchmark.assumptions] for one in readings}
    keys = dict.fromkeys(key for found in by_file.values() for key in found)
    if keys:
        counts = [f"{name} {len(found)}" for name, found in by_file.items()]
        evidence = {"values": keys, "by file": counts if len(counts) > 1 else ()}
        says = f"values on which the numbers depend are not stated: {len(keys)}"
        yield Finding(Place((readings[0].benchmark.report_name,)), says, evidence)


def unread_cells(readings: Sequence[Reading]) -> Iterator[Finding]:
    """Find what is neither read as a number nor known as a word that stands for none."""
    for reading in readings:
        texts: list[tuple[str, str, Quantity]] = [
            (f'"{case.name}" ({row.title})', case.reported.get(row.metric, ""), row.measures)
            for row in reading.benchmark.table.metrics
            for case in reading.benchmark.cases
        ]
        printed = reading.benchmark.printed
        texts += [(f'"{one.name}"', one.printed, "other") for one in printed.derived]
        texts += [(f"learning rate of epoch {one.epoch}", one.printed, "other") for one in printed.rates]
        texts += [(f'memory of "{one.case}"', one.printed, "bytes") for one in printed.memory]
        texts += [(f'card of "{one.case}"', one.card or "", "bytes") for one in printed.memory]
        unread: dict[str, list[str]] = {}
        for label, text, quantity in texts:
            if number_of(text, quantity) is None and text.strip().lower() not in NO_NUMBER:
                unread.setdefault(label, []).append(text)
        if unread:
            yield Finding(reading.at(), "what is printed is not read as a number", unread)


def uneven_precision(readings: Sequence[Reading]) -> Iterator[Finding]:
    """Find rows whose numbers have neither the same decimals nor the same significant digits."""
    for reading in readings:
        for row in reading.benchmark.table.metrics:
            numbers = [cell.number for cell in reading.row(row.metric)]
            examples = {number.decimals: number.text for number in reversed(numbers)}
            if len(examples) > 1 and len({len(number.digits) for number in numbers}) > 1:
                evidence = {f"{count} decimals": text for count, text in sorted(examples.items())}
                yield Finding(reading.at(), f'the numbers of "{row.title}" have different decimals', evidence)


def missing_units(readings: Sequence[Reading]) -> Iterator[Finding]:
    """Find accuracies, times and memory that are printed without a unit; shares of 1 need none."""
    for reading in readings:
        for row in reading.benchmark.table.metrics:
            cells = [cell for cell in reading.cells if cell.row == row]
            bare = [cell.number.text for cell in cells if not cell.number.unit]
            if bare and row.measures in UNITS_OF:
                evidence = {"without a unit": f"{len(bare)} of {len(cells)} numbers", "as in": bare[:SHOWN]}
                yield Finding(reading.at(), f'numbers of "{row.title}" have no unit', evidence)
        for memory in reading.benchmark.printed.memory:
            if (printed := number_of(memory.printed, "bytes")) and not printed.unit:
                place = reading.at(f'case "{memory.case}"')
                yield Finding(place, "the printed memory has no unit", {"printed": memory.printed})
