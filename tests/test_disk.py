"""Whatever fails while a file is written, and whenever the power goes: what was there stays, what is there is whole."""

import errno
import fcntl
import hashlib
import itertools
import os
import re
import tempfile
from contextlib import nullcontext
from pathlib import Path

import pytest
from builders import make_epoch, make_experiment, make_record, make_store
from fakes.disk import Crash, FaultyOs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from test_checkpoints import RUN, make_checkpoint

from resnet18.records import disk
from resnet18.records.checkpoints import Checkpoints
from resnet18.records.merge import merge
from resnet18.records.store import Store
from resnet18.report import report
from resnet18.report.document import Figure
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError, SuiteError

OLD, NEW = make_record(), make_record(make_experiment(seed=1))
GOLDEN = "36d1673defbb538354f3f38df3189274d8a4e6caca2387bd6be5ef902c52afdc"


def old_store(folder):
    """One that holds an old record and its picture."""
    store = make_store(folder, OLD)
    store.picture_path(OLD.run_id, 1).write_bytes(b"an old picture")
    return store


@pytest.fixture
def store(tmp_path):
    return old_store(tmp_path / "results")


WRITES = {
    "a record": lambda store: store.save(NEW),
    "a picture": lambda store: disk.replace(store.picture_path(OLD.run_id, 1), b"a new picture"),
    "a checkpoint": lambda store: Checkpoints(store.results, RUN).save(make_checkpoint()),
    "a merge": lambda store: merge([store.results.parent / "other"], store.results),
}


def check_whole(store):
    """Every file that readers see is whole, and the old record is among them."""
    readings = store.read()
    assert () == readings.refused
    assert OLD in readings.records
    assert all(record in (OLD, NEW) for record in readings.records)
    assert store.picture_path(OLD.run_id, 1).read_bytes() in {b"an old picture", b"a new picture"}
    assert () == Checkpoints(store.results, RUN).latest()[1]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=["full", "broken"])
