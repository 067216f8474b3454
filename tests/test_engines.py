"""What all engines have in common: what a run takes, what is asked for on its behalf, and how an engine is named."""

import sys
from types import ModuleType

import pytest
from builders import make_benchmark
from fakes.sessions import ON_GPU, TIMED, TOML, make_runs
from fakes.slurm import programs

from resnet18.execution.engines import ray_nodes
from resnet18.execution.engines.engine import Finished, Needs, Resources, needs, parse_resources
from resnet18.execution.engines.ray_nodes import NOBODY_HAS, Ask, Node, able, ask_for, cannot_be_had, living
from resnet18.execution.engines.ray_tasks import NOTHING
from resnet18.execution.engines.sites import reach
from resnet18.execution.runner import exit_code_of
from resnet18.spec.errors import EnvironmentMissingError, SpecError
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request

SMALL, LARGE = Node("s", "small", 8, 1), Node("l", "large", 64, 4)
PLAIN = Node("p", "plain", 16, 0)


@pytest.mark.parametrize(
    ("text", "resources"),
    [
        (None, Resources()),
        ("cpus=4", Resources(cpus=4)),
        ("gpus=2", Resources(gpus=2.0)),
        ("gpus=0.5,cpus=3", Resources(cpus=3, gpus=0.5)),
        ("gpus=0", Resources(gpus=0.0)),
    ],
)
def test_resources_say_what_a_run_takes(text, resources):
    """Either, both or nothing, in any order."""
    assert resources == parse_resources(text)


@pytest.mark.parametrize(
    "text",
    [
        *("4", "cpus", "cpus=", "cpus=x", "cpus=1.5", "cpus=0", "cpus=-1", "CPUS=1", "cpus=" + "9" * 5000),
        *("gpus=-1", "gpus=nan", "gpus=inf", "gpus=1.5", "disks=1", "cpus=1;gpus=1", "cpus=1,disks=2"),
    ],
    ids=lambda text: text[:16],
)
def test_resources_that_mean_nothing_are_refused(text):
    """By name, with those that mean something."""
    with pytest.raises(SpecError) as raised:
        parse_resources(text)

    assert str(raised.value).startswith(f"--resources {text}: names no resources (allowed: cpus=N, gpus=N")
    assert 2 == raised.value.exit_code


def run_of(folder, text=TOML, *overrides):
    return plan([make_benchmark(folder, text)], Request(overrides=overrides), [0], {"cpu": 1, "cuda": 8}).runs[0]


@pytest.mark.parametrize("resources", [Resources(), Resources(cpus=1), Resources(cpus=1, gpus=0.5)], ids=str)
def test_a_timed_run_takes_the_whole_node_whatever_the_user_says(resources, tmp_path):
    """Its time must mean something."""
    assert Needs(whole=True, cpus=None, gpus=0.0) == needs(run_of(tmp_path, TIMED), resources, has_gpus=False)


@pytest.mark.parametrize(
    ("resources", "wanted"),
    [
        (Resources(), Needs(whole=True, cpus=None, gpus=0)),
        (Resources(cpus=2, gpus=1), Needs(whole=False, cpus=2, gpus=0)),
    ],
)
def test_a_run_without_a_gpu_takes_the_node_unless_the_user_says_less(resources, wanted, tmp_path):
    """So it trains as it would on that machine alone; it takes no GPUs."""
    assert wanted == needs(run_of(tmp_path), resources, has_gpus=False)


@pytest.mark.parametrize(
    ("resources", "wanted"),
    [
        (Resources(), Needs(whole=False, cpus=None, gpus=1)),
        (Resources(cpus=3), Needs(whole=False, cpus=3, gpus=1)),
        (Resources(gpus=0.25), Needs(whole=False, cpus=None, gpus=0.25)),
    ],
)
@pytest.mark.parametrize(("text", "has_gpus"), [(TOML, True), (ON_GPU, False)], ids=["auto", "cuda"])
def test_a_run_with_a_gpu_takes_one_or_what_the_user_says(resources, wanted, text, has_gpus, tmp_path):
    """`auto` means one where there are any."""
    assert wanted == needs(run_of(tmp_path, text), resources, has_gpus=has_gpus)


def test_a_whole_node_is_all_processors_of_the_largest():
    """On a smaller one, which has fewer, it cannot come."""
    assert Ask(64, 0, is_alone=True) == ask_for(Needs(whole=True, cpus=None, gpus=0), [SMALL, LARGE, PLAIN], NOTHING)


@pytest.mark.parametrize(("gpus", "cpus"), [(1, 16), (0.5, 8), (2, 32), (0.01, 1)])
def test_a_gpu_comes_with_its_share_of_the_processors(gpus, cpus):
    """One at least."""
    assert Ask(cpus, gpus, is_alone=False) == ask_for(Needs(whole=False, cpus=None, gpus=gpus), [SMALL, LARGE], NOTHING)


def test_the_only_gpu_of_the_largest_node_brings_all_processors():
    """Nobody fits beside that run."""
    assert Ask(8, 1, is_alone=True) == ask_for(Needs(whole=False, cpus=None, gpus=1), [SMALL], NOTHING)


def test_fewer_processors_than_the_largest_node_has_are_shared():
    """Though another node may have no more."""
    assert Ask(8, 0, is_alone=False) == ask_for(Needs(whole=False, cpus=8, gpus=0), [SMALL, LARGE], NOTHING)


