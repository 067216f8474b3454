"""Runs happen in real child processes: each leaves one record, whatever becomes of it."""

import errno
import json
import multiprocessing
import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest
from builders import TINY, TOML, make_benchmark, make_job, make_run, make_toml
from fakes import children
from fakes.jobs import EMBEDDED, Quiet, record_of

from resnet18.execution import attempt as attempts
from resnet18.execution import child
from resnet18.execution.attempt import record_death
from resnet18.execution.engine import DEFAULT, Finished, Policy
from resnet18.execution.failure import oom_kills
from resnet18.execution.local_engine import LocalEngine
from resnet18.execution.lock import run_lock
from resnet18.execution.runner import exit_code_of, run_plan, summary
from resnet18.execution.worker_attempt import error_text
from resnet18.records.content import load_record
from resnet18.records.store import Store
from resnet18.spec.data import DataSource
from resnet18.spec.errors import SuiteError
from resnet18.spec.load import load_benchmark
from resnet18.spec.plan import Plan, plan
from resnet18.spec.resolve import Request

CAP = "memory_cap=200MiB"
LONG = (*TINY, "epochs=2000")


@pytest.fixture
def run(tmp_path):
    """Run a benchmark file at tiny size; returns what the runner returned."""

    def carry_out(text=TOML, *, overrides=TINY, seeds=(0,), source=EMBEDDED, progress=None, policy=DEFAULT):
        benchmark = load_benchmark(make_toml(tmp_path, text))
        request = Request(data=source.label, overrides=overrides)
        planned = plan([benchmark], request, seeds, {"cpu": 1})
        store = Store(tmp_path / "results")
        return run_plan(planned, request, source, LocalEngine(), store, progress or Quiet(), policy)

    return carry_out


@pytest.fixture
def records(tmp_path):
    return lambda: Store(tmp_path / "results").read().records


@pytest.fixture
def run_ids(tmp_path):
    return [one.run_id for one in plan([make_benchmark(tmp_path)], Request(overrides=TINY), [0], {"cpu": 1}).runs]


def statuses(finished):
    return [one.status for one in finished]


def once(action):
    """Do something after the first epoch that is told, and nothing after later ones."""
    done = []

    def act(run):
        if not done:
            done.append(run)
            action()

    return Quiet(act)


def kill_child(number, before=lambda: None):
    def kill():
        (process,) = multiprocessing.active_children()
        before()
        os.kill(process.pid, number)

    return once(kill)


def test_each_run_leaves_one_record_of_what_its_numbers_depend_on(run, records, tmp_path):
    """Spec, code, data, versions, times by scope, memory, confusion counts and samples; no place or host."""
    finished = run(seeds=(0, 1))
    record = records()[0]

    assert ["ok"] * 4 == [one.status for one in records()]
    assert {one.run.run_id for one in finished} == {one.run_id for one in records()}
    assert 0 == exit_code_of(finished)
    assert TINY == record.spec.overrides
    assert "cff8f513" == record.fingerprint.identity.data_sha256[:8]
    assert 1 == record.fingerprint.numerics["threads"]
    assert (20, 6) == (sum(sum(row) for row in record.confusion), len(record.samples))
    assert record.time.train_s == pytest.approx(sum(epoch.train_s for epoch in record.epochs))
    assert record.time.train_s + record.time.prepare_s < record.time.wall_s
    assert record.memory.rss_peak_bytes < 1_000_000_000
    for path in (tmp_path / "results" / "records").glob("*.json"):
        text = path.read_text(encoding="utf-8")
        assert json.loads(text)["record_hash"] == load_record(path).record_hash
        assert str(tmp_path) not in text
        assert os.uname().nodename not in text or len(os.uname().nodename) < 5


def test_the_same_run_gives_the_same_result_hash(run, records, tmp_path):
    """In another process, at another time."""
    run()
    first = {record.run_id: record.result_hash for record in records()}
    for path in (tmp_path / "results" / "records").glob("*.json"):
        path.unlink()
    run()

    assert first == {record.run_id: record.result_hash for record in records()}
    assert len(set(first.values())) == len(first)


def test_a_recorded_run_is_run_again_only_where_its_code_has_changed(run, records, monkeypatch):
    """And then not if what is stale is kept."""
    run()
    again = run()
    monkeypatch.setattr("resnet18.execution.runner.code_hash", lambda *_: "0" * 64)
    run(policy=Policy(keep_stale=True))
    kept = len(records())
    run()

    assert [True, True] == [one.was_recorded for one in again]
    assert (2, 4) == (kept, len(records()))


