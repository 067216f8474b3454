"""Runs happen in real child processes: each leaves one record, whatever becomes of it."""

import errno
import io
import json
import multiprocessing
import os
import re
import resource
import signal
import sys
import time

import pytest
from builders import TINY, TOML, make_benchmark, make_experiment, make_identity, make_toml
from fakes import children
from rich.console import Console

from resnet18.data.embedded import read_embedded
from resnet18.execution import process
from resnet18.execution.job import Job, Place
from resnet18.execution.lock import locks_at_most, run_lock
from resnet18.execution.oom_kill import oom_kills
from resnet18.execution.policy import DEFAULT, Policy
from resnet18.execution.progress import Progress
from resnet18.execution.runner import Finished, exit_code_of, run_plan, summary
from resnet18.execution.worker_ending import told
from resnet18.records.content import load_record
from resnet18.records.record import RecordSpec
from resnet18.records.store import Store
from resnet18.spec.data import DataSource, parse_data
from resnet18.spec.errors import SuiteError
from resnet18.spec.experiment import Execution
from resnet18.spec.load import load_benchmark
from resnet18.spec.plan import Plan, plan
from resnet18.spec.printed import duration
from resnet18.spec.resolve import Request

EMBEDDED = parse_data("fashion-mnist-mini")
CAP = "memory_cap=200MiB"


class Quiet(Progress):
    """A progress display that remembers its lines."""

    def __init__(self):
        super().__init__(Console(file=io.StringIO(), force_terminal=False))
        self.lines = []

    def _print(self, text):
        self.lines.append(text)


@pytest.fixture
def run(tmp_path):
    """Run a benchmark file at tiny size; returns what the runner returned."""

    def carry_out(text=TOML, *, overrides=TINY, seeds=(0,), source=EMBEDDED, progress=None, policy=DEFAULT):
        benchmark = load_benchmark(make_toml(tmp_path, text))
        request = Request(data=source.label, overrides=overrides)
        planned = plan([benchmark], request, seeds, {"cpu": 1})
        return run_plan(planned, request, source, Store(tmp_path / "results"), progress or Quiet(), policy)

    return carry_out


@pytest.fixture
def records(tmp_path):
    return lambda: Store(tmp_path / "results").read().records


def test_each_run_leaves_one_valid_record(run, records):
    """Two cases, two seeds, four records, all ok."""
    finished = run(seeds=(0, 1))

    assert ["ok"] * 4 == [record.status for record in records()]
    assert {one.run.run_id for one in finished} == {record.run_id for record in records()}
    assert 0 == exit_code_of(finished)


def test_a_record_holds_what_its_numbers_depend_on(run, records):
    """Spec, code, data, versions, times by scope, memory, confusion counts and samples."""
    run()
    record = records()[0]

    assert TINY == record.spec.overrides
    assert "cff8f513" == record.fingerprint.identity.data_sha256[:8]
    assert 1 == record.fingerprint.numerics["threads"]
    assert 20 == sum(sum(row) for row in record.confusion)
    assert 6 == len(record.samples)
    assert record.time.train_s == pytest.approx(sum(epoch.train_s for epoch in record.epochs))
    assert record.time.train_s + record.time.prepare_s < record.time.wall_s
    assert record.memory.rss_peak_bytes < 1_000_000_000


def test_the_same_run_gives_the_same_result_hash(run, records, tmp_path):
    """In another process, at another time."""
    run()
    first = {record.run_id: record.result_hash for record in records()}
    for path in (tmp_path / "results" / "records").glob("*.json"):
        path.unlink()
    run()

    assert first == {record.run_id: record.result_hash for record in records()}
    assert len(set(first.values())) == len(first)


def test_a_recorded_run_is_not_run_again(run, records):
    """The second command only looks."""
    run()
    before = records()
    finished = run()

    assert before == records()
    assert [True, True] == [one.was_recorded for one in finished]


