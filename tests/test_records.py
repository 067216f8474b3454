"""Records: every null has its reason, every change is noticed, no file is ever overwritten."""

import json
import re

import pytest
from builders import make_epoch, make_experiment, make_record
from fakes.disk import FaultyOs
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from resnet18.records import disk
from resnet18.records.compare import contradict, first_difference
from resnet18.records.content import build_record, load_record, record_hash, result_hash, utc_now
from resnet18.records.record import (
    FINAL,
    Conditions,
    Epoch,
    Failure,
    Identity,
    Memory,
    Record,
    Sample,
    Score,
    Summary,
    Time,
)
from resnet18.records.store import Store, is_done, last_attempts
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError
from resnet18.spec.identity import ids_of
from resnet18.spec.strict import strict_json

DESIGNED_KEYS = {
    "schema_version", "run_id", "arm_id", "experiment_id", "execution_id", "attempt", "scale", "seed", "status",
    "flags", "spec", "fingerprint", "segments", "epochs", "time", "memory", "energy_j", "confusion", "samples", "nulls",
    "result_hash", "record_hash",
}  # fmt: skip


RESULT_HASH = "304a9ea314c7f830d84a2346e9afa270b5c9691f4be5439bf8d2246a17d8a203"
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
    assert "the attempt ended as crashed before this was known" == record.nulls["time.checkpoint_s"]
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


def test_the_last_attempt_counts():
    """In whichever order they are read."""
    first, second = make_record(status="crashed"), make_record(attempt=2)

    assert [second] == list(last_attempts([second, first]).values()) == list(last_attempts([first, second]).values())


@pytest.mark.parametrize(
    ("status", "code", "counts"),
    [("interrupted", "c" * 64, 1), ("crashed", "e" * 64, 2), ("diverged", "c" * 64, 2)],
    ids=["cut short", "cut short, of other code", "final"],
)
def test_an_attempt_that_was_cut_short_hides_no_final_one_of_the_same_code(status, code, counts):
    """A time that was to be taken again; but a crash of new code is no result of the old."""
    records = [make_record(), make_record(attempt=2, status=status, code=code)]

    assert counts == last_attempts(records)[records[0].run_id].attempt


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


@given(st.data())
def test_a_flipped_bit_of_a_record_is_refused_or_changes_nothing(tmp_path_factory, data):
    """It changes nothing where it makes one kind of white space another."""
    store = Store(tmp_path_factory.mktemp("bits"))
    disk.make_folder(store.folder)
    path = store.save(make_record())
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    readings = store.read()

    assert (make_record(),) == readings.records or 1 == len(readings.refused)


def test_a_cut_record_is_refused(store):
    """Wherever it ends."""
    path = store.save(make_record())
    content = path.read_bytes()
    for end in range(0, len(content) - len("\n}\n"), 97):
        path.write_bytes(content[:end])

        assert (0, 1) == (len(store.read().records), len(store.read().refused))


def test_a_record_of_a_newer_version_is_refused_by_name(store):
    """With what to do."""
    path = store.save(make_record())
    content = json.loads(path.read_text(encoding="utf-8")) | {"schema_version": 3}
    path.write_text(json.dumps(content), encoding="utf-8")

    with pytest.raises(IntegrityError, match=r"format 3 is not that of this suite.*\n.*use the suite that made it"):
        load_record(path)


def rewritten(path, **changes):
    """Change a record's JSON and seal it again, as only the suite could."""
    content = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(content | {"record_hash": record_hash(content)}), encoding="utf-8")
    return content


def test_a_folder_of_another_format_is_told_in_one_line(store):
    """How many there are, and what to do; the records of this format are read."""
    store.save(make_record(make_experiment(seed=9)))
    for seed in range(3):
        path = store.save(make_record(make_experiment(seed=seed)))
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"schema_version": 1}))
    readings = store.read()
    (error,) = readings.refused

    assert [9] == [record.seed for record in readings.records]
    assert "3 records have another format than this suite's (2)" in str(error)
    assert "use the suite that made them" in str(error)


