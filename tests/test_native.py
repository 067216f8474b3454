"""Compiled kernels: which form a machine has, and that oneDNN's faulty convolution is never taken."""

import itertools

import pytest
import torch
from builders import make_experiment
from torch.nn.functional import conv2d, cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

from resnet18.measure.devices import emulates_bf16
from resnet18.spec.experiment import Execution
from resnet18.training import native
from resnet18.training.fast import build_fast_network
from resnet18.training.model import NARROW, build_model
from resnet18.training.native import path_numerics

FAST, CPU = Execution(path="fast"), torch.device("cpu")
LIMITS = {torch.float32: 1e-5, torch.bfloat16: 0.02}


@pytest.fixture
def forgotten():
    """Ask anew which kernels there are, in the test and after it."""
    native.network_kernels.cache_clear()
    yield
    native.network_kernels.cache_clear()


@pytest.mark.usefixtures("older_processor")
def test_an_older_processor_has_narrower_vectors_and_no_tiles():
    if native.network_kernels() is None:
        pytest.skip("no compiler")

    assert (8, None) == (native.network_kernels().width, native.network_kernels().tiles)
    assert "vectors-256" == path_numerics(FAST, CPU)["network_kernels"]


@pytest.mark.usefixtures("forgotten")
def test_switched_off_there_are_no_kernels(monkeypatch):
    monkeypatch.setenv("RESNET18_NATIVE", "off")

    assert "none" == path_numerics(FAST, CPU)["network_kernels"]


@pytest.mark.parametrize("compiler", ["no-such-compiler", "false"])
def test_without_a_compiler_there_are_no_kernels(compiler, home, monkeypatch):
    monkeypatch.setenv("CC", compiler)

    assert native.augmentation_kernels.__wrapped__() is None


@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize(
    ("machine", "flags", "expected"),
    [("x86_64", {"avx2"}, False), ("x86_64", {"avx2", "fma"}, True), ("arm64", set(), True), ("ppc64le", set(), False)],
)
def test_kernels_are_for_avx2_and_arm(machine, flags, expected, monkeypatch):
    """Asked for and loaded only there; a machine without AMX never compiles the tiles."""
    asked = []
    monkeypatch.setattr(native.platform, "machine", lambda: machine)
    monkeypatch.setattr(native, "cpu_flags", lambda: frozenset(flags))
    monkeypatch.setattr(native, "load_library", lambda name, *_: asked.append(name))

    assert native.network_kernels() is None
    assert ({"vectors"} if expected else set()) == set(asked)


@pytest.mark.usefixtures("forgotten")
def test_a_compiler_without_openmp_makes_kernels_of_one_thread(home, monkeypatch):
    if native.network_kernels() is None:
        pytest.skip("no compiler")
    genuine, made = native.load_library, []

    def load(name, files, flags):
        made.append(flags)
        return None if native.THREADS in flags else genuine(name, files, flags)

    monkeypatch.setattr(native, "load_library", load)
    native.network_kernels.cache_clear()

    assert native.network_kernels() is not None
    assert native.THREADS in made[0]


class Convolutions(TorchDispatchMode):
    """Notes input, weight, stride and padding of every convolution that runs inside."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.convolution.default:
            self.seen.append((tuple(args[0].shape), tuple(args[1].shape), args[3][0], args[4][0]))
        return func(*args, **(kwargs or {}))


def convolutions_of(path, count, size, **changes):
    experiment = make_experiment(image_size=size, **changes)
    network = build_fast_network(experiment, "fp32") if path == "fast" else build_model(experiment)
    images = torch.zeros(count, 3, size, size)
    with Convolutions() as noted:
        cross_entropy(network.train()(images), torch.arange(count) % 10).backward()
    return noted.seen


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("width", [1, 8, 15, 16])
@pytest.mark.parametrize(("path", "expected"), [("reference", 20), ("fast", 10)])
def test_no_narrow_convolution_is_strided_and_1x1(path, expected, width):
    """Its weight gradient overwrites the heap: on AVX2 below 8 channels, on AVX-512 below 16 (docs/upstream.md)."""
    seen = convolutions_of(path, 4, 32, width=width)

    assert not [shape for _, shape, stride, _ in seen if stride > 1 and shape[2] == 1 and shape[1] < NARROW]
    assert expected == len(seen)  # the other ten of the fast path are products


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("width", [2, 15])
def test_a_narrow_shortcut_equals_a_strided_convolution(width):
    """Picking pixels first changes no value and no gradient beyond rounding."""
    shortcut = build_model(make_experiment(width=width)).layer2[0].downsample[0]
    ours, theirs = (torch.randn(4, width, 8, 8, generator=torch.Generator().manual_seed(1)) for _ in range(2))
    weight = shortcut.weight.detach().double().requires_grad_()
    expected = conv2d(theirs.requires_grad_().double(), weight, None, 2)
    expected.square().sum().backward()
    actual = shortcut(ours.requires_grad_())
    actual.square().sum().backward()

    torch.testing.assert_close(actual, expected.float())
    torch.testing.assert_close(ours.grad, theirs.grad)
    torch.testing.assert_close(shortcut.weight.grad, weight.grad.float())


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("dtype", LIMITS)
def test_each_shape_of_the_network_agrees_with_float64(dtype):
    """Forward, gradient of the image and of the weight: a library's fault at one shape would be seen here."""
    if dtype == torch.bfloat16 and emulates_bf16():
        pytest.skip("bf16 is emulated here")
    cases = itertools.product(("reference", "fast"), (("imagenet", 32), ("imagenet", 224), ("cifar", 32)))
    shapes = {shape for path, (stem, size) in cases for shape in convolutions_of(path, 2, size, width=64, stem=stem)}

    assert 30 <= len(shapes)
    for shape in sorted(shapes):
        check_against_float64(*shape, dtype)


def check_against_float64(x_shape, weight_shape, stride, padding, dtype):
    generator = torch.Generator().manual_seed(2)
    x, weight = (torch.randn(shape, generator=generator).to(dtype) for shape in (x_shape, weight_shape))
    x, weight = (t.contiguous(memory_format=torch.channels_last) for t in (x, weight))
    results = []
    for a, b in ((x, weight), (x.double(), weight.double())):
        y = conv2d(a.requires_grad_(), b.requires_grad_(), None, stride, padding)
        upstream = torch.randn(y.shape, generator=torch.Generator().manual_seed(3)).to(dtype).to(y.dtype)
        results.append((y, *torch.autograd.grad(y, (a, b), upstream)))
    for what, ours, exact in zip(("output", "image", "weight"), *results, strict=True):
        error = ((ours.double() - exact).norm() / exact.norm()).item()
        assert error < LIMITS[dtype], (what, x_shape, weight_shape, stride, padding, error)
