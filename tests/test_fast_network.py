"""The fast network is the reference network up to rounding, with whichever compiled kernels a machine has."""

import copy
import itertools

import pytest
import torch
from builders import OPTIMIZERS, make_experiment
from torch.nn.functional import cross_entropy

from resnet18.measure.devices import cpu_flags, emulates_bf16
from resnet18.spec.experiment import Execution
from resnet18.training import fast, native
from resnet18.training.fast import Norm, build_fast_network, convolution
from resnet18.training.fast.convolution import Convolution
from resnet18.training.fast.trimmed import Geometry, full_optimizer_state, trimmed_layers
from resnet18.training.model import build_model
from resnet18.training.native import path_numerics
from resnet18.training.setup import build_optimizer

ON_THE_CPU = (Execution(path="fast"), torch.device("cpu"))
EPS = torch.finfo(torch.float32).eps
ROUNDING = 2000 * EPS
"""Of the largest value, or of a tensor's length: sums of up to 4,608 products, and of all pixels of a batch, in
another order through 20 layers and as many norms, each of which divides by a sum of differences."""
HALF = 2.0**-8
"""bfloat16's rounding of one value."""
pytestmark = pytest.mark.usefixtures("one_thread")  # with two, torch's sums differ by more


@pytest.fixture
def older_processor(monkeypatch):
    """Compile the network's kernels for an x86 processor with AVX2 alone; elsewhere there is no such form."""
    if "avx2" not in cpu_flags():
        pytest.skip("no processor with AVX2")
    monkeypatch.setenv("RESNET18_NATIVE", "avx2")
    native.network_kernels.cache_clear()
    yield
    native.network_kernels.cache_clear()


@pytest.fixture(params=["native", "older", "torch"])
def form(request, monkeypatch):
    """Run a test with this processor's kernels, with those of one that has AVX2 alone, and with torch's operations."""
    if request.param == "older":
        request.getfixturevalue("older_processor")
    if request.param == "torch":
        switch_off(monkeypatch)
    elif native.network_kernels() is None:
        pytest.skip("no native kernels on this machine")
    return request.param


def switch_off(monkeypatch):
    for module in (convolution, fast):
        monkeypatch.setattr(module, "network_kernels", lambda: None)


def make_pair(precision="fp32", **changes):
    """Return the experiment, the reference network and the fast network, both with the same weights."""
    experiment = make_experiment(**{"width": 32, **changes})
    network = build_fast_network(experiment, precision)
    return experiment, build_model(experiment), network


def make_batch(experiment, count=8):
    size = experiment.image_size
    images = torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))
    return images.contiguous(memory_format=torch.channels_last), torch.arange(count) % 10


def assert_close(expected, actual, share, what=""):
    """Compare within a share of the largest expected value."""
    assert expected.shape == actual.shape, what
    assert expected.dtype == actual.dtype, what
    worst = (expected.double() - actual.double()).abs().max().item()
    assert worst <= share * max(expected.double().abs().max().item(), 1e-6), (what, worst)


def distance(expected, actual):
    """Return the length of the difference, as a share of the length of what is expected."""
    assert expected.shape == actual.shape
    return ((expected.double() - actual.double()).norm() / expected.double().norm().clamp(min=1e-6)).item()


def gradients_of(network, images, labels):
    network.train()
    cross_entropy(network(images), labels).backward()
    return {name: parameter.grad for name, parameter in network.named_parameters()}


def seen(network, name, whole):
    """What the fast network holds of a whole tensor."""
    layer = network.get_submodule(name.rpartition(".")[0])
    return layer.seen_of(whole) if isinstance(layer, Convolution) else whole


@pytest.mark.parametrize(("stem", "size"), [("imagenet", 32), ("imagenet", 64), ("cifar", 20)])
def test_gradients_and_statistics_are_the_reference_networks(form, stem, size):
    """One step in float32 against the reference network in float64, for three networks.

    Where a value before a ReLU is 0 within rounding, float32 may let a gradient pass that float64 stops, in either
    network. That moves gradients by up to some percent, in some seeds; a wrong formula would move them in all.
    """
    errors = []
    for seed in range(3):
        experiment, reference, network = make_pair(stem=stem, image_size=size, seed=seed, width=16)
        images, labels = make_batch(experiment, 8)
        expected = gradients_of(reference.double(), images.double(), labels)
        actual = gradients_of(network, images, labels)
        errors.append(max(distance(seen(network, name, expected[name]), actual[name]) for name in expected))
        for name in expected:
            assert expected[name].count_nonzero() == seen(network, name, expected[name]).count_nonzero(), name
        for name, tensor in reference.state_dict().items():
            assert distance(tensor, network.state_dict()[name]) <= ROUNDING, name

    assert min(errors) <= ROUNDING
    assert max(errors) <= 0.1


