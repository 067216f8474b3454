"""Specs are strict: nothing is coerced, nothing unknown passes, no default changes, and a range ends where it says."""

from math import inf, nan, nextafter

import pytest
from builders import make_experiment
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from resnet18.spec import benchmark, claim
from resnet18.spec.augmentation import (
    OPERATIONS,
    ColorJitter,
    Cutout,
    Normalize,
    RandomCrop,
    RandomErasing,
    RandomGrayscale,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
    ToTensor,
    check_order,
)
from resnet18.spec.experiment import SCALE_KEYS, SCALES, Execution, Experiment, Scale
from resnet18.spec.metric import MARGIN_UNITS, quantity_of
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
from resnet18.spec.resolve import Request, at_scale

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
"""torch's and torchvision's. An id leaves a default out, so these never change: every record would mean another."""
NEEDED = {Step: {"every": 80, "factor": 0.1, "first_epoch": 1}, OneCycle: {"max_lr": 0.1}}
NEEDED |= {RandomCrop: {"padding": 4}, RandomRotation: {"degrees": 5.0}, Cutout: {"size": 16}}
NEEDED |= {model: {"lr": 0.1} for model in OPTIMIZERS}
NEEDED |= {Experiment: make_experiment().model_dump(mode="json")}


def make(kind, /, **keys):
    return kind.model_validate({**NEEDED.get(kind, {}), **keys})


@pytest.mark.parametrize("model", DEFAULTS, ids=lambda model: model.__name__)
def test_no_default_of_a_spec_ever_changes(model):
    """Every record that leaves the key at its default would mean another experiment."""
    fields = model.model_fields.items()

    assert DEFAULTS[model] == {key: field.default for key, field in fields if not field.is_required() and key != "name"}


def test_every_model_that_a_spec_can_name_has_its_defaults_pinned():
    assert {Experiment, Execution, *OPTIMIZERS, *SCHEDULES, *OPERATIONS.values()} == DEFAULTS.keys()


