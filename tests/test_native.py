"""Compiled kernels: which form a machine has, and how they round."""

import itertools

import pytest
import torch

from resnet18.spec.experiment import Execution
from resnet18.training import fast, native
from resnet18.training.native import load_library
from resnet18.training.setup import path_numerics

FAST, CPU = Execution(path="fast"), torch.device("cpu")
PATTERNS = 1 << 16
"""All bfloat16."""


@pytest.fixture(params=["native", "older"])
def width(request):
    """Return the values in a vector of the kernels of this processor, and of one with AVX2 alone."""
    if request.param == "older":
        request.getfixturevalue("older_processor")
    if native.network_kernels() is None:
        pytest.skip("no native kernels on this machine")
    return native.network_kernels().width


@pytest.mark.usefixtures("older_processor")
def test_an_older_processor_has_narrower_vectors_and_no_tiles():
    """And the numerics of a record say so."""
    if native.network_kernels() is None:
        pytest.skip("no compiler")

    assert 8 == native.network_kernels().width
    assert native.network_kernels().tiles is None
    assert "vectors-256" == path_numerics(FAST, CPU)["network_kernels"]


def test_switched_off_there_are_no_kernels(monkeypatch):
    """And the numerics say that, too."""
    monkeypatch.setenv("RESNET18_NATIVE", "off")
    native.network_kernels.cache_clear()
    try:
        assert "none" == path_numerics(FAST, CPU)["network_kernels"]
    finally:
        native.network_kernels.cache_clear()


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
    native.network_kernels.cache_clear()
    try:
        assert native.network_kernels() is None
    finally:
        native.network_kernels.cache_clear()

    assert ({"vectors"} if expected else set()) == set(asked)


def test_a_compiler_without_openmp_makes_kernels_of_one_thread(home, monkeypatch):
    """As Apple's: the sources compile without the flag."""
    if native.network_kernels() is None:
        pytest.skip("no compiler")
    made = []

    def load(name, sources, headers, flags):
        made.append(flags)
        return None if native.THREADS in flags else load_library(name, sources, headers, flags)

    monkeypatch.setattr(native, "load_library", load)
    native.network_kernels.cache_clear()
    try:
        assert native.network_kernels() is not None
    finally:
        native.network_kernels.cache_clear()
    assert native.THREADS in made[0]


def test_bfloat16_is_rounded_as_torch_rounds(width):
    """Every value times numbers that leave ties and longer fractions; subnormal results are left out.

    AVX-512's own conversion takes them for 0.
    """
    factors = torch.tensor([1.0, 1 + 2**-8, 1 + 2**-7, 1 - 2**-9, 1.2345678, -3.1415927, 2**-8 + 1, 0.7])
    layer = fast.Norm(8 * width).eval()
    with torch.no_grad():
        layer.weight.copy_(factors.repeat(width))
        layer.running_var.fill_(1 - fast.EPS)  # so that its factor is 1
        for shift in range(8):  # every value meets every factor
            x = torch.arange(PATTERNS, dtype=torch.int32).to(torch.uint16).view(torch.bfloat16).roll(shift)
            image = x.view(-1, 1, 1, 8 * width).permute(0, 3, 1, 2)
            assert fast.fits(image)
            actual, _ = layer(image, activate=False)
            expected = image.float() * layer.weight.view(1, -1, 1, 1)
            normal = ~(expected.abs() < torch.finfo(torch.bfloat16).tiny) | (expected == 0)
            torch.testing.assert_close(actual[normal], expected.bfloat16()[normal], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("training", [True, False])
def test_nan_passes_through_every_kernel(width, training):
    """A run that diverges is seen to diverge, as with torch's operations."""
    for added, pool in itertools.product((False, True), (False, True)):
        layer = fast.Norm(width).train(training)
        x = torch.zeros(2, width, 4, 4).contiguous(memory_format=torch.channels_last)
        x[1, 0, 2, 2] = torch.nan
        with torch.no_grad():
            y, _ = layer(x, x if added and not pool else None, pool=pool)

        assert y[:, 0].isnan().any()
        assert not y[:, 1:].isnan().any()
