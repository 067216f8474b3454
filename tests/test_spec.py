"""Specs are strict: nothing is coerced, nothing unknown passes, and the message says what would have been right."""

from math import inf, nan, nextafter
from typing import get_args

import pytest
from builders import make_experiment
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from resnet18.spec.augmentation import (
    ColorJitter,
    Cutout,
    Normalize,
    OperationName,
    RandomCrop,
    RandomErasing,
    RandomGrayscale,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
    ToTensor,
    check_order,
    clean,
)
from resnet18.spec.benchmark import MetricRow
from resnet18.spec.experiment import Execution, Experiment
from resnet18.spec.metric import CHANGES, MARGIN_UNITS, METRICS, TABLE_METRICS, quantity_of
from resnet18.spec.optimizer import (
    ASGD,
    OPTIMIZERS,
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
from resnet18.spec.scale import SCALE_KEYS, SCALES, Scale, at_scale

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

    measured = {epoch: schedule.rate(1.0, epoch - 1, 1, epoch) for epoch in rates}

    assert {epoch: 0.1**cuts for epoch, cuts in rates.items()} == pytest.approx(measured)


def test_only_two_readings_of_the_schedule_end_at_the_printed_rate():
    """The report prints 0.00001 from epoch 160 on; the script's own reading gives 0.000001."""
    after_160 = {
        (lr, first): lr * Step(every=80, factor=0.1, first_epoch=first).rate(1.0, 162 - 1, 1, 162)
        for lr in (0.01, 0.001)
        for first in (0, 1)
    }

    assert {(0.01, 0), (0.001, 1)} == {key for key, lr in after_160.items() if lr == pytest.approx(1e-5)}


def test_a_constant_schedule_never_cuts():
    """Whatever the epoch."""
    assert {1.0} == {Constant().rate(1.0, epoch - 1, 1, epoch) for epoch in range(1, 500)}


DEFAULTS = {
    SGD: {"name": "sgd", "momentum": 0.0, "dampening": 0.0, "nesterov": False, "weight_decay": 0.0},
    Adam: {"name": "adam", "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0},
    AdamW: {"name": "adamw", "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01},
    RMSprop: {"name": "rmsprop", "alpha": 0.99, "eps": 1e-8, "momentum": 0.0, "weight_decay": 0.0},
    Adadelta: {"name": "adadelta", "rho": 0.9, "eps": 1e-6, "weight_decay": 0.0},
    ASGD: {"name": "asgd", "lambd": 1e-4, "alpha": 0.75, "t0": 1e6, "weight_decay": 0.0},
    Constant: {"name": "constant"},
    Step: {"name": "step"},
    Cosine: {"name": "cosine", "warmup_epochs": 0.0, "final_factor": 0.0},
    OneCycle: {"name": "one_cycle", "pct_start": 0.3, "div_factor": 25.0, "final_div_factor": 1e4},
    ColorJitter: {"name": "color_jitter", "brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0},
    RandomResizedCrop: {
        "name": "random_resized_crop",
        "scale_min": 0.08,
        "scale_max": 1.0,
        "ratio_min": 0.75,
        "ratio_max": 4 / 3,
    },
    RandomCrop: {"name": "random_crop", "mode": "constant"},
    RandomRotation: {"name": "random_rotation"},
    RandomHorizontalFlip: {"name": "random_horizontal_flip", "p": 0.5},
    ToTensor: {"name": "to_tensor"},
    RandomGrayscale: {"name": "random_grayscale", "p": 0.1},
    RandomErasing: {
        "name": "random_erasing",
        "p": 0.5,
        "scale_min": 0.02,
        "scale_max": 0.33,
        "ratio_min": 0.3,
        "ratio_max": 3.3,
        "value": 0.0,
    },
    Cutout: {"name": "cutout", "p": 1.0},
    Normalize: {"name": "normalize", "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
}


@pytest.mark.parametrize("model", DEFAULTS, ids=lambda model: model.__name__)
def test_defaults_are_golden(model):
    """They are torch's and torchvision's, and hashed: another default is another experiment."""
    found = {key: field.default for key, field in model.model_fields.items() if not field.is_required()}

    assert DEFAULTS[model] == found


def test_every_operation_is_known_by_its_name():
    """Tables and assumptions refer to operations; a name that is missing there could not be written down."""
    names = {model.model_fields["name"].default for model in DEFAULTS if model.__module__.endswith("augmentation")}

    assert names == set(get_args(OperationName))


def above(value):
    return nextafter(value, inf)


TINY, BELOW_0, BELOW_1 = 5e-324, -5e-324, nextafter(1.0, 0)
RATE = {"lr": 0.1}
STEP = {"every": 80, "factor": 0.1, "first_epoch": 1}
SHARE = ((0.0, BELOW_1), (BELOW_0, 1.0))
SMALL = ((TINY, 1.0), (0.0, above(1.0)))
CLOSED = ((0.0, 1.0), (BELOW_0, above(1.0)))
RANGES = [
    *((model, RATE, "lr", (TINY, 100.0), (0.0, above(100.0))) for model in OPTIMIZERS),
    *((model, RATE, "weight_decay", *CLOSED) for model in OPTIMIZERS),
    (SGD, RATE, "momentum", *SHARE),
    (SGD, RATE, "dampening", *SHARE),
    (RMSprop, RATE, "momentum", *SHARE),
    (RMSprop, RATE, "alpha", *SHARE),
    (Adadelta, RATE, "rho", *SHARE),
    (ASGD, RATE, "alpha", *SHARE),
    (ASGD, RATE, "lambd", *CLOSED),
    (ASGD, RATE, "t0", (0.0, 1e300), (BELOW_0,)),
    *((model, RATE, "eps", *SMALL) for model in (Adam, AdamW, RMSprop, Adadelta)),
    *(
        (model, RATE, "betas", ((0.0, BELOW_1),), ((0.5,), (0.5, 0.5, 0.5), (1.0, 0.5), (0.5, BELOW_0)))
        for model in (Adam, AdamW)
    ),
    (Step, STEP, "every", (1, 100_000), (0, 100_001)),
    (Step, STEP, "factor", *SMALL),
    (Cosine, {}, "warmup_epochs", (0.0, 2.5, 100_000), (BELOW_0, above(1e5))),
    (Cosine, {}, "final_factor", *CLOSED),
    (OneCycle, {}, "max_lr", (TINY, 100.0), (0.0, above(100.0))),
    (OneCycle, {"max_lr": 0.1}, "pct_start", *CLOSED),
    (OneCycle, {"max_lr": 0.1}, "div_factor", (1.0, 1e12), (BELOW_1, above(1e12))),
    (OneCycle, {"max_lr": 0.1}, "final_div_factor", (TINY, 1e12), (0.0, above(1e12))),
    (Step, STEP, "first_epoch", (0, 1), (-1, 2)),
    *((ColorJitter, {}, key, (0.0, 10.0), (BELOW_0, above(10.0))) for key in ("brightness", "contrast", "saturation")),
    (ColorJitter, {}, "hue", (0.0, 0.5), (BELOW_0, above(0.5))),
    (RandomResizedCrop, {}, "scale_min", (TINY, 1.0), (0.0,)),
    (RandomResizedCrop, {"scale_min": TINY}, "scale_max", (TINY, 1.0), (0.0, above(1.0))),
    (RandomResizedCrop, {"ratio_max": 10.0}, "ratio_min", (TINY, 10.0), (0.0, above(10.0))),
    (RandomResizedCrop, {"ratio_min": TINY}, "ratio_max", (TINY, 10.0), (0.0, above(10.0))),
    (RandomRotation, {}, "degrees", (0.0, 180.0), (BELOW_0, above(180.0))),
    (RandomCrop, {}, "padding", (0, 1024), (-1, 1025)),
    (RandomErasing, {}, "p", *CLOSED),
    (RandomErasing, {"scale_max": 1.0}, "scale_min", *CLOSED),
    (RandomErasing, {"scale_min": 0.0}, "scale_max", *CLOSED),
    (RandomErasing, {"ratio_max": 10.0}, "ratio_min", (TINY, 10.0), (0.0, above(10.0))),
    (RandomErasing, {"ratio_min": TINY}, "ratio_max", (TINY, 10.0), (0.0, above(10.0))),
    (RandomErasing, {}, "value", (-1e3, 1e3), (-above(1e3), above(1e3))),
    (Cutout, {}, "size", (1, 1024), (0, 1025)),
    (Cutout, {"size": 8}, "p", *CLOSED),
    (RandomHorizontalFlip, {}, "p", *CLOSED),
    (RandomGrayscale, {}, "p", *CLOSED),
    (Normalize, {}, "std", ((TINY, 1.0, 9.0),), ((0.0, 1.0, 1.0), (1.0, 1.0), (1.0, 1.0, 1.0, 1.0))),
    (Normalize, {}, "mean", ((-9.0, 0.0, 9.0),), ((0.0, 0.0), (0.0, 0.0, 0.0, 0.0))),
]


@pytest.mark.parametrize(
    ("model", "others", "key", "inside", "outside"), RANGES, ids=[f"{row[0].__name__}.{row[2]}" for row in RANGES]
)
def test_a_range_ends_where_it_says(model, others, key, inside, outside):
    """The last float inside and the first one outside."""
    for value in inside:
        assert value == getattr(model.model_validate({**others, key: value}), key)
    for value in outside:
        with pytest.raises(ValidationError):
            model.model_validate({**others, key: value})


@pytest.mark.parametrize("value", [inf, -inf, nan])
def test_every_number_of_a_spec_is_finite(value):
    """Also where there is no range."""
    with pytest.raises(ValidationError, match="finite number"):
        Normalize(mean=(0.0, value, 0.0))


@pytest.mark.parametrize("quantity", MARGIN_UNITS)
def test_a_documented_metric_may_be_of_any_quantity(quantity):
    """And of no other."""
    assert quantity == MetricRow(metric="mine", title="Mine", quantity=quantity).measures
    with pytest.raises(ValidationError, match="quantity"):
        MetricRow(metric="mine", title="Mine", quantity=f"{quantity}s")


@pytest.mark.parametrize(
    ("momentum", "dampening", "is_fine"), [(0.5, 0.0, True), (0.0, 0.0, False), (0.5, 0.1, False), (0.0, 0.1, False)]
)
def test_nesterov_has_momentum_and_no_dampening(momentum, dampening, is_fine):
    """As torch has it; without nesterov anything goes."""
    keys = {"lr": 0.1, "momentum": momentum, "dampening": dampening}
    assert not SGD(**keys).nesterov

    if is_fine:
        assert SGD(**keys, nesterov=True).nesterov
    else:
        with pytest.raises(ValidationError, match="nesterov needs a momentum"):
            SGD(**keys, nesterov=True)


@pytest.mark.parametrize("name", ["scale", "ratio"])
@pytest.mark.parametrize("model", [RandomResizedCrop, RandomErasing])
def test_a_range_the_wrong_way_round_is_refused_by_its_name(model, name):
    """With both ends."""
    with pytest.raises(ValidationError, match=f"{name}_min = 0.8 is above {name}_max = 0.5"):
        model.model_validate({f"{name}_min": 0.8, f"{name}_max": 0.5})


def test_a_range_of_one_number_is_a_range():
    """Every crop has that share, and that ratio."""
    crop = RandomResizedCrop(scale_min=0.5, scale_max=0.5, ratio_min=1.0, ratio_max=1.0)

    assert (0.5, 1.0) == (crop.scale_max, crop.ratio_max)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["to_tensor", "normalize", "normalize", "normalize"], '"normalize" occurs 3 times; each operation may'),
        (["color_jitter"], 'needs "to_tensor"'),
        (["to_tensor", "color_jitter"], '"color_jitter" works on images: place it before'),
        (["to_tensor", "random_rotation"], '"random_rotation" works on images: place it before'),
        (["normalize", "to_tensor"], '"normalize" works on tensors: place it after'),
        (["to_tensor", "random_crop"], '"random_crop" works on images: place it before'),
        (["cutout", "to_tensor"], '"cutout" works on tensors: place it after'),
        (["random_erasing", "to_tensor"], '"random_erasing" works on tensors: place it after'),
        (["random_crop", "to_tensor", "random_erasing", "normalize", "cutout"], None),
        (["color_jitter", "random_horizontal_flip", "to_tensor", "random_grayscale", "normalize"], None),
        (["random_rotation", "random_grayscale", "to_tensor", "random_horizontal_flip"], None),
    ],
)
def test_the_first_operation_that_is_out_of_place_is_named(names, reason):
    """With what to do about it."""
    keys = {"random_rotation": {"degrees": 5.0}, "random_crop": {"padding": 4}, "cutout": {"size": 16}}
    models = {model.model_fields["name"].default: model for model in DEFAULTS}
    operations = tuple(models[name](**keys.get(name, {})) for name in names)

    try:
        check_order(operations)
        found = ""
    except ValueError as error:
        found = str(error)
    assert (reason or "") in found
    assert bool(reason) == bool(found)


def test_scales_are_golden():
    """The table of the documentation; whoever changes a cell makes all records of that scale another experiment's."""
    assert {
        "smoke": Scale("smoke", "fashion-mnist-mini", 1_000, 200, "all", 32, 16, 2, 1, image_size_is_fixed=True),
        "small": Scale("small", "cifar10", 5_000, 1_000, 10_000, 32, None, 10, 3, image_size_is_fixed=False),
        "paper": Scale("paper", "cifar10", "all", 10_000, 10_000, None, None, None, 3, image_size_is_fixed=True),
    } == SCALES
    assert {"data", "train_images", "test_images_epoch", "test_images_last", "seed"} == set(SCALE_KEYS)


@pytest.mark.parametrize(
    ("scale", "about_size", "width", "size"),
    [
        ("smoke", False, 16, 32),
        ("smoke", True, 16, 32),
        ("small", False, 64, 32),
        ("small", True, 64, 224),
        ("paper", False, 64, 224),
        ("paper", True, 64, 224),
    ],
)
def test_a_scale_lays_its_values_over_those_of_a_case(scale, about_size, width, size):
    """The small scale leaves the size of a case about size alone."""
    case = {"width": 64, "image_size": 224, "epochs": 1, "batch_size": 8}
    scaled = at_scale(case, SCALES[scale], "mine", about_size=about_size)

    assert (width, size, 1, 8, "mine") == tuple(
        scaled[key] for key in ("width", "image_size", "epochs", "batch_size", "data")
    )
    assert {"width": 64, "image_size": 224, "epochs": 1, "batch_size": 8} == case


@pytest.mark.parametrize(("epochs", "expected"), [(1, 1), (2, 2), (3, 2), (200, 2), ("many", "many")])
def test_a_scale_shortens_and_never_lengthens(epochs, expected):
    """What is no number stays, and is refused with its key later."""
    assert expected == at_scale({"epochs": epochs}, SCALES["smoke"], "mine", about_size=False)["epochs"]


def test_a_scale_adds_no_epochs_where_there_are_none():
    """The missing key is the one that is named."""
    assert "epochs" not in at_scale({}, SCALES["smoke"], "mine", about_size=False)


def test_quantities_of_metrics_are_golden():
    """They say how a difference is taken and in which unit a margin is."""
    accuracies = {"best_accuracy", "clean_accuracy", "final_train_accuracy", "generalization_gap", "jitter"}
    gains = {"late_gain", "gain_at_first_cut", "gain_at_last_cut"}
    losses = {"train_loss_drop", "test_loss_drop"}
    by_quantity = {
        "accuracy": accuracies | gains,
        "seconds": {"train_s", "whole_program_s"},
        "bytes": {"process_peak_bytes"},
        "loss": {"final_train_loss"} | losses,
        "epochs": {"epochs_to_level", "epochs_to_plateau"},
    }

    assert {name: quantity for quantity, names in by_quantity.items() for name in names} == {
        name: facts.quantity for name, facts in METRICS.items()
    }
    assert "other" == quantity_of("bitterness")
    assert gains | losses == CHANGES
    assert ("best_accuracy", "train_s", "whole_program_s") == TABLE_METRICS
    assert {
        "accuracy": "points",
        "seconds": "%",
        "bytes": "%",
        "loss": "nats",
        "epochs": "epochs",
        "other": "",
    } == MARGIN_UNITS
