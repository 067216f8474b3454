"""After ten epochs the fast path is as accurate as the reference path, within a margin that was fixed beforehand.

`make soak` runs it: minutes of training. The plan was made from other seeds, a pilot, than it is judged by.
"""

import functools

import pytest
from builders import epochs_of, make_setup

from resnet18.spec.experiment import Execution
from resnet18.tables.statistics import paired_contrast

AUGMENTED = [
    {"name": "random_resized_crop", "scale_min": 0.5},
    {"name": "random_rotation", "degrees": 30.0},
    {"name": "random_horizontal_flip"},
    {"name": "to_tensor"},
    {"name": "normalize"},
]
SIGMA = {"fp32": 1.36, "bf16": 1.30}
"""Points: standard deviation of the gap, fast less reference of one seed, over the pilot's seeds 1,000 to 1,019."""
MARGIN = 1.0
"""Points of accuracy: the level at which the report's claim F1 calls CPU and GPU equal."""
SEEDS = range(30)
"""At the pilot's sigma the test has a power of 0.98 where there is no difference."""
pytestmark = pytest.mark.usefixtures("one_thread")


@functools.cache
def accuracies(**execution):
    """Percent of 1,000 test images that are right after ten epochs on 1,000 training images, for each seed."""
    changes = {
        "augmentation": AUGMENTED,
        "test_augmentation": AUGMENTED,
        "train_images": 1_000,
        "test_images_epoch": 10,
        "test_images_last": "all",
        "width": 16,
        "epochs": 10,
        "batch_size": 32,
        "optimizer": {"name": "adam", "lr": 0.001},
        "schedule": {"name": "step", "every": 7, "factor": 0.1, "first_epoch": 1},
    }
    runs = (list(epochs_of(make_setup(Execution(**execution), **changes, seed=seed))) for seed in SEEDS)
    return [100 * epochs[-1].clean.correct / epochs[-1].clean.images for epochs in runs]


@pytest.mark.parametrize("precision", SIGMA)
def test_accuracy_after_ten_epochs_is_equivalent(precision, request):
    """Two one-sided paired t-tests at 5 %: the 90 % interval of the gap lies inside the margin."""
    if not request.config.getoption("--soak"):
        pytest.skip("minutes of training: make soak")
    fast = accuracies(path="fast", precision=precision)
    gap = paired_contrast([fast, accuracies()], [1.0, -1.0])
    low, high = gap.interval(0.9)
    print(f"{precision}: {gap.value:+.2f} points [{low:+.2f}, {high:+.2f}] (n = {gap.n})")  # noqa: T201 - with -s

    assert max(gap.p_above(-MARGIN), gap.p_below(MARGIN)) <= 0.05