@pytest.mark.parametrize(("stem", "size"), [("imagenet", 32), ("imagenet", 224), ("cifar", 32)])
def test_evaluation_uses_the_running_statistics(form, stem, size):
    """As they are after a forward pass in training; and a batch of one image is enough."""
    experiment, reference, network = make_pair(stem=stem, image_size=size)
    images, _ = make_batch(experiment, 2 if size == 224 else 8)
    with torch.no_grad():
        assert_close(reference.train()(images), network.train()(images), ROUNDING)
        expected, actual = (one.eval()(images) for one in (reference, network))
        alone = network(images[:1])

    assert_close(expected, actual, ROUNDING)
    assert_close(actual[:1], alone, ROUNDING)


@pytest.mark.parametrize("spec", OPTIMIZERS, ids=str)
def test_equal_gradients_give_the_whole_tensors_of_the_reference_network(spec):
    """Parameters, and all that is kept of them: an unseen weight is one whose gradient is 0 in every step.

    torch's fused form rounds the last numbers of a tensor in another way than the first.
    """
    experiment, reference, network = make_pair(optimizer=spec, width=4)
    theirs = build_optimizer(experiment.optimizer, reference.parameters(), "fast")
    unseen = [layer.unseen for layer in trimmed_layers(network).values()]
    ours = build_optimizer(experiment.optimizer, network.parameters(), "fast", unseen=unseen)
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        for (name, one), other in zip(reference.named_parameters(), network.parameters(), strict=True):
            other.grad = torch.empty_like(other).copy_(torch.randn(other.shape, generator=generator))
            one.grad = torch.zeros_like(one)
            seen(network, name, one.grad).copy_(other.grad)
        theirs.step()
        ours.step()

    whole, expected = full_optimizer_state(ours, network), theirs.state_dict()["state"]
    assert [list(kept) for kept in expected.values()] == [list(kept) for kept in whole.values()]
    for index, (name, parameter) in enumerate(reference.named_parameters()):
        assert_close(parameter, network.state_dict()[name], 1e-6, name)
        for key, tensor in expected.get(index, {}).items():
            assert_close(tensor, whole[index][key], 1e-6, (name, key))


@pytest.mark.parametrize(
    ("stem", "size", "unseen"), [("imagenet", 32, 6_946_816), ("imagenet", 224, 0), ("cifar", 32, 0)]
)
def test_weights_that_meet_only_padding_are_apart(stem, size, unseen):
    """8 of 9 positions of three layers with 512 x 512 kernels on one pixel, 5 of 9 of one with 256 x 512 on 2 x 2."""
    _, _, network = make_pair(stem=stem, image_size=size, width=64)

    assert unseen == sum(layer.unseen.numel() for layer in trimmed_layers(network).values())


@pytest.mark.skipif(emulates_bf16(), reason="this processor emulates bf16")
def test_bfloat16_stays_near_float32(form):
    """After one step of 20 layers: logits within some roundings, gradients as near as torch's autocast comes."""
    experiment, reference, network = make_pair("bf16", width=64)
    images, labels = make_batch(experiment, 32)
    with torch.no_grad():
        assert_close(reference.train()(images), network.train()(images), 16 * HALF, "logits")
    expected, actual = gradients_of(reference, images, labels), gradients_of(network, images, labels)
    reference.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = gradients_of(reference, images, labels)

    assert {torch.float32} == {gradient.dtype for gradient in actual.values()}
    ours = [distance(seen(network, name, gradient), actual[name]) for name, gradient in expected.items()]
    theirs = [distance(gradient, rounded[name]) for name, gradient in expected.items()]
    assert sum(ours) <= 1.25 * sum(theirs)


