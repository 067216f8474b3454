"""Properties of specs: printing and reading give the same value, and ids depend on meaning alone."""

import json
from copy import deepcopy

import pytest
from builders import TOML, make_experiment, make_toml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from resnet18.spec.augmentation import check_order
from resnet18.spec.experiment import Execution, Experiment
from resnet18.spec.identity import arm_id, canonical_json, ids_of
from resnet18.spec.load import load_benchmark
from resnet18.spec.optimizer import OPTIMIZERS, Step
from resnet18.spec.resolve import Request, resolve, value_at
from resnet18.spec.strict import parse_toml, strict_json

OPTIMIZER = {"sgd": {"momentum": 0.5}, "adam": {}, "adamw": {}, "rmsprop": {}, "adadelta": {}, "asgd": {}}
OPERATIONS = {
    "color_jitter": {"brightness": 0.5, "contrast": 0.5, "saturation": 0.5, "hue": 0.25},
    "random_resized_crop": {"scale_min": 0.5, "scale_max": 0.75},
    "random_crop": {"padding": 4},
    "random_rotation": {"degrees": 15.0},
    "to_tensor": {},
    "random_horizontal_flip": {},
    "random_grayscale": {},
    "random_erasing": {"p": 0.5},
    "cutout": {"size": 16},
    "normalize": {},
}
ON_IMAGES = ["color_jitter", "random_resized_crop", "random_crop", "random_rotation"]
ANYWHERE = ["random_horizontal_flip", "random_grayscale"]
ON_TENSORS = ["random_erasing", "cutout", "normalize"]
STEP = {"name": "step", "every": 3, "factor": 0.5, "first_epoch": 1}
RATES = st.floats(1e-9, 100.0)
SHARES = st.floats(0.0, 0.99)


def full(optimizer="sgd"):
    """An experiment of every operation, as keys and values."""
    operations = [{"name": name, **keys} for name, keys in OPERATIONS.items()]
    return make_experiment(
        optimizer={"name": optimizer, "lr": 0.25, "weight_decay": 0.125, **OPTIMIZER[optimizer]},
        augmentation=operations,
        test_augmentation=operations,
        schedule=STEP,
    ).model_dump(mode="json")


@st.composite
def experiments(draw):
    name = draw(st.sampled_from(sorted(OPTIMIZER)))
    optimizer = {"name": name, "lr": draw(RATES), "weight_decay": draw(st.floats(0.0, 1.0))}
    if name == "sgd":
        optimizer |= {"momentum": draw(SHARES), "dampening": draw(SHARES)}
    before = draw(st.permutations(ON_IMAGES))[: draw(st.integers(0, 4))]
    after = draw(st.permutations([*ANYWHERE, *ON_TENSORS]))[: draw(st.integers(0, 5))]
    return make_experiment(
        optimizer=optimizer,
        augmentation=[{"name": one, **OPERATIONS[one]} for one in (*before, "to_tensor", *after)],
        schedule=draw(st.just({"name": "constant"}) | st.integers(1, 100).map(lambda every: STEP | {"every": every})),
        train_images=draw(st.just("all") | st.integers(1, 10_000_000)),
        image_size=draw(st.integers(8, 1024)),
        width=draw(st.integers(1, 512)),
        batch_size=draw(st.integers(1, 65_536)),
        seed=draw(st.integers(0, 2**32 - 1)),
    )


def as_toml(value):
    """A value as TOML on one line: what this writes is known without a library that could make the same mistake."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {as_toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(as_toml, value))}]"
    return json.dumps(value)


@given(experiments())
def test_a_spec_is_read_back_from_its_canonical_json(experiment):
    """Printed and read: the same value, which prints to the same bytes."""
    printed = canonical_json(experiment.model_dump(mode="json"))
    again = Experiment.model_validate(strict_json(printed))

    assert experiment == again
    assert printed == canonical_json(again.model_dump(mode="json"))


@given(experiments())
def test_a_spec_is_read_back_from_toml(experiment):
    """As a file has it: floats, arrays of tables, the word `all`."""
    text = as_toml(experiment.model_dump(mode="json"))

    assert experiment == Experiment.model_validate(parse_toml(f"value = {text}")["value"])


def leaves(value, path=()):
    """Yield the path of everything that is no table and no array."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if inner is None:
        yield path
    else:
        for key, one in inner:
            yield from leaves(one, (*path, key))


def edited(content, path, value):
    changed = deepcopy(content)
    inner = changed
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    return changed


def at(content, path):
    for part in path:
        content = content[part]
    return content


def others(old):
    """Values of the same type, and the words that a spec knows."""
    if isinstance(old, bool):
        return [not old]
    if isinstance(old, int):
        return [old + 1, old - 1]
    if isinstance(old, float):
        return [old * 1.0000000000000002, old / 2, old + 0.25] if old else [5e-324, 0.25]
    return ["cifar10", "cifar", "all", "cpu", "channels_last", "fast", "bf16", "24GiB", "edge", 2, 5.0]


