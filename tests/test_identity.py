"""Ids depend on what was asked and on nothing else."""

import hashlib
import json
from pathlib import Path

import pytest
from builders import make_experiment
from hypothesis import given
from hypothesis import strategies as st

import resnet18
from resnet18.spec.experiment import Execution, Experiment
from resnet18.spec.identity import (
    ADDED,
    PACKAGE,
    arm_id,
    canonical_json,
    code_hash,
    digest,
    execution_id,
    experiment_id,
    run_id,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def test_canonical_json_has_golden_bytes():
    """Sorted keys, no spaces, ASCII, shortest floats."""
    value = {"b": [1, 0.1, 1e-8, True, None], "a": "é"}

    assert rb'{"a":"\u00e9","b":[1,0.1,1e-08,true,null]}' == canonical_json(value)


def test_not_a_number_has_no_canonical_form():
    """JSON has no NaN."""
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json(float("nan"))


@given(JSON)
def test_canonical_json_reads_back(value):
    """Nothing is lost."""
    assert value == json.loads(canonical_json(value))


@given(st.dictionaries(st.text(), st.integers(), min_size=2))
def test_the_order_of_keys_changes_no_digest(value):
    """A dictionary turned round has the same digest."""
    assert digest(value) == digest(dict(reversed(value.items())))


def test_ids_are_golden():
    """A change of these voids every record in the world: it needs a decision, not a new number here."""
    experiment, execution = make_experiment(), Execution()

    ids = [
        experiment_id(experiment),
        execution_id(execution),
        run_id(experiment, execution),
        arm_id(experiment, execution),
    ]

    assert ["dd9c4a7ba49c3047", "ac451186f195a604", "51d28ee6348bfdbf", "1d1b1d75ef822837"] == ids


@pytest.mark.parametrize(
    "changes",
    [
        {"data": "cifar10"},
        {"train_images": "all"},
        {"test_images_epoch": 10},
        {"test_images_last": 10},
        {"image_size": 33},
        {"augmentation": [{"name": "to_tensor"}, {"name": "normalize"}]},
        {"test_augmentation": [{"name": "to_tensor"}, {"name": "normalize"}]},
        {"stem": "cifar"},
        {"width": 3},
        {"optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.5}},
        {"optimizer": {"name": "asgd", "lr": 0.01}},
        {"schedule": {"name": "step", "every": 80, "factor": 0.1, "first_epoch": 1}},
        {"label_smoothing": 0.1},
        {"batch_size": 8},
        {"epochs": 2},
    ],
)
def test_every_part_of_an_experiment_changes_its_arm(changes):
    """Two experiments that differ anywhere are different arms and different runs."""
    one, other, execution = make_experiment(), make_experiment(**changes), Execution()

    assert arm_id(one, execution) != arm_id(other, execution)
    assert run_id(one, execution) != run_id(other, execution)


@pytest.mark.parametrize("key", ADDED)
def test_a_key_that_was_added_changes_no_id_where_it_stands_at_its_default(key):
    """Written out or left out: the ids above are those of before there was such a key."""
    assert experiment_id(make_experiment()) == experiment_id(make_experiment(**{key: ADDED[key]}))
    assert ADDED[key] == Experiment.model_fields[key].default


@pytest.mark.parametrize(
    "changes",
    [{"device": "cpu"}, {"memory_format": "channels_last"}, {"deterministic": True}, {"threads": 1}, {"workers": 1}],
)
def test_an_execution_changes_the_run_but_not_the_experiment(changes):
    """How a run is carried out is no part of what it should give."""
    experiment = make_experiment()

    assert run_id(experiment, Execution()) != run_id(experiment, Execution(**changes))


def test_seeds_of_one_arm_share_its_id():
    """The seed is part of the experiment and of the run, not of the arm."""
    one, other, execution = make_experiment(seed=1), make_experiment(seed=2), Execution()

    assert arm_id(one, execution) == arm_id(other, execution)
    assert experiment_id(one) != experiment_id(other)


def test_a_whole_number_and_the_same_float_are_one_learning_rate():
    """`lr = 1` and `lr = 1.0` mean the same."""
    one, other = (make_experiment(optimizer={"name": "sgd", "lr": lr}) for lr in (1, 1.0))

    assert experiment_id(one) == experiment_id(other)


def test_zero_and_minus_zero_are_one_number():
    """They are equal, so they are no two experiments."""
    one, other = (make_experiment(optimizer={"name": "sgd", "lr": 0.1, "momentum": zero}) for zero in (0.0, -0.0))

    assert experiment_id(one) == experiment_id(other)


def test_the_code_hash_covers_what_can_change_a_result_and_nothing_else(tmp_path):
    """A changed loop is other code; a changed report is not; line endings are not code."""
    for name in ("spec/a.py", "training/b.py", "execution/worker.py", "analysis/c.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x = 1\n")

    def hash_after(name, content):
        (tmp_path / name).write_bytes(content)
        code_hash.cache_clear()
        return code_hash(tmp_path)

    start = hash_after("spec/a.py", b"x = 1\n")

    assert start == hash_after("analysis/c.py", b"x = 2\n")
    assert start == hash_after("spec/a.py", b"x = 1\r\n")
    assert start != hash_after("training/b.py", b"x = 2\n")


SOURCES = {"spec/a.py": b"1", "spec/b/c.py": b"2", "training/d.py": b"3", "execution/worker_e.py": b"45"}


def hash_of(folder, sources):
    for name, content in sources.items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_bytes(content)
    return code_hash(folder)


def test_the_code_hash_has_golden_input(tmp_path):
    """Each file with its name and length, in order: `spec`, `training`, then the worker."""
    text = b"spec/a.py 1\n1spec/b/c.py 1\n2training/d.py 1\n3execution/worker_e.py 2\n45"

    assert hashlib.sha256(text).hexdigest() == hash_of(tmp_path, dict(reversed(SOURCES.items())))


@pytest.mark.parametrize("name", SOURCES)
def test_a_change_of_any_source_that_can_change_a_result_is_other_code(name, tmp_path):
    """Deep folders and each module of the worker included."""
    start = hash_of(tmp_path / "before", SOURCES)

    assert start != hash_of(tmp_path / "after", SOURCES | {name: b"9"})


def test_the_code_is_hashed_where_the_package_lies():
    """Not the folder around it, which may hold anything."""
    assert Path(resnet18.__file__).parent == PACKAGE


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", '""'),
        ({}, "{}"),
        ([], "[]"),
        ((1, (2,)), "[1,[2]]"),
        ({"b": 1, "a": {"d": 2, "c": 3}}, '{"a":{"c":3,"d":2},"b":1}'),
        ('"\\/\b\n\x7f', r'"\"\\/\b\n\u007f"'),
        ("\u00e9\u20ac\U0001f600", r'"\u00e9\u20ac\ud83d\ude00"'),
        ([-0.0, {"a": -0.0}, (-0.0,)], '[0.0,{"a":0.0},[0.0]]'),
        ([1.0, 1e16, 1e-7, 5e-324, 0.1 + 0.2], "[1.0,1e+16,1e-07,5e-324,0.30000000000000004]"),
        ([2**64, -1, True, False, None], "[18446744073709551616,-1,true,false,null]"),
    ],
)
def test_canonical_json_is_golden_whatever_is_in_it(value, text):
    """Every kind of value; a property alone sees neither separators nor the escape of letters."""
    assert text.encode("ascii") == canonical_json(value)


@pytest.mark.parametrize("value", [float("inf"), [float("-inf")], {"a": float("nan")}])
def test_no_number_that_json_lacks_has_a_canonical_form(value):
    """However deep it lies."""
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json(value)


def test_a_digest_is_golden():
    """SHA-256 of the bytes, in small hexadecimal digits."""
    assert hashlib.sha256(b'{"a":[1]}').hexdigest() == digest({"a": (1,)})
