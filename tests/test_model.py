"""The network is ResNet-18: torchvision's own, bit for bit, with weights that depend on the seed alone.

And oneDNN's faulty convolution is never taken: `docs/upstream.md`.
"""

import math

import pytest
import torch
import torchvision
from builders import make_experiment
from torch.nn.functional import conv2d, cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

from resnet18.measure.devices import emulates_bf16
from resnet18.training.fast import build_fast_network
from resnet18.training.model import NARROW, ResNet18, build_model
from resnet18.training.results import parameter_count

GOLDEN = ["-0x1.318f520000000p-8", "-0x1.2b58720000000p-5", "-0x1.0e0a2a0000000p-6"]
pytestmark = pytest.mark.usefixtures("one_thread")


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


def test_resnet18_has_11181642_parameters_at_10_classes_and_neutral_norms():
    ours, theirs = build_model(make_experiment(width=64)), torchvision.models.resnet18(num_classes=10)
    norms = {name: tensor for name, tensor in theirs.state_dict().items() if tensor.dim() < 2 and name != "fc.bias"}

    assert 11_181_642 == parameter_count(ours) == parameter_count(theirs)
    assert all(torch.equal(tensor, ours.state_dict()[name]) for name, tensor in norms.items())


def test_weights_depend_on_the_seed_alone():
    """Not on torch's global generator, and drawing them leaves it alone."""
    before = torch.get_rng_state()
    first = build_model(make_experiment()).state_dict()
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(5)
    second, other = (build_model(make_experiment(seed=seed)).state_dict() for seed in (0, 1))

    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])


def test_initial_weights_have_the_range_and_spread_of_torchs_defaults_and_are_golden():
    """Uniform in ±1/sqrt(fan in): as wide, and with the standard deviation of, a layer that torch made."""
    model = build_model(make_experiment(width=64))
    ours = model.layer3[0].conv1.weight.detach()
    theirs = torch.nn.Conv2d(128, 256, 3, bias=False).weight.detach()
    first = build_model(make_experiment()).conv1.weight.flatten()[:3]

    assert 1 / math.sqrt(128 * 9) == pytest.approx(float(ours.abs().max()), rel=1e-3)
    assert float(theirs.std()) == pytest.approx(float(ours.std()), rel=0.01)
    assert GOLDEN == [value.hex() for value in first.tolist()]


class Convolutions(TorchDispatchMode):
    """Notes image, weight, stride and padding of every convolution that runs inside."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.convolution.default:
            self.seen.append((tuple(args[0].shape), tuple(args[1].shape), args[3][0], args[4][0]))
        return func(*args, **(kwargs or {}))


def convolutions_of(path, count, **changes):
    experiment = make_experiment(**changes)
    network = build_fast_network(experiment, "fp32") if path == "fast" else build_model(experiment)
    images = torch.zeros(count, 3, experiment.image_size, experiment.image_size)
    with Convolutions() as noted:
        cross_entropy(network.train()(images), torch.arange(count)).backward()
    return noted.seen


@pytest.mark.parametrize(("stem", "side"), [("imagenet", 1), ("cifar", 4)])
def test_the_cifar_stem_keeps_the_size_of_small_images(stem, side):
    """3x3 stride 1 and no pool: the last convolution works on 4x4 maps at 32 px instead of 1x1."""
    assert (2, 16, side, side) == convolutions_of("reference", 2, stem=stem)[-1][0]


@pytest.mark.parametrize("width", [1, 8, 15, 16])
@pytest.mark.parametrize(("path", "expected"), [("reference", 20), ("fast", 10)])
def test_no_narrow_convolution_is_strided_and_1x1(path, expected, width):
    """Its weight gradient overwrites the heap: on AVX2 below 8 channels, on AVX-512 below 16 (docs/upstream.md)."""
    seen = convolutions_of(path, 4, width=width)

    assert not [shape for _, shape, stride, _ in seen if stride > 1 and shape[2] == 1 and shape[1] < NARROW]
    assert expected == len(seen)  # the other ten of the fast path are products


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-5), (torch.bfloat16, 0.02)])
def test_each_convolution_of_the_network_agrees_with_float64(dtype, limit):
    """Output and both gradients: a library's fault at one shape would be seen here."""
    if dtype == torch.bfloat16 and emulates_bf16():
        pytest.skip("bf16 is emulated here")
    inputs = [{"image_size": 32}, {"image_size": 224}, {"stem": "cifar"}]
    shapes = {
        shape for path in ("reference", "fast") for one in inputs for shape in convolutions_of(path, 2, width=64, **one)
    }
    generator = torch.Generator().manual_seed(2)
    for x_shape, weight_shape, stride, padding in sorted(shapes):
        x, weight = (torch.randn(shape, generator=generator).to(dtype) for shape in (x_shape, weight_shape))
        x, weight = (tensor.contiguous(memory_format=torch.channels_last) for tensor in (x, weight))
        results, upstream = [], None
        for a, b in ((x, weight), (x.double(), weight.double())):
            y = conv2d(a.requires_grad_(), b.requires_grad_(), None, stride, padding)
            upstream = torch.randn(y.shape, generator=generator).to(dtype) if upstream is None else upstream
            results.append((y, *torch.autograd.grad(y, (a, b), upstream.to(y.dtype))))
        for ours, exact in zip(*results, strict=True):
            assert (ours.double() - exact).norm() < limit * exact.norm(), (x_shape, weight_shape, stride, padding)

    assert 30 <= len(shapes)