def test_keys_of_a_later_minor_version_are_left_out_and_stay_in_the_file(store):
    """At any depth, with the reason for a null among them."""
    path = store.save(make_record())
    before = make_record()
    content = before.model_dump(mode="json")
    (epoch,) = content["epochs"]
    rewritten(
        path,
        colour="blue",
        time={**content["time"], "tea_s": None},
        epochs=[{**epoch, "kettle": 1, "train": {**epoch["train"], "top5": 20}}],
        fingerprint={**content["fingerprint"], "room": "north"},
        nulls={**before.nulls, "time.tea_s": "no tea"},
    )
    (record,) = store.read().records

    assert (before.epochs, before.time, before.fingerprint) == (record.epochs, record.time, record.fingerprint)
    assert '"colour": "blue"' in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("change", [{"colour": "green"}, {"record_hash": "0" * 64}])
def test_keys_of_a_later_minor_version_are_covered_by_the_hash(change, store):
    """Whoever edits one is noticed by a version that does not know it."""
    path = store.save(make_record())
    rewritten(path, colour="blue")
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")

    assert ["was changed after it was written"] == [error.what for error in store.read().refused]


def test_unknown_keys_of_the_spec_are_refused(store):
    """Ids are made of it: without them it would be another run's."""
    path = store.save(make_record())
    spec = json.loads(path.read_text(encoding="utf-8"))["spec"]
    rewritten(path, spec={**spec, "experiment": {**spec["experiment"], "dropout": 0.5}})

    assert ["is no record: experiment.dropout: Extra inputs are not permitted"] == [
        error.what for error in store.read().refused
    ]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"seed": 0,', '"seed": 0, "seed": 0,', 'key "seed" is there twice'),
        ('"wall_s": 9.0', '"wall_s": NaN', "NaN is no JSON"),
        ('"wall_s": 9.0', '"wall_s": Infinity', "Infinity is no JSON"),
        ('"wall_s": 9.0', '"wall_s": 1e999', "Out of range float values are not JSON compliant"),
        ('"wall_s": 9.0', '"wall_s": ' + "[" * 100_000, "is nested too deeply"),
    ],
)
def test_json_that_leaves_a_doubt_is_no_record(old, new, words, store):
    """Of two equal keys json would keep the last, and it would take what is no number."""
    path = store.save(make_record())
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")

    assert [f"is no record: {words}"] == [error.what for error in store.read().refused]


@pytest.mark.parametrize(
    "content", [b'"\xff"', "[" * 100_000, "9" * 5_000, "NaN", '{"a": {"b": 1, "b": 2}}', "-Infinity", "{", "\ufeff1"]
)
def test_doubtful_json_is_a_value_error(content):
    """Not one of its many kin, such as RecursionError, and nothing else."""
    with pytest.raises(ValueError):  # noqa: PT011 - every kind of it
        strict_json(content)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda one: st.lists(one) | st.dictionaries(st.text(), one),
        max_leaves=20,
    )
)
def test_sound_json_is_read_as_it_was_written(value):
    """As bytes and as text."""
    text = json.dumps(value)

    assert value == strict_json(text) == strict_json(text.encode())


def test_a_copy_of_a_record_under_another_name_is_refused(store):
    """It would be a second measurement of nothing."""
    path = store.save(make_record())
    path.with_name(f"{make_record().run_id}.2.json").write_bytes(path.read_bytes())
    readings = store.read()

    assert (make_record(),) == readings.records
    assert [f"holds the record {path.name}"] == [error.what for error in readings.refused]


def test_a_record_that_cannot_be_read_is_told_from_one_that_is_none(store, monkeypatch):
    """The disk is to blame, not the file."""
    store.save(make_record())
    monkeypatch.setattr(disk, "os", FaultyOs(1, error=OSError(5, "Input/output error")))

    assert ["cannot be read: Input/output error"] == [error.what for error in store.read().refused]


def contradicting(**changes):
    """A second attempt that comes to another result."""
    return make_record(attempt=2, epochs=(make_epoch(1, 3),), **changes)


def test_two_results_of_one_run_are_a_conflict_and_neither_is_used(store):
    """One is wrong, and nobody knows which; other runs stay."""
    other, other_run = make_record(make_experiment(seed=1)), make_record().run_id
    for record in (make_record(), contradicting(), other):
        store.save(record)
    readings = store.read()

    assert (other,) == readings.records
    assert [f"{other_run}.1.json and {other_run}.2.json"] == [error.where for error in readings.refused]
    assert ["contradict each other, and neither is used: epoch 1, test as published correct: 10 and 3"] == [
        error.what for error in readings.refused
    ]


