"""The gate of the regression check, simulated: benchmarks/suite/gate, in small, and its page of results/gate."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

from resnet18.gate import statistical
from resnet18.spec.benchmark import Gate
from resnet18.tables.statistics import holm_levels

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results" / "gate"
DRAWS = 200


@pytest.fixture
def module(monkeypatch):
    """Import a module that stands beside benchmarks/suite/gate/__main__.py."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "suite" / "gate"))
    return importlib.import_module


@pytest.fixture
def kept():
    return json.loads((RESULTS / "gate.json").read_text(encoding="utf-8"))


def accuracies(random, step):
    """Return old and new values of random sizes; with a step, some have no spread at all."""
    old, new = (random.normal(50, random.choice([0.01, 1.0]), random.integers(2, 20)) for _ in range(2))
    return (np.round(side / step) * step if step else side for side in (old, new))


@pytest.mark.parametrize("step", [0.0, 0.1])
def test_accuracies_are_judged_as_the_gate_judges_them(module, step):
    """Many at once, and one by one."""
    judged, random = module("judged"), np.random.default_rng(1)
    for _ in range(DRAWS):
        old, new = accuracies(random, step)
        gap = statistical.prediction(old.tolist(), new.tolist(), resolution=step)

        assert statistical.p_of_change(gap) == pytest.approx(
            float(judged.RULES[judged.IN_USE](old, new, step)), rel=1e-9
        )


@pytest.mark.parametrize("spread", [0.0, 1e-5, 0.03])
def test_costs_are_judged_as_the_gate_judges_them(module, spread):
    """Ratios without any spread are told by the clock's and the page's resolution."""
    judged, random = module("judged"), np.random.default_rng(2)
    for _ in range(DRAWS):
        logs = 0.02 + spread * random.standard_normal(random.integers(2, 20))
        found = statistical.growth(np.exp(logs).tolist())

        assert statistical.p_of_growth(found, 2.0) == pytest.approx(float(judged.p_of_growth(logs, 2.0)), rel=1e-6)


def test_alarms_are_those_of_holm(module):
    """Row by row."""
    ps = np.random.default_rng(3).random((DRAWS, 9)) ** 6

    expected = [[p <= level for p, level in zip(row, holm_levels(row, 0.01), strict=True)] for row in ps.tolist()]
    assert expected == module("judged").alarms(ps, 0.01).tolist()


def test_the_chances_of_ranks_are_those_of_scipy(module):
    """The Gaussian binomial, against an independent count."""
    scipy_stats, random = importlib.import_module("scipy.stats"), np.random.default_rng(4)
    old, new = random.random(16), random.random(8)

    expected = scipy_stats.mannwhitneyu(new, old, method="exact").pvalue
    assert expected == pytest.approx(float(module("judged").of_ranks(old, new, 0.0)))


@pytest.mark.parametrize("scenario", ["NORMAL", "SLOWED", "DRIFT", "WALK", "HUGE", "ARENA"])
def test_equal_codes_alarm_no_more_often_than_declared(module, scenario):
    """Not shown to be above: the lower end of the binomial interval."""
    simulated, noise = module("simulated"), getattr(module("scenarios"), scenario)

    share = simulated.false_alarms(5, simulated.Setting(Gate(), noise), 20_000)["any"]

    assert share.interval()[0] <= Gate().false_alarm_rate


def test_a_slowdown_of_ten_percent_is_caught_as_often_as_the_page_says(module, kept):
    """Other draws than the page's: within four standard errors."""
    simulated, scenarios = module("simulated"), module("scenarios")
    row = next(row for row in kept["power"] if row["what"].startswith("training") and row["noise"] == "3 % a run")
    said = row["by"]["8"]
    setting = simulated.Setting(Gate(), scenarios.NORMAL, module("noise").Change(slower=10.0))

    share = simulated.caught(6, setting, "time", 10_000)

    error = (share.value * (1 - share.value) * (1 / share.of + 1 / said["of"])) ** 0.5
    assert said["value"] == pytest.approx(share.value, abs=4 * error)


def test_a_base_and_a_head_of_a_pair_meet_the_same_drift_in_turns(module):
    """The job is base, head, head, base, with three cases a side: what a straight line adds changes its sign."""
    noise = module("noise")

    turns = noise._in_turns(np.arange(12.0)[None], 2)

    assert [[3.0, -3.0]] * 3 == (turns[0, :, :, 1] - turns[0, :, :, 0]).tolist()


def test_a_share_has_wilson_s_interval(module):
    """The textbook's 10 of 100."""
    assert (0.0552, 0.1744) == pytest.approx(module("simulated").Share(10, 100).interval(), abs=1e-4)


def test_the_kept_figures_are_of_the_present_thresholds(kept):
    """A gate that changed is simulated again: python benchmarks/suite/gate --to results/gate."""
    load = importlib.import_module("resnet18.spec.load")

    assert load.load_benchmark(ROOT / "benchmarks/suite/regress.toml").gate.model_dump(mode="json") == kept["gate"]


def test_the_page_is_made_from_its_figures(module, kept):
    """Byte for byte."""
    assert (RESULTS / "gate.md").read_text(encoding="utf-8") == module("gate_page").page(kept)