@pytest.mark.parametrize("persistent", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("name", WRITES)
def test_the_store_is_whole_whichever_call_fails(name, persistent, code, tmp_path, monkeypatch):
    """Every open, write, fsync, link, replace and unlink in turn; afterwards the same write succeeds."""
    monkeypatch.setattr(disk, "os", FaultyOs(0))
    other = old_store(tmp_path / "other")
    other.picture_path(NEW.run_id, 1).write_bytes(b"another picture")
    other.save(NEW)
    for at in itertools.count(1):
        store = old_store(tmp_path / f"results-{at}")
        faulty = FaultyOs(at, persistent=persistent, error=OSError(code, os.strerror(code)))
        with monkeypatch.context() as patched:
            patched.setattr(disk, "os", faulty)
            error = error_of(WRITES[name], store)
        check_whole(store)
        # No record is merged without its picture: it would be taken for one that left none.
        picture = store.picture_path(NEW.run_id, 1)
        assert name != "a merge" or NEW not in store.read().records or picture.read_bytes() == b"another picture"
        if not faulty.has_failed:
            break
        assert error is None or os.strerror(code) in str(error)
        assert error is None or isinstance(error, EnvironmentMissingError) == (name == "a merge")
        assert "unlink" in faulty.failed or [] == list(store.results.rglob(".*.tmp"))
        assert error_of(WRITES[name], store) is None or NEW in store.read().records  # it was whole, though nobody knew
        check_whole(store)

    assert error is None
    assert at > 5


def error_of(write, store):
    try:
        write(store)
    except (OSError, EnvironmentMissingError) as error:
        return error
    return None


@pytest.mark.parametrize(("write", "last"), [(disk.write_new, "link"), (disk.replace, "replace")])
def test_what_is_written_is_synced_before_it_has_its_name(write, last, tmp_path, monkeypatch):
    system = FaultyOs(0)
    monkeypatch.setattr(disk, "os", system)
    write(tmp_path / "file", b"c")

    assert ["open", "write", "fsync", last, "unlink", "open", "fsync"] == system.names


PLANTS = {
    "link": lambda path, secret: path.symlink_to(secret),
    "dangling link": lambda path, secret: path.symlink_to("nowhere"),
    "folder": lambda path, secret: path.mkdir(),
    "pipe": lambda path, secret: os.mkfifo(path),
    "too large": lambda path, secret: path.write_bytes(b"x" * 101),
}


@pytest.mark.parametrize("plant", PLANTS)
def test_only_a_regular_file_of_bounded_size_is_read(plant, tmp_path):
    """A link may lead anywhere, and a pipe would never end; a file that is not there is told apart."""
    path, secret = tmp_path / "file", tmp_path / "secret"
    secret.write_bytes(b"x" * 100)
    with pytest.raises(FileNotFoundError):
        disk.read(path, 100)
    PLANTS[plant](path, secret)

    with pytest.raises(IntegrityError):
        disk.read(path, 100)
    assert b"x" * 100 == disk.read(secret, 100)


@pytest.mark.parametrize(
    ("write", "refused"), [(disk.write_new, pytest.raises(FileExistsError)), (disk.replace, nullcontext())]
)
def test_a_planted_link_is_not_written_through(write, refused, tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "file").symlink_to(tmp_path / "secret")
    with refused:
        write(tmp_path / "file", b"mine")

    assert b"secret" == (tmp_path / "secret").read_bytes()


@pytest.mark.parametrize("name", ["locks/run.lock", "locks/run.holder", "logs/run.1.log", "checkpoints/run.checkpoint"])
@pytest.mark.parametrize("plant", ["link", "dangling link", "folder", "pipe"])
def test_what_is_no_regular_file_is_refused_by_its_path_before_any_run(name, plant, tmp_path):
    """A pipe in place of a lock would be waited for without end."""
    path = tmp_path / name
    path.parent.mkdir()
    PLANTS[plant](path, tmp_path)

    with pytest.raises(IntegrityError, match=re.escape(f"{path}: is ")):
        Store(tmp_path).make_writable()
    if path.parent.name == "locks":
        with pytest.raises(IntegrityError, match=re.escape(f"{path}: is ")), disk.lock(path.with_suffix(".lock")):
            pass
    assert os.path.lexists(path)


PAGES = ("README.md", "report.html", "verdicts.json", "figures/a.svg", "parts/a.md")


@pytest.mark.parametrize("name", [*PAGES, "figures", "parts"])
@pytest.mark.parametrize("plant", ["link", "dangling link", "folder", "pipe"])
def test_what_a_report_could_not_replace_is_refused_by_its_path_before_any_run(name, plant, tmp_path):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    PLANTS[plant](path, tmp_path / "secret")
    is_ours = (name, plant) in {("figures", "folder"), ("parts", "folder")}

    with nullcontext() if is_ours else pytest.raises(SuiteError, match=re.escape(f"{path}: ")) as refused:
        Store(tmp_path).check_pages()
    assert is_ours or refused.value.exit_code in {4, 5}


def test_a_lock_names_its_holder_to_who_waits(tmp_path):
    told = []
    again = disk.lock(tmp_path / "lock", 0.01, told.append)
    with disk.lock(tmp_path / "lock"), pytest.raises(disk.LockIsTakenError) as taken, again:
        pass

    assert [str(taken.value)] == told
    assert re.fullmatch(rf"process {os.getpid()} of .+ since 20..-.+", told[0])
    assert ["lock"] == [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize("target", [".", "nowhere"])
def test_a_folder_that_is_a_link_is_refused(target, tmp_path):
    (tmp_path / "records").symlink_to(target)

    with pytest.raises(IntegrityError, match="is a symbolic link"):
        disk.make_folder(tmp_path / "records")


def temporary(folder, digits, age_s=0.0, content=b"x"):
    path = folder / f".file.{digits}.tmp"
    path.write_bytes(content)
    os.utime(path, (path.stat().st_atime - age_s, path.stat().st_mtime - age_s))
    return path


def test_temporary_files_of_dead_writers_are_swept_and_no_others(tmp_path):
    """A writer that lives holds a lock on its file, which an empty one may not have yet; other names are not ours."""
    temporary(tmp_path, "0" * 16)
    temporary(tmp_path, "1" * 16, content=b"", age_s=70)
    (tmp_path / f".file.{'2' * 16}.tmp").symlink_to(tmp_path / "elsewhere")
    locked = temporary(tmp_path, "3" * 16)
    with locked.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        kept = {locked, temporary(tmp_path, "4" * 16, content=b""), temporary(tmp_path, "mine")}
        disk.sweep(tmp_path)

    assert kept == {path for path in tmp_path.iterdir() if not path.is_symlink()}


def test_the_folder_of_a_dead_process_is_swept_and_no_other(tmp_path):
    """A decoded copy of gigabytes may be in it."""
    dead, young = (tmp_path / f".copy.{digit * 16}.tmp" for digit in "01")
    (dead / "inner").mkdir(parents=True)
    young.mkdir()
    with disk.new_folder(tmp_path / "copy") as folder:
        (folder / "file").write_bytes(b"x")
        disk.sweep(tmp_path)
        assert {folder, young} == set(tmp_path.iterdir())

    assert [young] == [*tmp_path.iterdir()]


def test_a_file_is_locked_while_it_is_written(tmp_path, monkeypatch):
    found = []

    def write(descriptor, part, write=os.write):
        disk.sweep(tmp_path)
        found.extend(tmp_path.iterdir())
        return write(descriptor, part)

    monkeypatch.setattr(disk.os, "write", write)
    disk.write_new(tmp_path / "file", b"content")

    assert 1 == len(found)
    assert b"content" == (tmp_path / "file").read_bytes()


def test_a_store_that_is_made_writable_sweeps_what_dead_writers_left(store, tmp_path):
    """Of every file that is written whole, and nothing behind a link. Readers never took them for records."""
    (tmp_path / "elsewhere").mkdir()
    (store.results / "figures").symlink_to(tmp_path / "elsewhere")
    (store.results / "checkpoints").mkdir()
    before = store.read()
    for name in ("", "records", "checkpoints", "figures"):
        temporary(store.results / name, "0" * 16)
    store.make_writable()

    assert before == store.read()
    assert [tmp_path / "elsewhere"] == [path.parent for path in tmp_path.rglob(".*.tmp")]


OLD_REPORT = f"{report.MARK}![old](figures/old.svg) ![both](figures/both.svg)"
NEW_REPORT = f"{report.MARK}![new](figures/new.svg) ![both](figures/both.svg)"


def write_report(results, text, **figures):
    pages = {"report.html": text, "README.md": text}
    report.write_pages(results, pages, [Figure(f"{name}.svg", "", svg) for name, svg in figures.items()])


def write_old_report(results):
    results.mkdir()
    write_report(results, OLD_REPORT, old=b"old", both=b"both, old")


def write_new_report(results):
    write_report(results, NEW_REPORT, new=b"new", both=b"both, new")


@pytest.mark.parametrize("persistent", [False, True], ids=["once", "from then on"])
def test_a_report_whose_writing_fails_is_the_old_or_the_new_one(persistent, tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "os", FaultyOs(0))
    for at in itertools.count(1):
        results, faulty = tmp_path / f"results-{at}", FaultyOs(at, persistent=persistent)
        write_old_report(results)
        with monkeypatch.context() as patched:
            patched.setattr(disk, "os", faulty)
            error_of(write_new_report, results)
        text = (results / "README.md").read_text(encoding="utf-8")
        figures = {path.name: path.read_bytes().partition(b"-->\n")[2] for path in (results / "figures").glob("*.svg")}

        assert text in {OLD_REPORT, NEW_REPORT}
        assert (results / "report.html").read_text(encoding="utf-8") in {OLD_REPORT, NEW_REPORT}
        assert {"both.svg", "old.svg" if text == OLD_REPORT else "new.svg"} <= set(figures)
        assert set(figures.values()) <= {b"old", b"new", b"both, old", b"both, new"}
        if not faulty.has_failed:
            break

    assert (NEW_REPORT, {"new.svg": b"new", "both.svg": b"both, new"}) == (text, figures)


def test_a_report_is_not_written_through_a_planted_link(tmp_path):
    """Neither its text nor a figure; a folder of figures that is a link is refused."""
    write_old_report(tmp_path / "results")
    for name in ("README.md", "report.html", "figures/both.svg"):
        (tmp_path / "secret").write_text(report.MARK, encoding="utf-8")
        (tmp_path / "results" / name).unlink()
        (tmp_path / "results" / name).symlink_to(tmp_path / "secret")
        write_new_report(tmp_path / "results")

        assert report.MARK == (tmp_path / "secret").read_text(encoding="utf-8")
        assert not (tmp_path / "results" / name).is_symlink()


def test_the_bytes_of_a_record_on_disk_are_golden(store):
    assert GOLDEN == hashlib.sha256(store.save(NEW).read_bytes()).hexdigest()


# The store against a dictionary, under any order of saving, crashing, starting again and merging

RUNS = st.integers(0, 3)
ATTEMPTS = st.integers(1, 2)


def record_of(run, attempt):
    """Equal results for equal runs, as reruns give them."""
    return make_record(make_experiment(seed=run), attempt=attempt, epochs=(make_epoch(1, correct=run),))


class StoreMachine(RuleBasedStateMachine):
    """`there` holds what was acknowledged, `maybe` what a crash may have left whole."""

    def __init__(self):
        super().__init__()
        self.home = tempfile.TemporaryDirectory()
        self.patched = pytest.MonkeyPatch()
        self.patched.setattr(disk, "os", FaultyOs(0))
        self.store = make_store(Path(self.home.name) / "results")
        self.merged = Store(Path(self.home.name) / "merged")
        self.there, self.maybe = {}, {}

    def teardown(self):
        self.patched.undo()
        self.home.cleanup()

    @rule(run=RUNS, attempt=ATTEMPTS)
    def save(self, run, attempt):
        """A record that is there is never replaced."""
        key, record = (run, attempt), record_of(run, attempt)
        if key in self.there:
            with pytest.raises(FileExistsError):
                self.store.save(record)
            return
        try:
            self.store.save(record)
        except FileExistsError:
            assert key in self.maybe
        self.there[key] = record

    @rule(run=RUNS, attempt=ATTEMPTS, at=st.integers(1, 20))
    def crash_while_saving(self, run, attempt, at):
        """The process ends at a call, of about nineteen: nothing after it happens, not even cleaning up."""
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(disk, "os", FaultyOs(at, persistent=True, error=Crash()))
            try:
                self.store.save(record_of(run, attempt))
            except Crash:
                self.maybe[run, attempt] = record_of(run, attempt)
            except FileExistsError:
                assert (run, attempt) in self.there | self.maybe
            else:
                self.there[run, attempt] = record_of(run, attempt)

    @rule()
    def start_again(self):
        """As the next runner does."""
        self.store = Store(self.store.results)
        self.store.make_writable()

    @rule()
    def merge_into_another(self):
        """What is read here is read there, whatever came there before."""
        merge([self.store.results], self.merged.results)

        assert self.store.read() == self.merged.read()

    @invariant()
    def holds_what_was_acknowledged_and_nothing_torn(self):
        """Beside it at most what a crash had finished."""
        readings = self.store.read()
        found = {(record.seed, record.attempt): record for record in readings.records}

        assert () == readings.refused
        assert self.there == {key: found.get(key) for key in self.there}
        assert set(found) <= set(self.there) | set(self.maybe)


TestStoreMachine = StoreMachine.TestCase
# Each example is a long one, of many files.
TestStoreMachine.settings = settings(max_examples=min(15, settings().max_examples))
