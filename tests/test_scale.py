"""Many runs on many workers, simulated: benchmarks/scale, in small, and its page of results/scale."""

import importlib
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results" / "scale"


@pytest.fixture
def module(monkeypatch):
    """Import a module that stands beside benchmarks/scale/__main__.py."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "scale"))
    return importlib.import_module


@pytest.fixture
def kept():
    return json.loads((RESULTS / "scale.json").read_text(encoding="utf-8"))


@pytest.fixture
def simulated(module, tmp_path):
    """Carry runs out on 40 nodes that die as often as runs end, and return what became of them."""

    def carry_out(engine, runs):
        faults = module("cluster").Faults(worker_dies=0.05, node_mtbf_s=10_000.0)
        return getattr(module("engine_runs"), engine)(tmp_path, runs, 40, 600.0, faults)

    return carry_out


@pytest.mark.parametrize(("engine", "runs"), [("under_ray", 300), ("under_slurm", 100)])
def test_each_run_is_recorded_once_though_workers_and_nodes_die(simulated, engine, runs):
    """As many files of records as runs; each run is settled, and has ended once."""
    found = simulated(engine, runs)

    assert [runs] * 4 == [found[key] for key in ("runs", "records", "settled", "finished_ok")]
    assert found["each_ended_once"]


def test_runs_are_given_out_again_as_often_as_they_are_lost(simulated):
    """And no more often; both ways of losing one happen."""
    found = simulated("under_ray", 150)

    assert 150 + found["workers_lost"] + found["runs_lost_with_nodes"] == found["given_out"]
    assert found["workers_lost"] > 0
    assert found["runs_lost_with_nodes"] > 0


def test_nodes_that_come_later_get_runs_while_others_come_back(module, tmp_path):
    """Runs of four seconds come back all the time; the engine sees the twenty new nodes all the same."""
    cluster, engine_runs = module("cluster"), module("engine_runs")

    class Growing(cluster.Cluster):
        """A cluster that 20 nodes join after ten seconds."""

        def __post_init__(self):
            super().__post_init__()
            for _ in range(20):
                self.clock.after(10.0, self._come)

    found = []
    for kind in (cluster.Cluster, Growing):
        folder = tmp_path / kind.__name__
        folder.mkdir()
        with engine_runs.standing_in(engine_runs, "Cluster", kind):
            found.append(engine_runs.under_ray(folder, 100, 2, 4.0, cluster.NONE)["last_s"])

    assert found[1] < found[0] / 4


def test_a_line_through_three_sizes_says_where_a_limit_is_reached(module):
    """By hand: one second and a thousandth for each run."""
    rows = [{"runs": runs, "s": 1 + runs / 1_000} for runs in (1_000, 3_000, 10_000)]

    assert 9_000 == pytest.approx(module("paper").reaches(rows, lambda row: row["s"], 10.0))


def test_the_kept_runs_are_recorded_once(kept):
    """Of every size and engine on the page."""
    rows = [*kept["ray"], *kept["slurm"]]

    assert 10_000 in {row["runs"] for row in rows}
    assert all(row["runs"] == row["records"] == row["settled"] == row["finished_ok"] for row in rows)


def test_the_page_is_made_from_its_figures(module, kept):
    """Byte for byte."""
    assert (RESULTS / "scale.md").read_text(encoding="utf-8") == module("scale_page").page(kept)
