"""One update of every optimizer: the fast path's form beside torch's, and a copy of as many bytes.

    OMP_NUM_THREADS=2 python -m pytest benchmarks/micro/test_update.py --benchmark-only -s

All take turns within a round, so that a busy machine slows all of them: the ratios are the result. A table of them
stands in docs/methodology.md ("The update").
"""

from statistics import median, quantiles
from time import perf_counter

import pytest
import torch
from builders import make_experiment
from torch.nn import Parameter

from resnet18.training.model import ResNet18
from resnet18.training.optimizers import build_optimizer
from resnet18.training.update import form

CASES = {
    "sgd": ({"name": "sgd", "lr": 0.01}, 3),
    "sgd, momentum": ({"name": "sgd", "lr": 0.01, "momentum": 0.9}, 5),
    "adam": ({"name": "adam", "lr": 0.001}, 7),
    "adamw": ({"name": "adamw", "lr": 0.001}, 7),
    "rmsprop": ({"name": "rmsprop", "lr": 0.001}, 5),
    "rmsprop, momentum": ({"name": "rmsprop", "lr": 0.001, "momentum": 0.9}, 7),
    "adadelta": ({"name": "adadelta", "lr": 1.0}, 7),
    "asgd": ({"name": "asgd", "lr": 0.01}, 4),
}
"""With the number of float32 that a step must read and write for each weight: Adam reads p, g, m, v, writes p, m, v."""
SHAPES = {
    "tensors": [tuple(parameter.shape) for parameter in ResNet18("imagenet", 64).parameters()],
    "flat": [(11_181_642,)],
}
ROUNDS = 11
MAX_OF_COPY = 1.3


def steps_of(case, shapes):
    """Return the step of each form, on weights of its own."""
    spec = make_experiment(optimizer=CASES[case][0]).optimizer
    options = spec.model_dump(exclude={"name"})
    torchs = {"loop": {"foreach": False}, "foreach": {"foreach": True}}
    if spec.is_fused:
        torchs["fused"] = {"fused": True}
    steps = {form(): build_optimizer(spec, parameters(shapes), "fast").step}
    return steps | {
        f"torch's {name}": getattr(torch.optim, spec.torch_class)(parameters(shapes), **options, **how).step
        for name, how in torchs.items()
    }


def parameters(shapes):
    """Return weights of these shapes, each with a gradient."""
    made = [Parameter(torch.randn(shape)) for shape in shapes]
    for one in made:
        one.grad = torch.randn_like(one)
    return made


def seconds_of(work):
    """Return how long a call takes."""
    start = perf_counter()
    work()
    return perf_counter() - start


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("case", CASES)
def test_update(benchmark, case, shapes):
    """Milliseconds and ratios, medians and quartiles over the rounds: a line on the terminal (-s) and extra_info."""
    size = sum(torch.Size(shape).numel() for shape in SHAPES[shapes])
    source = torch.randn(CASES[case][1] * size // 2)
    target = torch.empty_like(source)
    works = {**steps_of(case, SHAPES[shapes]), "copy": lambda: target.copy_(source)}
    times = {name: [] for name in works}

    def all_of_them():
        for name, work in works.items():
            times[name].append(1e3 * seconds_of(work))

    benchmark.pedantic(all_of_them, rounds=ROUNDS, warmup_rounds=2)
    ours, copy, *theirs = (times[name][2:] for name in (form(), "copy", *list(works)[1:-1]))
    best = min(theirs, key=median)
    info = {f"{name}_ms": spread(values[2:]) for name, values in times.items()} | {
        "of_copy": spread([one / other for one, other in zip(ours, copy, strict=True)]),
        "of_torchs_best": spread([one / other for one, other in zip(ours, best, strict=True)]),
    }
    benchmark.extra_info.update(info)
    print(f"\n{case}, {shapes}, {torch.get_num_threads()} threads, n = {ROUNDS}: {info}")  # noqa: T201 - the result

    assert form() == "loop" or info["of_copy"][0] < MAX_OF_COPY


def spread(values):
    """Return the median and the quartiles, in that order, to three digits."""
    low, _, high = quantiles(values, n=4)
    return tuple(float(f"{value:.3g}") for value in (median(values), low, high))
