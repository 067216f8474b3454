"""The committed figures of `make speed`: the page is made from them, and the targets that it names are reached."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "results" / "speed"


def found():
    return json.loads((FIGURES / "speed.json").read_text(encoding="utf-8"))


def page_of(figures):
    spec = importlib.util.spec_from_file_location("speed_page", ROOT / "benchmarks" / "speed" / "page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.page(figures)


def test_the_page_is_made_from_the_figures():
    """Byte for byte: no number of it was typed."""
    assert (FIGURES / "speed.md").read_text(encoding="utf-8") == page_of(found())


@pytest.mark.parametrize("row", [row for row in found()["workloads"] if row["target"]], ids=lambda row: row["workload"])
def test_each_target_lies_below_the_interval(row):
    """On the machine that the page describes."""
    assert row["target"] <= row["ratio"]["low"]


def test_the_suite_adds_less_than_a_hundredth_to_a_bare_loop():
    """The bare loop's rate by the suite's: the upper end of the interval."""
    assert found()["overhead"]["high"] <= 1.01


def test_making_images_is_less_than_a_twentieth_of_every_step():
    """Of the time that training takes."""
    assert max(row["data_wait_share"] for row in found()["workloads"]) < 0.05


@pytest.mark.parametrize(
    ("only", "emulates", "measured", "skipped"),
    [
        (None, False, {"bf16", "fp32"}, set()),
        (None, True, {"fp32"}, {"bf16"}),
        (["32px"], True, {"bf16"}, set()),
    ],
)
def test_where_bf16_is_emulated_it_is_measured_for_who_asks_for_it_alone(
    only, emulates, measured, skipped, monkeypatch
):
    """A product of 2048 x 2048 in it takes minutes there."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "speed"))
    workloads = importlib.import_module("workloads")
    found = workloads.chosen(only, emulates_bf16=emulates)

    assert (measured, skipped) == tuple({workloads.WORKLOADS[name].precision for name in names} for names in found)