def test_a_stale_record_is_run_again_unless_it_is_kept(run, records, monkeypatch):
    """Code that can change a result has changed."""
    run()
    monkeypatch.setattr("resnet18.execution.origin.code_hash", lambda *_: "0" * 64)
    run(policy=Policy(keep_stale=True))
    kept = len(records())
    run()

    assert (2, 4) == (kept, len(records()))


def test_a_diverged_run_is_a_record_and_the_next_run_starts(run, records):
    """It is final: its exit code says so, and it is not tried again."""
    text = TOML.replace(
        "experiment = { batch_size = 8 }", 'experiment = { batch_size = 8, optimizer = { name = "sgd", lr = 100.0 } }'
    )
    overrides = (*TINY, "epochs=20")
    finished = run(text, overrides=overrides)
    run(text, overrides=overrides)

    assert ["diverged", "ok"] == [one.status for one in finished]
    assert 3 == exit_code_of(finished)
    assert [1, 1] == [record.attempt for record in records()]
    diverged = next(record for record in records() if record.status == "diverged")
    assert "DivergedError: " in diverged.failure.message
    assert diverged.time.train_s > 0
    assert diverged.memory.rss_peak_bytes > 0
    assert diverged.result_hash is None


def kill_child_at_first_epoch(monkeypatch, signal_number, before=lambda: None):
    """Kill the first child when it reports an epoch, after what comes before; leave the later ones alone."""
    original, killed = process.run, []

    def run(job, log, on_message):
        def listen(message):
            if message.epoch is not None and not killed:
                (child,) = multiprocessing.active_children()
                killed.append(child.pid)
                before()
                os.kill(child.pid, signal_number)
                return
            on_message(message)

        return original(job, log, listen)

    monkeypatch.setattr(process, "run", run)


def test_a_killed_child_becomes_a_record_and_the_next_run_starts(run, records, monkeypatch):
    """With the signal's name; it is tried again by the next command."""
    kill_child_at_first_epoch(monkeypatch, signal.SIGKILL)
    overrides = (*TINY, "epochs=50")
    finished = run(overrides=overrides)
    again = run(overrides=overrides)

    assert ["crashed", "ok"] == [one.status for one in finished]
    assert ["ok", "ok"] == [one.status for one in again]
    crashed = next(record for record in records() if record.status == "crashed")
    assert "the process was killed by SIGKILL" == crashed.failure.message
    assert [1, 1, 2] == sorted(record.attempt for record in records())


@pytest.mark.parametrize(("kills", "status"), [("0", "crashed"), ("1", "oom_host")])
def test_a_kill_by_the_kernel_for_want_of_memory_is_told_from_another(
    kills, status, run, records, monkeypatch, tmp_path
):
    """The control group's counter rose between start and end; either way it is tried once, and the next run starts."""
    counter = tmp_path / "proc" / "vmstat"
    counter.parent.mkdir()
    counter.write_text("oom_kill 0\n", encoding="utf-8")
    monkeypatch.setattr("resnet18.execution.attempt.oom_kills", lambda: oom_kills(tmp_path))
    kill_child_at_first_epoch(monkeypatch, signal.SIGKILL, before=lambda: counter.write_text(f"oom_kill {kills}\n"))
    finished = run(overrides=(*TINY, "epochs=50"))

    assert [status, "ok"] == [one.status for one in finished]
    assert [1, 1] == [record.attempt for record in records()]


def test_another_signal_is_no_want_of_memory(run, monkeypatch):
    """Whatever the kernel killed meanwhile."""
    counts = iter(range(100))
    monkeypatch.setattr("resnet18.execution.attempt.oom_kills", lambda: next(counts))
    kill_child_at_first_epoch(monkeypatch, signal.SIGABRT)

    assert ["crashed", "ok"] == [one.status for one in run(overrides=(*TINY, "epochs=50"))]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's address space")
