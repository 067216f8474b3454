"""The update of the fast path on a CPU: one pass in compiled C, equal bits in torch, and those of torch's own loop.

Run as a program, this file prints what the bits of each case are.
"""

import copy
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import make_experiment
from torch.nn import Parameter

from resnet18.spec.optimizer import OPTIMIZERS as SPECS
from resnet18.training import native, update
from resnet18.training.optimizers import build_optimizer, form_of
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


SIZES = (1, 7, 64, 100_003)
SMALL = (1, 7, 64, 5_003)


@pytest.fixture
def calls(monkeypatch):
    """Count what runs in the kernels, so that no test passes that never called one."""
    if platform.system() != "Linux" or shutil.which(os.environ.get("CC", "cc")) is None:
        pytest.skip("no compiler on this machine")
    if os.environ.get(native.SWITCH) == native.OFF:
        pytest.skip("own kernels are switched off")
    counted = []
    real = update.Library.call
    monkeypatch.setattr(update.Library, "call", lambda *given: (counted.append(given[1]), real(*given)))
    return counted


@pytest.fixture
def threads():
    """Return what sets the number of threads, and leave it as it was."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture(params=["kernel", "loop"])
def either(request, monkeypatch):
    """Run a test in both forms."""
    if request.param == "loop":
        in_the_loop(monkeypatch)
    return request.param


def spec_of(name):
    return make_experiment(optimizer={"name": name, "lr": 0.1}).optimizer


def in_the_loop(monkeypatch):
    monkeypatch.setattr(update, "library", lambda: None)


def assert_same_bits(expected, actual):
    assert list(expected) == list(actual)
    for name, tensor in expected.items():
        assert tensor.dtype == actual[name].dtype == torch.float32
        assert torch.equal(tensor.contiguous().view(torch.int32), actual[name].contiguous().view(torch.int32)), name


def trained(case, sizes=SMALL, **options):
    parameters = parameters_of(sizes)
    optimizer = made(case, parameters, **options)
    train(optimizer, parameters)
    return tensors_of(optimizer, parameters)


@pytest.mark.parametrize("case", CASES)
def test_kernel_and_loop_give_equal_bits(case, threads, calls, monkeypatch):
    """Of every parameter and of all that is kept, after 24 steps with zeros, denormal and large gradients."""
    found = []
    for count in (1, 2):
        threads(count)
        found.append(trained(case, SIZES))
    assert 2 * STEPS == len(calls)
    in_the_loop(monkeypatch)
    found.append(trained(case, SIZES))

    assert 2 * STEPS == len(calls)
    assert all(tensor.isfinite().all() for tensor in found[0].values())
    assert_same_bits(found[2], found[0])
    assert_same_bits(found[2], found[1])


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


def bits_under(**environment):
    """Return what this file prints in a process of its own."""
    root = str(Path(native.__file__).parents[2])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    full = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run([sys.executable, __file__], env=full, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def test_bits_are_torchs_where_torch_rounds_as_the_standard_and_the_same_where_it_does_not(calls):
    """Torch without fused operations, and with MKL's exact root, is what kernel and loop are compared with.

    With other vectors torch's own operations round otherwise, and neither kernel nor loop changes a bit.
    """
    plain = bits_under(ATEN_CPU_CAPABILITY="default", MKL_ENABLE_INSTRUCTIONS="AVX2")
    other = bits_under(ATEN_CPU_CAPABILITY="avx2")

    assert ["kernel", "kernel"] == [plain["form"], other["form"]]
    for case in CASES:
        digests = {found[f"{name} {case}"] for found in (plain, other) for name in ("kernel", "loop")}
        assert 1 == len(digests), case
        if f"torch {case}" in plain:
            assert digests == {plain[f"torch {case}"]}, case
    if f"torch {case}" not in plain:
        pytest.skip("torch fuses operations, or rounds roots otherwise, whatever it is told")


@pytest.mark.parametrize("case", CASES)
def test_it_goes_on_from_a_state_dict_with_equal_bits(case, either):
    """After 10 of 24 steps, in parameters and an optimizer of another process, whose keys and options are torch's.

    So torch's own class takes it, too.
    """
    expected = trained(case)
    first = parameters_of(SMALL)
    optimizer = made(case, first)
    train(optimizer, first, range(10))
    state = copy.deepcopy(optimizer.state_dict())
    second = [Parameter(one.detach().clone()) for one in first]
    other = made(case, second)
    other.load_state_dict(state)
    train(other, second, range(10, STEPS))

    assert_same_bits(expected, tensors_of(other, second))

    third = [Parameter(one.detach().clone()) for one in first]
    theirs = made(case, third, classes=OPTIMIZERS, foreach=False)
    groups = [optimizer["param_groups"][0].keys() - {"initial"} for optimizer in (state, theirs.state_dict())]
    assert groups[0] == groups[1]
    theirs.load_state_dict(state)
    train(theirs, third, range(10, 12))
    one, other = (
        {at: {key: value.shape for key, value in kept.items()} for at, kept in optimizer["state"].items()}
        for optimizer in (state, theirs.state_dict())
    )
    assert one == other


def test_without_compiled_code_there_is_the_loop(monkeypatch):
    """Switched off, and where there is no compiler; the record names the form."""
    for name, value in ((native.SWITCH, native.OFF), ("CC", "no-such-compiler")):
        update.library.cache_clear()
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert ("loop", "loop") == (form(), form_of(spec_of("adam"), "fast", "cpu"))
        update.library.cache_clear()


def test_with_a_compiler_there_is_the_kernel(calls):
    """For every optimizer; on other devices, and on the reference path, the forms are torch's."""
    for name in OPTIMIZERS:
        spec = spec_of(name)
        assert ["kernel", "loop", "loop"] == [
            form_of(spec, path, device) for path, device in (("fast", "cpu"), ("reference", "cuda"), ("fast", "mps"))
        ]
    assert ["fused", "foreach"] == [form_of(spec_of(name), "fast", "cuda") for name in ("adamw", "asgd")]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_takes_torchs_default_step_on_the_reference_path(name):
    """The spec's written-out defaults are torch's own: five steps of the plain loop give the same parameters."""
    ours, theirs = (Parameter(torch.linspace(-1, 1, 50)) for _ in range(2))
    pairs = [
        (ours, build_optimizer(make_experiment(optimizer={"name": name, "lr": 0.001}).optimizer, [ours])),
        (theirs, OPTIMIZERS[name]([theirs], lr=0.001)),
    ]
    for parameter, optimizer in pairs:
        for _ in range(5):
            optimizer.zero_grad()
            parameter.sin().sum().backward()
            optimizer.step()

    assert pairs[0][1].defaults["foreach"] is False
    assert torch.equal(ours, theirs)
    assert not torch.equal(ours, torch.linspace(-1, 1, 50))