def test_a_diverged_run_is_a_final_record_and_the_next_run_starts(run, records, tmp_path):
    """Its exit code says so, and its log has the traceback; the empty log of the other one is removed."""
    text = TOML.replace(
        "experiment = { batch_size = 8 }", 'experiment = { batch_size = 8, optimizer = { name = "sgd", lr = 100.0 } }'
    )
    overrides = (*TINY, "epochs=20")
    finished = run(text, overrides=overrides)
    run(text, overrides=overrides)

    assert (["diverged", "ok"], 3) == (statuses(finished), exit_code_of(finished))
    assert [1, 1] == [record.attempt for record in records()]
    diverged = next(record for record in records() if record.status == "diverged")
    assert "DivergedError: " in diverged.failure.message
    assert diverged.time.train_s > 0
    assert diverged.memory.rss_peak_bytes > 0
    assert diverged.result_hash is None
    (log,) = (tmp_path / "results" / "logs").iterdir()
    assert "DivergedError" in log.read_text(encoding="utf-8")


def test_a_killed_child_becomes_a_record_and_the_next_run_starts(run, records):
    """With the signal's name; it is tried again by the next command."""
    overrides = (*TINY, "epochs=50")
    finished = run(overrides=overrides, progress=kill_child(signal.SIGKILL))
    again = run(overrides=overrides)

    assert (["crashed", "ok"], ["ok", "ok"]) == (statuses(finished), statuses(again))
    crashed = next(record for record in records() if record.status == "crashed")
    assert "the process was killed by SIGKILL" == crashed.failure.message
    assert [1, 1, 2] == sorted(record.attempt for record in records())


@pytest.mark.parametrize(
    ("number", "kills", "status"),
    [(signal.SIGKILL, 0, "crashed"), (signal.SIGKILL, 1, "oom_host"), (signal.SIGABRT, 1, "crashed")],
)
def test_a_kill_by_the_kernel_for_want_of_memory_is_told_from_another(
    number, kills, status, run, monkeypatch, tmp_path
):
    """The control group's counter rose between start and end, and the signal is the kernel's."""
    counter = tmp_path / "proc" / "vmstat"
    counter.parent.mkdir()
    counter.write_text("oom_kill 0\n", encoding="utf-8")
    monkeypatch.setattr("resnet18.execution.attempt.oom_kills", lambda: oom_kills(tmp_path))
    progress = kill_child(number, before=lambda: counter.write_text(f"oom_kill {kills}\n"))

    assert [status, "ok"] == statuses(run(overrides=(*TINY, "epochs=50"), progress=progress))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's address space")
def test_a_run_that_the_host_has_no_memory_for_is_a_record_and_the_next_run_starts(run, records):
    """Under a cap, 2,000 images at once are too many and 16 are not; the failure says how much was asked for."""
    text = TOML.replace("batch_size = 8", "batch_size = 2000")
    finished = run(text, overrides=("train_images=2000", *TINY[1:3], "width=16", "epochs=1", "threads=1", CAP))

    assert ["oom_host", "ok"] == statuses(finished)
    failed = next(record for record in records() if record.status == "oom_host")
    assert "can't allocate memory" in failed.failure.message
    assert 1_000_000 < failed.failure.requested_bytes < 1_000_000_000
    assert "the message does not say" == failed.nulls["failure.free_bytes"]


@pytest.mark.parametrize(
    ("enter", "message"),
    [
        (children.with_loader_that_is_killed, r"DataLoader worker \(pid \d+\) is killed by signal: Killed"),
        (children.with_loader_that_hangs, "RuntimeError: DataLoader timed out after 1 seconds"),
    ],
)
def test_a_loader_process_that_is_killed_or_hangs_is_a_record(enter, message, run, records, monkeypatch):
    """The runner does not wait for images that never come."""
    monkeypatch.setattr(child, "_enter", enter)
    finished = run(overrides=(*TINY, "workers=1"))

    assert ["crashed", "crashed"] == statuses(finished)
    assert all(re.search(message, record.failure.message) for record in records())


def test_an_interrupt_stops_the_child_and_leaves_a_record(run, records):
    """Ctrl-C: the run is recorded as interrupted, and its process is gone."""

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(overrides=LONG, progress=once(interrupt))

    assert ["interrupted"] == [record.status for record in records()]
    assert [] == multiprocessing.active_children()


def test_a_child_that_dies_when_it_is_asked_to_stop_was_interrupted(run, records):
    """Slurm tells every process of a job to end, the server that forked the child included."""

    def interrupt():
        (process,) = multiprocessing.active_children()
        os.kill(process.pid, signal.SIGKILL)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(overrides=LONG, progress=once(interrupt))

    assert [("interrupted", "stopped by the user")] == [(one.status, one.failure.message) for one in records()]


