"""The fast network is the reference network: the same outputs, gradients, statistics and training, up to rounding."""

import copy

import pytest
import torch
from builders import make_experiment
from torch.nn.functional import conv2d, cross_entropy

from resnet18.measure.devices import emulates_bf16
from resnet18.spec.experiment import Execution
from resnet18.training import fast, native, update
from resnet18.training.fast import Norm, build_fast_network, convolution
from resnet18.training.fast.convolution import Products
from resnet18.training.fast.kernel_support import Geometry, live
from resnet18.training.fast.state import (
    full_optimizer_state,
    full_state,
    load_full_optimizer_state,
    load_full_state,
    shortened_weights,
    unseen_weights,
)
from resnet18.training.model import build_model
from resnet18.training.optimizers import build_optimizer

CPU = torch.device("cpu")
EPS = torch.finfo(torch.float32).eps
ROUNDING = 2000 * EPS
"""Of the largest value, or of a tensor's length: sums of up to 4,608 products, and of all pixels of a batch, in
another order through 20 layers and as many norms, each of which divides by a sum of differences."""
HALF = 2.0**-8
"""bfloat16's rounding of one value."""
OPTIMIZERS = [
    {"name": "sgd", "lr": 0.01},
    {"name": "sgd", "lr": 0.01, "momentum": 0.9},
    {"name": "adam", "lr": 1e-5},
    {"name": "adamw", "lr": 1e-5},
    {"name": "rmsprop", "lr": 1e-6},
    {"name": "adadelta", "lr": 1e-3},
    {"name": "asgd", "lr": 0.01},
]
DECAYING = [
    {"name": "sgd", "lr": 0.01, "weight_decay": 0.1},
    {"name": "sgd", "lr": 0.01, "momentum": 0.9, "dampening": 0.1, "weight_decay": 0.1},
    {"name": "sgd", "lr": 0.01, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    {"name": "adam", "lr": 1e-5, "weight_decay": 0.1},
    {"name": "adamw", "lr": 1e-5, "weight_decay": 0.5},
    {"name": "rmsprop", "lr": 1e-6, "weight_decay": 0.1},
    {"name": "rmsprop", "lr": 1e-6, "momentum": 0.9, "weight_decay": 0.1},
    {"name": "adadelta", "lr": 1e-3, "weight_decay": 0.1},
    {"name": "asgd", "lr": 0.01, "lambd": 0.1, "t0": 2.0, "weight_decay": 0.1},
    {"name": "asgd", "lr": 0.01, "lambd": 0.0, "t0": 2.0},
]


pytestmark = pytest.mark.usefixtures("one_thread")  # with two, torch's sums differ by more


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
    experiment = make_experiment(**{"width": 32, **changes})
    fast = build_fast_network(experiment, Execution(precision=precision), CPU)
    return experiment, build_model(experiment), fast


def optimizer_for(experiment, network):
    return build_optimizer(experiment.optimizer, network.parameters(), "fast", unseen=unseen_weights(network))


def name_of(spec):
    return "-".join(map(str, spec.values()))


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
    loss = cross_entropy(network(images), labels)
    loss.backward()
    return {name: parameter.grad for name, parameter in network.named_parameters()}


def one_step(network, optimizer, images, labels):
    network.train()
    optimizer.zero_grad()
    loss = cross_entropy(network(images), labels)
    loss.backward()
    optimizer.step()
    return loss.detach()


def living(network, name, whole):
    convolution_ = shortened_weights(network).get(name)
    if convolution_ is None:
        return whole
    part = slice(convolution_.begin, convolution_.begin + convolution_.geometry.kernel)
    return whole[:, :, part, part]


@pytest.mark.parametrize(("stem", "size"), [("imagenet", 32), ("imagenet", 64), ("cifar", 32), ("cifar", 20)])
def test_gradients_and_statistics_are_the_reference_networks(form, stem, size):
    """One step in float32 against the reference network in float64, for three networks.

    Where a value before a ReLU is 0 within rounding, float32 may let a gradient pass that float64 stops, in either
    network. That moves gradients by up to some percent, in some seeds; a wrong formula would move them in all.
    """
    errors = []
    for seed in range(3):
        experiment, reference, fast = make_pair(stem=stem, image_size=size, seed=seed)
        images, labels = make_batch(experiment)
        expected = gradients_of(reference.double(), images.double(), labels)
        actual = gradients_of(fast, images, labels)
        errors.append(max(distance(living(fast, name, expected[name]), actual[name]) for name in expected))
        for name in shortened_weights(fast):
            assert expected[name].count_nonzero() == living(fast, name, expected[name]).count_nonzero(), name
        for name, tensor in reference.state_dict().items():
            assert distance(tensor, full_state(fast)[name]) <= ROUNDING, name

    assert min(errors) <= ROUNDING
    assert max(errors) <= 0.1


@pytest.mark.parametrize("stem", ["imagenet", "cifar"])
def test_evaluation_uses_the_running_statistics(form, stem):
    """As they are after a step; and a batch of one image is enough."""
    experiment, reference, fast = make_pair(stem=stem)
    images, labels = make_batch(experiment)
    for network in (reference, fast):
        gradients_of(network, images, labels)
    with torch.no_grad():
        expected, actual = (network.eval()(images) for network in (reference, fast))
        alone = fast(images[:1])

    assert_close(expected, actual, ROUNDING)
    assert_close(actual[:1], alone, ROUNDING)


def test_the_forward_pass_at_224_px_is_the_reference_networks(form):
    """The size at which the sums over pixels are longest."""
    experiment, reference, fast = make_pair(image_size=224)
    images, _ = make_batch(experiment, 2)

    with torch.no_grad():
        assert_close(reference.train()(images), fast.train()(images), ROUNDING)


@pytest.mark.parametrize("spec", OPTIMIZERS + DECAYING, ids=name_of)
def test_five_steps_of_each_optimizer_are_the_reference_loops(form, spec):
    """Losses agree, and the way that each weight has gone, dead taps too; these stay where no decay moves them.

    The last batch is short by one image. Rates are small, since Adam and its like divide by the gradient's size:
    the rounding of a gradient near 0 makes a whole step of another sign.
    """
    experiment, reference, fast = make_pair(optimizer=spec)
    initial = {name: tensor.clone() for name, tensor in reference.state_dict().items()}
    theirs = build_optimizer(experiment.optimizer, reference.parameters())
    ours = optimizer_for(experiment, fast)
    for count in (8, 8, 8, 8, 7):
        images, labels = make_batch(experiment, count)
        losses = [one_step(reference, theirs, images, labels), one_step(fast, ours, images, labels)]
        assert_close(*losses, ROUNDING, count)

    state = full_state(fast)
    for name, tensor in reference.named_parameters():
        assert distance(tensor - initial[name], state[name] - initial[name]) <= 0.05, name
        if name in shortened_weights(fast):
            dead = torch.ones_like(tensor, dtype=torch.bool)
            living(fast, name, dead).zero_()
            moved = [(one[name][dead] - initial[name][dead]) for one in (reference.state_dict(), state)]
            assert experiment.optimizer.moves_unseen == bool(moved[1].any())
            assert distance(*moved) <= 0.01


@pytest.mark.parametrize("form", ["kernel", "loop"])
@pytest.mark.parametrize("spec", OPTIMIZERS + DECAYING, ids=name_of)
def test_equal_gradients_give_the_whole_tensors_of_the_reference_network_to_the_bit(spec, form, monkeypatch):
    """Parameters, and all that is kept of them: a dead tap is a weight whose gradient is 0 in every step."""
    if form == "loop":
        monkeypatch.setattr(update, "library", lambda: None)
    experiment, reference, fast = make_pair(optimizer=spec, width=8)
    theirs = build_optimizer(experiment.optimizer, reference.parameters(), "fast")
    ours = optimizer_for(experiment, fast)
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        for (name, one), other in zip(reference.named_parameters(), fast.parameters(), strict=True):
            other.grad = torch.empty_like(other).copy_(torch.randn(other.shape, generator=generator))
            one.grad = torch.zeros_like(one)
            living(fast, name, one.grad).copy_(other.grad)
        theirs.step()
        ours.step()

    whole, expected = full_optimizer_state(ours, fast), theirs.state_dict()["state"]
    assert [list(kept) for kept in expected.values()] == [list(kept) for kept in whole.values()]
    for index, (name, parameter) in enumerate(reference.named_parameters()):
        assert torch.equal(parameter, full_state(fast)[name]), name
        for key, tensor in expected.get(index, {}).items():
            assert torch.equal(tensor, whole[index][key]), (name, key)


@pytest.mark.parametrize("spec", OPTIMIZERS[1:] + DECAYING, ids=name_of)
def test_whole_state_goes_out_and_comes_back_bit_for_bit(spec):
    """Network and optimizer go on from it as they would have."""
    experiment, _, fast = make_pair(optimizer=spec)
    _, _, other = make_pair(optimizer=spec, seed=1)
    ours, others = (optimizer_for(experiment, network) for network in (fast, other))
    images, labels = make_batch(experiment)
    one_step(fast, ours, images, labels)
    load_full_state(other, {name: tensor.clone() for name, tensor in full_state(fast).items()})
    load_full_optimizer_state(others, other, full_optimizer_state(ours, fast))
    one_step(fast, ours, images, labels)
    one_step(other, others, images, labels)

    assert list(build_model(experiment).state_dict()) == list(full_state(other))
    for name, tensor in full_state(fast).items():
        assert torch.equal(tensor, full_state(other)[name]), name
    kept, others_kept = (full_optimizer_state(*pair) for pair in ((ours, fast), (others, other)))
    for index, tensors in kept.items():
        assert all(torch.equal(tensor, others_kept[index][key]) for key, tensor in tensors.items()), index


@pytest.mark.parametrize("spec", [OPTIMIZERS[1], DECAYING[1]], ids=name_of)
def test_whole_optimizer_state_is_the_reference_optimizers_in_shape(spec):
    """So that a checkpoint fits either; without decay a momentum of dead taps is 0."""
    experiment, reference, fast = make_pair(optimizer=spec)
    theirs = build_optimizer(experiment.optimizer, reference.parameters())
    ours = optimizer_for(experiment, fast)
    images, labels = make_batch(experiment)
    one_step(reference, theirs, images, labels)
    one_step(fast, ours, images, labels)

    whole = full_optimizer_state(ours, fast)
    for index, kept in theirs.state_dict()["state"].items():
        assert_close(kept["momentum_buffer"], whole[index]["momentum_buffer"], ROUNDING, index)


@pytest.mark.parametrize(
    ("geometry", "expected"),
    [
        (Geometry(3, 1, 1, 1), (1, 2)),
        (Geometry(3, 2, 1, 2), (1, 3)),
        (Geometry(3, 2, 1, 1), (1, 2)),
        (Geometry(3, 1, 1, 2), (0, 3)),
        (Geometry(3, 2, 1, 3), (0, 3)),
        (Geometry(7, 2, 3, 8), (0, 7)),
        (Geometry(1, 2, 0, 2), (0, 1)),
    ],
)
def test_live_taps_follow_from_the_size_of_the_map(geometry, expected):
    """Those rows of the kernel that ever see a pixel."""
    assert expected == live(geometry)


def test_6946816_parameters_are_dead_with_the_imagenet_stem_at_32_px():
    """Of layer 4: 5 of 9 taps of the first convolution, 256 to 512 channels, and 8 of 9 of three of 512 to 512."""
    _, reference, fast = make_pair(width=64)
    counts = [sum(parameter.numel() for parameter in network.parameters()) for network in (reference, fast)]

    assert 6_946_816 == counts[0] - counts[1]


@pytest.mark.parametrize("spec", [OPTIMIZERS[0], OPTIMIZERS[-1], *DECAYING], ids=name_of)
def test_no_optimizer_trains_a_larger_network_than_another(spec):
    """Whatever moves dead taps, nothing is computed with them."""
    _, _, fast = make_pair(optimizer=spec)

    assert 4 == len(shortened_weights(fast)) == len(unseen_weights(fast))


@pytest.mark.skipif(emulates_bf16(), reason="this processor emulates bf16")
@pytest.mark.parametrize(("stem", "size"), [("imagenet", 32), ("cifar", 32)])
def test_bfloat16_stays_near_float32(form, stem, size):
    """After one step of 20 layers: logits within some roundings, gradients as near as torch's autocast comes."""
    experiment, reference, fast = make_pair("bf16", stem=stem, image_size=size, width=64)
    images, labels = make_batch(experiment, 32)
    with torch.no_grad():
        assert_close(reference.train()(images), fast.train()(images), 16 * HALF, "logits")
    expected, actual = gradients_of(reference, images, labels), gradients_of(fast, images, labels)
    reference.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = gradients_of(reference, images, labels)

    assert {torch.float32} == {gradient.dtype for gradient in actual.values()}
    ours = [distance(living(fast, name, gradient), actual[name]) for name, gradient in expected.items()]
    theirs = [distance(gradient, rounded[name]) for name, gradient in expected.items()]
    assert sum(ours) <= 1.25 * sum(theirs)


@pytest.mark.parametrize("form", ["native", "older"], indirect=True)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("added", "activate", "pool"), [(0, 1, 0), (1, 1, 0), (0, 0, 0), (0, 1, 1)])
def test_native_norm_agrees_with_torchs_operations(form, dtype, added, activate, pool, monkeypatch):
    """Forward and backward, with an odd number of rows and two users of the output; torch's in float32.

    In bfloat16 torch pools rounded values, of which more are equal, and would give the gradient to another pixel.
    """
    torch.manual_seed(0)
    layer, images = Norm(48), torch.randn(2, 3, 48, 9, 9).add(3).to(dtype)
    weights = torch.randn(3, 48, 9, 9)
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.normal_(layer.bias)
    results = []
    for in_torch in (False, True):
        mine = copy.deepcopy(layer)
        x, other = (
            image.to(torch.float32 if in_torch else dtype, memory_format=torch.channels_last).requires_grad_()
            for image in images
        )
        if in_torch:
            switch_off(monkeypatch)
        once, twice = mine(x, other if added else None, activate=bool(activate), pool=bool(pool))
        (
            once.float().sin().sum()
            + (twice.float() * weights[: once.shape[0], :, : once.shape[2], : once.shape[3]]).sum()
        ).backward()
        results.append([once, x.grad, mine.weight.grad, mine.bias.grad, mine.running_mean, mine.running_var])
        results[-1] += [other.grad] if added else []

    allowed = 64 * EPS if dtype == torch.float32 else 4 * HALF
    for expected, actual in zip(results[1], results[0], strict=True):
        assert_close(expected.detach(), actual.detach().float(), allowed)


