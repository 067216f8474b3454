"""Records: every null has its reason, every change is noticed, no file is ever overwritten."""

import json
import time
from typing import get_args

import pytest
from builders import RESUMED, changed, make_epoch, make_experiment, make_identity, make_record, under
from fakes.disk import FaultyOs
from pydantic import ValidationError

from resnet18.records import disk
from resnet18.records.content import build_record, load_record, parse_record, record_hash, result_hash
from resnet18.records.record import FINAL, Conditions, Record, Score, Status, Summary
from resnet18.records.store import contradict, first_difference, is_done, last_attempts
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError

RESULT_HASH = "472488f693ca3b3e4d3978683289ab549b5ed07cce5b064567815867ad3f2a5a"
RECORD_HASH = "d01dfafa1d38f33185d857fa5afd09bb44b58d8fd6e14f31d1458e15352365c8"
NEXT_TO_2 = 2.0000000000000004


def test_a_null_without_its_reason_is_refused():
    content = make_record(status="crashed").model_dump(mode="json")
    del content["nulls"]["energy_j"]

    with pytest.raises(ValidationError, match="energy_j"):
        Record.model_validate(content)


def test_a_record_of_an_older_version_lacks_later_keys_and_is_still_read():
    """A later version may add a key that may be null: no null was written, so none needs a reason."""

    class Later(Record):
        nvml_source: str | None = None

    content = make_record().model_dump(mode="json")

    assert Later.model_validate(content).nvml_source is None
    with pytest.raises(ValidationError, match="nvml_source"):
        Later.model_validate(content | {"nvml_source": None})


def test_a_record_is_never_overwritten(store):
    """The second attempt is another file; a name without a number is no attempt, and nothing temporary is left."""
    run = make_record().run_id
    (store.folder / f"{run}.copy.json").touch()
    attempts = [store.attempts(run)]
    for attempt in (1, 9, 10):
        store.save(make_record(attempt=attempt))
        with pytest.raises(FileExistsError):
            store.save(make_record(attempt=attempt))
        attempts.append(store.attempts(run))

    assert [0, 1, 9, 10] == attempts
    assert {f"{run}.{end}.json" for end in (1, 9, 10, "copy")} == {path.name for path in store.folder.iterdir()}


@pytest.mark.parametrize(
    ("status", "code", "counts"),
    [("ok", "c" * 64, 2), ("interrupted", "c" * 64, 1), ("crashed", "e" * 64, 2), ("diverged", "c" * 64, 2)],
    ids=["last", "cut short", "cut short, of other code", "final"],
)
def test_an_attempt_that_was_cut_short_hides_no_final_one_of_the_same_code(status, code, counts):
    """The last attempt counts, in whichever order they are read; a crash of new code is no result of the old."""
    records = [make_record(), make_record(attempt=2, status=status, code=code)]

    assert {records[0].run_id: records[counts - 1]} == last_attempts(records) == last_attempts(records[::-1])


def rewritten(path, **changes):
    """Change a record's JSON and seal it again, as only the suite could."""
    content = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(content | {"record_hash": record_hash(content)}), encoding="utf-8")


def test_keys_of_a_later_minor_version_are_left_out_and_stay_in_the_file(store):
    before = make_record()
    path, content = store.save(before), before.model_dump(mode="json")
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


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"seed": 0,', '"seed": 0, "seed": 0,', 'is no record: key "seed" is there twice'),
        ('"wall_s": 9.0', '"wall_s": NaN', "is no record: NaN is no number"),
        ('"wall_s": 9.0', '"wall_s": Infinity', "is no record: Infinity is no number"),
        ('"wall_s": 9.0', '"wall_s": 1e999', "is no record: 1e999 is no number"),
        ('"wall_s": 9.0', '"wall_s": ' + "[" * 100_000, "is no record: nested too deeply"),
        ('"schema_version": 2', '"schema_version": 3', "format 3 is not that of this suite (2)"),
    ],
)
def test_json_that_leaves_a_doubt_is_no_record(old, new, words, store):
    """Of two equal keys json would keep the last, and it would take what is no number."""
    path = store.save(make_record())
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    (refusal,) = store.read().refused

    assert f"{path.name}: {words}" in str(refusal)


@pytest.mark.parametrize(
    "changes", [{"run_id": "f" * 16}, {"arm_id": "f" * 16}, {"seed": 7}, {"result_hash": "f" * 64}]
)
def test_what_a_record_derives_from_its_content_is_computed_again(changes, store):
    rewritten(store.save(make_record()), **changes)
    (refusal,) = store.read().refused

    assert f"its {next(iter(changes))} is not that of its content" in str(refusal)


