"""Specs are strict: nothing is coerced, nothing unknown passes, no default changes, and a range ends where it says."""

from itertools import product
from math import inf, nan, nextafter

import pytest
from builders import make_experiment
from pydantic import BaseModel, ValidationError

from resnet18.spec import benchmark, claim
from resnet18.spec.augmentation import OPERATIONS, check_order
from resnet18.spec.experiment import SCALE_KEYS, SCALES, Execution, Experiment, Scale
from resnet18.spec.metric import MARGIN_UNITS, quantity_of
from resnet18.spec.optimizer import OPTIMIZERS, SCHEDULES
from resnet18.spec.resolve import Request, at_scale

MODELS = {model.model_fields["name"].default: model for model in (*OPTIMIZERS, *SCHEDULES)} | OPERATIONS
MODELS |= {"experiment": Experiment, "execution": Execution}
DEFAULTS = {
    "experiment": {"width": 64, "label_smoothing": 0.0, "validation_images": 0},
    "execution": {"device": "auto", "precision": "fp32", "fallback": False, "memory_format": "auto", "compile": False}
    | {"path": "reference", "deterministic": False, "threads": "auto", "workers": 0, "memory_cap": None},
    "sgd": {"momentum": 0.0, "dampening": 0.0, "nesterov": False, "weight_decay": 0.0},
    "adam": {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0},
    "adamw": {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01},
    "rmsprop": {"alpha": 0.99, "eps": 1e-8, "momentum": 0.0, "weight_decay": 0.0},
    "adadelta": {"rho": 0.9, "eps": 1e-6, "weight_decay": 0.0},
    "asgd": {"lambd": 1e-4, "alpha": 0.75, "t0": 1e6, "weight_decay": 0.0},
    "constant": {},
    "step": {},
    "cosine": {"warmup_epochs": 0.0, "final_factor": 0.0},
    "one_cycle": {"pct_start": 0.3, "div_factor": 25.0, "final_div_factor": 1e4},
    "color_jitter": {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0},
    "random_resized_crop": {"scale_min": 0.08, "scale_max": 1.0, "ratio_min": 3 / 4, "ratio_max": 4 / 3},
    "random_crop": {"mode": "constant"},
    "random_rotation": {},
    "random_horizontal_flip": {"p": 0.5},
    "to_tensor": {},
    "random_grayscale": {"p": 0.1},
    "normalize": {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
    "random_erasing": {
        "p": 0.5,
        "scale_min": 0.02,
        "scale_max": 0.33,
        "ratio_min": 0.3,
        "ratio_max": 3.3,
        "value": 0.0,
    },
    "cutout": {"p": 1.0},
}
"""torch's and torchvision's. An id leaves a default out, so these never change: every record would mean another."""
NEEDED = {"step": {"every": 80, "factor": 0.1, "first_epoch": 1}, "one_cycle": {"max_lr": 0.1}}
NEEDED |= {"random_crop": {"padding": 4}, "random_rotation": {"degrees": 5.0}, "cutout": {"size": 16}}
NEEDED |= {model.model_fields["name"].default: {"lr": 0.1} for model in OPTIMIZERS}
NEEDED |= {"experiment": make_experiment().model_dump(mode="json")}


def make(kind, /, **keys):
    return MODELS[kind].model_validate({**NEEDED.get(kind, {}), **keys})


def test_no_default_of_a_spec_ever_changes():
    found = {
        kind: {key: field.default for key, field in model.model_fields.items() if not field.is_required()}
        for kind, model in MODELS.items()
    }

    assert {kind: {"name": kind, **keys} if "name" in found[kind] else keys for kind, keys in DEFAULTS.items()} == found


CHECK = {"metric": "jitter", "case": "a"}
EXAMPLES = [
    *map(make, MODELS),
    benchmark.Assumption(key="width", source="s"),
    benchmark.Case(name="a"),
    benchmark.Factor(title="t", key="width"),
    benchmark.MetricRow(metric="jitter", title="t"),
    benchmark.Table(cases_in="rows", case_title="t", metrics=[{"metric": "jitter", "title": "m"}]),
    benchmark.Derived(name="n", kind="ratio", metric="m", of="a", to="b", printed="1"),
    benchmark.PrintedRate(cases=["a"], epoch=1, printed="1"),
    benchmark.PrintedMemory(case="a", printed="1"),
    benchmark.SameWork(cases=["a", "b"], metric="m", because="b"),
    benchmark.Printed(),
    claim.Difference(kind="less", than="b", **CHECK),
    claim.Ranking(kind="ranking", metric="jitter", cases=["a", "b"]),
    claim.Close(kind="close", value=1.0, margin=1.0, **CHECK),
    claim.Ratio(kind="ratio", metric="train_s", case="a", to="b", low=1.0, high=2.0),
    claim.Equivalent(kind="equivalent", metric="jitter", cases=["a", "b"], margin=1.0),
    claim.Trend(kind="trend", metric="jitter", cases=["a", "b", "c"], direction="rising"),
    claim.RunStatus(kind="run_status", case="a", status="ok", device="cpu"),
    claim.Overfits(kind="overfits", case="a", turns_by=1),
    claim.Claim(id="C1", says="s", check=[{"kind": "overfits", "case": "a", "turns_by": 1}]),
]
FIELDS = [(example, name) for example in EXAMPLES for name in type(example).model_fields]
VALUES = ["32", "", "true", "1.0", 1, 0, -1, 2**70, 1.0, 0.5, True, False, None, [], [1], ["a"], {}, {"a": 1}]
NOT_JSON = [nan, inf, b"32", 1j, {1}]


def is_kept(value, stored):
    """Whether a value is stored as what it was: an array as a tuple, a whole number as the equal float, no other."""
    if isinstance(value, list):
        return isinstance(stored, tuple) and len(stored) == len(value)
    if isinstance(value, dict) and isinstance(stored, BaseModel):
        return True
    if type(value) is int and type(stored) is float:
        return value == stored
    return type(value) is type(stored) and value == stored


@pytest.mark.parametrize(("example", "name"), FIELDS, ids=[f"{type(one).__name__}.{name}" for one, name in FIELDS])
def test_a_field_refuses_what_it_does_not_mean_and_changes_nothing_else(example, name):
    """Every field of every model of a spec, with values of every type of JSON and some more: no coercion."""
    model = type(example)
    key = model.model_fields[name].alias or name
    content = example.model_dump(by_alias=True)
    for value in VALUES + NOT_JSON:
        try:
            stored = getattr(model.model_validate({**content, key: value}), name)
        except ValidationError:
            continue
        assert is_kept(value, stored), (value, stored)


def above(value):
    return nextafter(value, inf)


TINY, BELOW_0, BELOW_1 = 5e-324, -5e-324, nextafter(1.0, 0)
RANGES = [  # models, keys, values at the ends, values beyond them
    ("experiment", "batch_size", (1, 65_536), (0, 65_537)),
    ("experiment", "width", (1, 512), (0, 513)),
    ("experiment", "epochs", (1, 10_000), (0, 10_001)),
    ("experiment", "train_images test_images_epoch test_images_last", (1, 10_000_000), (0, 10_000_001)),
    ("experiment", "image_size", (8, 1_024), (7, 1_025)),
    ("experiment", "seed", (0, 2**32 - 1), (-1, 2**32)),
    ("experiment", "label_smoothing", (0.0, BELOW_1), (BELOW_0, 1.0)),
    ("execution", "memory_cap", ("1B", "1048576GiB"), ("0B", "1048577GiB", "24", "-1GiB")),
    ("execution", "device", ("auto", "mps", "xpu", "cuda:0", "cuda:99"), ("cuda:100", "cuda:-1", "cuda:", "gpu", "")),
    ("sgd adam adamw rmsprop adadelta asgd", "lr", (TINY, 100.0), (0.0, above(100.0))),
    ("sgd adam adamw rmsprop adadelta asgd", "weight_decay", (0.0, 1.0), (BELOW_0, above(1.0))),
    ("adam adamw rmsprop adadelta", "eps", (TINY, 1.0), (0.0, above(1.0))),
    ("adam adamw", "betas", ((0.0, BELOW_1),), ((0.5,), (0.5, 0.5, 0.5), (1.0, 0.5), (0.5, BELOW_0))),
    ("step", "first_epoch", (0, 1), (-1, 2)),
    ("cosine", "warmup_epochs", (0.0, 2.5, 100_000), (BELOW_0, above(1e5))),
    ("one_cycle", "div_factor", (1.0, 1e12), (BELOW_1, above(1e12))),
    ("color_jitter", "brightness contrast saturation", (0.0, 10.0), (BELOW_0, above(10.0))),
    ("random_resized_crop random_erasing", "ratio_max", (10.0,), (0.0, above(10.0))),
    ("random_rotation", "degrees", (0.0, 180.0), (BELOW_0, above(180.0))),
    ("random_crop", "padding", (0, 1024), (-1, 1025)),
    ("random_erasing cutout random_horizontal_flip random_grayscale", "p", (0.0, 1.0), (BELOW_0, above(1.0))),
    ("normalize", "std", ((TINY, 1.0, 9.0),), ((0.0, 1.0, 1.0), (1.0, 1.0), (1.0, 1.0, 1.0, 1.0))),
]


@pytest.mark.parametrize("row", RANGES, ids=lambda row: row[1])
def test_a_range_ends_where_it_says(row):
    kinds, keys, inside, outside = row
    for kind, key in product(kinds.split(), keys.split()):
        for value in inside:
            assert value == getattr(make(kind, **{key: value}), key)
        for value in outside:
            with pytest.raises(ValidationError):
                make(kind, **{key: value})


@pytest.mark.parametrize("name", ["scale", "ratio"])
@pytest.mark.parametrize("kind", ["random_resized_crop", "random_erasing"])
def test_a_range_the_wrong_way_round_is_refused_by_its_name(kind, name):
    with pytest.raises(ValidationError, match=f"{name}_min = 0.8 is above {name}_max = 0.5"):
        make(kind, **{f"{name}_min": 0.8, f"{name}_max": 0.5})
    assert make(kind, **{f"{name}_min": 0.5, f"{name}_max": 0.5})


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["to_tensor", "normalize", "normalize", "normalize"], '"normalize" occurs 3 times; each operation may'),
        ([], 'needs "to_tensor"'),
        (["color_jitter"], 'needs "to_tensor"'),
        (["to_tensor", "color_jitter"], '"color_jitter" works on images: place it before'),
        (["to_tensor", "random_crop"], '"random_crop" works on images: place it before'),
        (["normalize", "to_tensor"], '"normalize" works on tensors: place it after'),
        (["cutout", "to_tensor"], '"cutout" works on tensors: place it after'),
        (["random_crop", "to_tensor", "random_erasing", "normalize", "cutout"], ""),
        (["color_jitter", "random_horizontal_flip", "to_tensor", "random_grayscale", "normalize"], ""),
        (["random_rotation", "random_grayscale", "to_tensor", "random_horizontal_flip"], ""),
    ],
)
def test_the_first_operation_that_is_out_of_place_is_named(names, reason):
    """With what to do about it. Flips and greys may stand on either side."""
    found = ""
    try:
        check_order(tuple(map(make, names)))
    except ValueError as error:
        found = str(error)

    assert reason in found
    assert bool(reason) == bool(found)


