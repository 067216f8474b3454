"""Ids depend on what was asked and on nothing else."""

import hashlib
import json
from typing import get_args

import pytest
from builders import make_experiment
from hypothesis import given
from hypothesis import strategies as st

from resnet18.spec.augmentation import (
    ColorJitter,
    Cutout,
    Normalize,
    Operation,
    RandomCrop,
    RandomErasing,
    RandomGrayscale,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
    ToTensor,
)
from resnet18.spec.experiment import Execution, Experiment
from resnet18.spec.identity import (
    arm_id,
    asked,
    canonical_json,
    digest,
    ids_of,
    run_id,
)
from resnet18.spec.optimizer import (
    ASGD,
    OPTIMIZERS,
    SCHEDULES,
    SGD,
    Adadelta,
    Adam,
    AdamW,
    Constant,
    Cosine,
    OneCycle,
    RMSprop,
    Step,
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
        ids_of(experiment, Execution()).experiment_id,
        ids_of(make_experiment(), execution).execution_id,
        run_id(experiment, execution),
        arm_id(experiment, execution),
    ]

    assert ["01373492e400f338", "44136fa355b3678a", "1852872b3378ec4d", "0e26c10836b0c257"] == ids


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


def test_an_id_covers_what_is_said_beyond_the_defaults():
    """So a key that is added later, at its default, is in no id."""
    experiment = make_experiment(optimizer={"name": "adam", "lr": 0.1, "eps": 1e-7}, width=64)

    assert {"name": "adam", "lr": 0.1, "eps": 1e-7} == asked(experiment)["optimizer"]
    assert not {"width", "label_smoothing", "validation_images"} & asked(experiment).keys()
    assert {} == asked(Execution(device="auto", threads="auto"))


DEFAULTS = {
    Experiment: {"width": 64, "label_smoothing": 0.0, "validation_images": 0},
    Execution: {
        "device": "auto",
        "precision": "fp32",
        "fallback": False,
        "memory_format": "auto",
        "compile": False,
        "path": "reference",
        "deterministic": False,
        "threads": "auto",
        "workers": 0,
        "memory_cap": None,
    },
    SGD: {"momentum": 0.0, "dampening": 0.0, "nesterov": False, "weight_decay": 0.0},
    Adam: {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0},
    AdamW: {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01},
    RMSprop: {"alpha": 0.99, "eps": 1e-8, "momentum": 0.0, "weight_decay": 0.0},
    Adadelta: {"rho": 0.9, "eps": 1e-6, "weight_decay": 0.0},
    ASGD: {"lambd": 1e-4, "alpha": 0.75, "t0": 1e6, "weight_decay": 0.0},
    Constant: {},
    Step: {},
    Cosine: {"warmup_epochs": 0.0, "final_factor": 0.0},
    OneCycle: {"pct_start": 0.3, "div_factor": 25.0, "final_div_factor": 1e4},
    ColorJitter: {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0},
    RandomResizedCrop: {"scale_min": 0.08, "scale_max": 1.0, "ratio_min": 3 / 4, "ratio_max": 4 / 3},
    RandomCrop: {"mode": "constant"},
    RandomRotation: {},
    RandomHorizontalFlip: {"p": 0.5},
    ToTensor: {},
    RandomGrayscale: {"p": 0.1},
    Normalize: {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
    RandomErasing: {"p": 0.5, "scale_min": 0.02, "scale_max": 0.33, "ratio_min": 0.3, "ratio_max": 3.3, "value": 0.0},
    Cutout: {"p": 1.0},
}
"""What an id that leaves a key out means: these never change."""


@pytest.mark.parametrize("model", DEFAULTS, ids=lambda model: model.__name__)
def test_no_default_of_a_spec_ever_changes(model):
    """Every record that leaves the key at its default would mean another experiment."""
    fields = model.model_fields.items()
    found = {key: field.default for key, field in fields if not field.is_required() and key != "name"}

    assert DEFAULTS[model] == found


def test_every_model_that_a_spec_can_name_has_its_defaults_pinned():
    """A new one is added to the table above."""
    operations = get_args(get_args(Operation)[0])

    assert {Experiment, Execution, *OPTIMIZERS, *SCHEDULES, *operations} == DEFAULTS.keys()


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
    assert ids_of(one, Execution()).experiment_id != ids_of(other, Execution()).experiment_id


def test_a_whole_number_and_the_same_float_are_one_learning_rate():
    """`lr = 1` and `lr = 1.0` mean the same."""
    one, other = (make_experiment(optimizer={"name": "sgd", "lr": lr}) for lr in (1, 1.0))

    assert ids_of(one, Execution()).experiment_id == ids_of(other, Execution()).experiment_id


def test_zero_and_minus_zero_are_one_number():
    """They are equal, so they are no two experiments."""
    one, other = (make_experiment(optimizer={"name": "sgd", "lr": 0.1, "momentum": zero}) for zero in (0.0, -0.0))

    assert ids_of(one, Execution()).experiment_id == ids_of(other, Execution()).experiment_id


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
