"""After ten epochs the fast path is as accurate as the reference path, within a margin that was fixed beforehand.

`make soak` runs it: minutes of training. The plan was made from other seeds than it is judged by (`PILOT`).
"""

import functools
import statistics

import pytest
import torch
from builders import epochs_of, make_experiment

from resnet18.data.dataset import read_embedded
from resnet18.spec.experiment import Execution
from resnet18.tables.statistics import paired_contrast
from resnet18.training.setup import set_up

AUGMENTED = [
    {"name": "random_resized_crop", "scale_min": 0.5},
    {"name": "random_rotation", "degrees": 30.0},
    {"name": "random_horizontal_flip"},
    {"name": "to_tensor"},
    {"name": "normalize"},
]
PILOT = range(1_000, 1_020)
"""Seeds from which the plan was made; none of them is judged."""
SIGMA = {"fp32": 1.36, "bf16": 1.30}
"""Points: standard deviation of the gap, fast less reference of one seed, over the pilot's 20 seeds."""
MARGIN = 1.0
"""Points of accuracy: the level at which the report's claim F1 calls CPU and GPU equal."""
SEEDS = range(30)
"""At the pilot's sigma the test has a power of 0.98 where there is no difference."""
pytestmark = pytest.mark.usefixtures("one_thread")


@functools.cache
def accuracies(seeds, **execution):
    """Percent of 1,000 test images that are right after ten epochs on 1,000 training images, for each seed."""
    data, found = read_embedded(), []
    for seed in seeds:
        experiment = make_experiment(
            augmentation=AUGMENTED,
            test_augmentation=AUGMENTED,
            train_images=1_000,
            test_images_epoch=10,
            test_images_last="all",
            width=16,
            epochs=10,
            batch_size=32,
            optimizer={"name": "adam", "lr": 0.001},
            schedule={"name": "step", "every": 7, "factor": 0.1, "first_epoch": 1},
            seed=seed,
        )
        last = list(epochs_of(set_up(experiment, Execution(**execution), data, torch.device("cpu"))))[-1]
        found.append(100 * last.clean.correct / last.clean.images)
    return found


@pytest.mark.parametrize("precision", SIGMA)
def test_accuracy_after_ten_epochs_is_equivalent(precision, request):
    """Two one-sided paired t-tests at 5 %: the 90 % interval of the gap lies inside the margin."""
    if not request.config.getoption("--soak"):
        pytest.skip("minutes of training: make soak")
    fast = accuracies(SEEDS, path="fast", precision=precision)
    gap = paired_contrast([fast, accuracies(SEEDS)], [1.0, -1.0])
    low, high = gap.interval(0.9)
    print(f"{precision}: {gap.value:+.2f} points [{low:+.2f}, {high:+.2f}] (n = {gap.n})")  # noqa: T201 - with -s

    assert max(gap.p_above(-MARGIN), gap.p_below(MARGIN)) <= 0.05


if __name__ == "__main__":  # the pilot: PYTHONPATH=tests python tests/test_equivalence.py
    torch.set_num_threads(1)
    before = accuracies(PILOT)
    for each in SIGMA:
        gaps = [one - other for one, other in zip(accuracies(PILOT, path="fast", precision=each), before, strict=True)]
        print(each, statistics.stdev(gaps))  # noqa: T201 - a script