EPOCH, SCORE = make_record().model_dump(mode="json")["epochs"][0], {"loss": 2.0, "correct": 15, "images": 40}
TIME, NUMERICS = make_record().model_dump(mode="json")["time"], make_record().fingerprint.numerics
DAY = {"start": "2026-01-02T00:00:00+00:00", "end": "2026-01-02T00:00:09+00:00"}
SAMPLES, ROWS = make_record().model_dump(mode="json")["samples"], make_record().model_dump(mode="json")["confusion"]
MEMORY, SPEC = (make_record().model_dump(mode="json")[key] for key in ("memory", "spec"))
CONDITIONS, ON_CPU = dict.fromkeys(Conditions.model_fields), {"fingerprint": {"numerics": NUMERICS | {"device": "cpu"}}}
GPU = {"cpus": 1, "gpu_clock_mhz": [900, 1000, 950]}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": []}, "epochs: are fewer than the spec's"),
        ({"epochs": [EPOCH, EPOCH]}, "epochs: must be numbered 1, 2, 3"),
        ({"epochs": [EPOCH | {"epoch": 2}]}, "epochs: must be numbered 1, 2, 3"),
        ({"epochs": [EPOCH | {"train": SCORE | {"correct": 41}}]}, "epochs.1.correct: more images than there are"),
        ({"epochs": [EPOCH | {"train": SCORE | {"images": 39}}]}, "epochs.1.images: are others"),
        ({"epochs": [EPOCH | {"clean": SCORE | {"loss": 1e40}}]}, "epochs.0.clean.loss: Input should be less"),
        ({"epochs": [EPOCH | {"clean": SCORE | {"images": 2**53 + 1}}]}, "epochs.0.clean.images: Input should be less"),
        ({"epochs": [EPOCH | {"as_published": SCORE}]}, "epochs.1.as_published.images: are others than those of clean"),
        ({"epochs": [EPOCH | {"steps": 4}]}, "epochs.1.steps: are not those of its images and batch size"),
        ({"epochs": [EPOCH | {"learning_rate": 0.1}]}, "epochs.1.learning_rate: is not that of the schedule"),
        ({"epochs": [EPOCH | {"data_wait_s": 1.5}]}, "epochs.1.data_wait_s: is more than train_s"),
        ({"time": TIME | {"train_s": 0.9}}, "time.train_s: is not the sum over the epochs"),
        ({"time": TIME | {"statistics_s": None}}, "null without a reason"),
        ({"time": TIME | {"wall_s": 5.0}}, "time.wall_s: is less than the times inside it"),
        ({"confusion": ROWS[:-1]}, "confusion: must have a row for each class"),
        ({"confusion": [ROWS[0][:-1], *ROWS[1:]]}, "confusion.0: Tuple should have at least 10 items"),
        ({"confusion": [[0] * 10] * 10}, "confusion: its counts are not those of the last epoch"),
        ({"samples": SAMPLES[:5]}, "samples: Tuple should have at least 6 items"),
        ({"samples": [*SAMPLES[:5], SAMPLES[0] | {"label": 3}]}, "samples: must be among the counts of confusion"),
        ({"samples": [*SAMPLES[:5], SAMPLES[0] | {"prediction": 10}]}, "samples.5.prediction: Input should be less"),
        ({"samples": [*SAMPLES[:5], SAMPLES[0]]}, "samples: must be different images"),
        ({"memory": MEMORY | {"device_peak_bytes": 1}, **ON_CPU}, "memory.device_peak_bytes: is of a GPU"),
        ({"conditions": CONDITIONS | {"gpu_other_processes": 1}, **ON_CPU}, "gpu_other_processes: is of a GPU"),
        ({"classes": ["cat", "cat", *"cdefghij"]}, "classes: one of them is there twice"),
        ({"result_hash": None, "nulls": make_record().nulls | {"result_hash": "x"}}, "result_hash: must be there with"),
        ({"confusion": None, "nulls": make_record().nulls | {"confusion": "x"}}, "result_hash: must be there with"),
        ({"status": "crashed"}, "failure: must be there unless the status is ok"),
        ({"flags": ["not_exclusive", "not_exclusive"]}, "flags: one of them is there twice"),
        ({"flags": ["resumed"]}, "flags: resumed needs several segments"),
        ({"segments": []}, "segments: must be in order"),
        ({"segments": [{"start": DAY["end"], "end": DAY["start"]}]}, "segments: must be in order"),
        ({"segments": [DAY | {"start": "2026-01-02"}]}, "segments.0.start: must be a date"),
        ({"segments": [DAY | {"end": "9999-01-02T00:00:00Z"}]}, "segments.0.end: must be a date"),
        ({"segments": [DAY | {"end": "yesterday"}]}, "segments.0.end: Invalid isoformat string"),
        ({"conditions": CONDITIONS | GPU}, "conditions.gpu_clock_mhz: must be the lowest"),
        ({"fingerprint": {"numerics": NUMERICS | {"threads": "2"}}}, "threads: must be a whole number above 0"),
        ({"fingerprint": {"numerics": NUMERICS | {"precision": "bf16"}}}, "precision: is not that of the spec"),
        ({"fingerprint": {"numerics": NUMERICS | {"deterministic": "no"}}}, "deterministic: is not that of the spec"),
        ({"fingerprint": {"numerics": NUMERICS | {"cpu_model": True}}}, "cpu_model: must be text"),
        ({"classes": ["\x1b[2J", "cat", *"cdefghij"]}, "classes: must have printable names of at most 100 letters"),
        ({"attempt": 1_000_000}, "attempt: Input should be less than or equal to 999999"),
        ({"schema_version": 2.0}, "format 2.0 is not that of this suite (2)"),
        ({"schema_version": "2"}, 'format "2" is not that of this suite (2)'),
        ({"schema_version": True}, "format true is not that of this suite (2)"),
        ({"schema_version": "9" * 9_000}, 'format "999999999999999999… is not that of this suite (2)'),
        ({"status": "x" * 10_001}, "is longer than 10,000 characters"),
        ({"parameters": 10**400}, "a whole number beyond 64 bits"),
        ({"nulls": dict.fromkeys(map(str, range(1_001)), "")}, "an object of more than 1,000 keys"),
        ({"segments": [DAY] * 10_001}, "segments: Tuple should have at most 10000 items"),
        (
            {"spec": SPEC | {"overrides": ["epochs=1"] * 1_000}},
            "overrides: must together have at most 4,000 characters",
        ),
        ({"nulls": dict.fromkeys(map(str, range(101)), "")}, "nulls: Dictionary should have at most 100 items"),
        ({"nulls": {"energy_j": "x" * 2_001}}, "nulls.energy_j: String should have at most 2000 characters"),
        ({"segments": [{}] * 400_000}, "holds more than 400,000 values"),
        ({"failure": "x" * (8 << 20)}, "where 8,388,608 are the most"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused_in_a_few_words(changes, words, store):
    """Its `record_hash` fits; of types, bounds, shapes, dates and sums something does not."""
    content = make_record().model_dump(mode="json")
    for key, value in changes.items():
        content[key] = {**content[key], **value} if key == "fingerprint" else value
    if isinstance(content["conditions"], dict):
        content["nulls"] |= {f"conditions.{key}": "x" for key in content["conditions"]}
    (store.folder / f"{make_record().run_id}.1.json").write_text(
        json.dumps(content | {"record_hash": record_hash(content)}), encoding="utf-8"
    )
    (refusal,) = store.read().refused

    assert words in str(refusal)
    assert len(str(refusal)) < 400


@pytest.mark.parametrize(
    "text",
    [
        '{"a":' * 70 + "0" + "}" * 70,
        "{" + ",".join(['"key":0'] * 390_000) + "}",
        "[" + ",".join(["{}"] * 390_000) + "]",
        "[" + ",".join([f'{{"{at}":"text"}}' for at in range(190_000)]) + "]",
        '{"segments":[' + ",".join(["0"] * 390_000) + "]}",
        "[" + "9" * 5_000_000 + "]",
    ],
    ids=["depth", "equal keys", "empty objects", "objects", "wrong items", "digits"],
)
def test_json_costs_little_whatever_it_is(text):
    """Seconds of this process, since others may take its processor."""
    begin_s = time.process_time()
    with pytest.raises(IntegrityError):
        parse_record(text.encode(), "it")

    assert 2 > time.process_time() - begin_s


@pytest.mark.parametrize("number", ["999999", "2000", "9" * 220, "٩٩"])
def test_a_file_named_like_a_late_attempt_takes_no_number_away(number, store):
    run = make_record().run_id
    (store.folder / f"{run}.{number}.json").write_text("{}", encoding="utf-8")
    store.save(make_record())

    assert 1 == store.attempts(run)


@pytest.mark.parametrize(("planted", "expected"), [((), 1), ((1_000, 1_001), 1_002), ((1, 2), 3)])
def test_the_next_attempt_has_a_number_of_which_no_file_is_there(planted, expected, store):
    for number in planted:
        (store.folder / f"{make_record().run_id}.{number}.json").write_text("{}", encoding="utf-8")

    assert expected == store.next_attempt(make_record().run_id)


def test_where_no_number_is_left_for_an_attempt_the_file_with_the_last_is_named(store):
    path = store.save(make_record(attempt=999_999))
    with pytest.raises(IntegrityError, match="move the file away") as error:
        store.next_attempt(make_record().run_id)

    assert path.name == error.value.where


def test_a_late_attempt_that_is_a_record_counts(store):
    store.save(make_record(attempt=2_000))

    assert 2_000 == store.attempts(make_record().run_id)


def test_unknown_keys_of_the_spec_are_refused(store):
    spec = make_record().model_dump(mode="json")["spec"]
    rewritten(store.save(make_record()), spec={**spec, "experiment": {**spec["experiment"], "dropout": 0.5}})
    (refusal,) = store.read().refused

    assert "is no record: experiment.dropout: Extra inputs are not permitted" in str(refusal)


def test_a_planted_link_or_a_copy_under_another_name_is_no_record(store, tmp_path):
    path = store.save(make_record())
    (tmp_path / "elsewhere").write_bytes(path.read_bytes())
    path.with_name("0123456789abcdef.1.json").symlink_to(tmp_path / "elsewhere")
    path.with_name(f"{make_record().run_id}.2.json").write_bytes(path.read_bytes())
    readings = store.read()

    assert (make_record(),) == readings.records
    assert {"is a symbolic link", f"holds the record {path.name}"} == {error.what for error in readings.refused}


def digests(parameters, predictions):
    return Summary(parameters_sha256=parameters * 64, predictions_sha256=predictions * 64)


def contradicting(**changes):
    """A second attempt that comes to another result."""
    return make_record(attempt=2, epochs=(make_epoch(1, 3),), **changes)


def test_two_results_of_one_run_are_a_conflict_and_neither_is_used(store):
    other, other_run = make_record(make_experiment(seed=1)), make_record().run_id
    for record in (make_record(), contradicting(), other):
        store.save(record)
    readings = store.read()

    assert (other,) == readings.records
    assert [f"{other_run}.1.json and {other_run}.2.json"] == [error.where for error in readings.refused]
    assert ["contradict each other, and neither is used: epoch.1.as_published.correct: 10 and 3"] == [
        error.what for error in readings.refused
    ]


def test_of_many_attempts_that_contradict_each_other_two_are_named_once(store):
    for attempt in range(1, 8):
        store.save(make_record(attempt=attempt, epochs=(make_epoch(1, 10 if attempt % 2 else 3),)))
    readings = store.read()

    assert () == readings.records
    assert [f"{make_record().run_id}.1.json and {make_record().run_id}.2.json"] == [
        error.where for error in readings.refused
    ]
    assert "contradict each other (7 attempts), and neither is used" in str(readings.refused[0])


CUDA = {"device": "cuda", "gpu_model": "a GPU", "deterministic": True}


@pytest.mark.parametrize(
    ("numerics", "changes", "is_conflict"),
    [
        ({}, {}, True),
        ({}, {"code": "0" * 64}, False),
        ({}, {"data": "0" * 64}, False),
        ({}, {"cpu": "another"}, False),
        ({}, {"status": "diverged"}, False),
        (CUDA, {}, True),
        (CUDA | {"deterministic": False}, {}, False),
        (CUDA | {"gpu_model": " Unknown"}, {}, False),
        ({"device": "cuda"}, {}, False),
        ({"cpu_model": "unknown"}, {}, False),
    ],
)
def test_only_results_that_were_promised_to_be_equal_contradict_each_other(numerics, changes, is_conflict):
    """A device without deterministic algorithms may come to others the second time, and so may an unknown processor."""
    records = make_record(numerics=numerics), contradicting(numerics=numerics, **changes)

    assert is_conflict == contradict(*records) == contradict(*records[::-1])


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"epochs": (make_epoch(1, steps=4),)}, "epoch.1.steps: 3 and 4"),
        ({"epochs": (make_epoch(1, train=Score(NEXT_TO_2, 15, 40)),)}, f"epoch.1.train.loss: 2.0 and {NEXT_TO_2}"),
        ({"epochs": (make_epoch(1), make_epoch(2))}, "epochs: 1 and 2"),
        ({"confusion": ((1, 1), (1, 3))}, f"confusion.0: {(5, 10, *[0] * 8)} and (1, 1)"),
        ({"summary": digests("c", "d")}, f"summary.parameters_sha256: {'a' * 64} and {'c' * 64}"),
        ({"result_hash": "e" * 64}, f"result_hash: {RESULT_HASH} and {'e' * 64}"),
        ({"epochs": (make_epoch(1, train_s=99.0),)}, None),
    ],
)
def test_the_first_difference_of_two_results_is_named(changes, text):
    assert text == first_difference(make_record(), make_record().model_copy(update=changes))


