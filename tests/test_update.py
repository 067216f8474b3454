"""The update of the fast path on a CPU: one pass in compiled C, equal bits in torch, and those of torch's own loop."""

import copy
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from builders import make_experiment
from torch.nn import Parameter
from update_cases import CASES, OPTIMIZERS, STEPS, drawn, made, parameters_of, tensors_of, train

from resnet18.training import native, update
from resnet18.training.optimizers import build_optimizer, form_of
from resnet18.training.update import form

SIZES = (1, 7, 64, 100_003)
SMALL = (1, 7, 64, 5_003)
PROGRAM = Path(__file__).with_name("update_cases.py")


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


@pytest.mark.parametrize("case", CASES)
def test_torchs_own_loop_is_as_near_as_its_roundings(case):
    """It fuses multiplication and addition on most processors, and its root is another: a share of the bits differ."""
    ours = trained(case)
    theirs = trained(case, classes=OPTIMIZERS, foreach=False)

    assert sorted(theirs) == sorted(ours)
    for name, tensor in theirs.items():
        assert torch.allclose(tensor, ours[name], rtol=1e-4, atol=1e-5 * tensor.abs().max().item()), name


def bits_under(**environment):
    """Return what `update_cases.py` prints in a process of its own."""
    root = str(Path(native.__file__).parents[2])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    full = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run([sys.executable, PROGRAM], env=full, check=True, capture_output=True, text=True)
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
    """After 10 of 24 steps, in parameters and an optimizer of another process; keys and options are torch's."""
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


@pytest.mark.parametrize("case", CASES)
def test_what_is_kept_has_torchs_keys_and_shapes(case):
    """So torch's own class takes it, and goes on."""
    parameters = parameters_of(SMALL)
    ours, theirs = made(case, parameters), made(case, parameters, classes=OPTIMIZERS, foreach=False)
    assert list(theirs.state_dict()["state"]) == list(ours.state_dict()["state"]) == []
    for optimizer in (ours, theirs):
        train(optimizer, parameters, range(2))
    one, other = (optimizer.state_dict() for optimizer in (ours, theirs))

    assert [set(group) for group in other["param_groups"]] == [set(group) for group in one["param_groups"]]
    assert {at: {key: value.shape for key, value in kept.items()} for at, kept in other["state"].items()} == {
        at: {key: value.shape for key, value in kept.items()} for at, kept in one["state"].items()
    }
    theirs.load_state_dict(copy.deepcopy(one))
    train(theirs, parameters, range(2, 4))


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
    """And counts no step; one whose gradient is 0 does."""
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


def test_state_that_is_replaced_by_hand_is_used(either):
    """Nothing is remembered of a tensor that is no longer there."""
    weights = Parameter(torch.zeros(3))
    optimizer = made("sgd-momentum", [weights])
    for _ in range(2):
        weights.grad = torch.zeros(3)
        optimizer.step()
    optimizer.state[weights]["momentum_buffer"] = torch.ones(3)
    optimizer.step()

    assert torch.allclose(torch.full((3,), -0.09), weights.detach())


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
    """They are then no parameters of the optimizer."""
    spec = make_experiment(optimizer=options).optimizer
    optimizer = build_optimizer(spec, [Parameter(torch.ones(2))], "fast", unseen=[torch.ones(3)])

    assert groups == len(optimizer.param_groups)
    assert isinstance(optimizer, update.OneForm)
