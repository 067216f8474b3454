"""What a run takes of a node of a cluster, and what a node does with a job, beside the runner's folder or in it."""

import multiprocessing
import os
import signal

import pytest
from builders import changed, make_run, make_store
from fakes.disk import FaultyOs
from fakes.jobs import jobs_of, record_of, states

from resnet18.data.dataset import read_embedded
from resnet18.execution import cluster as node
from resnet18.execution.attempt import run_lock
from resnet18.execution.cluster import Resources, parse_resources, resources_of
from resnet18.execution.job import Policy
from resnet18.records import disk
from resnet18.records.checkpoints import Checkpoint, Checkpoints, load_checkpoint
from resnet18.records.content import parse_record
from resnet18.spec.errors import SpecError
from resnet18.spec.experiment import Execution

PAST, FUTURE = "1999-01-01T00:00:00+00:00", "2101-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    "text",
    [
        *("4", "cpus", "cpus=", "cpus=1.5", "cpus=0", "cpus=-1", "cpus=" + "9" * 5000),
        *("gpus=nan", "gpus=1.5", "cpus=1;gpus=1", "cpus=1,disks=2"),
    ],
    ids=lambda text: text[:16],
)
def test_resources_that_mean_nothing_are_refused(text):
    with pytest.raises(SpecError, match="names no resources") as raised:
        parse_resources(text)

    assert (2, "cpus=N") == (raised.value.exit_code, raised.value.allowed[0])


@pytest.mark.parametrize(
    ("device", "is_timed", "has_gpus", "said", "taken"),
    [
        ("auto", True, False, "cpus=1", Resources(None, 0.0, whole=True)),
        ("auto", True, True, "cpus=1,gpus=0.5", Resources(None, 1.0, whole=True)),
        ("auto", False, False, None, Resources(None, 0.0, whole=True)),
        ("auto", False, False, "cpus=2,gpus=1", Resources(2, 0.0)),
        ("auto", False, True, "gpus=0", Resources(None, 0.0, whole=True)),
        ("cpu", False, True, None, Resources(None, 0.0, whole=True)),
        ("auto", False, True, None, Resources(None, 1.0)),
        ("cuda", False, False, "gpus=0.25,cpus=4", Resources(4, 0.25)),
    ],
)
def test_a_timed_run_takes_the_whole_node_and_another_what_the_user_says(device, is_timed, has_gpus, said, taken):
    run = make_run(execution=Execution(device=device), is_timed=is_timed)

    assert taken == resources_of(run, parse_resources(said), has_gpus=has_gpus)


def test_a_gpu_by_its_number_is_refused_on_a_cluster():
    with pytest.raises(SpecError, match="names a GPU; a cluster gives"):
        resources_of(make_run(execution=Execution(device="cuda:1")), Resources(), has_gpus=True)


@pytest.fixture(autouse=True)
def handlers():
    before = {number: signal.getsignal(number) for number in node.ENDINGS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def job(tmp_path, home):
    """The first attempt at a tiny run; the node has a data home of its own, Slurm's share the job's results."""
    found = jobs_of(tmp_path, data=read_embedded().sha256)[0]
    (tmp_path / "results" / "slurm").mkdir()
    return found


@pytest.fixture
def scratch(job, home):
    """Where a node of Ray keeps what concerns the run."""
    return make_store(home / "scratch" / job.run.run_id)


@pytest.fixture
def attempts(monkeypatch):
    """Make attempts leave records without training; returns the jobs that were carried out."""
    carried_out = []

    def carry_out(job, tell):
        carried_out.append(job)
        job.store.save(record_of(job))

    monkeypatch.setattr(node, "carry_out", carry_out)
    return carried_out


def deliver(job):
    return node.Delivery.model_validate_json(node.carry_out_apart(job.model_dump_json()))


def delivered(job):
    return parse_record(deliver(job).record, f"{job.run.run_id}.{job.attempt}.json")


def longer(job, epochs):
    experiment = job.run.experiment.model_copy(update={"epochs": epochs})
    return job.model_copy(update={"run": make_run(experiment, job.run.execution)})


def left(home):
    """Files in the node's scratch folder that say something."""
    return [path for path in (home / "scratch").rglob("*") if path.is_file() and path.stat().st_size]


def test_the_gpus_are_those_that_the_cluster_gave(job, attempts, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    deliver(job)

    assert ["3"] == [one.gpus for one in attempts]


@pytest.mark.parametrize(("status", "time"), [("ok", PAST), ("diverged", FUTURE)])
def test_a_record_that_was_not_delivered_is_delivered_without_running_again(status, time, job, scratch, attempts):
    scratch.save(changed(record_of(job, status), segments=[{"start": time, "end": time}]))

    record = delivered(job)

    assert ((status, 1), []) == ((record.status, record.attempt), attempts)


@pytest.mark.parametrize(
    ("status", "changes"),
    [("interrupted", {}), ("ok", {"attempt": 7}), ("ok", {"code": "0" * 64}), ("ok", {"data": "0" * 64})],
    ids=str,
)
def test_records_that_are_of_no_use_any_more_are_removed(status, changes, job, scratch, attempts, home):
    scratch.save(record_of(job, status, **changes))

    assert ("ok", 1) == (delivered(job).status, len(attempts))
    assert [] == left(home)


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"code_hash": "0" * 64}, 5, ("has another version of resnet18", "install the version that the runner has")),
        ({"data_sha256": "0" * 64}, 4, ("has other pixels or labels here", "copy it again")),
    ],
    ids=["code", "data"],
)
def test_a_node_with_other_code_or_data_says_so_until_it_has_the_right_ones(changes, code, words, job, attempts):
    other = job.model_copy(update={"identity": job.identity.model_copy(update=changes)})
    problem = deliver(other).error
    node.carry_out_here(other.model_dump_json())
    written = node.Delivery.model_validate_json(node.problem_path(job).read_bytes()).error
    nothing = list(attempts)
    node.carry_out_here(job.model_dump_json())

    assert (code, words, []) == (problem.exit_code, (problem.what, problem.next_step), nothing)
    assert problem.where.startswith(f"node {node.socket.gethostname()}")
    assert (str(problem), False) == (str(written), node.problem_path(job).exists())


