"""What a report's way of measuring does to its numbers, and what it leaves unsaid."""

from collections.abc import Iterator, Sequence
from math import sqrt
from statistics import NormalDist

from resnet18.analysis.audit.finding import Remark, counted, listed, quoted
from resnet18.analysis.audit.reading import Cell, Reading
from resnet18.spec.augmentation import (
    ColorJitter,
    Normalize,
    Operation,
    RandomGrayscale,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
)

WHOLE_RANGE = 10.0
"""Standard deviations beyond which no maximum of up to 100,000 normal numbers lies."""
STEPS = 1_000


def best_on_test(readings: Sequence[Reading]) -> Iterator[Remark]:
    """Find tables whose numbers are the best of several evaluations on the test set."""
    for reading in readings:
        if reading.benchmark.printed.epoch_chosen_on != "test":
            continue
        numbers = sorted({experiment.epochs for experiment, _ in reading.specs.values()})
        numbers = numbers or [one for one in [reading.benchmark.printed.epochs] if one is not None]
        if numbers == [1]:
            continue
        of = listed(f"{number:,}" for number in numbers) if numbers else "an unstated number of"
        says = f"accuracy is the best of {of} evaluations on the test set, which chose the epoch"
        evidence = " ".join(_optimism(number, reading) for number in numbers)
        yield Remark(reading.name, says, evidence or "without their number the bias cannot be told")


def _optimism(evaluations: int, reading: Reading) -> str:
    """Return what choosing the best of so many evaluations is worth."""
    excess = expected_maximum(evaluations)
    text = (
        f"Of {evaluations:,} equally good and independent evaluations, the best is {excess:.2f} standard deviations "
        f"above their mean"
    )
    accuracies = [cell for cell in reading.cells if cell.row.measures == "accuracy"]
    images = reading.benchmark.printed.test_images
    if images is None or not accuracies:
        return f"{text}."
    best = max(accuracies, key=_value)
    share = min(max(_value(best) / 100, 0.0), 1.0)
    points = 100 * sqrt(share * (1 - share) / images)
    return (
        f"{text}: {excess * points:.2f} points, if drawing {images:,} test images (a standard deviation of "
        f"{points:.2f} points at {best.number.text}) were all that varies."
    )


def _value(cell: Cell) -> float:
    return cell.number.value


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
                if _is_identity(operation):
                    cases.setdefault(operation, []).append(name)
        for operation, names in cases.items():
            says = f"{operation.name} changes no image with these arguments, in {quoted(names)}"
            yield Remark(reading.name, says, f"{_arguments(operation)}{_source(reading, operation)}")


def _is_identity(operation: Operation) -> bool:
    """Say whether an operation returns every image as it is, but for its size."""
    match operation:
        case ColorJitter():
            return not any((operation.brightness, operation.contrast, operation.saturation, operation.hue))
        case RandomResizedCrop():
            ends = (operation.scale_min, operation.scale_max, operation.ratio_min, operation.ratio_max)
            return set(ends) == {1.0}
        case RandomRotation():
            return operation.degrees == 0
        case RandomHorizontalFlip() | RandomGrayscale():
            return operation.p == 0
        case Normalize():
            return set(operation.mean) == {0.0} and set(operation.std) == {1.0}
        case _:
            return False


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
    for reading in readings:
        keys = [assumption.key for assumption in reading.benchmark.assumptions]
        if keys:
            verb = "is" if len(keys) == 1 else "are"
            says = f"{counted(len(keys), 'value')} on which the numbers depend {verb} not stated"
            yield Remark(reading.name, says, ", ".join(keys))
