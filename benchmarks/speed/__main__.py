"""`make speed`: the fast path against the reference loops, side by side in one process, in turns.

    python benchmarks/speed [WORKLOAD]... [--rounds N]

Prints images/s of both, their ratio with a 95 % interval over the rounds, and which share of what this machine's matrix
product reaches the network takes. Absolute rates are for information; only ratios travel.
"""

import argparse
import itertools
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import torch
from loops import LOOPS, NETWORKS
from scipy.stats import t as student
from torch.utils.flop_counter import FlopCounterMode

from resnet18.measure.clock import Clock
from resnet18.measure.environment import cpu_model
from resnet18.spec.experiment import Execution, Experiment
from resnet18.training.device import ready_device
from resnet18.training.embedded import read_embedded
from resnet18.training.loop import train
from resnet18.training.results import Position
from resnet18.training.setup import set_up

CROPS = [
    {"name": "random_resized_crop", "scale_min": 0.5, "scale_max": 1.0},
    {"name": "random_rotation", "degrees": 30.0},
    {"name": "random_horizontal_flip"},
]
PLAIN = [{"name": "to_tensor"}, {"name": "normalize"}]
ADAM, MOMENTUM = {"name": "adam", "lr": 0.001}, {"name": "sgd", "lr": 0.1, "momentum": 0.9}
BF16 = {"precision": "bf16", "memory_format": "channels_last"}


@dataclass(frozen=True)
class Workload:
    """What both sides train on."""

    loop: str
    stem: str
    size: int
    batch_size: int
    execution: dict[str, str]
    steps: int
    """Of one round."""


WORKLOADS = {
    "224px": Workload("lab", "imagenet", 224, 32, BF16, 3),
    "224px-fp32": Workload("lab", "imagenet", 224, 32, {}, 3),
    "32px": Workload("lab", "imagenet", 32, 32, {}, 25),
    "cifar-stem": Workload("kuangliu-style", "cifar", 32, 128, BF16, 2),
    "cifar-stem-fp32": Workload("kuangliu-style", "cifar", 32, 128, {}, 2),
    **{
        f"32px-batch-{size}": Workload("lab", "imagenet", 32, size, {}, max(1, 800 // size))
        for size in (8, 16, 128, 512, 1024)
    },
}


@dataclass(frozen=True)
class Result:
    """Rates in images/s, medians over the rounds."""

    workload: str
    reference: str
    reference_images_per_s: float
    fast_images_per_s: float
    ratio: float
    low: float
    high: float
    rounds: int
    share_of_matmul_peak: float


def fast(data, workload: Workload) -> Iterator[int]:
    """Yield the number of images of each step of the suite's own loop."""
    operations = (CROPS if workload.size != 32 or workload.stem == "cifar" else []) + PLAIN
    experiment = Experiment.model_validate({
        "data": data.label, "train_images": "all", "test_images_epoch": 100, "test_images_last": 100,
        "image_size": workload.size, "augmentation": operations, "test_augmentation": operations, "model": "resnet18",
        "stem": workload.stem, "optimizer": ADAM if workload.loop == "lab" else MOMENTUM,
        "schedule": {"name": "constant"}, "batch_size": workload.batch_size, "epochs": 1_000, "seed": 0,
    })  # fmt: skip
    execution = Execution.model_validate({"device": "cpu", "path": "fast", **workload.execution})
    setup, images = set_up(experiment, execution, data, ready_device(execution)), 0
    for moment in train(setup, Clock(lambda: None)):
        if isinstance(moment, Position):
            yield moment.tally.images - (images if moment.steps > 1 else 0)
            images = moment.tally.images


def rate(steps: Iterator[int], count: int) -> float:
    """Return images/s over so many steps."""
    start = time.perf_counter_ns()
    images = sum(itertools.islice(steps, count))
    return images / (time.perf_counter_ns() - start) * 1e9


def matmul_peak(dtype: torch.dtype) -> float:
    """Return FLOP/s of a product of two matrices of 2048 x 2048: the best of ten."""
    a, b = (torch.randn(2048, 2048).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - start)
    return 2 * 2048**3 / min(seconds)


def flops_per_image(workload: Workload) -> float:
    """Return the floating-point operations of a forward and a backward pass, counted on the reference network."""
    model = NETWORKS[workload.loop]()
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(2, 3, workload.size, workload.size)).sum().backward()
    return counter.get_total_flops() / 2


def compare(name: str, rounds: int) -> Result:
    """Measure one workload: both sides warmed up, then in turns."""
    workload, data = WORKLOADS[name], read_embedded()
    pixels, labels = np.asarray(data.train.images), data.train.labels
    reference = LOOPS[workload.loop](pixels, labels, workload.size, workload.batch_size)
    ours = fast(data, workload)
    for side in (reference, ours):
        rate(side, 2)
    rates = [(rate(reference, workload.steps), rate(ours, workload.steps)) for _ in range(rounds)]
    logs = [math.log(ours_rate / theirs) for theirs, ours_rate in rates]
    half = student.ppf(0.975, rounds - 1) * statistics.stdev(logs) / math.sqrt(rounds)
    middle = statistics.fmean(logs)
    fast_rate = statistics.median(ours_rate for _, ours_rate in rates)
    dtype = torch.bfloat16 if workload.execution.get("precision") == "bf16" else torch.float32
    share = fast_rate * flops_per_image(workload) / matmul_peak(dtype)
    return Result(
        name, workload.loop, statistics.median(theirs for theirs, _ in rates), fast_rate,
        math.exp(middle), math.exp(middle - half), math.exp(middle + half), rounds, share,
    )  # fmt: skip


def machine() -> dict[str, object]:
    """Return what the figures depend on beside the code."""
    return {
        "cpu": cpu_model(),
        "processors": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
    }


def main() -> int:
    """Print the figures, and write them where --json says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", choices=[*WORKLOADS, []], default=list(WORKLOADS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", help="file to write the figures to")
    asked = parser.parse_args()
    about = machine()
    print(json.dumps(about))  # noqa: T201 - a script
    results = []
    for name in asked.workloads:
        one = compare(name, asked.rounds)
        results.append(asdict(one))
        print(  # noqa: T201 - a script
            f"{one.workload:16s} {one.reference_images_per_s:7.1f} -> {one.fast_images_per_s:7.1f} images/s, "
            f"{one.ratio:.2f} x [{one.low:.2f}, {one.high:.2f}] of {one.reference} (n = {one.rounds}), "
            f"{100 * one.share_of_matmul_peak:.0f} % of the matrix product's rate",
            flush=True,
        )
    if asked.json:
        with open(asked.json, "w", encoding="utf-8") as file:  # noqa: PTH123 - a script
            json.dump({"machine": about, "results": results}, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