def test_a_run_that_the_host_has_no_memory_for_is_a_record_and_the_next_run_starts(run, records):
    """Under a cap, 2,000 images at once are too many and 16 are not; the failure says how much was asked for."""
    text = TOML.replace("batch_size = 8", "batch_size = 2000")
    finished = run(text, overrides=("train_images=2000", *TINY[1:3], "width=16", "epochs=1", "threads=1", CAP))

    assert ["oom_host", "ok"] == [one.status for one in finished]
    failed = next(record for record in records() if record.status == "oom_host")
    assert "can't allocate memory" in failed.failure.message
    assert 1_000_000 < failed.failure.requested_bytes < 1_000_000_000
    assert "the message does not say" == failed.nulls["failure.free_bytes"]
    assert "200MiB" == failed.spec.execution.memory_cap


def test_a_loader_process_that_is_killed_is_a_record_that_names_it(run, records, monkeypatch):
    """Its number and the signal; the runner does not wait for images that never come."""
    monkeypatch.setattr(process, "_enter", children.with_loader_that_is_killed)
    finished = run(overrides=(*TINY, "workers=1"))

    assert ["crashed", "crashed"] == [one.status for one in finished]
    for record in records():
        assert re.search(r"DataLoader worker \(pid \d+\) is killed by signal: Killed", record.failure.message)


def test_an_interrupt_stops_the_child_and_leaves_a_record(run, records, monkeypatch):
    """Ctrl-C: the run is recorded as interrupted, and its process is gone."""
    original = process.run

    def interrupted(job, log, on_message):
        def listen(message):
            raise KeyboardInterrupt

        return original(job, log, listen)

    monkeypatch.setattr(process, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(overrides=(*TINY, "epochs=2000"))

    assert ["interrupted"] == [record.status for record in records()]
    assert [] == multiprocessing.active_children()


def test_a_record_that_is_there_already_is_used(run, records, monkeypatch):
    """The child saved its record and died before it could say so."""
    original = process.run
    monkeypatch.setattr(process, "run", lambda job, log, on_message: original(job, log, lambda message: None))
    finished = run()

    assert ["ok", "ok"] == [one.status for one in finished]
    assert 2 == len(records())


def test_a_display_that_fails_stops_the_run_instead_of_hanging(run, records):
    """As on a full disk: the child, which goes on writing messages, must not be waited for."""

    class Broken(Quiet):
        def epoch(self, epoch):
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        run(overrides=(*TINY, "epochs=2000"), progress=Broken())
    assert [] == multiprocessing.active_children()


def test_a_child_whose_runner_is_gone_leaves_no_record(tmp_path):
    """The next runner starts this run again: two would write the same attempt."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    receiver.close()
    experiment = make_experiment(epochs=3)
    job = Job(
        attempt=1,
        scale="smoke",
        spec=RecordSpec(experiment=experiment, execution=Execution(), overrides=(), assumptions=()),
        identity=make_identity(read_embedded().sha256),
        place=Place.of(EMBEDDED),
        results=str(tmp_path),
    )
    Store(tmp_path).make_writable()
    child = multiprocessing.get_context("forkserver").Process(
        target=process._enter, args=("job", job.model_dump_json(), sender, str(tmp_path / "log"))
    )
    child.start()
    child.join()
    sender.close()

    assert (1, ()) == (child.exitcode, Store(tmp_path).read().records)


def test_an_error_text_in_a_record_holds_no_folder():
    """Folders have users' names."""
    place = Place(kind="imagefolder", label="x", path="/srv/my secrets/x.tar")
    job = Job.model_construct(results="/var/re sults", place=place)
    error = OSError("'/home/alice/data set/x.npy' and /opt/a/b.json, /srv/my secrets/x.tar, /var/re sults/logs, 3/4")
    text = told(error, job)

    assert "OSError: '…/x.npy' and …/b.json, …/x.tar, …/logs, 3/4" == text


def test_what_a_child_prints_goes_to_its_log(run, records, tmp_path):
    """The traceback of a failure; an empty log is removed."""
    run(TOML.replace("lr = 0.01", "lr = 100.0"), overrides=(*TINY, "epochs=20"))
    logs = list((tmp_path / "results" / "logs").iterdir())

    assert len([record for record in records() if record.status != "ok"]) == len(logs) > 0
    assert "DivergedError" in logs[0].read_text(encoding="utf-8")


def test_a_run_of_another_runner_is_left_to_it(run, records, tmp_path):
    """The others are carried out, and exit code 75 says that not all are there."""
    first = plan([make_benchmark(tmp_path)], Request(overrides=TINY), [0], {"cpu": 1}).runs[0]
    progress = Quiet()
    with run_lock(tmp_path / "results", first.run_id):
        finished = run(progress=progress)
    again = run()

    assert [None, "ok"] == [one.status for one in finished]
    assert 75 == exit_code_of(finished)
    assert re.search(rf"^\[1/2\] mine/8 seed 0 left to process {os.getpid()} of ", progress.lines[0])
    assert (["ok", "ok"], 0) == ([one.status for one in again], exit_code_of(again))


def test_a_run_that_another_runner_recorded_meanwhile_is_not_carried_out(run, records, monkeypatch):
    """Between the look at the records and the run's turn."""
    run()
    before = records()
    monkeypatch.setattr("resnet18.execution.runner.done_runs", lambda *_, **__: {})
    finished = run()

    assert before == records()
    assert [True, True] == [one.was_recorded for one in finished]


def test_a_run_whose_runner_is_gone_is_taken_over_and_the_user_told(run, tmp_path):
    """The kernel has let go of the lock; what its last holder wrote is still there."""
    (tmp_path / "results" / "locks").mkdir(parents=True)
    for one in plan([make_benchmark(tmp_path)], Request(overrides=TINY), [0], {"cpu": 1}).runs:
        (tmp_path / "results" / "locks" / f"{one.run_id}.lock").write_text("process 1 of \x1b[31melsewhere")
    progress = Quiet()
    finished = run(progress=progress)

    assert ["ok", "ok"] == [one.status for one in finished]
    assert "[1/2] mine/8 seed 0 taken over from process 1 of [31melsewhere, which is gone" == progress.lines[0]


def test_a_lock_is_let_go_of_whatever_happens(tmp_path):
    """And says then that nobody left it behind."""
    with pytest.raises(KeyboardInterrupt), run_lock(tmp_path, "f" * 16):
        raise KeyboardInterrupt
    with run_lock(tmp_path, "f" * 16) as left_by:
        assert "" == left_by


def test_without_flock_a_file_that_must_not_exist_is_the_lock(run, records, monkeypatch):
    """As on some network file systems: it is found out and said, and works."""
    monkeypatch.setattr("fcntl.flock", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSYS, "no flock")))
    with pytest.warns(UserWarning, match="flock not supported"):
        finished = run()

    assert ["ok", "ok"] == [one.status for one in finished]