CHECK = {"metric": "jitter", "case": "a"}
EXAMPLES = [
    make_experiment(),
    Execution(),
    *(make(model) for model in (*OPTIMIZERS, *SCHEDULES, *OPERATIONS.values())),
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


@given(st.text(max_size=20))
def test_a_device_is_one_of_the_known_names(text):
    known = {"auto", "cpu", "mps", "xpu", "cuda"} | {f"cuda:{index}" for index in range(100)}
    try:
        assert Execution(device=text).device in known
    except ValidationError:
        assert text not in known


def above(value):
    return nextafter(value, inf)


TINY, BELOW_0, BELOW_1 = 5e-324, -5e-324, nextafter(1.0, 0)
SHARE = ((0.0, BELOW_1), (BELOW_0, 1.0))
SMALL = ((TINY, 1.0), (0.0, above(1.0)))
CLOSED = ((0.0, 1.0), (BELOW_0, above(1.0)))
PAIR = (((0.0, BELOW_1),), ((0.5,), (0.5, 0.5, 0.5), (1.0, 0.5), (0.5, BELOW_0)))
CROPS = (RandomResizedCrop, RandomErasing)
RANGES = [
    *((Experiment, {}, key, (1, most), (0, most + 1)) for key, most in (("batch_size", 65_536), ("width", 512))),
    (Experiment, {}, "epochs", (1, 100_000), (0, 100_001)),
    *((Experiment, {}, key, (1, 10_000_000), (0, 10_000_001)) for key in SCALE_KEYS[1:4]),
    (Experiment, {}, "image_size", (8, 1_024), (7, 1_025)),
    (Experiment, {}, "seed", (0, 2**32 - 1), (-1, 2**32)),
    (Experiment, {}, "label_smoothing", *SHARE),
    (Execution, {}, "memory_cap", ("1B", "1048576GiB"), ("0B", "1048577GiB", "24", "-1GiB")),
    (Execution, {}, "device", ("cuda:0", "cuda:99"), ("cuda:100", "cuda:-1", "cuda:")),
    *((model, {}, "lr", (TINY, 100.0), (0.0, above(100.0))) for model in OPTIMIZERS),
    *((model, {}, "weight_decay", *CLOSED) for model in OPTIMIZERS),
    *((model, {}, "eps", *SMALL) for model in (Adam, AdamW, RMSprop, Adadelta)),
    *((model, {}, "betas", *PAIR) for model in (Adam, AdamW)),
    (Step, {}, "first_epoch", (0, 1), (-1, 2)),
    (Cosine, {}, "warmup_epochs", (0.0, 2.5, 100_000), (BELOW_0, above(1e5))),
    (OneCycle, {}, "div_factor", (1.0, 1e12), (BELOW_1, above(1e12))),
    *((ColorJitter, {}, key, (0.0, 10.0), (BELOW_0, above(10.0))) for key in ("brightness", "contrast", "saturation")),
    *((model, {"ratio_max": 10.0}, "ratio_min", (TINY, 10.0), (0.0, above(10.0))) for model in CROPS),
    (RandomRotation, {}, "degrees", (0.0, 180.0), (BELOW_0, above(180.0))),
    (RandomCrop, {}, "padding", (0, 1024), (-1, 1025)),
    *((model, {}, "p", *CLOSED) for model in (RandomErasing, Cutout, RandomHorizontalFlip, RandomGrayscale)),
    (Normalize, {}, "std", ((TINY, 1.0, 9.0),), ((0.0, 1.0, 1.0), (1.0, 1.0), (1.0, 1.0, 1.0, 1.0))),
]


@pytest.mark.parametrize("row", RANGES, ids=lambda row: f"{row[0].__name__}.{row[2]}")
def test_a_range_ends_where_it_says(row):
    model, others, key, inside, outside = row
    for value in inside:
        assert value == getattr(make(model, **{**others, key: value}), key)
    for value in outside:
        with pytest.raises(ValidationError):
            make(model, **{**others, key: value})


@pytest.mark.parametrize("name", ["scale", "ratio"])
@pytest.mark.parametrize("model", CROPS)
def test_a_range_the_wrong_way_round_is_refused_by_its_name(model, name):
    with pytest.raises(ValidationError, match=f"{name}_min = 0.8 is above {name}_max = 0.5"):
        make(model, **{f"{name}_min": 0.8, f"{name}_max": 0.5})
    assert make(model, **{f"{name}_min": 0.5, f"{name}_max": 0.5})


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
        check_order(tuple(make(OPERATIONS[name]) for name in names))
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
    schedule = make(Step, first_epoch=first_epoch)
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


@pytest.mark.parametrize(("epochs", "expected"), [(1, 1), (2, 2), (3, 2), (200, 2), ("many", "many"), (None, None)])
def test_a_scale_shortens_and_never_lengthens(epochs, expected):
    """What is no number, or missing, is refused with its key later."""
    content = {} if epochs is None else {"epochs": epochs}

    assert expected == at_scale(content, Request("smoke"), about_size=False).get("epochs")


def test_a_margin_is_in_the_unit_that_its_metric_is_compared_in():
    """Of a metric that is not the suite's own, in none."""
    units = {"%": {"train_s", "whole_program_s", "process_peak_bytes"}, "epochs": {"epochs_to_level"}}
    units |= {"nats": {"final_train_loss", "test_loss_drop"}, "points": {"clean_accuracy", "late_gain", "jitter"}}

    assert [] == [name for unit, names in units.items() for name in names if MARGIN_UNITS[quantity_of(name)] != unit]
    assert "" == MARGIN_UNITS[quantity_of("bitterness")]


@pytest.mark.parametrize(
    ("scale", "about_size", "size"), [("smoke", True, 32), ("small", False, 32), ("small", True, 224)]
)
def test_only_the_small_scale_leaves_the_size_of_a_case_about_size_alone(scale, about_size, size):
    assert size == at_scale({"image_size": 224}, Request(scale), about_size=about_size)["image_size"]