def test_attempts_that_do_not_contradict_each_other_stay(store):
    """One that crashed before, and one of other code that came after."""
    before, after = make_record(status="crashed", attempt=3), make_record(attempt=4, code="0" * 64)
    for record in (make_record(), contradicting(), before, after):
        store.save(record)

    assert (before, after) == store.read().records


@pytest.mark.parametrize("changes", [{"code": "0" * 64}, {"data": "0" * 64}, {"cpu": "another"}])
def test_results_under_other_fingerprints_do_not_contradict_each_other(changes, store):
    """Equal bits are promised inside one."""
    store.save(make_record())
    store.save(contradicting(**changes))

    assert (2, ()) == (len(store.read().records), store.read().refused)


@pytest.mark.parametrize(
    ("numerics", "is_conflict"),
    [
        ({"device": "cpu", "deterministic": False}, True),
        ({"device": "cuda", "deterministic": True}, True),
        ({"device": "cuda", "deterministic": False}, False),
        ({"device": "cpu", "cpu_model": "unknown"}, False),
    ],
)
def test_only_results_that_were_promised_to_be_equal_contradict_each_other(numerics, is_conflict):
    """A device without deterministic algorithms may come to others the second time, and so may an unknown processor."""
    assert is_conflict == contradict(make_record(numerics=numerics), contradicting(numerics=numerics))


@pytest.mark.parametrize("status", ["diverged", "interrupted"])
def test_a_record_without_a_result_contradicts_none(status):
    """Under the same fingerprint too: only two results can."""
    other = contradicting().model_copy(update={"status": status})

    assert contradict(make_record(), contradicting())
    assert not contradict(make_record(), other)
    assert not contradict(other, make_record())


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"steps": 4}, "epoch 1, steps: 3 and 4"),
        (
            {"train": Score(loss=2.0000000000000004, correct=15, images=40)},
            "epoch 1, training loss: 2.0 and 2.0000000000000004",
        ),
        ({"clean": Score(loss=2.2, correct=9, images=20)}, "epoch 1, test clean correct: 10 and 9"),
        ({"train_s": 99.0}, None),
    ],
)
def test_the_first_difference_of_two_results_is_named(changes, text):
    """To the last bit, and no time among them."""
    assert text == first_difference(make_record(), make_record(epochs=(make_epoch(1, **changes),)))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"confusion": ((1, 1), (1, 3))}, "confusion counts"),
        (
            {"summary": Summary(parameters_sha256="c" * 64, predictions_sha256="d" * 64)},
            f"parameters_sha256: {'a' * 64} and {'c' * 64}",
        ),
        (
            {"summary": Summary(parameters_sha256="a" * 64, predictions_sha256="d" * 64)},
            f"predictions_sha256: {'b' * 64} and {'d' * 64}",
        ),
        ({"result_hash": "e" * 64}, f"result_hash alone: {RESULT_HASH} and {'e' * 64}"),
    ],
)
def test_results_of_equal_epochs_may_differ_in_the_network(changes, text):
    """In what it says of the test images, or in its parameters."""
    assert text == first_difference(make_record(), make_record().model_copy(update=changes))


def test_results_of_different_length_differ_in_their_epochs():
    """What both have is compared first."""
    assert "1 epochs and 2" == first_difference(make_record(), make_record(epochs=(make_epoch(1), make_epoch(2))))


@pytest.mark.parametrize("name", ["0123456789abcdef.1.json"])
def test_a_planted_link_is_no_record(name, store, tmp_path):
    """Whatever it leads to, a whole record even."""
    path = store.save(make_record())
    (tmp_path / "elsewhere").write_bytes(path.read_bytes())
    (store.folder / name).symlink_to(tmp_path / "elsewhere")
    readings = store.read()

    assert (1, ["is a symbolic link"]) == (len(readings.records), [error.what for error in readings.refused])


def leaves(content, prefix=()):
    """Every path to a value in a JSON content."""
    for key, value in content.items() if isinstance(content, dict) else enumerate(content):
        if isinstance(value, dict | list) and value:
            yield from leaves(value, (*prefix, key))
        else:
            yield (*prefix, key)