def test_a_node_without_room_says_so(job, attempts, monkeypatch):
    monkeypatch.setattr(disk, "os", FaultyOs(1, persistent=True))
    full = deliver(job).error

    assert (5, f"node {node.socket.gethostname()}", []) == (full.exit_code, full.where, attempts)
    assert "No space left on device" in full.what


def test_a_cancelled_run_delivers_a_record_that_says_so_and_goes_on_though_clocks_differ(job, home, monkeypatch):
    long = longer(job, 50)
    interrupt_at_first_epoch(monkeypatch)
    cancelled = delivered(long)
    checkpoints = Checkpoints(home / "scratch" / long.run.run_id, long.run.run_id)
    kept = left(home)
    saved = load_checkpoint(checkpoints.files()[-1])
    segments = tuple(one.model_copy(update={"start": FUTURE, "end": FUTURE}) for one in saved.head.segments)
    checkpoints.save(Checkpoint(saved.head.model_copy(update={"segments": segments}), saved.arrays))
    delivery = deliver(long.model_copy(update={"attempt": 2}))
    again = parse_record(delivery.record, f"{long.run.run_id}.2.json")

    assert ("interrupted", {".checkpoint"}) == (cancelled.status, {path.suffix for path in kept})
    assert ("ok", 50, True) == (again.status, len(again.epochs), "resumed" in again.flags)
    assert [FUTURE] == [segment.start for segment in again.segments[:-1]]
    assert (job.identity, True, []) == (again.fingerprint.identity, bool(delivery.picture), left(home))


def interrupt_at_first_epoch(monkeypatch, interrupt=lambda: signal.raise_signal(signal.SIGINT)):
    """Interrupt this process when the next run tells of an epoch; leave later ones alone."""
    original, done = node.carry_out, []

    def carry_out(job, tell):
        def hear(message):
            if message.epoch is not None and not done:
                done.append(message)
                interrupt()

        return original(job, hear)

    monkeypatch.setattr(node, "carry_out", carry_out)


def test_a_task_that_does_not_end_is_a_problem(job, attempts, home, monkeypatch):
    monkeypatch.setattr(node, "TAKEN_LIMIT_S", 0.1)
    with run_lock(home / "scratch", job.run.run_id):
        problem = deliver(job).error

    assert (5, []) == (problem.exit_code, attempts)
    assert f"carries the run out already: process {os.getpid()}" in problem.what


@pytest.mark.parametrize(
    ("changes", "keep_stale", "then"),
    [
        ({"status": "interrupted"}, False, [(1, "interrupted"), (2, "ok")]),
        ({}, False, [(1, "ok")]),
        ({"code": "0" * 64}, True, [(1, "ok")]),
    ],
    ids=["interrupted", "done", "stale"],
)
def test_where_the_nodes_share_the_results_a_run_is_carried_out_unless_it_is_done(
    changes, keep_stale, then, job, attempts
):
    job.store.save(record_of(job, **changes))
    node.carry_out_here(job.model_copy(update={"policy": Policy(keep_stale=keep_stale)}).model_dump_json())

    assert (then, len(then) - 1) == (states(job.store), len(attempts))


@pytest.mark.parametrize("number", node.ENDINGS, ids=str)
def test_a_signal_of_slurm_ends_a_run_with_a_checkpoint_and_a_record(number, job, monkeypatch):
    interrupt_at_first_epoch(monkeypatch, lambda: os.kill(os.getpid(), number))
    long = longer(job, 2000)
    with pytest.raises(SystemExit) as raised:
        node.carry_out_here(long.model_dump_json())

    assert 128 + number == raised.value.code
    assert [(1, "interrupted")] == states(job.store)
    assert Checkpoints(job.results, long.run.run_id).files()
    assert [] == multiprocessing.active_children()
