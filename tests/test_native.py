"""Compiled kernels: which form a machine has, and that oneDNN's faulty convolution is never taken."""

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


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("width", [1, 8, 15, 16])
@pytest.mark.parametrize(("path", "expected"), [("reference", 20), ("fast", 10)])
def test_no_narrow_convolution_is_strided_and_1x1(path, expected, width):
    """Its weight gradient overwrites the heap: on AVX2 below 8 channels, on AVX-512 below 16 (docs/upstream.md)."""
    seen = convolutions_of(path, 4, width=width)

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