@pytest.mark.parametrize(
    ("first_epoch", "rates"),
    [
        (1, {1: 0, 2: 0, 80: 0, 81: 1, 160: 1, 161: 2, 200: 2}),
        (0, {1: 0, 2: 1, 81: 1, 82: 2, 161: 2, 162: 3, 200: 3}),
    ],
)
def test_the_step_schedule_cuts_after_each_multiple(first_epoch, rates):
    """Counted from 0, the first epoch is a multiple of 80 itself."""
    schedule = make("step", first_epoch=first_epoch)
    measured = {epoch: schedule.rate(1.0, epoch - 1, 1, epoch) for epoch in rates}

    assert {epoch: 0.1**cuts for epoch, cuts in rates.items()} == pytest.approx(measured)


def test_scales_are_golden():
    """The table of the documentation; whoever changes a cell makes all records of that scale another experiment's."""
    assert {
        "smoke": Scale("fashion-mnist-mini", 1_000, 200, "all", 32, 16, 2, 1, image_size_is_fixed=True),
        "small": Scale("cifar10", 5_000, 1_000, 10_000, 32, None, 10, 3, image_size_is_fixed=False),
        "paper": Scale("cifar10", "all", 10_000, 10_000, None, None, None, 3, image_size_is_fixed=True),
    } == SCALES
    assert {"data", "train_images", "test_images_epoch", "test_images_last", "seed"} == set(SCALE_KEYS)


@pytest.mark.parametrize(
    ("scale", "about_size", "key", "value", "expected"),
    [
        *(("smoke", False, "epochs", *pair) for pair in ((1, 1), (3, 2), ("many", "many"))),
        ("smoke", True, "image_size", 224, 32),
        ("small", False, "image_size", 224, 32),
        ("small", True, "image_size", 224, 224),
    ],
)
def test_a_scale_shortens_and_only_the_small_one_leaves_the_size_of_a_case_about_size(
    scale, about_size, key, value, expected
):
    """What is no number is refused with its key later."""
    assert expected == at_scale({key: value}, Request(scale), about_size=about_size)[key]


def test_a_margin_is_in_the_unit_that_its_metric_is_compared_in():
    """Of a metric that is not the suite's own, in none."""
    units = {"%": {"train_s", "whole_program_s", "process_peak_bytes"}, "epochs": {"epochs_to_level"}}
    units |= {"nats": {"final_train_loss", "test_loss_drop"}, "points": {"clean_accuracy", "late_gain", "jitter"}}

    assert [] == [name for unit, names in units.items() for name in names if MARGIN_UNITS[quantity_of(name)] != unit]
    assert "" == MARGIN_UNITS[quantity_of("bitterness")]
