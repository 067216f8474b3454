"""What a report's way of measuring does to its numbers, and what it leaves unsaid."""

from collections.abc import Iterator, Mapping, Sequence
from math import sqrt
from statistics import NormalDist

from resnet18.audit.finding import Remark, counted, listed, quoted
from resnet18.audit.reading import Reading
from resnet18.spec.augmentation import Operation

WHOLE_RANGE = 10.0
"""Standard deviations beyond which no maximum of up to 100,000 normal numbers lies."""
STEPS = 1_000


def best_on_test(readings: Sequence[Reading]) -> Iterator[Remark]:
    """Find reports whose numbers are the best of several evaluations on the test set."""
    by_number: dict[int, list[Reading]] = {}
    unknown: list[str] = []
    for reading in readings:
        if reading.benchmark.printed.epoch_chosen_on != "test":
            continue
        for number in (numbers := _evaluations(reading)):
            by_number.setdefault(number, []).append(reading)
        if not numbers:
            unknown.append(reading.name)
    counts = sorted(number for number in by_number if number > 1)
    if not counts and not unknown:
        return
    of = listed([*(f"{number:,}" for number in counts), *(["an unstated number of"] if unknown else [])])
    says = f"accuracy is the best of {of} evaluations on the test set"
    yield Remark(readings[0].report, says, _optimism({number: by_number[number] for number in counts}, unknown))


def _evaluations(reading: Reading) -> set[int]:
    """Return among how many evaluations the best was chosen, in one case or another."""
    numbers = {experiment.epochs for experiment, _ in reading.specs.values()}
    return numbers or {one for one in [reading.benchmark.printed.epochs] if one is not None}


def _optimism(by_number: Mapping[int, Sequence[Reading]], unknown: Sequence[str]) -> str:
    """Return what choosing the best of so many evaluations is worth."""
    parts = []
    for number, tables in by_number.items():
        excess = expected_maximum(number)
        points = [excess * one for one in map(_sampling_deviation, tables) if one is not None]
        ends = dict.fromkeys(f"{one:.2f}" for one in (min(points), max(points))) if points else ()
        worth = f": {' to '.join(ends)} points" if points else ""
        parts.append(f"of {number:,}, {excess:.2f} standard deviations ({listed(one.name for one in tables)}{worth})")
    told = "The best of equally good and independent evaluations lies above their mean: "
    rough = ". Points are those of drawing the test images; epochs are neither independent nor equally good"
    missing = f"of an unstated number, the bias cannot be told ({listed(unknown)})" if unknown else ""
    return f"{told}{'; '.join([*parts, *filter(None, [missing])])}{rough if parts else ''}"


def _sampling_deviation(reading: Reading) -> float | None:
    """Return the standard deviation, in points, that drawing the test images gives a table's best accuracy."""
    accuracies = [cell.number.value for cell in reading.cells if cell.row.measures == "accuracy"]
    images = reading.benchmark.printed.test_images
    if images is None or not accuracies:
        return None
    share = min(max(max(accuracies) / 100, 0.0), 1.0)
    return 100 * sqrt(share * (1 - share) / images)


def expected_maximum(count: int) -> float:
    """Return the mean of the largest of so many standard normal numbers.

    The density of the largest of k is k f(x) F(x)^(k-1) (order statistics; H. A. David, 1970), integrated by the
    trapezoidal rule: 1.54 for 10.
    """
    normal, step = NormalDist(), 2 * WHOLE_RANGE / STEPS
    points = (step * at - WHOLE_RANGE for at in range(STEPS + 1))
    return sum(x * count * normal.pdf(x) * normal.cdf(x) ** (count - 1) * step for x in points)


def idle_operations(readings: Sequence[Reading]) -> Iterator[Remark]:
    """Find image operations that change nothing with the arguments given."""
    for reading in readings:
        cases: dict[Operation, list[str]] = {}
        for name, (experiment, _) in reading.specs.items():
            for operation in dict.fromkeys((*experiment.augmentation, *experiment.test_augmentation)):
                if operation.changes_nothing:
                    cases.setdefault(operation, []).append(name)
        for operation, names in cases.items():
            says = f"{operation.name} changes no image with these arguments, in {quoted(names)}"
            yield Remark(reading.name, says, f"{_arguments(operation)}{_source(reading, operation)}")


def _arguments(operation: Operation) -> str:
    values = operation.model_dump(mode="json", exclude={"name"})
    return f"{operation.name}: {listed(f'{key} = {value}' for key, value in values.items())}"


def _source(reading: Reading, operation: Operation) -> str:
    """Return where the arguments come from, if the report does not state them."""
    key = f"augmentation.{operation.name}"
    sources = [one.source for one in reading.benchmark.assumptions if f"{one.key}.".startswith(f"{key}.")]
    return f'. Assumed, not stated: "{sources[0]}"' if sources else ""


def unstated_values(readings: Sequence[Reading]) -> Iterator[Remark]:
    """Find what a report does not say although its numbers depend on it."""
    by_file = {one.name: [each.key for each in one.benchmark.assumptions] for one in readings}
    keys = list(dict.fromkeys(key for found in by_file.values() for key in found))
    if keys:
        verb = "is" if len(keys) == 1 else "are"
        says = f"{counted(len(keys), 'value')} on which the numbers depend {verb} not stated"
        counts = ", ".join(f"{name} {len(found)}" for name, found in by_file.items())
        per_file = f"By file: {counts}. " if len(by_file) > 1 else ""
        yield Remark(readings[0].report, says, f"{per_file}{', '.join(keys)}")