def test_a_second_interrupt_ends_the_child_at_once(run, records, monkeypatch):
    """The first asks it to finish its step; the second does not wait ten minutes for that."""
    ends_s = []

    def interrupted(*arguments):
        ends_s.append(arguments[-1])
        raise KeyboardInterrupt

    monkeypatch.setattr(child, "GRACE_S", 600.0)
    monkeypatch.setattr(child, "_enter", children.that_hangs)
    monkeypatch.setattr(attempts, "wait", interrupted)
    monkeypatch.setattr(attempts.Attempt, "hear_out", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run()

    assert ends_s[1] > time.monotonic() + 500
    assert ["stopped by the user"] == [record.failure.message for record in records()]
    assert [] == multiprocessing.active_children()


def test_a_record_that_the_child_saved_before_it_died_is_used(tmp_path):
    """It could not say so any more."""
    job, store = make_job(tmp_path), Store(tmp_path)
    store.make_writable()
    store.save(record_of(job, "diverged"))

    assert "diverged" == record_death(job, store, "crashed", "killed")
    assert ["diverged"] == [record.status for record in store.read().records]


def test_a_display_that_fails_stops_the_run_instead_of_hanging(run):
    """As on a full disk: the child, which goes on writing messages, must not be waited for."""

    def fail():
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        run(overrides=LONG, progress=once(fail))
    assert [] == multiprocessing.active_children()


def test_a_child_whose_runner_is_gone_leaves_no_record(tmp_path):
    """The next runner starts this run again: two would write the same attempt."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    receiver.close()
    store = Store(tmp_path)
    store.make_writable()
    arguments = ("Job", make_job(tmp_path).model_dump_json(), sender, str(tmp_path / "log"))
    process = multiprocessing.get_context("forkserver").Process(target=child._enter, args=arguments)
    process.start()
    process.join()
    sender.close()

    assert (1, ()) == (process.exitcode, store.read().records)


def test_an_error_text_in_a_record_holds_no_folder():
    """Folders have users' names."""
    job = make_job(Path("/var/re sults"), source=DataSource("imagefolder", "x", Path("/srv/my secrets/x.tar")))
    error = OSError("'/home/alice/data set/x.npy' and /opt/a/b.json, /srv/my secrets/x.tar, /var/re sults/logs, 3/4")

    assert "OSError: '…/x.npy' and …/b.json, …/x.tar, …/logs, 3/4" == error_text(error, job)


def test_a_run_of_another_runner_is_left_to_it(run, run_ids, tmp_path):
    """The others are carried out, and exit code 75 says that not all are there."""
    progress = Quiet()
    with run_lock(tmp_path / "results", run_ids[0]):
        finished = run(progress=progress)
    again = run()

    assert ([None, "ok"], 75) == (statuses(finished), exit_code_of(finished))
    assert re.search(rf"^\[1/2\] mine/8 seed 0: not run, left to process {os.getpid()} of ", progress.lines[0])
    assert (["ok", "ok"], 0) == (statuses(again), exit_code_of(again))


def test_a_run_that_another_runner_recorded_meanwhile_is_not_carried_out(run, records, monkeypatch):
    """Between the look at the records and the run's turn."""
    run()
    before = records()
    monkeypatch.setattr("resnet18.execution.runner.last_attempts", lambda _: {})
    finished = run()

    assert before == records()
    assert [True, True] == [one.was_recorded for one in finished]


def test_a_run_whose_runner_is_gone_is_taken_over_and_the_user_told(run, run_ids, tmp_path):
    """The kernel has let go of the lock; what its last holder wrote is still there."""
    (tmp_path / "results" / "locks").mkdir(parents=True)
    for run_id in run_ids:
        (tmp_path / "results" / "locks" / f"{run_id}.lock").write_text("process 1 of \x1b[31melsewhere")
    progress = Quiet()

    assert ["ok", "ok"] == statuses(run(progress=progress))
    assert "mine/8 seed 0 taken over from process 1 of [31melsewhere, which is gone" == progress.lines[0]


def test_a_lock_is_let_go_of_whatever_happens(tmp_path):
    """And says then that nobody left it behind."""
    with pytest.raises(KeyboardInterrupt), run_lock(tmp_path, "f" * 16):
        raise KeyboardInterrupt
    with run_lock(tmp_path, "f" * 16) as left_by:
        assert "" == left_by


def test_without_flock_a_file_that_must_not_exist_is_the_lock(run, monkeypatch):
    """As on some network file systems: it is found out and said, and works."""
    monkeypatch.setattr("fcntl.flock", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSYS, "no flock")))
    with pytest.warns(UserWarning, match="flock not supported"):
        finished = run()

    assert ["ok", "ok"] == statuses(finished)