def test_a_run_that_takes_too_long_is_a_record_with_what_it_had_and_goes_on(run, records, monkeypatch):
    """`timeout` is tried again, from the checkpoint on. However long the first step takes, it is waited for."""
    monkeypatch.setattr(process, "GRACE_S", 600.0)
    overrides = (*TINY, "epochs=2000")
    finished = run(overrides=overrides, policy=Policy(time_limit_s=1.0))
    first = records()
    run(overrides=overrides, policy=Policy(time_limit_s=1.0))

    assert ["timeout", "timeout"] == [one.status for one in finished]
    assert 3 == exit_code_of(finished)
    assert all("the time limit of 1 s was over in epoch" in record.failure.message for record in first)
    assert all(len(record.epochs) < 2000 for record in first)
    again = [record for record in records() if record.attempt == 2]
    assert [2, 2] == [len(record.segments) for record in again]
    assert all(len(after.epochs) >= len(before.epochs) for before, after in zip(first, again, strict=True))


def test_a_child_that_does_not_end_at_its_limit_is_killed_with_its_processes(run, records, monkeypatch):
    """It hangs outside its steps; the parent gives it some seconds, and records for it."""
    monkeypatch.setattr(process, "GRACE_S", 0.1)
    monkeypatch.setattr(process, "_enter", children.that_hangs)
    finished = run(policy=Policy(time_limit_s=0.1))

    assert ["timeout", "timeout"] == [one.status for one in finished]
    assert {"the time limit was over, and the process did not end by itself"} == {
        record.failure.message for record in records()
    }
    assert [] == multiprocessing.active_children()


