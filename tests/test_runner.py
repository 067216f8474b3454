"""Runs happen in real child processes: each leaves one record, whatever becomes of it."""

import errno
import json
import multiprocessing
import os
import re
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from builders import TINY, TOML, make_experiment, make_job, make_run
from fakes import children
from fakes.jobs import EMBEDDED, Quiet, record_of, run_in

from resnet18.execution import attempt as attempts
from resnet18.execution.attempt import carry_out, run_lock
from resnet18.execution.job import Finished, Policy, ending, error_text, failure_facts, record_death
from resnet18.execution.runner import checked_data, exit_code_of, take
from resnet18.records import disk
from resnet18.records.content import load_record
from resnet18.records.store import Store
from resnet18.spec.errors import SuiteError
from resnet18.spec.experiment import DataSource, Execution

DIVERGES = 'experiment = { batch_size = 8, optimizer = { name = "sgd", lr = 100.0 } }'
WITH_ONE_THAT_DIVERGES = TOML.replace("experiment = { batch_size = 8 }", DIVERGES)
ON_CPU = Execution(device="cpu", threads=1)
LONG = make_experiment(epochs=2_000)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """What a real run of two cases returned, of which the first diverges, and its folder."""
    folder = tmp_path_factory.mktemp("ran")
    results = folder / "results"
    return run_in(results, WITH_ONE_THAT_DIVERGES, overrides=(*TINY, "epochs=20")), results


@pytest.fixture
def make(tmp_path):
    """Make a job of a run that takes a moment; others differ in their experiment or in what is asked of the job."""

    def job(experiment=None, execution=ON_CPU, **changes):
        made = make_job(tmp_path, make_run(experiment or make_experiment(), execution), **changes)
        made.store.make_writable()
        return made

    return job


@pytest.fixture
def records(tmp_path):
    return lambda: Store(tmp_path).read().records


def nothing(message):
    """Take a message and do nothing."""


def at_first_epoch(action):
    """Do something with what is told when that is an epoch."""
    return lambda message: action() if message.epoch else None


def kill_child():
    (process,) = multiprocessing.active_children()
    os.kill(process.pid, signal.SIGKILL)


def test_each_run_leaves_one_record_of_what_its_numbers_depend_on(ran):
    finished, results = ran
    record = next(record for record in Store(results).read().records if record.status == "ok")

    assert {one.run.run_id for one in finished} == {one.run_id for one in Store(results).read().records}
    assert (*TINY, "epochs=20") == record.spec.overrides
    assert "cff8f513" == record.fingerprint.identity.data_sha256[:8]
    assert 1 == record.fingerprint.numerics["threads"]
    assert (20, 6) == (sum(sum(row) for row in record.confusion), len(record.samples))
    assert record.time.train_s == pytest.approx(sum(epoch.train_s for epoch in record.epochs))
    assert record.time.train_s + record.time.prepare_s < record.time.wall_s
    assert record.memory.rss_peak_bytes < 1_000_000_000
    for path in (results / "records").glob("*.json"):
        text = path.read_text(encoding="utf-8")
        assert json.loads(text)["record_hash"] == load_record(path).record_hash
        assert str(results.parent) not in text
        assert os.uname().nodename not in text or len(os.uname().nodename) < 5


def test_a_diverged_run_is_a_final_record_and_the_next_run_starts(ran):
    finished, results = ran
    diverged = next(record for record in Store(results).read().records if record.status == "diverged")
    again = run_in(results, WITH_ONE_THAT_DIVERGES, overrides=(*TINY, "epochs=20"))
    (log,) = (results / "logs").iterdir()

    assert (["diverged", "ok"], 3) == ([one.status for one in finished], exit_code_of(finished))
    assert [True, True] == [one.was_recorded for one in again]
    assert "DivergedError: " in diverged.failure.message
    assert min(diverged.time.train_s, diverged.memory.rss_peak_bytes) > 0
    assert diverged.result_hash is None
    assert "DivergedError" in log.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("enter", "limit_s", "ends"),
    [
        (children.ENTER, None, "crashed: the process was killed by SIGKILL"),
        (children.with_loader_that_is_killed, None, r"crashed: .*DataLoader worker \(pid \d+\) is killed by signal"),
        (children.with_loader_that_hangs, None, "crashed: .*DataLoader timed out after 1 seconds"),
        (children.that_hangs, 0.1, "timeout: the time limit was over, and the process did not end by itself"),
        (children.that_is_ended_by_a_real_time_signal, None, "crashed: the process was killed by signal 40"),
        (children.that_exits, None, "crashed: the process ended with exit code 7"),
        (children.that_falls_silent, None, "crashed: the process went on, but its messages ended: EOFError"),
        (children.that_sends_no_messages, None, "crashed: the process went on, but its messages ended: OSError"),
    ],
    ids=["killed", "loader killed", "loader hangs", "hangs", "real-time signal", "exits", "silent", "no messages"],
)
def test_a_run_whose_process_dies_or_hangs_is_a_record(enter, limit_s, ends, make, records, monkeypatch):
    monkeypatch.setattr(attempts, "GRACE_S", 0.1)
    monkeypatch.setattr(attempts, "_enter", enter)
    experiment, workers = (LONG, 0) if enter is children.ENTER else (make_experiment(), 1)
    job = make(experiment, ON_CPU.model_copy(update={"workers": workers}), policy=Policy(time_limit_s=limit_s))
    carry_out(job, at_first_epoch(kill_child))
    (record,) = records()

    assert re.match(ends, f"{record.status}: {record.failure.message}")
    assert [] == multiprocessing.active_children()


