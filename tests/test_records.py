"""Records: every null has its reason, every change is noticed, no file is ever overwritten."""

import json
import os

import pytest
from builders import make_epoch, make_experiment, make_record
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from resnet18.records.hashes import record_hash, result_hash
from resnet18.records.record import FINAL, Outcome, Record
from resnet18.records.store import Store, is_done, last_attempts, load_record
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError

DESIGNED_KEYS = {
    "schema_version", "run_id", "arm_id", "experiment_id", "execution_id", "attempt", "scale", "seed", "status",
    "flags", "spec", "fingerprint", "segments", "epochs", "time", "memory", "energy_j", "confusion", "samples", "nulls",
    "result_hash", "record_hash",
}  # fmt: skip


RESULT_HASH = "e196a8b546be183801474901f828ba7d4795e500c5113effadd8c0766ecddd74"
RECORD_HASH = "d01dfafa1d38f33185d857fa5afd09bb44b58d8fd6e14f31d1458e15352365c8"


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path)
    store.make_writable()
    return store


def test_a_record_has_every_key_of_the_design():
    """Others rely on these names."""
    assert set(Record.model_fields) >= DESIGNED_KEYS


@pytest.mark.parametrize("status", ["ok", "crashed"])
def test_a_record_reads_back_as_it_was_written(status, store):
    """Every float to the last bit."""
    record = make_record(status=status, epochs=(make_epoch(1, train_s=0.1 + 0.2),) if status == "ok" else ())

    assert record == load_record(store.save(record))


def test_every_null_carries_its_reason():
    """A crashed run knows little, and says so key by key."""
    record = make_record(status="crashed")

    assert "the attempt ended as crashed before this was known" == record.nulls["result_hash"]
    assert "no checkpoints" in record.nulls["time.checkpoint_s"]
    assert record.time.train_s is None


def test_a_null_without_a_reason_is_refused():
    """And so is a reason without a null."""
    content = make_record().model_dump(mode="json")
    without, extra = dict(content["nulls"]), {**content["nulls"], "time.wall_s": "why"}
    del without["energy_j"]

    for nulls, word in ((without, "energy_j"), (extra, "time.wall_s")):
        with pytest.raises(ValidationError, match=word):
            Record.model_validate({**content, "nulls": nulls})


def test_a_record_of_an_older_version_lacks_later_keys_and_is_still_read(store):
    """A later version may add a key that may be null: no null was written, so none needs a reason."""

    class Later(Record):
        nvml_source: str | None = None

    content = make_record().model_dump(mode="json")

    assert Later.model_validate(content).nvml_source is None
    with pytest.raises(ValidationError, match="nvml_source"):
        Later.model_validate(content | {"nvml_source": None})


def test_a_record_is_never_overwritten(store):
    """The second attempt is another file."""
    store.save(make_record())
    with pytest.raises(FileExistsError):
        store.save(make_record())
    store.save(make_record(attempt=2))

    assert 2 == store.attempts(make_record().run_id)
    assert 2 == len(store.read().records)


def test_saving_leaves_no_temporary_file(store):
    """Also where it fails."""
    store.save(make_record())
    with pytest.raises(FileExistsError):
        store.save(make_record())

    assert [f"{make_record().run_id}.1.json"] == [path.name for path in store.folder.iterdir()]


def test_a_record_is_synced_to_disk_before_it_has_its_name(store, monkeypatch):
    """The file first, then the name, then the folder: a power loss leaves a whole record or none."""
    events = []
    link, fsync = os.link, os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: events.append("sync") or fsync(descriptor))
    monkeypatch.setattr(os, "link", lambda *paths: events.append("name") or link(*paths))
    store.save(make_record())

    assert ["sync", "name", "sync"] == events


def test_the_last_attempt_counts():
    """In whichever order they are read."""
    first, second = make_record(status="crashed"), make_record(attempt=2)

    assert [second] == list(last_attempts([second, first]).values()) == list(last_attempts([first, second]).values())