def test_a_second_interrupt_ends_the_child_at_once(run, records, monkeypatch):
    """The first asks it to finish its step; who presses Ctrl-C again does not want to wait ten minutes for that."""
    original, waits = process.run, []

    def interrupted(receiver, end_s):
        waits.append(end_s)
        raise KeyboardInterrupt

    def carry_out(job, log, on_message):
        monkeypatch.setattr(process, "_messages", interrupted)
        return original(job, log, on_message)

    monkeypatch.setattr(process, "GRACE_S", 600.0)
    monkeypatch.setattr(process, "_enter", children.that_hangs)
    monkeypatch.setattr(process, "run", carry_out)
    with pytest.raises(KeyboardInterrupt):
        run()

    assert (None, True) == (waits[0], waits[1] > time.monotonic() + 500)
    assert ["stopped by the user"] == [record.failure.message for record in records()]
    assert [] == multiprocessing.active_children()


def test_a_full_disk_stops_the_runner_and_leaves_older_records_whole(run, records, monkeypatch):
    """Neither the child nor the runner can write a record: it is an error of the machine, and nothing is torn."""
    run()
    before = records()
    monkeypatch.setattr(process, "_enter", children.with_full_disk)
    monkeypatch.setattr(Store, "save", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
    with pytest.raises(OSError, match="No space left"):
        run(seeds=(1,))

    assert before == records()


def test_a_checkpoint_that_cannot_be_written_does_not_stop_the_run(run, records, monkeypatch):
    """The last one stands, and the user is told."""
    monkeypatch.setattr(process, "_enter", children.without_room_for_checkpoints)
    progress = Quiet()
    finished = run(progress=progress, policy=Policy(checkpoint_every_s=0.0))

    assert ["ok", "ok"] == [one.status for one in finished]
    assert "[1/2] mine/8 seed 0 no checkpoint could be written: [Errno 28] No space left on device" == progress.lines[0]


def test_a_link_in_place_of_a_log_is_not_written_through(run, records, tmp_path):
    """What it leads to stays as it is; the run ends, and its runner says so."""
    run_ids = [one.run_id for one in plan([make_benchmark(tmp_path)], Request(overrides=TINY), [0], {"cpu": 1}).runs]
    (tmp_path / "results" / "logs").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    (tmp_path / "results" / "logs" / f"{run_ids[0]}.1.log").symlink_to(tmp_path / "secret")
    finished = run()

    assert ["crashed", "ok"] == [one.status for one in finished]
    assert "secret" == (tmp_path / "secret").read_text(encoding="utf-8")


def test_a_loader_process_that_hangs_is_a_record(run, records, monkeypatch):
    """Nobody waits for images that never come."""
    monkeypatch.setattr(process, "_enter", children.with_loader_that_hangs)
    finished = run(overrides=(*TINY, "workers=1"))

    assert ["crashed", "crashed"] == [one.status for one in finished]
    assert {"RuntimeError: DataLoader timed out after 1 seconds"} == {record.failure.message for record in records()}


def test_a_data_set_that_is_too_small_is_refused_before_any_run(run, records):
    """Nothing is run, and the message says what there is."""
    with pytest.raises(SuiteError, match="has only 400") as caught:
        run(overrides=(*TINY, "train_images=4008"))

    assert (2, ()) == (caught.value.exit_code, records())


def test_a_damaged_data_set_is_refused_before_any_run(run, records, tmp_path):
    """With the exit code of its kind."""
    (tmp_path / "broken.tar").write_bytes(b"no archive")

    with pytest.raises(SuiteError, match=r"broken.tar: cannot be read") as caught:
        run(source=DataSource("imagefolder", "broken", tmp_path / "broken.tar"))
    assert (4, ()) == (caught.value.exit_code, records())


def test_all_images_that_leave_a_last_batch_of_one_are_refused(run):
    """Only the data set knows how many all are: 4,000 in batches of 31 leave 1."""
    text = TOML.replace("batch_size = 8", "batch_size = 31")

    with pytest.raises(SuiteError, match="4,000 training images in batches of 31"):
        run(text, overrides=("train_images=all", "width=2", "epochs=1"))


def test_no_path_enters_a_record(run, tmp_path):
    """Nor a host's or user's name."""
    run()
    for path in (tmp_path / "results" / "records").glob("*.json"):
        text = path.read_text(encoding="utf-8")

        assert str(tmp_path) not in text
        assert os.uname().nodename not in text or len(os.uname().nodename) < 5


def test_every_epoch_is_one_line_where_there_is_no_terminal(run):
    """With what is left, once an epoch has ended that was not the first."""
    progress = Quiet()
    run(overrides=(*TINY, "epochs=2"), progress=progress)

    assert 4 == len(progress.lines)
    assert progress.lines[0].startswith("[1/2] mine/8 seed 0 epoch 1/2: train loss ")
    assert ["left" in line for line in progress.lines] == [False, True, True, True]


LIVE = ["2 of 2 done, 0 running, 0 waiting", "epoch 1/2 [----------]", "epoch 2/2 [#####-----]"]


@pytest.mark.parametrize("width", [40, 100])
def test_on_a_terminal_a_table_lives_and_every_run_that_has_ended_stays(width, run, monkeypatch):
    """Also where it is narrow; without colour, and in letters that every locale has."""
    monkeypatch.setenv("NO_COLOR", "1")
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=width, _environ={"TERM": "xterm", "NO_COLOR": "1"})
    run(overrides=(*TINY, "epochs=2"), progress=Progress(console))
    shown = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", file.getvalue()).replace("\r", "\n")

    assert [line for line in (*LIVE, "[1/2] mine/8 seed 0: ", "[2/2] mine/16 seed 0: ") if line not in shown] == []
    assert file.getvalue().isascii()
    assert not re.search(r"\x1b\[[0-9;]*m", file.getvalue())
    assert max(map(len, shown.splitlines())) <= width