@pytest.mark.parametrize(
    "geometry",
    [
        Geometry(3, 1, 1, 2),
        Geometry(3, 2, 1, 4),
        Geometry(3, 2, 1, 3),
        Geometry(2, 2, 0, 2),
        Geometry(1, 1, 0, 1),
        Geometry(1, 2, 0, 4),
        Geometry(1, 2, 0, 2),
        Geometry(3, 1, 1, 1),
        Geometry(7, 2, 3, 4),
    ],
)
def test_products_are_the_convolution(geometry):
    """Forward and both gradients, against torch in float64, with taps that see nothing and pixels that none sees."""
    torch.manual_seed(0)
    x = torch.randn(3, 5, geometry.size, geometry.size).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(7, 5, geometry.kernel, geometry.kernel).contiguous(memory_format=torch.channels_last)
    results = []
    for dtype in (torch.float64, torch.float32):
        inputs = [tensor.to(dtype).requires_grad_() for tensor in (x, weight)]
        if dtype == torch.float64:
            y = conv2d(*inputs, None, geometry.stride, geometry.padding)
        else:
            y = Products.apply(*inputs, geometry)
            assert y.is_contiguous(memory_format=torch.channels_last)
        results.append((y, *torch.autograd.grad(y.sin().sum(), inputs)))

    for expected, actual in zip(*results, strict=True):
        assert_close(expected.detach().float(), actual.detach(), 64 * EPS)


