"""How often the regression check errs, simulated: benchmarks/suite/gate_errors.py, in small, and its page."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from resnet18.gate import check
from resnet18.spec.benchmark import Gate
from resnet18.tables.statistics import holm_levels

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results" / "gate"
DRAWS = 100
sys.path.insert(0, str(ROOT / "benchmarks" / "suite"))
errors = importlib.import_module("gate_errors")


@pytest.mark.parametrize("step", [0.0, 0.1])
def test_accuracies_are_judged_as_the_gate_judges_them(step):
    """Many at once, and singly; with a step some have no spread at all."""
    random = np.random.default_rng(1)
    for _ in range(DRAWS):
        sides = (random.normal(50, random.choice([0.01, 1.0]), random.integers(2, 20)) for _ in range(2))
        old, new = (np.round(side / step) * step if step else side for side in sides)
        gap = check.prediction(old.tolist(), new.tolist(), resolution=step)

        assert check.NO_CHANGE.p_outside(gap) == pytest.approx(float(errors.p_of_change(old, new, step)), rel=1e-9)


@pytest.mark.parametrize("spread", [0.0, 1e-5, 0.03])
def test_costs_are_judged_as_the_gate_judges_them(spread):
    """Ratios without any spread have that of the clock's and the page's resolution."""
    random = np.random.default_rng(2)
    for _ in range(DRAWS):
        logs = 0.02 + spread * random.standard_normal(random.integers(2, 20))
        found = check.growth(np.exp(logs).tolist())

        assert found.p_above(np.log(1.02)) == pytest.approx(float(errors.p_of_growth(logs, 2.0)), rel=1e-6)


def test_alarms_are_those_of_holm():
    ps = np.random.default_rng(3).random((DRAWS, 9)) ** 6

    expected = [[p <= level for p, level in zip(row, holm_levels(row, 0.01), strict=True)] for row in ps.tolist()]
    assert expected == errors.alarms(ps, 0.01).tolist()


@pytest.mark.parametrize("world", errors.EQUAL, ids=lambda world: world.name)
def test_equal_codes_alarm_no_more_often_than_declared(world):
    """0.2 to 0.4 % of checks, where at most 1 % is declared."""
    hits = errors.counted(np.random.default_rng(5), Gate(), world, 8, 10_000)[-1]

    assert hits / 10_000 < Gate().false_alarm_rate


def test_a_base_and_a_head_of_a_pair_meet_the_same_drift_in_turns():
    """The job is base, head, head, base, with three cases a side: what a straight line adds changes its sign."""
    turns = errors.in_turns(np.arange(12.0)[None], 2)

    assert [[3.0, -3.0]] * 3 == (turns[0, :, :, 1] - turns[0, :, :, 0]).tolist()


def test_the_kept_page_is_of_its_figures_and_of_the_present_thresholds():
    """A gate that changed is simulated again: python benchmarks/suite/gate_errors.py --to results/gate."""
    kept = json.loads((RESULTS / "gate.json").read_text(encoding="utf-8"))

    assert errors.load_benchmark(errors.SPEC).gate.model_dump(mode="json") == kept["gate"]
    assert (RESULTS / "gate.md").read_text(encoding="utf-8") == errors.page(kept)
    assert "10.00 [5.52, 17.44]" == errors.share(10, 100)  # Wilson's interval