def test_on_a_dumb_terminal_lines_are_plain(run):
    """It cannot move its cursor."""
    file = io.StringIO()
    run(progress=Progress(Console(file=file, force_terminal=True, _environ={"TERM": "dumb"})))

    assert "\x1b" not in file.getvalue()
    assert 2 == file.getvalue().count(" epoch 1/1: train loss ")


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 s"), (40, "40 s"), (600, "10 min"), (12_600, "3.5 h")])
def test_a_length_of_time_is_said_as_people_say_it(seconds, text):
    """One unit, few digits."""
    assert text == duration(seconds)


def test_a_record_of_a_real_run_validates_against_the_schema(run, tmp_path):
    """And against its own hash."""
    run()
    (path, *_) = (tmp_path / "results" / "records").glob("*.json")

    assert json.loads(path.read_text(encoding="utf-8"))["record_hash"] == load_record(path).record_hash


def test_an_expected_out_of_memory_is_no_failure(tmp_path):
    """The report says that batch 1024 did not fit: if it does not, that is the finding."""
    runs = plan([make_benchmark(tmp_path)], Request(), [0], {"cpu": 1}).runs

    assert [3, 0] == [exit_code_of((Finished(run, "oom_device", was_recorded=False),)) for run in runs]
    assert 3 == exit_code_of(())


def test_a_process_may_hold_the_locks_of_many_runs():
    """Each is an open file, of which most systems allow 1,024 until they are asked for more."""
    kept = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1_024, kept[1]))
    try:
        most = locks_at_most()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, kept)

    assert (min(hard, 1 << 16), min(hard, 1 << 16) // 2) == (soft, most)


@pytest.mark.parametrize(
    ("count", "text"), [(1, "1 run (0 recorded before): 1 ok"), (2, "2 runs (0 recorded before): 2 ok")]
)
def test_one_run_is_told_in_the_singular(count, text, tmp_path):
    """And two are not."""
    runs = plan([make_benchmark(tmp_path)], Request(), [0], {"cpu": 1}).runs[:count]

    assert text == summary(tuple(Finished(run, "ok", was_recorded=False) for run in runs), Plan(runs, ()))
