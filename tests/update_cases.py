"""Optimizers with their options, and parameters to train; run as a program, it prints what the bits of each are."""

import hashlib
import json
from functools import lru_cache

import numpy as np
import torch
from torch.nn import Parameter

from resnet18.spec.optimizer import OPTIMIZERS as SPECS
from resnet18.training import update
from resnet18.training.update import form, one_form

OPTIMIZERS = {spec.model_fields["name"].default: getattr(torch.optim, spec.torch_class) for spec in SPECS}
ONE_FORM = {name: one_form(name, torch_class) for name, torch_class in OPTIMIZERS.items()}

CASES = {
    "sgd": ("sgd", {"lr": 0.1}),
    "sgd-decay": ("sgd", {"lr": 0.1, "weight_decay": 0.01}),
    "sgd-momentum": ("sgd", {"lr": 0.1, "momentum": 0.9}),
    "sgd-dampening": ("sgd", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    "sgd-nesterov": ("sgd", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "sgd-nesterov-decay": ("sgd", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    "adam": ("adam", {"lr": 0.01}),
    "adam-decay": ("adam", {"lr": 0.01, "weight_decay": 0.01}),
    "adam-betas": ("adam", {"lr": 0.01, "betas": (0.3, 0.6), "eps": 1e-3}),
    "adamw": ("adamw", {"lr": 0.01}),
    "adamw-no-decay": ("adamw", {"lr": 0.01, "weight_decay": 0.0}),
    "rmsprop": ("rmsprop", {"lr": 0.01}),
    "rmsprop-decay": ("rmsprop", {"lr": 0.01, "weight_decay": 0.01}),
    "rmsprop-momentum": ("rmsprop", {"lr": 0.01, "momentum": 0.9}),
    "rmsprop-momentum-decay": ("rmsprop", {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.01}),
    "adadelta": ("adadelta", {"lr": 1.0}),
    "adadelta-decay": ("adadelta", {"lr": 1.0, "weight_decay": 0.01}),
    "asgd": ("asgd", {"lr": 0.1, "lambd": 0.01}),
    "asgd-average": ("asgd", {"lr": 0.1, "t0": 4.0}),
    "asgd-average-decay": ("asgd", {"lr": 0.1, "t0": 4.0, "weight_decay": 0.01}),
}
STEPS = 24


@lru_cache(maxsize=256)
def drawn(size, seed):
    """Return numbers of all lengths: 1e-6 to 10, zeros of both signs, denormal ones, and large ones.

    They are remembered, and not to be changed.
    """
    draw = np.random.default_rng(seed)  # torch's numbers depend on the vectors that it computes with
    numbers = draw.standard_normal(size) * 10.0 ** draw.integers(-6, 2, size)
    kind = draw.integers(0, 16, size)
    for place, factor in ((0, 0.0), (1, 1e-38), (2, 1e14)):
        numbers[kind == place] *= factor
    return torch.from_numpy(numbers.astype(np.float32))


def parameters_of(sizes):
    return [Parameter(drawn(size, 1_000 + at).clone()) for at, size in enumerate(sizes)]


def made(case, parameters, classes=ONE_FORM, **options):
    name, values = CASES[case]
    return classes[name](parameters, **values, **options)


def train(optimizer, parameters, steps=range(STEPS)):
    """Make steps with gradients that follow from their number, at a rate of each step's own."""
    for step in steps:
        for group in optimizer.param_groups:
            group["lr"] = group["initial"] = group.get("initial", group["lr"]) * (1 if step % 4 else 0.9)
        optimizer.zero_grad()
        for at, parameter in enumerate(parameters):
            parameter.grad = drawn(parameter.shape, 100 * step + at)
        optimizer.step()


def tensors_of(optimizer, parameters):
    """Return all parameters and all that is kept of them, by name."""
    found = {f"{at}": parameter.detach() for at, parameter in enumerate(parameters)}
    for at, kept in optimizer.state_dict()["state"].items():
        found |= {f"{at} {key}": value for key, value in kept.items()}
    return found


def digest(optimizer, parameters):
    total = hashlib.sha256()
    for name, tensor in sorted(tensors_of(optimizer, parameters).items()):
        total.update(name.encode() + tensor.numpy().tobytes())
    return total.hexdigest()


def rounds_as_the_standard():
    """Say whether torch's operations round multiplication and addition one by one, and roots correctly."""
    a, b = drawn(10_000, 1), drawn(10_000, 2)
    is_apart = torch.equal(a.add(b, alpha=0.3), a + b * 0.3) and torch.equal(a.lerp(b, 0.1), a + (b - a) * 0.1)
    lengths = b.abs() + 1e-20  # near 1e-38 MKL's root is off in AVX2, too
    return is_apart and torch.equal(lengths.sqrt(), lengths.double().sqrt().float())


def bits():
    """Return the digests of each case in each form, and where torch rounds as the standard asks, in its own loop."""
    found = {"form": form(), "capability": torch.backends.cpu.get_cpu_capability()}
    forms = {"kernel": (ONE_FORM, {}), "loop": (ONE_FORM, {})}
    if rounds_as_the_standard():
        forms["torch"] = (OPTIMIZERS, {"foreach": False})
    library = update.library
    for name, (classes, options) in forms.items():
        update.library = (lambda: None) if name == "loop" else library
        for case in CASES:
            parameters = parameters_of((7, 5_003))
            optimizer = made(case, parameters, classes, **options)
            train(optimizer, parameters)
            found[f"{name} {case}"] = digest(optimizer, parameters)
    return found


if __name__ == "__main__":
    print(json.dumps(bits()))  # noqa: T201 - the result
