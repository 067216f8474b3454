"""A browser, and the pages that it opens."""

import os
import shutil

import pytest
from chromium import Chromium
from reports import noisy_epochs, record_all

from resnet18.records.store import Readings
from resnet18.report.report import write_report
from resnet18.spec.load import load_benchmarks
from resnet18.spec.resolve import Request

REQUEST = Request(scale="paper", data="cifar10")


@pytest.fixture(scope="session")
def page(tmp_path_factory):
    """The page of all tables: three seeds, one case out of memory."""
    suite, folder = load_benchmarks(), tmp_path_factory.mktemp("results")
    ended = record_all(suite, REQUEST, range(3), noisy_epochs)
    lost = record_all(suite, REQUEST, range(3), status="oom_device")
    both = zip(ended, lost, strict=True)
    records = [second if first.spec.experiment.batch_size == 1024 else first for first, second in both]
    write_report(folder, suite, Readings(tuple(records), ()))
    return folder / "report.html"


@pytest.fixture(scope="session")
def chromium():
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        reason = "no chromium: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(f"{reason}; where CI is set, a page that nobody opened is no success")
        pytest.skip(reason)
    browser = Chromium(path)
    yield browser
    browser.close()


@pytest.fixture
def desktop(chromium, page):
    """The page, freshly opened; whatever it complained of fails the test afterwards."""
    chromium.open(page)
    yield chromium
    assert [] == chromium.complaints()
