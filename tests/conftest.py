"""Settings for all tests."""

import atexit
import os
import shutil
import signal
import tempfile

import pytest
from builders import make_benchmark, make_store
from hypothesis import settings

from resnet18.cli.app import OF_A_CALLER
from resnet18.execution.processes import OF_REFERENCE, PRELOADED, spin_briefly

# Before any fork server starts, which keeps the environment of its start: tests leave the user's cache alone.
os.environ["RESNET18_DATA"] = tempfile.mkdtemp(prefix="resnet18-test-data-")
atexit.register(shutil.rmtree, os.environ["RESNET18_DATA"], ignore_errors=True)
spin_briefly()  # before torch is loaded, as in a run
PRELOADED.extend(OF_REFERENCE)  # all tests of a process share one fork server, whichever of them starts it
if "PYTEST_XDIST_WORKER" in os.environ:  # beside another one: two threads each on two processors would only wait
    os.environ["OMP_NUM_THREADS"] = "1"

# Git sets them for a hook that runs these tests, whose repositories would then be the one that is committed to.
for name in OF_A_CALLER:
    os.environ.pop(name, None)

# A shell lets what it starts in the background ignore Ctrl-C, and so would all that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples every time: a test that fails, fails for everybody.
settings.register_profile("suite", derandomize=True, deadline=None, max_examples=60, database=None)
settings.register_profile("soak", settings.get_profile("suite"), max_examples=10_000)
settings.load_profile("suite")


def pytest_addoption(parser):
    parser.addoption("--soak", action="store_true", help="repeat what is repeated as often as a promise asks for")


def pytest_configure(config):
    if config.getoption("--soak"):  # before the tests are imported, which take their settings then
        settings.load_profile("soak")


@pytest.fixture
def repetitions(request):
    """Return how often to repeat something: as often as is asked for under `--soak`, three times otherwise."""
    return lambda full: full if request.config.getoption("--soak") else min(full, 3)


@pytest.fixture
def one_thread():
    """Train on one thread, and leave the number as it was."""
    import torch  # noqa: PLC0415 - most tests do without

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def mine(tmp_path):
    """A table of a user's own, in a file of the test's folder."""
    return make_benchmark(tmp_path)


@pytest.fixture
def store(tmp_path):
    """An empty store in the test's folder."""
    return make_store(tmp_path / "results")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A data home of the test's own."""
    monkeypatch.setenv("RESNET18_DATA", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def cli(tmp_path, home, monkeypatch):
    """Call the command in an empty folder, with a data home of its own."""
    from typer.testing import CliRunner  # noqa: PLC0415 - most tests do without

    from resnet18.cli.app import app  # noqa: PLC0415 - the same

    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def decoded(home, tmp_path):
    """An image folder whose decoded copy is kept, and the folder of the copy."""
    from test_imagefolder import files, make_tar  # noqa: PLC0415 - torch

    from resnet18.data.source import open_data  # noqa: PLC0415 - the same
    from resnet18.spec.experiment import DataSource  # noqa: PLC0415 - as few tests as possible wait for it

    source = DataSource("mine", make_tar(tmp_path / "mine.tar", files(), ""))
    open_data(source, verify=True)
    (copy,) = (path for path in (home / "decoded").iterdir() if path.is_dir())
    return source, copy