@pytest.mark.parametrize(
    ("exit_code", "kills", "status", "words"),
    [
        (-signal.SIGKILL, (7, 7), "crashed", "killed by SIGKILL"),
        (-signal.SIGKILL, (7, 8), "oom_host", "memory had run out"),
        (-signal.SIGABRT, (7, 8), "crashed", "killed by SIGABRT"),
        (1, (7, 8), "crashed", "exit code 1"),
        (255, (7, 8), "crashed", "exit code 255, or with the process that it was forked from"),
    ],
)
def test_a_kill_by_the_kernel_for_want_of_memory_is_told_from_another(exit_code, kills, status, words):
    found, text = ending(exit_code, *kills)

    assert (status, True) == (found, words in text)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's address space")
def test_a_run_that_the_host_has_no_memory_for_is_a_record(make, records):
    experiment = make_experiment(train_images=2000, batch_size=2000, width=16)
    carry_out(make(experiment, ON_CPU.model_copy(update={"memory_cap": "200MiB"})), nothing)
    (failed,) = records()

    assert "oom_host" == failed.status
    assert "can't allocate memory" in failed.failure.message
    assert 1_000_000 < failed.failure.requested_bytes < 1_000_000_000
    assert "the attempt did not run out of memory, or its message does not say" == failed.nulls["failure.free_bytes"]


@pytest.mark.parametrize("is_child_killed", [False, True], ids=["the runner alone", "the child too, as Slurm does"])
def test_an_interrupt_stops_the_child_and_leaves_a_record(is_child_killed, make, records):
    def interrupt():
        if is_child_killed:
            kill_child()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(make(LONG), at_first_epoch(interrupt))
    (record,) = records()

    said = "stopped with its command" if is_child_killed else "InterruptedRunError: asked to stop by SIGTERM"
    assert ("interrupted", True) == (record.status, said in record.failure.message)
    assert [] == multiprocessing.active_children()


def test_a_second_interrupt_ends_the_child_at_once(make, records, monkeypatch):
    timeouts_s = []

    def interrupted(connections, timeout_s):
        timeouts_s.append(timeout_s)
        raise KeyboardInterrupt

    monkeypatch.setattr(attempts, "GRACE_S", 600.0)
    monkeypatch.setattr(attempts, "_enter", children.that_hangs)
    monkeypatch.setattr(attempts, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        carry_out(make(), nothing)

    assert timeouts_s == [None, pytest.approx(600, abs=100)]
    assert ["stopped with its command"] == [record.failure.message for record in records()]
    assert [] == multiprocessing.active_children()


def test_a_record_that_the_child_saved_before_it_died_is_used(make, records):
    job = make()
    job.store.save(record_of(job, "diverged"))

    assert "diverged" == record_death(job, "crashed", "killed")
    assert ["diverged"] == [record.status for record in records()]


def test_a_display_that_fails_stops_the_run_instead_of_hanging(make):
    def fail():
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        carry_out(make(LONG), at_first_epoch(fail))
    assert [] == multiprocessing.active_children()


def test_a_child_whose_runner_is_gone_leaves_no_record(make, records, tmp_path):
    receiver, sender = multiprocessing.Pipe(duplex=False)
    receiver.close()
    arguments = (make().model_dump_json(), sender, str(tmp_path / "log"))
    process = multiprocessing.get_context("forkserver").Process(target=attempts._enter, args=arguments)
    process.start()
    process.join()
    sender.close()

    assert (1, ()) == (process.exitcode, records())


def test_an_error_text_in_a_record_holds_no_folder():
    job = make_job(Path("/var/re sults"), source=DataSource("x", Path("/srv/my secrets/x.tar")))
    error = OSError("'/home/alice/data set/x.npy' and /opt/a/b.json, /srv/my secrets/x.tar, /var/re sults/logs, 3/4")

    facts = {"status": "crashed", "segments": (), "time": {"wall_s": 1.0}}
    record = job.record({**facts, "failure": failure_facts("crashed", "prepare", error_text(error))})

    assert "OSError: '…/x.npy' and …/b.json, …/x.tar, …/logs, 3/4" == record.failure.message


def taken(job):
    """Ask for a run that is to be carried out; returns the answer and what the user was told."""
    progress = Quiet()
    with ExitStack() as held:
        return take(job, progress, held), progress.lines


def test_a_run_of_another_runner_is_left_to_it(make, tmp_path):
    with run_lock(tmp_path, make().run.run_id):
        answer, lines = taken(make())

    assert Finished(make().run, None) == answer
    assert re.fullmatch(rf"\[1/0\] mine/8 seed 0: not run, left to process {os.getpid()} of .*", lines[0])


def test_a_run_that_another_runner_recorded_meanwhile_is_not_carried_out(make):
    make().store.save(record_of(make()))

    assert Finished(make().run, "ok", was_recorded=True) == taken(make())[0]


def test_a_run_whose_runner_is_gone_is_taken_over_and_the_user_told(make, tmp_path):
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / f"{make().run.run_id}.holder").write_text("process 1 of \x1b[31melsewhere")

    assert (make(), ["mine/8 seed 0 taken over from process 1 of  [31melsewhere, which is gone"]) == taken(make())