@pytest.mark.parametrize(
    "keys", list(leaves(make_record().model_dump(mode="json"))), ids=lambda keys: ".".join(map(str, keys))
)
def test_whichever_value_of_a_record_is_edited_it_is_refused(keys, store):
    """None is outside its hash."""
    path = store.save(make_record())
    content = json.loads(path.read_text(encoding="utf-8"))
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = "edited" if inner[keys[-1]] != "edited" else "again"
    path.write_text(json.dumps(content), encoding="utf-8")

    assert (0, 1) == (len(store.read().records), len(store.read().refused))


def test_the_result_hash_covers_results_and_no_time():
    """Seconds may differ, a loss may not by its last bit."""
    summary = Summary(parameters_sha256="a" * 64, predictions_sha256="b" * 64)
    base = result_hash((make_epoch(1),), ((1,),), summary)
    slower = result_hash((make_epoch(1, train_s=99.0, learning_rate=0.5),), ((1,),), summary)
    loss = {"loss": 2.0000000000000004, "correct": 15, "images": 40}
    other = result_hash((make_epoch(1, train=loss),), ((1,),), summary)

    assert base == slower
    assert base != other
    assert base != result_hash((make_epoch(1),), ((2,),), summary)
    assert base != result_hash((make_epoch(1),), ((1,),), summary.model_copy(update={"parameters_sha256": "c" * 64}))


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
def test_a_run_is_done_by_final_statuses_alone(status, done):
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
    """As a read-only file system does, and somebody else's folder: the folders are there."""
    store = Store(tmp_path)
    store.make_writable()
    monkeypatch.setattr(disk, "os", FaultyOs(1, error=OSError(30, "Read-only file system")))

    with pytest.raises(EnvironmentMissingError, match="Read-only file system"):
        store.make_writable()


SCORE = {"loss": 2.0, "correct": 0, "images": 1}
EPOCH = make_record().model_dump(mode="json")["epochs"][0]
SAMPLE = {"index": 0, "label": 0, "prediction": 0}


def all_null(model, **values):
    return {**dict.fromkeys(model.model_fields), **values}


LEAST = [
    *((Score, SCORE, key, least) for key, least in (("correct", 0), ("images", 1))),
    *((Epoch, EPOCH, key, least) for key, least in (("epoch", 1), ("steps", 1))),
    *((Epoch, EPOCH, key, 0.0) for key in EPOCH if key.endswith("_s")),
    *((Time, all_null(Time, wall_s=0.0), key, 0.0) for key in Time.model_fields),
    *((Memory, all_null(Memory), key, int("device" not in key)) for key in Memory.model_fields),
    (Conditions, all_null(Conditions), "cpus", 1),
    *((Conditions, all_null(Conditions), key, 0.0) for key in Conditions.model_fields if key.endswith(("share", "_s"))),
    *((Conditions, all_null(Conditions), key, 0) for key in ("samples", "gpu_reserved_bytes", "gpu_other_processes")),
    (Conditions, all_null(Conditions), "load_average", 0.0),
    *((Sample, SAMPLE, key, 0) for key in SAMPLE),
    *((Failure, {"phase": "x", "message": "x"}, key, 0) for key in ("requested_bytes", "free_bytes")),
]


def accepts(model, content):
    try:
        TypeAdapter(model).validate_json(json.dumps(content))
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    ("model", "content", "key", "least"), LEAST, ids=[f"{model.__name__}.{key}" for model, _, key, _ in LEAST]
)
def test_a_number_of_a_record_has_a_least_value(model, content, key, least):
    """Which is allowed, and nothing below it: nothing was measured, or nothing was there."""
    assert [True, False] == [accepts(model, {**content, key: value}) for value in (least, least - 1)]


def test_a_container_without_processors_is_none():
    """A quota may be less than one, and is never nothing."""
    assert [True, False] == [accepts(Conditions, all_null(Conditions, cpu_quota=value)) for value in (1e-3, 0.0)]


@pytest.mark.parametrize(("key", "digits"), [("run_id", 16), ("arm_id", 16), ("record_hash", 64), ("result_hash", 64)])
@pytest.mark.parametrize("text", ["{}0", "0{}", "A{1}", "g{1}", "{1}", "{}\n"])
def test_an_id_has_so_many_hexadecimal_digits(key, digits, text):
    """In small letters, and nothing around them: it names files."""
    content = make_record().model_dump(mode="json")

    assert accepts(Record, {**content, key: "f" * digits})
    assert not accepts(Record, {**content, key: text.format("f" * digits, "f" * (digits - 1))})


