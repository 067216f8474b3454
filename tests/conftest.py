"""Settings for all tests."""

import os
import tempfile
import time

import pytest
from hypothesis import settings

# Before any fork server starts, which keeps the environment of its start: tests leave the user's cache alone.
os.environ["RESNET18_DATA"] = tempfile.mkdtemp(prefix="resnet18-test-data-")
if "PYTEST_XDIST_WORKER" in os.environ:  # beside another: two threads each on two processors take ten times as long
    os.environ["OMP_NUM_THREADS"] = "1"

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


@pytest.fixture
def one_thread():
    """Train on one thread, and leave the number as it was."""
    import torch  # noqa: PLC0415 - most tests do without

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def grows_no_faster():
    """Say whether ten times as much takes less than forty times as long: a hundred times would be the square.

    Of this process's own time, so that neither the processor's speed nor others' work decides.
    """

    def is_so(work, few):
        took_s = []
        for count in (few, few, 10 * few):  # the first time loads what is needed
            began_s = time.process_time()
            work(count)
            took_s.append(time.process_time() - began_s)
        return took_s[2] < 40 * max(took_s[1], 0.001)

    return is_so


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A data home of the test's own."""
    monkeypatch.setenv("RESNET18_DATA", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def decoded(home, tmp_path):
    """An image folder whose decoded copy is kept, and the folder of the copy."""
    from test_imagefolder import files, make_tar  # noqa: PLC0415 - torch

    from resnet18.spec.data import DataSource  # noqa: PLC0415 - as few tests as possible wait for it
    from resnet18.training.source import open_data  # noqa: PLC0415 - the same

    source = DataSource("imagefolder", "mine", make_tar(tmp_path / "mine.tar", files(), ""))
    open_data(source, verify=True)
    (copy,) = (path for path in (home / "decoded").iterdir() if path.is_dir())
    return source, copy