def leaves(content, prefix=()):
    """Every path to a value in a JSON content."""
    for key, value in content.items() if isinstance(content, dict) else enumerate(content):
        if isinstance(value, dict | list) and value:
            yield from leaves(value, (*prefix, key))
        else:
            yield (*prefix, key)


def test_whichever_value_of_a_record_is_edited_it_is_refused(store):
    path = store.save(make_record())
    whole = path.read_text(encoding="utf-8")
    for keys in leaves(json.loads(whole)):
        inner = content = json.loads(whole)
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = "edited"
        path.write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(IntegrityError):
            load_record(path)


def test_the_result_hash_covers_results_and_no_time():
    base = ((make_epoch(1),), ((1,),), digests("a", "b"))
    slower = (make_epoch(1, train_s=99.0, learning_rate=0.5),)
    other = (make_epoch(1, train=Score(NEXT_TO_2, 15, 40)),)
    changed = [(other, *base[1:]), (base[0], ((2,),), base[2]), (*base[:2], digests("c", "b"))]

    assert result_hash(*base) == result_hash(slower, *base[1:])
    assert 4 == len({result_hash(*parts) for parts in (base, *changed)})


def test_hashes_are_golden():
    assert RESULT_HASH == make_record().result_hash
    assert RECORD_HASH == record_hash({"b": 1.5, "a": None, "record_hash": "x"})


