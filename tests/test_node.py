"""What a node does with a job that an engine has brought: a JSON text in, a JSON text back, and nothing left."""

import os
import shutil
from types import SimpleNamespace

import pytest
from fakes.disk import FaultyOs
from fakes.sessions import EMBEDDED, make_runs, make_session, record_of

from resnet18.execution import attempt as supervision
from resnet18.execution import process
from resnet18.execution.attempt import job_of
from resnet18.execution.engines import remote_worker as node
from resnet18.execution.engines.remote_worker import TAKEN_LIMIT_S, carry_out_apart
from resnet18.execution.job import DataQuestion, Delivery, Message, Place
from resnet18.execution.lock import run_lock
from resnet18.execution.origin import Origin
from resnet18.records import disk
from resnet18.records.content import parse_record
from resnet18.records.store import Store
from resnet18.spec.identity import run_id


@pytest.fixture(scope="module")
def origin():
    """The code and the data that are here."""
    data = process.ask(DataQuestion(place=Place.of(EMBEDDED), train_sizes=(), test_sizes=()))
    return Origin(None, None, data.sha256)


@pytest.fixture
def job(tmp_path, home, origin):
    """A tiny run, first attempt; the node has a data home of its own."""
    return job_of(make_runs(tmp_path)[0], make_session(tmp_path, origin))


@pytest.fixture
def scratch(job, home):
    """Where the node keeps what concerns the run."""
    return Store(home / "scratch" / run_id(job.spec.experiment, job.spec.execution))


@pytest.fixture
def attempts(monkeypatch):
    """Make the node's attempts leave records without training; returns the jobs that were carried out."""
    carried_out = []

    def attend(job, tell):
        carried_out.append(job)
        tell(Message(note="goes on in epoch 2"))
        Store(node.path_from_text(job.results)).save(record_of(job))

    monkeypatch.setattr(node, "attend", attend)
    return carried_out


def deliver(job):
    return Delivery.model_validate_json(carry_out_apart(job.model_dump_json()))


def left(home):
    """Files in the node's scratch folder that say something."""
    return [path for path in (home / "scratch").rglob("*") if path.is_file() and path.stat().st_size]


def test_a_run_is_carried_out_and_nothing_stays_on_the_node(job, home):
    """Really: its record and its picture are in the answer, for the results have not seen it."""
    delivery = deliver(job)
    record = parse_record(delivery.record.encode(), "the record")

    assert ("ok", 1, job.identity) == (record.status, record.attempt, record.fingerprint.identity)
    assert delivery.picture
    assert (None, "") == (delivery.problem, delivery.log)
    assert [] == left(home)
    assert not (home / "scratch" / record.run_id).exists()


def test_what_the_user_must_know_travels_with_the_record(job, attempts):
    """Where a run went on, say."""
    assert ("goes on in epoch 2",) == deliver(job).notes