def test_where_no_node_is_left_the_task_waits_for_another():
    """With what is certain."""
    assert Ask(2, 1, is_alone=False) == ask_for(Needs(whole=False, cpus=2, gpus=1), [], NOTHING)


def test_a_run_that_had_a_lost_node_for_itself_waits_for_its_like():
    """On whatever comes first it would train with other threads, or not alone."""
    before = Ask(64, 0, is_alone=True)

    assert before == ask_for(Needs(whole=True, cpus=None, gpus=0), [], before)
    assert NOBODY_HAS == ask_for(Needs(whole=True, cpus=None, gpus=0), [], NOTHING).cpus


def test_a_gpu_by_its_number_is_refused_on_a_cluster(tmp_path):
    """A run is given its own, which is number 0 there."""
    with pytest.raises(SpecError, match="names a GPU of this machine"):
        needs(run_of(tmp_path, ON_GPU.replace('"cuda"', '"cuda:1"')), Resources(), has_gpus=True)


def test_nodes_are_able_that_have_enough_of_both():
    """Processors and GPUs."""
    nodes = [SMALL, LARGE, PLAIN]

    assert [LARGE, PLAIN] == able(nodes, Needs(whole=False, cpus=16, gpus=0))
    assert [SMALL, LARGE] == able(nodes, Needs(whole=True, cpus=None, gpus=1))


def test_nodes_that_are_gone_or_compute_nothing_do_not_count():
    """A head without processors is no place for runs."""

    def row(name, alive, **resources):
        return {"NodeID": name, "NodeManagerAddress": name, "Alive": alive, "Resources": resources}

    ray = ModuleType("ray")
    ray.nodes = lambda: [
        row("a", True, CPU=2.0),
        row("b", False, CPU=2.0),
        row("c", True),
        row("d", True, CPU=1, GPU=2),
    ]

    assert [Node("a", "a", 2, 0), Node("d", "d", 1, 2)] == living(ray)


def test_what_no_node_has_is_said_with_what_they_have():
    """And the two ways out."""
    error = cannot_be_had("mine/8", Needs(whole=False, cpus=9, gpus=2), [SMALL])

    assert "no node has the 9 CPUs and 2 GPUs that mine/8 needs (nodes: small: 8 CPUs, 1 GPUs)" in str(error)
    assert "--resources" in error.next_step


def test_this_machine_is_no_site():
    """The local engine opens without one."""
    assert reach("local", None, None) is None


@pytest.mark.parametrize(
    ("engine", "modules", "extra"), [("ray", ["ray"], "ray"), ("slurm", ["submitit"], "slurm")], ids=["ray", "slurm"]
)
def test_an_engine_that_is_not_installed_says_how_to_install_it(engine, modules, extra, monkeypatch):
    """As an extra of this package."""
    for name in modules:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(EnvironmentMissingError, match="is not installed") as raised:
        reach(engine, None, None)

    assert f'pip install "resnet18[{extra}]"' == raised.value.next_step


@pytest.fixture
def ray_that_refuses(monkeypatch):
    """A module whose `init` finds no cluster; returns the addresses that it was asked for."""
    asked = []

    def init(address, **_):
        asked.append(address)
        raise ConnectionError("nobody there\nand more")

    ray = ModuleType("ray")
    ray.is_initialized, ray.init = (lambda: False), init
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return asked


def test_a_cluster_that_does_not_answer_is_said_with_the_way_to_start_one(ray_that_refuses):
    """One line of Ray's, and the address."""
    with pytest.raises(EnvironmentMissingError) as raised:
        ray_nodes.connected()

    assert "--engine ray (address auto): no cluster answers: nobody there\n  next: start one" in str(raised.value)
    assert ["auto"] == ray_that_refuses


def test_an_address_where_nobody_listens_is_found_out_before_ray_tries(ray_that_refuses, monkeypatch):
    """For Ray itself would try for minutes."""
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(EnvironmentMissingError, match=r"address 127\.0\.0\.1:1.*no cluster answers"):
        ray_nodes.connected()

    assert [] == ray_that_refuses


def test_slurm_needs_its_programs(monkeypatch, tmp_path):
    """Asked before anything is planned."""
    monkeypatch.setitem(sys.modules, "submitit", ModuleType("submitit"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentMissingError, match="sinfo is not on PATH"):
        reach("slurm", None, None)


@pytest.mark.parametrize(("listed", "devices"), [("(null)", {"cpu": 1}), ("gpu:a100:4", {"cpu": 1, "cuda": 4})])
def test_slurms_devices_are_those_of_the_node_with_the_most(listed, devices, monkeypatch, tmp_path):
    """Before anything is planned."""
    monkeypatch.setitem(sys.modules, "submitit", ModuleType("submitit"))
    monkeypatch.setenv("PATH", programs(tmp_path, sinfo=f"echo '{listed}'"))

    assert devices == reach("slurm", None, None).devices


@pytest.mark.parametrize(
    ("statuses", "code"), [(["ok", "ok"], 0), (["ok", None], 75), (["crashed", None], 3), (["interrupted"], 3), ([], 3)]
)
def test_the_exit_code_says_how_the_runs_stand(statuses, code, tmp_path):
    """A failure counts for more than a run that another runner has."""
    run = make_runs(tmp_path)[0]

    assert code == exit_code_of(tuple(Finished(run, status, was_recorded=False) for status in statuses))