@pytest.mark.filterwarnings("ignore:flock not supported")
@pytest.mark.parametrize("has_flock", [True, False])
def test_a_lock_is_held_by_one_and_let_go_of_whatever_happens(has_flock, tmp_path, monkeypatch):
    if not has_flock:
        monkeypatch.setattr("fcntl.flock", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSYS, "no flock")))
    with pytest.raises(disk.LockIsTakenError), run_lock(tmp_path, "f" * 16), run_lock(tmp_path, "f" * 16):
        pass
    with run_lock(tmp_path, "f" * 16) as left_by:
        assert "" == left_by


def test_a_run_that_takes_too_long_is_a_record_with_what_it_had_and_goes_on(make, records, monkeypatch):
    monkeypatch.setattr(attempts, "GRACE_S", 600.0)
    for number in (1, 2):
        carry_out(make(LONG, policy=Policy(time_limit_s=0.2), attempt=number), nothing)
    first, second = records()

    assert ("timeout", "timeout") == (first.status, second.status)
    assert "the time limit of 0.2 s was over in epoch" in first.failure.message
    assert (1, 2) == (len(first.segments), len(second.segments))
    assert len(first.epochs) <= len(second.epochs) < 2000


def test_a_full_disk_stops_the_runner_and_leaves_older_records_whole(make, records, monkeypatch):
    make().store.save(record_of(make()))
    before = records()
    monkeypatch.setattr(attempts, "_enter", children.with_full_disk)
    monkeypatch.setattr(Store, "save", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
    with pytest.raises(OSError, match="No space left"):
        carry_out(make(attempt=2), nothing)

    assert before == records()


def test_a_checkpoint_that_cannot_be_written_does_not_stop_the_run(make, records, monkeypatch):
    monkeypatch.setattr(attempts, "_enter", children.without_room_for_checkpoints)
    notes = []
    carry_out(make(policy=Policy(checkpoint_every_s=0.0)), lambda message: notes.append(message.note))

    assert ["ok"] == [record.status for record in records()]
    assert "no checkpoint could be written: [Errno 28] No space left on device" == notes[0]


def test_a_link_in_place_of_a_log_is_not_written_through(make, records, tmp_path):
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    job = make()
    job.log.symlink_to(tmp_path / "secret")
    carry_out(job, nothing)

    assert ["crashed"] == [record.status for record in records()]
    assert "secret" == (tmp_path / "secret").read_text(encoding="utf-8")


def test_data_that_cannot_be_used_are_refused_before_any_run(tmp_path):
    (tmp_path / "broken.tar").write_bytes(b"no archive")
    with pytest.raises(SuiteError, match="has only 400") as few:
        checked_data(EMBEDDED, [make_run(make_experiment(train_images=4008))])
    with pytest.raises(SuiteError, match=r"broken.tar: cannot be ") as broken:
        checked_data(DataSource("broken", tmp_path / "broken.tar"), [])
    with pytest.raises(SuiteError, match="4,000 training images in batches of 31") as last:
        checked_data(EMBEDDED, [make_run(make_experiment(train_images="all", batch_size=31))])

    assert [2, 4, 2] == [one.value.exit_code for one in (few, broken, last)]


@pytest.mark.parametrize(
    ("ends", "is_expected", "code"),
    [
        (["ok", "ok"], False, 0),
        (["ok", None], False, 75),
        (["crashed", None], False, 3),
        ([], False, 3),
        (["oom_device"], False, 3),
        (["oom_device"], True, 0),
    ],
)
def test_the_exit_code_says_how_the_runs_stand(ends, is_expected, code):
    run = make_run(may_run_out_of_memory=is_expected)

    assert code == exit_code_of([Finished(run, status) for status in ends])