ONE_VALUE = {
    ("model",),
    ("validation_images",),
    ("schedule", "name"),
    ("optimizer", "name"),
}
"""Keys of which a spec of this version knows one value, or whose value says which other keys there are."""


def is_fixed(path):
    return path in ONE_VALUE or (path[0].endswith("augmentation") and path[-1] == "name")


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZER))
def test_an_edit_of_any_key_of_an_experiment_changes_its_id(optimizer):
    """Down to the last bit of a float, of each key of each optimizer and operation."""
    content = full(optimizer)
    start = experiment_id_of(Experiment.model_validate(content))

    for path in leaves(content):
        ids = set(ids_after(Experiment, content, path, experiment_id_of))
        assert is_fixed(path) == (ids == set()), path
        assert start not in ids, path


def test_an_edit_of_any_key_of_an_execution_changes_its_id():
    """Whichever key; some of them are null until they are set."""
    content = Execution().model_dump(mode="json")

    for path in leaves(content):
        ids = set(ids_after(Execution, content, path, execution_id_of))
        assert is_fixed(path) == (ids == set()), path
        assert execution_id_of(Execution()) not in ids, path


def experiment_id_of(experiment):
    return ids_of(experiment, Execution()).experiment_id


def execution_id_of(execution):
    return ids_of(make_experiment(), execution).execution_id


def ids_after(model, content, path, identify):
    """The ids of all valid edits of one key."""
    for value in others(at(content, path)):
        try:
            yield identify(model.model_validate(edited(content, path, value)))
        except ValidationError:
            continue


def test_every_key_of_every_optimizer_and_operation_is_edited_above():
    """A new key that this file does not know would not be covered."""
    names = {type(one).model_fields["name"].default for one in make_full().augmentation}

    assert set(OPERATIONS) == names
    assert set(OPTIMIZER) == {model.model_fields["name"].default for model in OPTIMIZERS}


def make_full():
    return Experiment.model_validate(full())


CASE = {"batch_size": "8"}
KEYS = {
    "model": '"resnet18"',
    "stem": '"imagenet"',
    "image_size": "32",
    "epochs": "2",
    "optimizer": '{ name = "sgd", lr = 0.01 }',
    "schedule": '{ name = "constant" }',
    "augmentation": '[{ name = "to_tensor" }]',
}
HEAD, EXPERIMENT, CASES = TOML.partition("[experiment]")[0], "[experiment]\n", TOML[TOML.index("[[case]]") :]
SPACES = st.text(alphabet=" \t", max_size=3)
COMMENTS = st.text(alphabet=st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc"]), max_size=20)


@given(st.permutations(sorted(KEYS)), st.lists(SPACES, min_size=7, max_size=7), COMMENTS)
def test_order_comments_and_spaces_of_a_file_change_no_id(tmp_path_factory, keys, spaces, comment):
    """What people move about when they tidy a file up."""
    folder = tmp_path_factory.mktemp("files")
    lines = [f"{space}{key}{space}={space}{KEYS[key]} # {comment}" for key, space in zip(keys, spaces, strict=True)]
    tidied = load_benchmark(make_toml(folder, HEAD + EXPERIMENT + "\n\n".join(lines) + "\n\n" + CASES))
    plain = load_benchmark(make_toml(folder, TOML))

    ids = [[arm_id(*resolve(one, case, Request(), seed=0)) for case in one.cases] for one in (plain, tidied)]
    assert ids[0] == ids[1]


@given(st.integers(1, 12), st.floats(0.01, 1.0), st.integers(0, 1), st.integers(1, 60))
def test_the_rate_of_an_epoch_is_that_of_going_there_step_by_step(every, factor, first, epoch):
    """After each epoch whose number, from `first` on, is a multiple, one cut."""
    rate = 1.0
    for number in range(first, first + epoch - 1):
        if number % every == 0:
            rate *= factor
    schedule = Step(every=every, factor=factor, first_epoch=first)

    assert rate == pytest.approx(schedule.rate(1.0, epoch - 1, 1, epoch), rel=1e-12)


@given(st.permutations([*OPERATIONS]))
def test_a_list_of_operations_is_in_order_or_refused_for_its_first_that_is_not(names):
    """Work on images comes before `to_tensor`, work on tensors after it; the others stand anywhere."""
    by_name = {operation.name: operation for operation in make_full().augmentation}
    border = names.index("to_tensor")
    late = [name for name in names[border:] if name in ON_IMAGES]
    early = [name for name in names[:border] if name in ON_TENSORS]

    try:
        check_order(tuple(by_name[name] for name in names))
        refused = None
    except ValueError as error:
        refused = str(error).split('"')[1]
    assert next(iter(late + early), None) == refused


@given(experiments())
def test_a_dotted_key_finds_what_the_spec_holds(experiment):
    """Operations by their names."""
    found = {
        f"augmentation.{operation.name}.{key}": value
        for operation in experiment.augmentation
        for key, value in operation
    }

    assert found == {key: value_at(experiment, key) for key in found}
    assert value_at(experiment, "augmentation.random_warp.degrees") is None
