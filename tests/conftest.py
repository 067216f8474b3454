"""Settings for all tests."""

import os
import tempfile

import pytest
from hypothesis import settings

# Before any fork server starts, which keeps the environment of its start: tests leave the user's cache alone.
os.environ["RESNET18_DATA"] = tempfile.mkdtemp(prefix="resnet18-test-data-")

# The same examples every time: a test that fails, fails for everybody.
settings.register_profile("suite", derandomize=True, deadline=None, max_examples=60, database=None)
settings.register_profile("soak", settings.get_profile("suite"), max_examples=10_000)
settings.load_profile("suite")

FEW = 3


def pytest_addoption(parser):
    parser.addoption("--soak", action="store_true", help="repeat what is repeated as often as a promise asks for")


def pytest_configure(config):
    if config.getoption("--soak"):  # before the tests are imported, which take their settings then
        settings.load_profile("soak")


@pytest.fixture
def repetitions(request):
    """Return how often to repeat something: as often as is asked for under `--soak`, a few times otherwise."""
    return lambda full: full if request.config.getoption("--soak") else min(full, FEW)