@pytest.mark.parametrize("size", [8, 16, 32])
def test_small_maps_are_written_by_products_and_large_ones_are_not(size):
    """Those up to 2x2."""
    _, _, fast = make_pair(image_size=size)
    convolutions = [layer for layer in fast.modules() if isinstance(layer, convolution.Convolution)]
    seen = []
    for layer in convolutions:
        x = torch.randn(4, layer.weight.shape[1], layer.geometry.size, layer.geometry.size, requires_grad=True)
        seen.append("Products" in type(layer(x).grad_fn).__name__)

    assert [layer.geometry.out <= 2 for layer in convolutions] == seen


@pytest.mark.parametrize(
    "geometry", [Geometry(3, 1, 1, 5), Geometry(3, 2, 1, 7), Geometry(1, 2, 0, 6), Geometry(2, 2, 0, 2)]
)
@pytest.mark.parametrize("every", [True, False])
def test_tiled_convolutions_agree_with_torchs(geometry, every, monkeypatch):
    """In bfloat16, all three products, with pixels that fill no whole tile."""
    if native.network_kernels() is None or native.network_kernels().tiles is None:
        pytest.skip("no tile kernels on this machine")
    monkeypatch.setattr(convolution, "SMALL", 100 if every else 0)
    torch.manual_seed(0)
    layer = convolution.Convolution(64, 96, geometry)
    torch.nn.init.normal_(layer.weight, std=0.1)
    x = torch.randn(5, 64, geometry.size, geometry.size, dtype=torch.bfloat16).requires_grad_()
    results = []
    for which in ("native", "torch"):
        if which == "torch":
            switch_off(monkeypatch)
        x.grad = layer.weight.grad = None
        y = layer(x)
        y.float().sin().sum().backward()
        results.append((y.detach(), x.grad, layer.weight.grad))

    for expected, actual in zip(results[1], results[0], strict=True):
        assert_close(expected, actual, 2 * HALF)
