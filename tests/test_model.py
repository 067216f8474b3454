"""The network is ResNet-18: torchvision's own, bit for bit, with weights that depend on the seed alone."""

import math

import pytest
import torch
import torchvision
from builders import make_experiment

from resnet18.training.model import ResNet18, build_model
from resnet18.training.results import parameter_count

GOLDEN = ["-0x1.318f520000000p-8", "-0x1.2b58720000000p-5", "-0x1.0e0a2a0000000p-6"]


@pytest.mark.parametrize("size", [32, 64, 224])
@pytest.mark.parametrize("training", [True, False])
def test_outputs_and_gradients_equal_torchvisions_bit_for_bit(size, training):
    theirs = torchvision.models.resnet18(num_classes=10).train(training)
    ours = ResNet18("imagenet", 64).train(training)
    ours.load_state_dict(theirs.state_dict())
    images = torch.linspace(-2, 2, 2 * 3 * size * size).view(2, 3, size, size).sin()
    outputs = [network(images) for network in (theirs, ours)]
    for output in outputs:
        output.square().sum().backward()

    assert torch.equal(*outputs)
    for (name, one), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad), name


def test_resnet18_has_11181642_parameters_at_10_classes():
    model = build_model(make_experiment(width=64))

    assert 11_181_642 == parameter_count(model) == parameter_count(torchvision.models.resnet18(num_classes=10))


def test_the_cifar_stem_keeps_the_size_of_small_images():
    """3x3 stride 1 and no pool: layer 4 works on 4x4 maps at 32 px instead of 1x1."""
    images = torch.zeros(1, 3, 32, 32)
    shapes = {}
    for stem in ("imagenet", "cifar"):
        model = build_model(make_experiment(stem=stem)).eval()
        model.layer4.register_forward_hook(lambda _, __, out, stem=stem: shapes.update({stem: tuple(out.shape[2:])}))
        model(images)

    assert {"imagenet": (1, 1), "cifar": (4, 4)} == shapes


def test_weights_depend_on_the_seed_alone():
    """Not on torch's global generator, and drawing them leaves it alone."""
    before = torch.get_rng_state()
    first = build_model(make_experiment()).state_dict()
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(5)
    second, other = (build_model(make_experiment(seed=seed)).state_dict() for seed in (0, 1))

    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])


def test_weights_have_the_range_and_spread_of_torchs_defaults():
    """Uniform in ±1/sqrt(fan in): as wide, and with the standard deviation of, a layer that torch made."""
    ours = build_model(make_experiment(width=64)).layer3[0].conv1.weight.detach()
    theirs = torch.nn.Conv2d(128, 256, 3, bias=False).weight.detach()
    bound = 1 / math.sqrt(128 * 9)

    assert ours.abs().max() <= bound
    assert bound == pytest.approx(float(ours.abs().max()), rel=1e-3)
    assert float(theirs.std()) == pytest.approx(float(ours.std()), rel=0.01)


def test_batch_norm_starts_neutral():
    state = build_model(make_experiment()).bn1.state_dict()

    neutral = {"weight": [1, 1], "bias": [0, 0], "running_mean": [0, 0], "running_var": [1, 1]}
    assert {**neutral, "num_batches_tracked": 0} == {name: tensor.tolist() for name, tensor in state.items()}


def test_initial_weights_are_golden():
    first = build_model(make_experiment()).conv1.weight.flatten()[:3]

    assert GOLDEN == [value.hex() for value in first.tolist()]