def test_a_run_that_takes_too_long_is_a_record_with_what_it_had_and_goes_on(run, records, monkeypatch):
    """`timeout` is tried again, from the checkpoint on. However long the first step takes, it is waited for."""
    monkeypatch.setattr(child, "GRACE_S", 600.0)
    finished = run(overrides=LONG, policy=Policy(time_limit_s=1.0))
    first = records()
    run(overrides=LONG, policy=Policy(time_limit_s=1.0))

    assert (["timeout", "timeout"], 3) == (statuses(finished), exit_code_of(finished))
    assert all("the time limit of 1 s was over in epoch" in record.failure.message for record in first)
    assert all(len(record.epochs) < 2000 for record in first)
    again = [record for record in records() if record.attempt == 2]
    assert [2, 2] == [len(record.segments) for record in again]
    assert all(len(after.epochs) >= len(before.epochs) for before, after in zip(first, again, strict=True))


def test_a_child_that_does_not_end_at_its_limit_is_killed_with_its_processes(run, records, monkeypatch):
    """It hangs outside its steps; the parent gives it some seconds, and records for it."""
    monkeypatch.setattr(child, "GRACE_S", 0.1)
    monkeypatch.setattr(child, "_enter", children.that_hangs)

    assert ["timeout", "timeout"] == statuses(run(policy=Policy(time_limit_s=0.1)))
    assert {"the time limit was over, and the process did not end by itself"} == {
        record.failure.message for record in records()
    }
    assert [] == multiprocessing.active_children()


def test_a_full_disk_stops_the_runner_and_leaves_older_records_whole(run, records, monkeypatch):
    """Neither the child nor the runner can write a record: it is an error of the machine, and nothing is torn."""
    run()
    before = records()
    monkeypatch.setattr(child, "_enter", children.with_full_disk)
    monkeypatch.setattr(Store, "save", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
    with pytest.raises(OSError, match="No space left"):
        run(seeds=(1,))

    assert before == records()


def test_a_checkpoint_that_cannot_be_written_does_not_stop_the_run(run, monkeypatch):
    """The last one stands, and the user is told."""
    monkeypatch.setattr(child, "_enter", children.without_room_for_checkpoints)
    progress = Quiet()
    finished = run(progress=progress, policy=Policy(checkpoint_every_s=0.0))

    assert ["ok", "ok"] == statuses(finished)
    assert "mine/8 seed 0 no checkpoint could be written: [Errno 28] No space left on device" == progress.lines[0]


def test_a_link_in_place_of_a_log_is_not_written_through(run, run_ids, tmp_path):
    """What it leads to stays as it is; the run ends, and its runner says so."""
    (tmp_path / "results" / "logs").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    (tmp_path / "results" / "logs" / f"{run_ids[0]}.1.log").symlink_to(tmp_path / "secret")

    assert ["crashed", "ok"] == statuses(run())
    assert "secret" == (tmp_path / "secret").read_text(encoding="utf-8")


def test_data_that_cannot_be_used_are_refused_before_any_run(run, records, tmp_path):
    """Too few images, a damaged archive, or a last batch of one, which only the data set tells of `all`."""
    (tmp_path / "broken.tar").write_bytes(b"no archive")
    with pytest.raises(SuiteError, match="has only 400") as few:
        run(overrides=(*TINY, "train_images=4008"))
    with pytest.raises(SuiteError, match=r"broken.tar: cannot be read") as broken:
        run(source=DataSource("imagefolder", "broken", tmp_path / "broken.tar"))
    with pytest.raises(SuiteError, match="4,000 training images in batches of 31") as last:
        run(TOML.replace("batch_size = 8", "batch_size = 31"), overrides=("train_images=all", "width=2", "epochs=1"))

    assert ([2, 4, 2], ()) == ([one.value.exit_code for one in (few, broken, last)], records())


@pytest.mark.parametrize(
    ("ends", "code"), [(["ok", "ok"], 0), (["ok", None], 75), (["crashed", None], 3), (["interrupted"], 3), ([], 3)]
)
def test_the_exit_code_says_how_the_runs_stand(ends, code):
    """A failure counts for more than a run that another runner has."""
    assert code == exit_code_of([Finished(make_run(), status) for status in ends])


def test_an_expected_out_of_memory_is_no_failure():
    """The report says that this case did not fit: if it does not, that is the finding."""
    runs = [make_run(may_run_out_of_memory=is_expected) for is_expected in (False, True)]

    assert [3, 0] == [exit_code_of([Finished(run, "oom_device")]) for run in runs]


@pytest.mark.parametrize(
    ("count", "text"), [(1, "1 run (0 recorded before): 1 ok"), (2, "2 runs (0 recorded before): 2 ok")]
)
def test_the_summary_counts_runs(count, text):
    """One of them in the singular."""
    assert text == summary([Finished(make_run(), "ok")] * count, Plan((), ()))