@pytest.mark.parametrize("changes", [{"attempt": 0}, {"parameters": 0}, {"schema_version": 1}, {"status": "fine"}])
def test_a_record_refuses_what_no_attempt_has(changes):
    """Attempts are counted from 1, and a network has parameters."""
    content = make_record().model_dump(mode="json")
    nulls = {key: reason for key, reason in content["nulls"].items() if key not in changes}

    assert accepts(Record, content)
    assert not accepts(Record, {**content, "nulls": nulls, **changes})


@pytest.mark.parametrize("flag", ["no_learning", "not_exclusive", "resumed", "unreliable"])
def test_a_flag_is_one_of_the_known_names(flag):
    """They are read by reports."""
    content = make_record().model_dump(mode="json")

    assert accepts(Record, {**content, "flags": [flag]})
    assert not accepts(Record, {**content, "flags": [flag.upper()]})


def test_the_time_for_people_is_in_utc_and_of_whole_seconds():
    """As `2026-01-01T00:00:00+00:00`."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", utc_now())


def built(facts, reasons=None):
    record = make_record()
    return build_record(
        spec=record.spec,
        scale="smoke",
        attempt=3,
        status="crashed",
        identity=Identity(code_hash="c" * 64, shared_code_hash="5" * 64, commit=None, dirty=None, data_sha256=None),
        segments=(),
        facts={"time": {"wall_s": 0.0}, **facts},
        reasons=reasons or {},
    )


def test_a_record_is_built_of_what_is_known():
    """Flags, what disturbed the run, and the parts of its conditions; what is not known of them is null."""
    facts = {"flags": ["unreliable"], "unreliable_because": ["a compiler"], "conditions": {"cpus": 2}, "energy_j": 1.5}
    record = built({**facts, "memory": {"rss_peak_bytes": 7}})

    assert (("unreliable",), ("a compiler",), 1.5) == (record.flags, record.unreliable_because, record.energy_j)
    assert (2, None, 7, None) == (
        record.conditions.cpus,
        record.conditions.governor,
        record.memory.rss_peak_bytes,
        record.memory.reserved_peak_bytes,
    )


def test_a_record_of_nothing_has_no_flags_and_no_conditions():
    """As a whole, not key by key."""
    record = built({})

    assert ((), (), (), None) == (record.flags, record.unreliable_because, record.epochs, record.conditions)
    assert "conditions" in record.nulls


def test_reasons_that_always_hold_give_way_to_those_that_are_given():
    """And those to what is said of every early end."""
    nulls = built({}, {"failure": "a bug"}).nulls

    assert ("the spec asks for no compilation", "the package does not lie in a git checkout", "a bug") == tuple(
        nulls[key] for key in ("time.compile_s", "fingerprint.identity.commit", "failure")
    )
    assert "the attempt ended as crashed before this was known" == nulls["fingerprint.identity.data_sha256"]


def test_the_ids_of_a_record_are_those_of_its_spec():
    """It is found by them."""
    record = built({})
    ids = ids_of(record.spec.experiment, record.spec.execution)

    assert ids == (record.run_id, record.arm_id, record.experiment_id, record.execution_id)
    assert (3, 0, "smoke", 2) == (record.attempt, record.seed, record.scale, record.schema_version)


def test_a_run_without_records_has_no_attempts(store):
    """And a file whose name has no number counts for none."""
    (store.folder / f"{make_record().run_id}.copy.json").touch()

    assert 0 == store.attempts(make_record().run_id)


def test_the_last_of_many_attempts_counts(store):
    """Ten is more than nine, though its name sorts before."""
    for attempt in (9, 10):
        store.save(make_record(attempt=attempt))

    assert 10 == store.attempts(make_record().run_id)


def test_reading_shares_what_records_have_in_common(store):
    """Half of the memory of a large report."""
    for seed in (0, 1):
        store.save(make_record(make_experiment(seed=seed)))
    one, other = store.read().records

    assert one.nulls is other.nulls
    assert one.spec.execution is other.spec.execution