@pytest.mark.parametrize("status", get_args(Status))
def test_a_run_is_done_by_final_statuses_alone(status):
    is_final = status in {"ok", "diverged", "oom_device", "unsupported"}

    assert is_final == (status in FINAL) == is_done(make_record(status=status), "c" * 64, "d" * 64)


def test_a_results_folder_that_refuses_files_is_an_error_of_the_environment(store, monkeypatch):
    """As a read-only file system does."""
    monkeypatch.setattr(disk, "os", FaultyOs(1, error=OSError(30, "Read-only file system")))
    with pytest.raises(EnvironmentMissingError, match="Read-only file system"):
        store.make_writable()


def test_a_record_is_built_of_what_is_known_and_says_why_the_rest_is_null():
    """Reasons that always hold give way to those that are given."""
    facts = {"scale": "smoke", "attempt": 3, "status": "crashed", "segments": (), "time": {"wall_s": 0.0}}
    facts |= {"conditions": {"cpus": 2}}
    record = build_record(make_record().spec, make_identity(None), facts, {"failure": "a bug"})
    early = "the attempt ended as crashed before this was known"

    assert (2, None) == (record.conditions.cpus, record.conditions.governor)
    assert {
        "time.compile_s": "the spec asks for no compilation",
        "fingerprint.identity.commit": (
            "git names no commit: the package lies in no checkout, or in another user's, or git is missing"
        ),
        "failure": "a bug",
        "fingerprint.identity.data_sha256": early,
        "energy_j": early,
    }.items() <= record.nulls.items()


@pytest.mark.parametrize(
    ("on_battery", "stored", "flags", "reasons"),
    [
        (True, (), ("resumed", "unreliable"), ("the machine ran on its battery",)),
        (False, ("unreliable",), ("resumed",), ()),
    ],
)
def test_whether_times_are_unreliable_is_computed_when_a_record_is_read(on_battery, stored, flags, reasons, store):
    """So that another limit judges old records too. Other flags and the file stay as they are."""
    record = changed(
        under(make_record(), on_battery=on_battery),
        **{**RESUMED, "flags": ["resumed", *stored]},
        unreliable_because=stored,
    )
    found = load_record(store.save(record))

    assert (flags, reasons, record.record_hash) == (found.flags, found.unreliable_because, found.record_hash)