def test_the_gpus_are_those_that_the_cluster_gave(job, attempts, monkeypatch):
    """The child's server was started with the first job, and knows those of that one."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    deliver(job)

    assert ["3"] == [one.gpus for one in attempts]


@pytest.mark.parametrize("status", ["ok", "diverged", "crashed"])
def test_a_record_that_was_not_delivered_is_delivered_without_running_again(status, job, scratch, attempts, home):
    """Its answer was lost on the way."""
    scratch.make_writable()
    written = scratch.save(record_of(job, status)).read_bytes()

    assert (written.decode(), []) == (deliver(job).record, attempts)
    assert [] == left(home)


def test_an_interrupt_that_was_not_delivered_is_forgotten(job, scratch, attempts):
    """Whoever wished it is gone: this command wants the run."""
    scratch.make_writable()
    scratch.save(record_of(job, "interrupted"))

    assert "ok" == parse_record(deliver(job).record.encode(), "").status
    assert 1 == len(attempts)


@pytest.mark.parametrize("changes", [{"attempt": 7}, {"code": "0" * 64}, {"data": "0" * 64}], ids=str)
def test_records_of_other_attempts_are_removed(changes, job, scratch, attempts, home):
    """Or of other code or data: the run is carried out."""
    scratch.make_writable()
    scratch.save(record_of(job, **changes))
    deliver(job)

    assert 1 == len(attempts)
    assert [] == left(home)


def test_a_damaged_record_is_removed(job, scratch, attempts, home):
    """And the run carried out."""
    scratch.make_writable()
    (scratch.folder / f"{scratch.results.name}.1.json").write_text("{", encoding="utf-8")

    assert deliver(job).record
    assert [] == left(home)


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"code_hash": "0" * 64}, 5, ("has another version of resnet18", "install the version that the runner has")),
        ({"data_sha256": "0" * 64}, 4, ("has other pixels or labels here", "copy it again")),
    ],
    ids=["code", "data"],
)
def test_a_node_with_other_code_or_data_says_so(changes, code, words, job, attempts):
    """Its records would be of another experiment. Nothing is run."""
    problem = deliver(job.model_copy(update={"identity": job.identity.model_copy(update=changes)})).problem

    assert (code, words, []) == (problem.exit_code, (problem.what, problem.next_step), attempts)
    assert problem.where.startswith(f"node {node.socket.gethostname()}")


def test_a_node_whose_process_dies_over_the_data_says_so(job, attempts, monkeypatch):
    """Killed for want of memory, say: that is the node's fault, and no reason to install anything."""
    node._data_sha256.cache_clear()
    monkeypatch.setattr(process, "_in_child", lambda *_: -9)
    problem = deliver(job).problem

    assert (5, []) == (problem.exit_code, attempts)
    assert "the process that opens the data set ended with exit code -9" == problem.what


def test_a_scratch_folder_that_cannot_be_made_is_a_problem(job, home, attempts):
    """With exit code 5, and the node's name."""
    home.mkdir()
    (home / "scratch").write_text("", encoding="utf-8")
    problem = deliver(job).problem

    assert (5, []) == (problem.exit_code, attempts)
    assert f"node {node.socket.gethostname()}" == problem.where


def test_a_full_disk_is_a_problem(job, attempts, monkeypatch):
    """Found out before anything is run."""
    monkeypatch.setattr(disk, "os", FaultyOs(1, persistent=True))
    problem = deliver(job).problem

    assert (5, []) == (problem.exit_code, attempts)
    assert "No space left on device" in problem.what


def test_a_run_that_is_cancelled_delivers_a_record_that_says_so(job, home, monkeypatch):
    """And nothing of it stays but a checkpoint."""

    def cancelled(job, log, on_message):
        log.write_text("a word\n", encoding="utf-8")
        (home / "scratch" / run_id(job.spec.experiment, job.spec.execution) / "x.checkpoint").write_text("far")
        raise KeyboardInterrupt

    monkeypatch.setattr(supervision.process, "run", cancelled)
    delivery = deliver(job)

    assert "interrupted" == parse_record(delivery.record.encode(), "").status
    assert "a word\n" == delivery.log
    assert ["x.checkpoint"] == [path.name for path in left(home)]


@pytest.fixture
def clock(monkeypatch):
    """A clock that only sleep moves; returns what to do meanwhile."""
    now = SimpleNamespace(s=0.0, meanwhile=lambda: None)

    def sleep(seconds):
        now.s += seconds
        now.meanwhile()

    monkeypatch.setattr(node, "time", SimpleNamespace(monotonic=lambda: now.s, sleep=sleep))
    return now


def test_a_task_that_was_given_up_is_waited_for(job, scratch, attempts, clock, home):
    """It may hold the run's lock still, and it removes the folder at its end."""
    scratch.make_writable()
    before = run_lock(home / "scratch", scratch.results.name)
    before.__enter__()

    def end():
        shutil.rmtree(scratch.results)
        before.__exit__(None, None, None)

    clock.meanwhile = end

    assert deliver(job).problem is None
    assert 1 == len(attempts)


def test_a_task_that_does_not_end_is_a_problem(job, scratch, attempts, clock, home):
    """After a minute, and with the number of its process."""
    with run_lock(home / "scratch", scratch.results.name):
        problem = deliver(job).problem

    assert (5, []) == (problem.exit_code, attempts)
    assert f"carries the run out already: process {os.getpid()}" in problem.what
    assert TAKEN_LIMIT_S < clock.s < TAKEN_LIMIT_S + 1