@pytest.mark.parametrize("form", ["native", "older"], indirect=True)
@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float32, 64 * EPS), (torch.bfloat16, 4 * HALF)])
@pytest.mark.parametrize("use", [(0, 1, 0), (1, 1, 0), (0, 0, 0), (0, 1, 1)], ids=str)
def test_native_norm_agrees_with_torchs_operations(form, dtype, allowed, use, monkeypatch):
    """Forward and backward, with an odd number of rows and two users of the output; torch's in float32.

    In bfloat16 torch pools rounded values, of which more are equal, and would give the gradient to another pixel.
    """
    torch.manual_seed(0)
    added, activate, pool = map(bool, use)
    layer, images, weights = Norm(48), torch.randn(2, 3, 48, 9, 9).add(3).to(dtype), torch.randn(3, 48, 9, 9)
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.normal_(layer.bias)

    def results(kind):
        mine = copy.deepcopy(layer)
        x, other = (image.to(kind, memory_format=torch.channels_last).requires_grad_() for image in images)
        once, twice = mine(x, other if added else None, activate=activate, pool=pool)
        second = twice.float() * weights[:, :, : once.shape[2], : once.shape[3]]
        (once.float().sin().sum() + second.sum()).backward()
        found = [once.detach(), x.grad, mine.weight.grad, mine.bias.grad, mine.running_mean, mine.running_var]
        return found + ([other.grad] if added else [])

    ours = results(dtype)
    switch_off(monkeypatch)
    for expected, actual in zip(results(torch.float32), ours, strict=True):
        assert_close(expected, actual.float(), allowed)


@pytest.mark.parametrize("shape", [(3, 1, 1, 5), (3, 2, 1, 7), (1, 2, 0, 6), (2, 2, 0, 2), (3, 2, 1, 1)])
@pytest.mark.parametrize("every", [True, False])
def test_tiled_convolutions_agree_with_torchs(shape, every, monkeypatch):
    """In bfloat16, all three products, with pixels that fill no whole tile."""
    if native.network_kernels() is None or native.network_kernels().tiles is None:
        pytest.skip("no tile kernels on this machine")
    monkeypatch.setattr(convolution, "SMALL", 100 if every else 0)
    torch.manual_seed(0)
    layer = Convolution(64, 96, Geometry(*shape))
    torch.nn.init.normal_(layer.weight, std=0.1)
    x = torch.randn(5, 64, shape[-1], shape[-1], dtype=torch.bfloat16).requires_grad_()

    def results():
        y = layer(x)
        return y.detach(), *torch.autograd.grad(y.float().sin().sum(), (x, layer.weight))

    ours = results()
    switch_off(monkeypatch)
    for expected, actual in zip(results(), ours, strict=True):
        assert_close(expected, actual, 2 * HALF)


@pytest.mark.parametrize("form", ["native", "older"], indirect=True)
@pytest.mark.parametrize("training", [True, False])
def test_nan_passes_through_every_kernel(form, training):
    """A run that diverges is seen to diverge, as with torch's operations."""
    width = native.network_kernels().width
    for added, pool in itertools.product((False, True), (False, True)):
        layer = Norm(width).train(training)
        x = torch.zeros(2, width, 4, 4).contiguous(memory_format=torch.channels_last)
        x[1, 0, 2, 2] = torch.nan
        with torch.no_grad():
            y, _ = layer(x, x if added and not pool else None, pool=pool)

        assert y[:, 0].isnan().any()
        assert not y[:, 1:].isnan().any()


def test_an_older_processor_has_narrower_vectors_and_no_tiles(older_processor):
    if native.network_kernels() is None:
        pytest.skip("no compiler")

    assert (8, None) == (native.network_kernels().width, native.network_kernels().tiles)
    assert "vectors-256" == path_numerics(*ON_THE_CPU)["network_kernels"]


@pytest.mark.parametrize("setting", [("RESNET18_NATIVE", "off"), ("CC", "no-such-compiler"), ("CC", "false")], ids=str)
def test_switched_off_and_without_a_compiler_there_are_no_kernels(setting, home, monkeypatch):
    monkeypatch.setenv(*setting)
    for name in ("network_kernels", "augmentation_kernels"):
        monkeypatch.setattr(native, name, getattr(native, name).__wrapped__)

    assert {"network_kernels": "none", "augmentation_kernels": "none"} == path_numerics(*ON_THE_CPU)


@pytest.mark.parametrize(
    ("machine", "flags", "expected"),
    [("x86_64", {"avx2"}, False), ("x86_64", {"avx2", "fma"}, True), ("arm64", set(), True), ("ppc64le", set(), False)],
)
def test_kernels_are_for_avx2_and_arm(machine, flags, expected, monkeypatch):
    """A machine without AMX never compiles the tiles; a compiler without OpenMP makes kernels of one thread."""
    asked = []
    monkeypatch.setattr(native.platform, "machine", lambda: machine)
    monkeypatch.setattr(native, "cpu_flags", lambda: frozenset(flags))
    monkeypatch.setattr(native, "load_library", lambda name, _, flags: asked.append((name, native.THREADS in flags)))

    assert native.network_kernels.__wrapped__() is None
    assert ([("vectors", True), ("vectors", False)] if expected else []) == asked
