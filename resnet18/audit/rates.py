"""Learning rates that a report prints for an epoch, held against its own schedule."""

from collections.abc import Iterator, Sequence

from resnet18.audit.differences import TOLERANCE
from resnet18.audit.finding import Remark, counted, listed, plain, quoted
from resnet18.audit.reading import Reading
from resnet18.spec.benchmark import PrintedRate
from resnet18.spec.experiment import Experiment
from resnet18.spec.optimizer import Constant, Step, learning_rate
from resnet18.spec.printed import parse_printed

IMAGES = 50_000
"""Training images of CIFAR-10, for the steps of an epoch where a case takes all."""
SHOWN_CUTS = 4
"""Cuts that are listed; more are counted."""


def wrong_rates(readings: Sequence[Reading]) -> Iterator[Remark]:
    """Find printed learning rates that the schedule does not give, and rates for an epoch that there is none of."""
    for reading in readings:
        for rate in reading.benchmark.printed.rates:
            cases = {name: reading.specs[name][0] for name in rate.cases if name in reading.specs}
            right = [name for name, one in cases.items() if _exists(one, rate.epoch) and _agrees(one, rate)]
            for name, experiment in cases.items():
                if name not in right:
                    yield Remark(f'{reading.name}: case "{name}"', *_disagreement(experiment, rate, right))


def rate_after(experiment: Experiment, epoch: int) -> float:
    """Return the rate that holds once the epoch of this number is over, as the schedule numbers epochs."""
    images = IMAGES if experiment.train_images == "all" else experiment.train_images
    steps = -(-images // experiment.batch_size)
    at = _position(experiment, epoch) * steps
    return learning_rate(experiment.schedule, experiment.optimizer.lr, at, steps, experiment.epochs)


def _position(experiment: Experiment, epoch: int) -> int:
    """Return which epoch bears this number, the first being 1."""
    schedule = experiment.schedule
    return epoch - schedule.first_epoch + 1 if isinstance(schedule, Step) else epoch


def _exists(experiment: Experiment, epoch: int) -> bool:
    return _position(experiment, epoch) <= experiment.epochs


def _agrees(experiment: Experiment, rate: PrintedRate) -> bool:
    """Say whether the printed rate is the schedule's, rounded; so is what is no exact number."""
    printed = parse_printed(rate.printed)
    if printed is None or printed.is_approximate:
        return True
    return printed.low * (1 - TOLERANCE) <= rate_after(experiment, rate.epoch) <= printed.high * (1 + TOLERANCE)


def _disagreement(experiment: Experiment, rate: PrintedRate, right: Sequence[str]) -> tuple[str, str]:
    """Return the sentence and its evidence."""
    if not _exists(experiment, rate.epoch):
        says = f"a learning rate is printed for epoch {rate.epoch}, which this case does not reach"
        return says, f"{counted(experiment.epochs, 'epoch')}; printed after epoch {rate.epoch}: {rate.printed}"
    says = f"this schedule does not give the learning rate that is printed for epoch {rate.epoch}"
    evidence = f"{_computed(experiment, rate.epoch)}, printed {rate.printed}"
    if right:
        evidence += f"; {quoted(right)} {'gives' if len(right) == 1 else 'give'} it"
    return says, evidence


def _computed(experiment: Experiment, epoch: int) -> str:
    """Return the computation: `0.001 x 0.1^2 (cut after epochs 80 and 160) = 0.00001`."""
    start, after, schedule = plain(experiment.optimizer.lr), plain(rate_after(experiment, epoch)), experiment.schedule
    if isinstance(schedule, Constant):
        return f"{start}, never cut"
    if not isinstance(schedule, Step):
        return f"{start} under {schedule.name} = {after}"
    cuts = [number for number in range(schedule.first_epoch, epoch + 1) if number % schedule.every == 0]
    if not cuts:
        return f"{start}, not yet cut"
    epochs = listed(str(number) for number in cuts) if len(cuts) <= SHOWN_CUTS else counted(len(cuts), "epoch")
    word = "epoch" if len(cuts) == 1 else "epochs" if len(cuts) <= SHOWN_CUTS else ""
    return f"{start} x {plain(schedule.factor)}^{len(cuts)} (cut after {f'{word} {epochs}'.strip()}) = {after}"
