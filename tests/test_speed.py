"""The committed figures of `make speed`: the page is made from them, and the targets that it names are reached."""

import importlib
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FIGURES = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted((ROOT / "results/speed").glob("*.json"))}
MISSED = {("avx2", "224px, fp32")}
"""1.12 [1.01, 1.25] on the page, where 1.15 was aimed at; measured again alone, n = 10: 1.18 [1.15, 1.20]. Nine tenths
of such a step are oneDNN's convolutions at the peak rate of a product."""
AMX = {"avx2", "avx512f", "amx_bf16"}


@pytest.fixture
def module(monkeypatch):
    """Import a module of the command."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "suite" / "speed"))
    return importlib.import_module


@pytest.mark.parametrize("name", FIGURES)
def test_the_page_is_made_from_the_figures(name, module):
    """Byte for byte: no number of it was typed. Each class of machine has its own."""
    assert (ROOT / f"results/speed/{name}.md").read_text(encoding="utf-8") == module("page").page(FIGURES[name])
    assert name == FIGURES[name]["machine"]["class"]


@pytest.mark.parametrize("name", FIGURES)
def test_each_target_lies_below_the_interval(name):
    """On the machine that the page describes, except where it is known to be missed."""
    rows = [row for row in FIGURES[name]["workloads"] if row["target"]]
    missed = {(name, row["workload"]) for row in rows if row["target"] > row["ratio"]["low"]}

    assert {miss for miss in MISSED if miss[0] == name} == missed


@pytest.mark.parametrize("name", FIGURES)
def test_the_suite_adds_less_than_a_hundredth_and_making_images_takes_less_than_a_twentieth(name):
    """The bare loop's rate by the suite's, in the mean (the interval is 2 or 4 hundredths wide); of training's time."""
    overhead = FIGURES[name]["overhead"]

    assert overhead is None or overhead["value"] <= 1.01
    assert max(row["data_wait_share"] for row in FIGURES[name]["workloads"]) < 0.05


@pytest.mark.parametrize(
    ("flags", "limit", "name"),
    [
        (AMX, "", "amx"),
        (AMX, "AVX512_CORE_BF16", "avx512"),
        (AMX, "AVX512_CORE_AMX", "amx"),
        (AMX - {"amx_bf16"}, "avx2", "avx2"),
        ({"avx2"}, "", "avx2"),
        (set(), "", "other"),
    ],
)
def test_a_machine_belongs_to_the_class_of_the_newest_instructions_that_it_may_use(flags, limit, name, module):
    """So a page of AVX2 can be made on any machine."""
    assert name == module("workloads").machine_class(flags, limit)


@pytest.mark.parametrize(
    ("only", "emulates", "measured", "skipped"),
    [(None, False, {"bf16", "fp32"}, set()), (None, True, {"fp32"}, {"bf16"}), (["32px"], True, {"bf16"}, set())],
)
def test_where_bf16_is_emulated_it_is_measured_for_who_asks_for_it_alone(only, emulates, measured, skipped, module):
    """A product of 2048 x 2048 in it takes minutes there."""
    speed = module("workloads")
    groups = speed.chosen(only, emulates_bf16=emulates)

    assert [measured, skipped] == [{speed.WORKLOADS[name].precision for name in names} for names in groups]
