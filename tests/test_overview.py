"""Where the statements stand: the verdicts of several requests beside each other."""

from pathlib import Path

import pytest
from report_branches import made_of, records_of

from resnet18.report.contents import begun
from resnet18.report.overview import overview, standings
from resnet18.spec.load import load_benchmarks
from resnet18.spec.resolve import Request
from resnet18.tables.selection import requests_of

BEYOND = Path(__file__).parents[1] / "benchmarks" / "beyond"
SMALL, SMOKE = Request("small", "cifar10-jpeg"), Request()


@pytest.fixture
def chapters():
    """Return the chapters of a report of one seed of the first table under some requests."""

    def of(*requests):
        suite = load_benchmarks()
        records = [one for request in requests for one in records_of(suite[:1], request, 1)]
        return made_of(suite, records).chapters

    return of


def test_each_request_that_bears_on_a_report_has_a_column(chapters):
    """In the order of the chapters; a line for each statement, also for those that nothing was run for."""
    (title, rows), *others = standings(chapters(SMALL, SMOKE)).items()

    assert ("Where the statements stand: the lab report", []) == (title, others)
    assert ["claim", "statement"] == list(rows.columns[:2])
    assert {SMALL.described, SMOKE.described} == set(rows.columns[2:])
    assert ["inconclusive"] * 2 == list(rows.set_index("claim").loc["A1"])[1:]
    assert ["\N{EN DASH}"] * 2 == list(rows.set_index("claim").loc["D2"])[1:]


def test_a_report_that_only_shares_runs_of_another_is_not_judged_beside_it():
    """One of its six cases is a row of Table 1. The chapter says that it is begun, and which file goes on with it."""
    augmentation, alone = load_benchmarks(("augmentation", str(BEYOND / "augmentation-alone.toml")))
    (chapter,) = made_of([augmentation, alone], records_of([augmentation], SMALL, 1)).chapters
    (line,) = begun(chapter)

    assert ["the lab report"] == list(chapter.verdicts)
    assert "1 of 6 cases recorded; `resnet18 run augmentation-alone.toml" in line


def test_a_report_that_is_begun_and_nothing_else_is_judged():
    """Its summary says which records are missing."""
    (alone,) = load_benchmarks((str(BEYOND / "augmentation-alone.toml"),))
    (chapter,) = made_of([alone], records_of([alone], SMALL, 1)[:1]).chapters

    assert ["augmentation-alone"] == list(chapter.verdicts)


def test_one_request_needs_no_overview(chapters):
    """Its verdicts stand in its chapter."""
    assert "" == overview(chapters(SMALL))


def test_requests_with_fewer_options_come_first():
    """What is farther from the specs comes later, whatever its options are called."""
    (suite, *_) = load_benchmarks()
    ways = [("epochs=4", "width=16"), ("width=16",)]
    records = [one for way in ways for one in records_of([suite], Request("small", "cifar10-jpeg", way), 1)]

    assert [(), ("width=16",), ("epochs=4", "width=16")] == [request.overrides for request in requests_of(records)]
