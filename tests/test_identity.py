"""Ids depend on what was asked and on nothing else."""

import hashlib
import json
from copy import deepcopy
from math import nextafter

import pytest
from builders import make_experiment
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from test_spec import NEEDED

from resnet18.spec.augmentation import OPERATIONS
from resnet18.spec.experiment import Execution, Experiment
from resnet18.spec.identity import asked, canonical_json, digest, ids_of
from resnet18.spec.optimizer import OPTIMIZERS
from resnet18.spec.validation import strict_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


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
    """Its digest is the SHA-256 of these bytes."""
    assert text.encode("ascii") == canonical_json(value)
    assert hashlib.sha256(text.encode("ascii")).hexdigest() == digest(value)


@given(JSON)
def test_canonical_json_reads_back_and_keeps_no_order_of_keys(value):
    """Nothing is lost, also by the reader that refuses what is doubtful."""
    turned = dict(reversed(value.items())) if isinstance(value, dict) else value

    assert value == json.loads(canonical_json(value)) == strict_json(canonical_json(value))
    assert digest(value) == digest(turned)


def test_no_number_that_json_lacks_has_a_canonical_form():
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"a": [float("nan")]})


def test_ids_are_golden():
    """A change of these voids every record in the world: it needs a decision, not a new number here."""
    golden = ("1852872b3378ec4d", "0e26c10836b0c257", "01373492e400f338", "44136fa355b3678a")

    assert golden == ids_of(make_experiment(), Execution())


def test_an_id_covers_what_is_said_beyond_the_defaults():
    """So a key that is added later, at its default, is in no id."""
    experiment = make_experiment(optimizer={"name": "adam", "lr": 0.1, "eps": 1e-7}, width=64)

    assert {"name": "adam", "lr": 0.1, "eps": 1e-7} == asked(experiment)["optimizer"]
    assert not {"width", "label_smoothing", "validation_images"} & asked(experiment).keys()
    assert {} == asked(Execution(device="auto", threads="auto"))


@pytest.mark.parametrize(("one", "other"), [({"lr": 1}, {"lr": 1.0}), ({"momentum": 0.0}, {"momentum": -0.0})])
def test_equal_numbers_are_one_experiment(one, other):
    """A whole number and the same float; zero and minus zero."""
    first, second = (make_experiment(optimizer={"name": "sgd", "lr": 0.1, **keys}) for keys in (one, other))

    assert ids_of(first, Execution()) == ids_of(second, Execution())


def content_of(optimizer):
    """With every operation, in the order of their table; SGD has a momentum, so that it may be Nesterov's."""
    momentum = {"momentum": 0.5} if optimizer == "sgd" else {}
    operations = [{"name": name, **NEEDED.get(name, {})} for name in OPERATIONS]
    experiment = make_experiment(
        optimizer={"name": optimizer, "lr": 0.25, **momentum},
        augmentation=operations,
        test_augmentation=operations,
        schedule={"name": "step", "every": 3, "factor": 0.5, "first_epoch": 1},
    )
    return experiment.model_dump(mode="json")


def leaves(value, path=()):
    """Yield the path of everything that is no table and no array."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from leaves(part, (*path, key))
    if not isinstance(value, dict | list):
        yield path


WORDS = ["cifar10", "cifar", "all", "cpu", "channels_last", "fast", "bf16", "24GiB", "edge"]


def others(old):
    """Values of every type, and of a float the next: a key refuses those that it does not take."""
    values = [*WORDS, True, False, 0, 1, 2, 64, 0.25, 5.0] + ([nextafter(old, 1.0)] if isinstance(old, float) else [])
    return [value for value in values if value != old]


ONE_VALUE = {("model",), ("validation_images",), ("schedule", "name"), ("optimizer", "name")}
"""Keys of which a spec of this version knows one value, or whose value says which other keys there are."""


@pytest.mark.parametrize("optimizer", [*(model.model_fields["name"].default for model in OPTIMIZERS), None])
def test_an_edit_of_any_key_changes_the_run(optimizer):
    """Down to the last bit of a float, of each key of each optimizer and operation, and of the execution (None)."""
    model = Execution if optimizer is None else Experiment
    content = Execution().model_dump(mode="json") if optimizer is None else content_of(optimizer)

    def identify(spec):
        return ids_of(make_experiment(), spec) if optimizer is None else ids_of(spec, Execution())

    start = identify(model.model_validate(content))
    for path in leaves(content):
        *parts, last = path
        found = set()
        changed = deepcopy(content)
        inner = changed
        for part in parts:
            inner = inner[part]
        for value in others(inner[last]):
            inner[last] = value
            try:
                found.add(identify(model.model_validate(changed)))
            except ValidationError:
                continue
        is_fixed = path in ONE_VALUE or (path[0].endswith("augmentation") and last == "name")
        assert is_fixed == (not found), path
        assert start not in found, path
