"""A browser, and the pages that it opens."""

import os

import pytest
from acting import REQUEST, epochs_of
from builders import make_record
from chromium import Chromium, find_chromium

from resnet18.records.store import Readings
from resnet18.report.report import write_report
from resnet18.spec.load import load_benchmarks
from resnet18.spec.plan import plan


@pytest.fixture(scope="session")
def page(tmp_path_factory):
    """The page of all tables: three seeds, one case out of memory."""
    suite, folder = load_benchmarks(), tmp_path_factory.mktemp("results")
    records = [
        make_record(run.experiment, run.execution, request=REQUEST, epochs=epochs_of(run))
        if run.experiment.batch_size < 1024
        else make_record(run.experiment, run.execution, request=REQUEST, status="oom_device")
        for run in plan(suite, REQUEST, range(3), {"cpu": 1, "cuda": 4}).runs
    ]
    write_report(folder, suite, Readings(tuple(records), ()))
    return folder / "report.html"


@pytest.fixture(scope="session")
def chromium():
    path = find_chromium()
    if path is None:
        reason = "no chromium: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(f"{reason}; where CI is set, a page that nobody opened is no success")
        pytest.skip(reason)
    browser = Chromium(path)
    yield browser
    browser.close()
