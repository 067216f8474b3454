"""The networks' convolutions: none takes code of oneDNN that writes beyond its memory, each agrees with float64."""

import itertools

import pytest
import torch
from builders import make_experiment
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

from resnet18.measure.devices import emulates_bf16
from resnet18.spec.experiment import Execution
from resnet18.training.fast import build_fast_network
from resnet18.training.model import NARROW, build_model

CPU = torch.device("cpu")
PRECISIONS = [
    pytest.param(torch.float32, 1e-5, id="fp32"),
    pytest.param(
        torch.bfloat16,
        0.02,
        id="bf16",
        marks=pytest.mark.skipif(emulates_bf16(), reason="bf16 is emulated here"),
    ),
]


class Convolutions(TorchDispatchMode):
    """Notes input, weight, stride and padding of every convolution that runs inside."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.convolution.default:
            self.seen.append((args[0], args[1], args[3][0], args[4][0]))
        return func(*args, **(kwargs or {}))


def convolutions_of(network, images):
    with Convolutions() as noted:
        cross_entropy(network.train()(images), torch.arange(len(images)) % 10).backward()
    return noted.seen


def make_networks(**changes):
    experiment = make_experiment(**changes)
    reference = build_model(experiment).to(memory_format=torch.channels_last)
    return {"reference": reference, "fast": build_fast_network(experiment, Execution(path="fast"), CPU)}


def make_images(count, size):
    images = torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))
    return images.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("width", [1, 2, 4, 8, 15, 16])
@pytest.mark.parametrize("path", ["reference", "fast"])
def test_no_narrow_convolution_is_strided_and_1x1(path, width):
    """Its weight gradient overwrites the heap: on AVX2 below 8 channels, on AVX-512 below 16 (docs/upstream.md)."""
    seen = convolutions_of(make_networks(width=width)[path], make_images(4, 32))

    strided = [weight.shape for _, weight, stride, _ in seen if stride > 1]

    assert not [shape for shape in strided if shape[2] == 1 and shape[1] < NARROW]
    assert (20 if path == "reference" else 10) == len(seen)  # the other ten are products


@pytest.mark.parametrize("width", [2, 15])
def test_a_narrow_shortcut_equals_a_strided_convolution(width):
    """Picking pixels first changes no value and no gradient beyond rounding."""
    shortcut = build_model(make_experiment(width=width)).layer2[0].downsample[0]
    inputs = [torch.randn(4, width, 8, 8, generator=torch.Generator().manual_seed(1)) for _ in range(2)]
    ours, theirs = (x.requires_grad_() for x in inputs)
    weight = shortcut.weight.detach().double().requires_grad_()
    expected = torch.nn.functional.conv2d(theirs.double(), weight, None, 2)
    expected.square().sum().backward()
    actual = shortcut(ours)
    actual.square().sum().backward()

    torch.testing.assert_close(actual, expected.float())
    torch.testing.assert_close(ours.grad, theirs.grad)
    torch.testing.assert_close(shortcut.weight.grad, weight.grad.float())


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
@pytest.mark.parametrize(("stem", "size"), [("imagenet", 32), ("imagenet", 224), ("cifar", 32)])
def test_each_shape_of_the_network_agrees_with_float64(stem, size, dtype, tolerance):
    """Forward, gradient of the image and of the weight: a library's fault at one shape would be seen here."""
    networks = make_networks(width=64, stem=stem, image_size=size)
    seen = itertools.chain(*(convolutions_of(network, make_images(2, size)) for network in networks.values()))
    shapes = {(tuple(x.shape), tuple(weight.shape), stride, padding) for x, weight, stride, padding in seen}

    assert 11 <= len(shapes)
    for shape in sorted(shapes):
        check_against_float64(*shape, dtype, tolerance)


def check_against_float64(x_shape, weight_shape, stride, padding, dtype, tolerance):
    generator = torch.Generator().manual_seed(2)
    x, weight = (torch.randn(shape, generator=generator).to(dtype) for shape in (x_shape, weight_shape))
    x, weight = (t.contiguous(memory_format=torch.channels_last) for t in (x, weight))
    results = []
    for a, b in ((x, weight), (x.double(), weight.double())):
        a.requires_grad_()
        b.requires_grad_()
        y = torch.nn.functional.conv2d(a, b, None, stride, padding)
        upstream = torch.randn(y.shape, generator=torch.Generator().manual_seed(3)).to(dtype).to(y.dtype)
        results.append((y, *torch.autograd.grad(y, (a, b), upstream)))
    for what, ours, exact in zip(("output", "image", "weight"), *results, strict=True):
        distance = ((ours.double() - exact).norm() / exact.norm()).item()
        assert distance < tolerance, (what, x_shape, weight_shape, stride, padding, distance)
