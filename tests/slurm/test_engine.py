"""The Slurm engine on two nodes: records come back, jobs outlive their runner and their node."""

import signal
import subprocess
import sys

import pytest
from builders import TINY, TINY_ARGUMENTS, TOML, make_toml
from engines.watching import hashes, when
from fakes.jobs import EMBEDDED, ONE_CASE, Quiet
from slurm.cluster import SlurmCluster, wait_until
from slurm.processes import destroy, jobs

from resnet18.execution import slurm_engine
from resnet18.execution.cluster import Resources
from resnet18.execution.job import Policy
from resnet18.execution.runner import LocalEngine, run_plan
from resnet18.execution.slurm_engine import SlurmEngine
from resnet18.records.store import Store
from resnet18.spec.errors import EnvironmentMissingError
from resnet18.spec.load import load_benchmark
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request

pytest.importorskip("submitit")
ONE_PROCESSOR = Resources(cpus=1)
LONG = tuple("epochs=200" if one == "epochs=1" else one for one in TINY)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two nodes, which everything here sees."""
    with SlurmCluster(tmp_path_factory.mktemp("slurm")) as started, pytest.MonkeyPatch.context() as patched:
        for name, value in started.variables.items():
            patched.setenv(name, value)
        patched.setattr(slurm_engine, "LAG_S", 2.0)
        patched.setattr(slurm_engine, "LOOK_S", 1.0)
        yield started


@pytest.fixture
def folder(tmp_path_factory):
    """A results folder of a short name."""
    return tmp_path_factory.mktemp("run")


@pytest.fixture
def run(cluster, folder):
    """Run a benchmark file under Slurm, or under another engine, and return how its runs stand."""

    def carry_out(
        text=TOML, *, seeds=1, overrides=TINY, resources=ONE_PROCESSOR, progress=None, engine=None, into="results"
    ):
        request = Request(data=EMBEDDED.label, overrides=overrides)
        planned = plan([load_benchmark(make_toml(folder, text))], request, range(seeds), {"cpu": 1, "cuda": 1})
        engine, store = engine or SlurmEngine(resources, 2), Store(folder / into)
        policy = Policy(checkpoint_every_s=0.0)
        return run_plan(planned, request, EMBEDDED, engine, store, progress or Quiet(), policy)

    return carry_out


@pytest.fixture
def records(folder):
    return lambda into="results": Store(folder / into).read().records


def test_the_bits_are_those_of_the_local_engine(run, records):
    run(seeds=2)
    run(seeds=2, engine=LocalEngine(), into="local")

    assert hashes(records("local")) == hashes(records())
    assert ["ok"] * 4 == [record.status for record in records()]


def test_a_run_with_a_node_for_itself_does_not_say_otherwise(run, records):
    run(ONE_CASE, resources=Resources())
    run(ONE_CASE, resources=ONE_PROCESSOR, into="packed")

    assert [False, True] == [
        "not_exclusive" in record.flags for into in ("results", "packed") for record in records(into)
    ]


def test_a_gpu_that_the_cluster_lacks_is_said_in_slurms_words(run, records):
    with pytest.raises(EnvironmentMissingError, match=r"the jobs cannot be submitted: .*generic resource"):
        run(ONE_CASE + 'execution = { device = "cuda" }\n')

    assert () == records()


@pytest.fixture
def driver(cluster, folder):
    """Start the command in a process of its own."""
    make_toml(folder, ONE_CASE)

    def start():
        arguments = [word.replace("epochs=1", "epochs=200") for word in TINY_ARGUMENTS]
        command = [sys.executable, "-m", "resnet18", "run", "mine.toml", "--engine", "slurm", "--resources", "cpus=1"]
        return subprocess.Popen(
            [*command, *arguments, "--results", "results", "--checkpoint-every", "0"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


def end_when_it_trains(folder, process, number):
    """Send a signal once a checkpoint is there, and return what was printed."""
    when(lambda: any(folder.rglob("*.checkpoint")), lambda: process.send_signal(number))
    output, _ = process.communicate(timeout=120)
    return output


def test_jobs_outlive_their_runner_and_are_waited_for_again(folder, driver, records):
    process = driver()
    end_when_it_trains(folder, process, signal.SIGHUP)
    left = records()
    output, _ = driver().communicate(timeout=180)

    assert (128 + signal.SIGHUP, ()) == (process.returncode, left)
    assert "1 runs are in Slurm already" in output
    assert [(1, "ok", False)] == [(one.attempt, one.status, "resumed" in one.flags) for one in records()]


def test_an_interrupt_ends_the_jobs_and_the_command_goes_on(folder, driver, records):
    process = driver()
    end_when_it_trains(folder, process, signal.SIGINT)
    wait_until(records, "the job has left its record")
    first = [(record.attempt, record.status) for record in records()]
    driver().communicate(timeout=180)

    assert (130, [(1, "interrupted")]) == (process.returncode, first)
    assert (2, "ok", True) == (records()[-1].attempt, records()[-1].status, "resumed" in records()[-1].flags)


def test_a_job_that_dies_without_a_word_is_recorded(cluster, folder, run, records):
    when(lambda: any(folder.rglob("*.checkpoint")), lambda: destroy(lambda: jobs(cluster.conf)))
    finished = run(ONE_CASE, overrides=LONG)

    assert ["crashed"] == [one.status for one in finished]
    assert "the job ended without a record" in records()[0].failure.message


def test_a_run_on_a_killed_node_goes_on_from_its_checkpoint_on_the_other(cluster, folder, run, records):
    def busy():
        return [name for name in ("n1", "n2") if jobs(cluster.conf, name)]

    when(lambda: any(folder.rglob("*.checkpoint")) and busy(), lambda: cluster.kill_node(busy()[0]))
    finished = run(ONE_CASE, overrides=LONG)

    assert ["ok"] == [one.status for one in finished]
    assert [(1, True)] == [(record.attempt, "resumed" in record.flags) for record in records()]