def test_a_parameter_without_gradient_is_left_alone(either):
    parameters = parameters_of((5, 5, 5))
    before = [one.detach().clone() for one in parameters]
    optimizer = made("adam-decay", parameters)
    optimizer.step()
    assert {} == optimizer.state_dict()["state"]
    for grads in ((None, 0.0, 1.0), (1.0, 0.0, None)):
        optimizer.zero_grad()
        for one, value in zip(parameters, grads, strict=True):
            one.grad = None if value is None else torch.full_like(one, value)
        optimizer.step()
    steps = [kept["step"].item() for kept in optimizer.state_dict()["state"].values()]

    assert [1.0, 2.0, 1.0] == [optimizer.state[one]["step"].item() for one in parameters]
    assert 3 == len(steps)
    assert not any(torch.equal(old, new) for old, new in zip(before, parameters, strict=True))


@pytest.mark.parametrize("case", ["adam", "sgd-momentum", "asgd-average"])
def test_any_layout_of_memory_gives_the_same_bits(case, either):
    """Gradient, state that is loaded, and weights that get new memory: each may lie otherwise than the weights."""
    shape = (4, 3, 5, 5)

    def run(weights_as, gradient_as, state_as):
        weights = Parameter(drawn(shape, 1).clone(memory_format=weights_as))
        optimizer = made(case, [weights])
        for step in range(6):
            if step == 3:
                state = copy.deepcopy(optimizer.state_dict())
                for key, value in state["state"][0].items():
                    if value.dim():
                        state["state"][0][key] = value.contiguous(memory_format=state_as)
                optimizer.load_state_dict(state)
                weights.data = weights.data.clone()
            weights.grad = drawn(shape, 2 + step).contiguous(memory_format=gradient_as)
            optimizer.step()
        kept = tensors_of(optimizer, [weights])
        assert all(value.stride() == weights.stride() for value in kept.values() if value.dim())
        return kept

    plain, last = torch.contiguous_format, torch.channels_last
    expected = run(plain, plain, plain)
    for formats in ((last, last, last), (last, plain, last), (plain, last, plain), (last, last, plain)):
        assert_same_bits(expected, run(*formats))


def test_autograd_sees_that_weights_were_changed(either):
    """A backward pass through weights that an update has changed since is refused, as with torch's own."""
    weights = Parameter(torch.ones(3))
    optimizer = made("adam", [weights])
    loss = (weights * weights).sum()
    weights.grad = torch.ones(3)
    optimizer.step()

    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("case", [case for case, (_, options) in CASES.items() if options.get("weight_decay") != 0.0])
def test_unseen_weights_are_those_of_a_tensor_with_gradients_of_0(case, either):
    """To the bit, and so is what is kept of them; what is not kept, of AdamW's, is 0."""
    size = 5_003
    one, seen, unseen = (Parameter(drawn(size, 1).clone()) for _ in range(3))
    whole, parted = made(case, [one]), made(case, [{"params": [seen]}, {"params": [unseen], "unseen": True}])
    for optimizer, parameter in ((whole, one), (parted, seen)):
        optimizer.step()  # without any gradient: nothing happens
        for step in range(STEPS):
            parameter.grad = torch.zeros(size) if parameter is one else drawn(size, step)
            optimizer.step()

    assert unseen.grad is None
    assert torch.equal(one, unseen)
    for key, tensor in whole.state[one].items():
        assert torch.equal(tensor, parted.state.get(unseen, {}).get(key, torch.zeros_like(tensor))) or key == "step"


@pytest.mark.parametrize(
    ("options", "groups"),
    [
        ({"name": "adam", "lr": 0.1}, 1),
        ({"name": "adam", "lr": 0.1, "weight_decay": 0.1}, 2),
        ({"name": "adamw", "lr": 0.1}, 2),
        ({"name": "adamw", "lr": 0.1, "weight_decay": 0.0}, 1),
        ({"name": "asgd", "lr": 0.1}, 2),
        ({"name": "asgd", "lr": 0.1, "lambd": 0.0}, 1),
        ({"name": "asgd", "lr": 0.1, "lambd": 0.0, "weight_decay": 0.1}, 2),
    ],
)
def test_unseen_weights_cost_nothing_where_nothing_moves_them(options, groups):
    spec = make_experiment(optimizer=options).optimizer
    optimizer = build_optimizer(spec, [Parameter(torch.ones(2))], "fast", unseen=[torch.ones(3)])

    assert groups == len(optimizer.param_groups)
    assert isinstance(optimizer, update.OneForm)


if __name__ == "__main__":
    print(json.dumps(bits()))  # noqa: T201 - the result
