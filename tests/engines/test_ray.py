"""Ray for real: three loopback nodes, and every fault that a cluster can have."""

import signal
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from builders import TINY
from engines.loopback import HEAD, Loopback
from engines.watching import EVERY_STEP, LONG, end_when_it_trains, hashes, start_command, states, when
from fakes.jobs import ONE_CASE, TIMED, TOML, Quiet, run_in
from test_imagefolder import files, make_tar

from resnet18.execution.cluster import Resources
from resnet18.execution.ray_engine import RayEngine
from resnet18.execution.runner import LocalEngine
from resnet18.records.store import Store
from resnet18.spec.experiment import DataSource

DRIVER = Path(__file__).with_name("driver.py")
ALL = Resources()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Loopback(tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.fixture
def run(cluster, tmp_path):
    """Run a benchmark file under Ray, or under another engine, and return how its runs stand."""

    def carry_out(*text, resources=ALL, engine=None, folder="results", **changes):
        engine = engine or RayEngine(resources, None)
        return run_in(tmp_path / folder, *text, engine=engine, policy=EVERY_STEP, **changes)

    return carry_out


@pytest.fixture
def records(tmp_path):
    return lambda folder="results": Store(tmp_path / folder).read().records


def workers(folder, title="ray::on_a_node"):
    """Return Ray's workers on the node of a data folder: those that carry a run out, or all, which are "ray::"."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            is_there = process.environ().get("RESNET18_DATA") == str(folder)
            if is_there and process.cmdline()[0].startswith(title):
                found.append(process)
    return found


def end(processes):
    for process in processes:
        process.kill()


def checkpoints(cluster):
    return {path for folder in cluster.folders for path in folder.rglob("*.checkpoint")}


def test_the_bits_are_those_of_the_local_engine(run, records):
    run(seeds=2)
    run(seeds=2, engine=LocalEngine(), folder="local")

    assert hashes(records("local")) == hashes(records())
    assert ["ok"] * 4 == [record.status for record in records()]


@pytest.mark.parametrize(("text", "threads"), [(TOML, 1), (TIMED, 2)], ids=["others", "timed"])
def test_a_timed_run_has_the_node_for_itself_and_others_what_the_user_says(text, threads, run, records):
    run(text, overrides=tuple(one for one in TINY if not one.startswith("threads")), resources=Resources(cpus=1))

    assert [threads] * 2 == [record.fingerprint.numerics["threads"] for record in records()]
    assert [threads == 1] * 2 == ["not_exclusive" in record.flags for record in records()]


def test_the_run_of_a_killed_worker_is_started_again(cluster, run, records):
    before = checkpoints(cluster)
    when(lambda: checkpoints(cluster) - before, lambda: [end(workers(folder)) for folder in cluster.folders])
    finished = run(ONE_CASE, overrides=LONG)

    assert ["ok"] == [one.status for one in finished]
    assert [1] == [record.attempt for record in records()]


def test_a_node_whose_data_are_damaged_gets_no_more_runs(cluster, run, records, tmp_path):
    source = DataSource("pictures", make_tar(tmp_path / "pictures.tar.gz", files(10)))
    sizes = ("train_images=20", "test_images_epoch=20", "test_images_last=20", *TINY[3:])
    run(source=source, overrides=sizes, seeds=3)  # every node keeps a decoded copy
    for path in (cluster.folders[0] / "decoded").rglob("train_images.npy"):
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    end(workers(cluster.folders[0], "ray::"))  # what it has seen whole it does not look at again
    progress = Quiet()
    finished = run(source=source, overrides=(*sizes, "epochs=2"), seeds=3, progress=progress)

    assert ["ok"] * 6 == [one.status for one in finished]
    assert 12 == len(records())
    assert 1 == sum("127.0.0.3 gets no more runs: " in line for line in progress.lines)


def test_two_hundred_runs_outlive_a_node(cluster, run, records, request):
    seeds = 100 if request.config.getoption("--soak") else 20
    folder = cluster.folder / "node9"
    extra = cluster.add(9)
    progress = Quiet()
    when(lambda: any("127.0.0.12" in line for line in progress.lines) and workers(folder), lambda: cluster.kill(extra))
    finished = run(seeds=seeds, progress=progress)
    assert any("127.0.0.12" in line for line in progress.lines)

    assert ["ok"] * 2 * seeds == [one.status for one in finished]
    assert 2 * seeds == len(records()) == len({record.run_id for record in records()})
    assert {1} == {record.attempt for record in records()}


@pytest.fixture
def command(cluster, tmp_path):
    """Start the command in a process of its own, connected to the cluster."""
    return lambda: start_command(tmp_path, [DRIVER, cluster.address, HEAD], ["--engine", "ray"])


@pytest.mark.parametrize(
    ("number", "exit_code", "left"),
    [
        (signal.SIGKILL, -signal.SIGKILL, []),
        (signal.SIGINT, 130, [(1, "interrupted")]),
    ],
    ids=["killed", "interrupted"],
)
def test_a_command_that_was_ended_goes_on_when_it_is_repeated(number, exit_code, left, command, cluster, records):
    process = command()
    output = end_when_it_trains(process, number, lambda: checkpoints(cluster))
    first = states(records())
    command().communicate(timeout=120)

    assert (exit_code, left) == (process.returncode, first), output
    assert [*left, (len(left) + 1, "ok")] == states(records())
