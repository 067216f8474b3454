"""The Slurm engine on two nodes: records come back, jobs outlive their runner and their node."""

import signal

import pytest
from engines.watching import EVERY_STEP, LONG, end_when_it_trains, hashes, start_command, states, when
from fakes.jobs import ONE_CASE, run_in
from slurm.cluster import SlurmCluster, destroy, wait_until

from resnet18.execution import slurm_engine
from resnet18.execution.cluster import Resources
from resnet18.execution.runner import LocalEngine
from resnet18.execution.slurm_engine import SlurmEngine
from resnet18.records.store import Store
from resnet18.spec.errors import EnvironmentMissingError

pytest.importorskip("submitit")
ONE_PROCESSOR = Resources(cpus=1)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with SlurmCluster(tmp_path_factory.mktemp("slurm")) as started, pytest.MonkeyPatch.context() as patched:
        for name, value in started.variables.items():
            patched.setenv(name, value)
        patched.setattr(slurm_engine, "LAG_S", 2.0)
        patched.setattr(slurm_engine, "LOOK_S", 1.0)
        yield started


@pytest.fixture
def folder(tmp_path_factory):
    """A folder of a short name."""
    return tmp_path_factory.mktemp("run")


@pytest.fixture
def run(cluster, folder):
    def carry_out(*text, resources=ONE_PROCESSOR, engine=None, into="results", **changes):
        engine = engine or SlurmEngine(resources, 2)
        return run_in(folder / into, *text, engine=engine, policy=EVERY_STEP, **changes)

    return carry_out


@pytest.fixture
def records(folder):
    return lambda into="results": Store(folder / into).read().records


@pytest.fixture
def checkpoints(folder):
    return lambda: set(folder.rglob("*.checkpoint"))


@pytest.fixture
def command(cluster, folder):
    """Start the command in a process of its own."""
    engine = ["--engine", "slurm", "--resources", "cpus=1"]
    return lambda: start_command(folder, ["-m", "resnet18"], engine)


def test_the_bits_are_those_of_the_local_engine(run, records):
    run(seeds=2)
    run(seeds=2, engine=LocalEngine(), into="local")

    assert hashes(records("local")) == hashes(records())
    assert ["ok"] * 4 == [record.status for record in records()]


def test_a_run_with_a_node_for_itself_does_not_say_otherwise(run, records):
    run(ONE_CASE, resources=Resources())
    run(ONE_CASE, into="packed")

    assert [False, True] == [
        "not_exclusive" in record.flags for into in ("results", "packed") for record in records(into)
    ]


def test_a_gpu_that_the_cluster_lacks_is_said_in_slurms_words(run, records):
    with pytest.raises(EnvironmentMissingError, match=r"the jobs cannot be submitted: .*generic resource"):
        run(ONE_CASE + 'execution = { device = "cuda" }\n')

    assert () == records()


def test_jobs_outlive_their_runner_and_are_waited_for_again(command, checkpoints, records):
    process = command()
    end_when_it_trains(process, signal.SIGHUP, checkpoints)
    left = records()
    output, _ = command().communicate(timeout=180)

    assert (128 + signal.SIGHUP, ()) == (process.returncode, left)
    assert "1 runs are in Slurm already" in output
    assert [(1, "ok", False)] == [(one.attempt, one.status, "resumed" in one.flags) for one in records()]


def test_an_interrupt_ends_the_jobs_and_the_command_goes_on(command, checkpoints, records):
    process = command()
    end_when_it_trains(process, signal.SIGINT, checkpoints)
    wait_until(records, "the job has left its record")
    first = states(records())
    command().communicate(timeout=180)

    assert (130, [(1, "interrupted")]) == (process.returncode, first)
    assert (2, "ok", True) == (records()[-1].attempt, records()[-1].status, "resumed" in records()[-1].flags)


def test_a_job_that_dies_without_a_word_is_recorded(cluster, run, checkpoints, records):
    when(checkpoints, lambda: destroy(cluster.jobs))
    finished = run(ONE_CASE, overrides=LONG)

    assert ["crashed"] == [one.status for one in finished]
    assert "the job ended without a record" in records()[0].failure.message


def test_a_run_on_a_killed_node_goes_on_from_its_checkpoint_on_the_other(cluster, run, checkpoints, records):
    def busy():
        return [name for name in ("n1", "n2") if cluster.jobs(name)]

    when(lambda: checkpoints() and busy(), lambda: cluster.kill_node(busy()[0]))
    finished = run(ONE_CASE, overrides=LONG)

    assert ["ok"] == [one.status for one in finished]
    assert [(1, True)] == [(record.attempt, "resumed" in record.flags) for record in records()]
