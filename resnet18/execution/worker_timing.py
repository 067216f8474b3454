"""A few training steps, timed before any run so that the user knows how long the runs will take. No record comes of it.

Training goes without torch.compile, whatever the spec says, and on the CPU a step has so few images that it takes
a second at most: a preview must neither fill the memory nor wait for a batch that takes a minute.
"""

from collections.abc import Iterator
from time import perf_counter

from resnet18.data.source import open_data
from resnet18.execution.job import TimingAnswer, TimingQuestion
from resnet18.measure.clock import Clock
from resnet18.spec.experiment import Experiment
from resnet18.spec.forecast import EVALUATION_BATCH
from resnet18.training.device import ready_device, synchronize
from resnet18.training.loop import evaluate, train_epoch
from resnet18.training.queued import QueuedSteps
from resnet18.training.results import START, Position
from resnet18.training.setup import Setup, set_up

MOST_PIXELS = 150_000
"""Of a step on the CPU, at width 64 and the ImageNet stem: 2 images of 224 px, 146 of 32 px."""
CIFAR_STEM_WORK = 16
"""The stem of CIFAR leaves maps of four times the side."""


def answer_timing(question: TimingQuestion) -> Iterator[TimingAnswer]:
    """Yield the pace of an experiment here, better each time: whoever asks may not wait for the last answer.

    The first step, which warms up, is given as no step timed, and counts only where there is no other. Scoring is timed
    last; until then an image is said to take a third of what it takes in training.
    """
    start_s = perf_counter()
    execution = question.execution.model_copy(update={"compile": False})
    device = ready_device(execution)
    images = question.experiment.batch_size
    if device.type == "cpu":
        images = min(images, images_at_most(question.experiment))
    experiment = question.experiment.model_copy(update={"batch_size": images})
    setup = set_up(experiment, execution, open_data(question.place.source, verify=False), device)
    synchronize(device)
    prepare_s = perf_counter() - start_s
    for steps, image_s in _paces(setup, question.steps, question.enough_s):
        answer = TimingAnswer(steps=steps, prepare_s=prepare_s, train_image_s=image_s, eval_image_s=image_s / 3)
        yield answer
    indices = setup.test_indices_last[: min(images, EVALUATION_BATCH)]
    start_s = perf_counter()
    evaluate(setup, indices, experiment.test_augmentation, epoch=1)
    yield answer.model_copy(update={"eval_image_s": (perf_counter() - start_s) / len(indices)})


def images_at_most(experiment: Experiment) -> int:
    """Return how many images a timed step may have on the CPU; batch norm needs two."""
    stem = CIFAR_STEM_WORK if experiment.stem == "cifar" else 1
    return max(2, int(MOST_PIXELS / (experiment.image_size**2 * experiment.width / 64 * stem)))


def _paces(setup: Setup, wanted: int, enough_s: float) -> Iterator[tuple[int, float]]:
    """Yield after each step how many were timed, and the seconds for each of their images."""
    begin_s = first_s = perf_counter()
    first: Position | None = None
    for position in _steps(setup):
        now_s = perf_counter()
        if first is None:
            first, first_s = position, now_s
            yield 0, (now_s - begin_s) / position.tally.images
            continue
        timed = position.steps - first.steps
        yield timed, (now_s - first_s) / (position.tally.images - first.tally.images)
        if now_s - first_s > enough_s or timed >= wanted:
            return


def _steps(setup: Setup) -> Iterator[Position]:
    """Yield positions of the first epoch: after each step, of queued ones after each reading."""
    clock = Clock(lambda: synchronize(setup.device))
    return QueuedSteps(setup).epoch(clock, START) if setup.runs_ahead else train_epoch(setup, clock, START)
