"""Checks that only a GPU can answer. `make verify-gpu` runs them; `make test` does not collect them."""

import pytest
from builders import TINY_ARGUMENTS
from typer.testing import CliRunner

from resnet18.cli.app import app
from resnet18.measure.devices import present_devices
from resnet18.records.store import Store


def pytest_sessionstart(session):
    """Stop with exit code 5 where nothing could be verified: a session without a GPU must not pass."""
    if "cuda" not in present_devices(prove=True):
        pytest.exit("no CUDA device: nothing was verified", returncode=5)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a benchmark on the GPU with tiny sizes, and return its records by seed."""
    monkeypatch.chdir(tmp_path)

    def call(name, *options, results="results", seeds=1, arguments=()):
        words = ["run", name, "--device", "cuda", "--seeds", str(seeds), "--results", results, *TINY_ARGUMENTS]
        words += [word for option in options for word in ("-o", option)]
        CliRunner().invoke(app, [*words, *arguments])
        return Store(tmp_path / results).read().records

    return call
