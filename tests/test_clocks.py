"""Nodes whose clocks differ by hours or days: what counts is decided by numbers, never by the time of day."""

import pytest
from builders import changed, make_experiment, make_record
from fakes.sessions import EMBEDDED, make_runs, make_session, record_of
from test_node import origin

from resnet18.execution import attempt as supervision
from resnet18.execution import process
from resnet18.execution.attempt import job_of
from resnet18.execution.engines.remote_worker import carry_out_apart
from resnet18.execution.job import Delivery, Message
from resnet18.records.checkpoints import Checkpoint, Checkpoints, load_checkpoint
from resnet18.records.content import parse_record
from resnet18.records.store import Store, last_attempts
from resnet18.spec.identity import run_id

__all__ = ["origin"]  # a fixture
PAST, NOW, FUTURE = "1999-01-01T00:00:00+00:00", "2026-06-01T00:00:00+00:00", "2101-01-01T00:00:00+00:00"
CLOCKS = pytest.mark.parametrize(("first", "second"), [(FUTURE, PAST), (PAST, FUTURE)])


def at(record, time):
    """The record as a node leaves it whose clock says this."""
    return changed(record, segments=[{"start": time, "end": time}])


@CLOCKS
def test_the_last_attempt_counts_whatever_its_clock_says(first, second, tmp_path):
    """A crash on a node of the future does not outlive the success after it."""
    store = make_session(tmp_path).store
    crashed = at(make_record(attempt=1, status="crashed"), first)
    done = at(make_record(attempt=2), second)
    for record in (done, crashed):
        store.save(record)
    read = store.read().records

    assert "ok" == store.done(done.run_id, None, None).status
    assert "ok" == last_attempts(read)[done.run_id].status == last_attempts(reversed(read))[done.run_id].status


def test_the_tenth_attempt_comes_after_the_ninth(tmp_path):
    """As a number: the names of the files would say otherwise."""
    store = make_session(tmp_path).store
    for attempt in (9, 10):
        store.save(make_record(attempt=attempt, status="crashed" if attempt == 9 else "ok"))
    read = store.read().records

    assert (10, 10) == (store.attempts(read[0].run_id), last_attempts(read)[read[0].run_id].attempt)


@pytest.mark.parametrize("time", [PAST, FUTURE])
def test_a_record_that_lasted_less_than_nothing_is_one(time, tmp_path):
    """The clock was set while the run went on: its seconds come from another clock."""
    record = changed(make_record(), segments=[{"start": NOW, "end": time}])
    store = make_session(tmp_path).store
    store.save(record)

    assert (record,) == store.read().records


@pytest.fixture
def long_job(tmp_path, home, origin):
    """A run of many epochs: one that is interrupted has not ended."""
    job = job_of(make_runs(tmp_path)[0], make_session(tmp_path, origin))
    experiment = make_experiment(epochs=50, data=EMBEDDED.label)
    spec = job.spec.model_copy(update={"experiment": experiment})
    return job.model_copy(update={"spec": spec})


def interrupt_at_first_epoch(monkeypatch):
    """Cancel the next run when it has ended an epoch, and leave the later ones alone."""
    original, interrupted = process.run, []

    def run(job, log, on_message):
        def listen(message):
            if message.epoch is not None and not interrupted:
                interrupted.append(Message(epoch=message.epoch))
                raise KeyboardInterrupt
            on_message(message)

        return original(job, log, listen)

    monkeypatch.setattr(supervision.process, "run", run)


def test_a_checkpoint_of_a_clock_that_is_off_is_gone_on_from(long_job, home, monkeypatch):
    """By a run on a node that knows better."""
    interrupt_at_first_epoch(monkeypatch)
    carry_out_apart(long_job.model_dump_json())
    run = run_id(long_job.spec.experiment, long_job.spec.execution)
    checkpoints = Checkpoints(home / "scratch" / run, run)
    left = load_checkpoint(checkpoints.files()[-1])
    segments = tuple(one.model_copy(update={"start": FUTURE, "end": FUTURE}) for one in left.head.segments)
    checkpoints.save(Checkpoint(left.head.model_copy(update={"segments": segments}), left.arrays))
    delivery = Delivery.model_validate_json(
        carry_out_apart(long_job.model_copy(update={"attempt": 2}).model_dump_json())
    )
    record = parse_record(delivery.record.encode(), "")

    assert ("ok", 50, True) == (record.status, len(record.epochs), "resumed" in record.flags)
    assert [FUTURE] == [segment.start for segment in record.segments[:-1]]
    assert any("goes on in epoch" in note for note in delivery.notes)


@CLOCKS
def test_an_undelivered_record_is_the_attempts_whatever_its_clock_says(first, second, long_job, home, monkeypatch):
    """A node that was off for a while gives back what was asked for, not what is newest."""
    run = run_id(long_job.spec.experiment, long_job.spec.execution)
    store = Store(home / "scratch" / run)
    store.make_writable()
    store.save(at(record_of(long_job), first))
    store.save(at(record_of(long_job, attempt=2), second))
    monkeypatch.setattr("resnet18.execution.engines.remote_worker.attend", lambda *_: 1 / 0)
    delivery = Delivery.model_validate_json(carry_out_apart(long_job.model_dump_json()))

    assert 1 == parse_record(delivery.record.encode(), "").attempt
