"""Specs are strict: nothing is coerced, nothing unknown passes, and the message says what would have been right."""

import pytest
from builders import make_experiment
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from resnet18.spec.augmentation import clean
from resnet18.spec.experiment import Execution, Experiment
from resnet18.spec.optimizer import Constant, Step, learning_rate_factor

INTEGERS = ("image_size", "width", "batch_size", "epochs", "seed", "train_images")


@pytest.mark.parametrize("key", INTEGERS)
@pytest.mark.parametrize("value", ["32", 32.0, True, None, [32]])
def test_an_integer_key_takes_nothing_but_an_integer(key, value):
    """A string, a float, true, null or a list is not turned into a number."""
    with pytest.raises(ValidationError):
        make_experiment(**{key: value})


@pytest.mark.parametrize(
    "changes",
    [
        {"batch_size": 0},
        {"batch_size": -1},
        {"batch_size": 10**9},
        {"epochs": 0},
        {"image_size": 7},
        {"width": 0},
        {"seed": -1},
        {"seed": 2**32},
        {"optimizer": {"name": "sgd", "lr": 0.0}},
        {"optimizer": {"name": "sgd", "lr": float("nan")}},
        {"optimizer": {"name": "sgd", "lr": float("inf")}},
        {"optimizer": {"name": "adam", "lr": 0.1, "momentum": 0.9}},
        {"augmentation": [{"name": "random_rotation", "degrees": -1.0}, {"name": "to_tensor"}]},
        {"augmentation": [{"name": "random_resized_crop", "scale_min": 0.9, "scale_max": 0.5}, {"name": "to_tensor"}]},
        {"augmentation": [{"name": "random_resized_crop", "ratio_min": 4.0}, {"name": "to_tensor"}]},
        {"optimizer": {"name": "sgd", "lr": 0.1, "nesterov": True}},
        {"data": "../escape"},
        {"data": ""},
        {"train_images": "some"},
        {"learning_rate": 0.1},
    ],
)
def test_a_value_that_makes_no_sense_is_refused(changes):
    """Out of range, not a number, an unknown key, or a key of another optimizer."""
    with pytest.raises(ValidationError):
        make_experiment(**changes)


@given(st.text(max_size=20))
def test_a_device_is_one_of_the_known_names(text):
    """Free text is no device."""
    known = {"auto", "cpu", "mps", "xpu", "cuda"} | {f"cuda:{index}" for index in range(100)}
    try:
        assert Execution(device=text).device in known
    except ValidationError:
        assert text not in known


@pytest.mark.parametrize(
    ("operations", "reason"),
    [
        ([], "needs"),
        ([{"name": "normalize"}, {"name": "to_tensor"}], "after"),
        ([{"name": "to_tensor"}, {"name": "random_resized_crop"}], "before"),
        ([{"name": "to_tensor"}, {"name": "to_tensor"}], "2 times"),
    ],
)
def test_a_list_of_operations_in_an_impossible_order_is_refused(operations, reason):
    """Operations stand on their side of `to_tensor`, each once."""
    with pytest.raises(ValidationError, match=reason):
        make_experiment(augmentation=operations)


def test_grayscale_may_stand_on_either_side_of_to_tensor():
    """The report applies it to tensors; on images it is another experiment."""
    gray, tensor = {"name": "random_grayscale"}, {"name": "to_tensor"}

    before = make_experiment(augmentation=[gray, tensor])
    after = make_experiment(augmentation=[tensor, gray])

    assert before.augmentation != after.augmentation


def test_the_clean_list_keeps_only_what_is_not_random():
    """Test images of the clean protocol are made tensors and normalized."""
    names = (
        "color_jitter",
        "random_resized_crop",
        "random_horizontal_flip",
        "to_tensor",
        "random_grayscale",
        "normalize",
    )
    experiment = make_experiment(augmentation=[{"name": name} for name in names])

    assert ["to_tensor", "normalize"] == [operation.name for operation in clean(experiment.augmentation)]


def test_a_spec_cannot_be_changed():
    """Specs are values."""
    with pytest.raises(ValidationError):
        make_experiment().batch_size = 8


def test_a_spec_survives_a_round_trip_through_json():
    """Printing and parsing give the same value."""
    experiment = make_experiment(optimizer={"name": "adam", "lr": 1})

    assert experiment == Experiment.model_validate_json(experiment.model_dump_json())


@pytest.mark.parametrize(
    ("first_epoch", "rates"),
    [
        (1, {1: 0, 2: 0, 80: 0, 81: 1, 160: 1, 161: 2, 200: 2}),
        (0, {1: 0, 2: 1, 81: 1, 82: 2, 161: 2, 162: 3, 200: 3}),
    ],
)
def test_the_step_schedule_cuts_after_each_multiple(first_epoch, rates):
    """Counted from 0, the first epoch is a multiple of 80 itself."""
    schedule = Step(every=80, factor=0.1, first_epoch=first_epoch)

    measured = {epoch: learning_rate_factor(schedule, epoch) for epoch in rates}

    assert {epoch: 0.1**cuts for epoch, cuts in rates.items()} == pytest.approx(measured)


def test_only_two_readings_of_the_schedule_end_at_the_printed_rate():
    """The report prints 0.00001 from epoch 160 on; the script's own reading gives 0.000001."""
    after_160 = {
        (lr, first): lr * learning_rate_factor(Step(every=80, factor=0.1, first_epoch=first), 162)
        for lr in (0.01, 0.001)
        for first in (0, 1)
    }

    assert {(0.01, 0), (0.001, 1)} == {key for key, lr in after_160.items() if lr == pytest.approx(1e-5)}


def test_a_constant_schedule_never_cuts():
    """Whatever the epoch."""
    assert {1.0} == {learning_rate_factor(Constant(), epoch) for epoch in range(1, 500)}
