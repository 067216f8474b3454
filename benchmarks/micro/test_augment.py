"""Images per second and core: torchvision's functions on one PIL image after another, and the batched operations.

    OMP_NUM_THREADS=1 taskset -c 1 python -m pytest benchmarks/micro/test_augment.py --benchmark-only -s

Both take turns within a round, in processor time, so that a busy machine slows both: the ratio is the result.
"""

from statistics import median, quantiles
from time import process_time

import numpy as np
import pytest
import torch
from builders import make_experiment

from resnet18.training.augment import build_pipeline
from resnet18.training.batched import BatchedPipeline
from resnet18.training.feed import augmented

CPU = torch.device("cpu")
STORED = 4_000
KEY = {"seed": 0, "purpose": "train-augmentation", "epoch": 1, "images": STORED, "native": 32}
MOVES = [
    {"name": "random_resized_crop", "scale_min": 0.5},
    {"name": "random_rotation", "degrees": 30.0},
    {"name": "random_horizontal_flip"},
]
JITTER = {"name": "color_jitter", "brightness": 0.5, "contrast": 0.5, "saturation": 0.5, "hue": 0.5}
END = [{"name": "to_tensor"}, {"name": "normalize"}]
LISTS = {"moves": [*MOVES, *END], "jitter": [JITTER, *END], "all": [JITTER, *MOVES, *END], "none": END}
ROUNDS = 9
REFERENCE_IMAGES = {32: 200, 224: 20}
BATCHED_IMAGES = {32: 2_048, 224: 128}


def images_per_s(work, count):
    """Return how many of `count` images a second of the processor makes, all threads of this process included."""
    start = process_time()
    work()
    return count / (process_time() - start)


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "torch"])
@pytest.mark.parametrize(
    ("items", "size", "batch"),
    [
        ("moves", 32, 8),
        ("moves", 32, 32),
        ("moves", 32, 128),
        ("moves", 32, 1024),
        ("jitter", 32, 128),
        ("all", 32, 128),
        ("none", 32, 100),
        ("moves", 224, 32),
    ],
)
def test_images_per_second(benchmark, items, size, batch, compiled):
    """Medians and quartiles over the rounds; the report of this test is a line on the terminal (-s) and extra_info."""
    operations = make_experiment(augmentation=LISTS[items]).augmentation
    reference = build_pipeline(operations, **KEY, size=size)
    batched = BatchedPipeline(reference, CPU, compiled=compiled)
    stored = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (STORED, 32, 32, 3), dtype=np.uint8))
    parts = torch.randperm(STORED)[: max(batch, BATCHED_IMAGES[size])].split(batch)
    speeds = []

    def one_by_one():
        for index in range(REFERENCE_IMAGES[size]):
            augmented(reference, stored[index].numpy(), index)

    def by_batches():
        for indices in parts:
            batched(stored[indices], indices)

    def both():
        slow = images_per_s(one_by_one, REFERENCE_IMAGES[size])
        speeds.append((slow, images_per_s(by_batches, sum(map(len, parts)))))

    benchmark.pedantic(both, rounds=ROUNDS, warmup_rounds=1)
    info = {
        "reference_per_s": spread([slow for slow, _ in speeds[1:]]),
        "batched_per_s": spread([fast for _, fast in speeds[1:]]),
        "ratio": spread([fast / slow for slow, fast in speeds[1:]]),
    }
    benchmark.extra_info.update(info)
    print(f"\n{items}, {size} px, batch {batch}, {'compiled' if compiled else 'torch'}: {info}")  # noqa: T201 - the result


@pytest.mark.parametrize("size", [32, 224])
def test_tables_of_an_epoch(benchmark, size):
    """Seconds to draw the parameters of 4,000 images and to bring them into the form that the operations take."""
    operations = make_experiment(augmentation=LISTS["all"]).augmentation
    benchmark.pedantic(
        lambda: BatchedPipeline(build_pipeline(operations, **KEY, size=size), CPU), rounds=5, warmup_rounds=1
    )
    benchmark.extra_info["images"] = STORED


def spread(values):
    """Return the median and the quartiles, in that order, to three digits."""
    low, _, high = quantiles(values, n=4)
    return tuple(float(f"{value:.3g}") for value in (median(values), low, high))