@pytest.mark.parametrize(
    "key", [("seed",), ("time", "wall_s"), ("memory", "rss_peak_bytes"), ("spec", "experiment", "epochs")]
)
def test_an_edited_record_is_refused_and_the_others_are_kept(key, store):
    """Whichever number was changed."""
    path = store.save(make_record())
    kept = make_record(make_experiment(seed=1))
    store.save(kept)
    content = json.loads(path.read_text(encoding="utf-8"))
    inner = content
    for part in key[:-1]:
        inner = inner[part]
    inner[key[-1]] = 7
    path.write_text(json.dumps(content), encoding="utf-8")
    readings = store.read()

    assert (kept,) == readings.records
    assert ["was changed after it was written"] == [error.what for error in readings.refused]


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_no_record(tmp_path_factory, content):
    """And raise only our own error."""
    path = tmp_path_factory.mktemp("bytes") / "0123456789abcdef.1.json"
    path.write_bytes(content)

    with pytest.raises(IntegrityError):
        load_record(path)


def test_a_record_of_a_newer_version_is_refused_by_name(store):
    """With what to do."""
    path = store.save(make_record())
    content = json.loads(path.read_text(encoding="utf-8")) | {"schema_version": 2}
    path.write_text(json.dumps(content), encoding="utf-8")

    with pytest.raises(IntegrityError, match=r"schema version 2 is not known.*\n.*update the suite"):
        load_record(path)


def test_the_result_hash_covers_outcomes_and_no_time():
    """Seconds may differ, a loss may not by its last bit."""
    outcome = Outcome(parameters_sha256="a" * 64, predictions_sha256="b" * 64)
    base = result_hash((make_epoch(1),), ((1,),), outcome)
    slower = result_hash((make_epoch(1, train_s=99.0, learning_rate=0.5),), ((1,),), outcome)
    loss = {"loss": 2.0000000000000004, "correct": 15, "images": 40}
    other = result_hash((make_epoch(1, train=loss),), ((1,),), outcome)

    assert base == slower
    assert base != other
    assert base != result_hash((make_epoch(1),), ((2,),), outcome)
    assert base != result_hash((make_epoch(1),), ((1,),), outcome.model_copy(update={"parameters_sha256": "c" * 64}))


def test_hashes_are_golden():
    """The same on every machine: a change here voids every record."""
    record = make_record()

    assert RESULT_HASH == record.result_hash
    assert RECORD_HASH == record_hash({"b": 1.5, "a": None, "record_hash": "x"})


@pytest.mark.parametrize(
    ("status", "done"),
    [
        ("ok", True),
        ("diverged", True),
        ("oom_device", True),
        ("unsupported", True),
        ("interrupted", False),
        ("crashed", False),
        ("timeout", False),
        ("oom_host", False),
    ],
)
def test_only_final_statuses_settle_a_run(status, done):
    """The others are tried again."""
    assert done == (status in FINAL) == is_done(make_record(status=status), "c" * 64, "d" * 64)


def test_other_code_or_other_data_make_a_record_stale():
    """Unless they are accepted."""
    record = make_record()

    assert not is_done(record, "0" * 64, "d" * 64)
    assert not is_done(record, "c" * 64, "0" * 64)
    assert is_done(record, None, None)


def test_a_folder_that_cannot_be_made_is_an_error_of_the_environment(tmp_path):
    """Before anything is trained; here a file stands where the folder should be."""
    (tmp_path / "results").write_text("a file", encoding="utf-8")

    with pytest.raises(EnvironmentMissingError, match="not writable"):
        Store(tmp_path / "results").make_writable()


def test_a_folder_that_refuses_new_files_is_an_error_of_the_environment(tmp_path, monkeypatch):
    """As a read-only file system does."""
    store = Store(tmp_path)
    monkeypatch.setattr(
        "pathlib.Path.touch", lambda *_, **__: (_ for _ in ()).throw(OSError(30, "Read-only file system"))
    )

    with pytest.raises(EnvironmentMissingError, match="Read-only file system"):
        store.make_writable()
