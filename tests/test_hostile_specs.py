"""Specs whose values are of the wrong type, out of range, too large or badly named: refused before anything runs."""

import contextlib
import os
import resource
from pathlib import Path

import pytest
from builders import TOML, make_benchmark, make_experiment, make_toml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from resnet18.spec import augmentation, benchmark, claim, optimizer
from resnet18.spec.data import parse_data
from resnet18.spec.errors import SpecError, SuiteError
from resnet18.spec.experiment import Execution, Experiment
from resnet18.spec.load import load_benchmark, load_benchmarks
from resnet18.spec.resolve import Request, canonical_overrides, resolve
from resnet18.spec.strict import parse_toml

CHECK = {"metric": "jitter", "case": "a"}
EXAMPLES = [
    make_experiment(),
    Execution(),
    *(model(lr=0.1) for model in optimizer.OPTIMIZERS),
    optimizer.Constant(),
    optimizer.Step(every=1, factor=0.5, first_epoch=0),
    optimizer.Cosine(),
    optimizer.OneCycle(max_lr=0.1),
    augmentation.ColorJitter(),
    augmentation.RandomResizedCrop(),
    augmentation.RandomRotation(degrees=1.0),
    augmentation.RandomHorizontalFlip(),
    augmentation.RandomCrop(padding=4),
    augmentation.RandomErasing(),
    augmentation.Cutout(size=16),
    augmentation.RandomGrayscale(),
    augmentation.Normalize(),
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
JSON_VALUES = ["32", "", "true", "1.0", 1, 0, -1, 2**70, 1.0, 0.5, True, False, None, [], [1], ["a"], {}, {"a": 1}]
NOT_JSON = [float("nan"), float("inf"), b"32", 1j, {1}]


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
    for value in JSON_VALUES + NOT_JSON:
        try:
            stored = getattr(model.model_validate({**content, key: value}), name)
        except ValidationError:
            continue
        assert is_kept(value, stored), (value, stored)


@pytest.mark.parametrize("value", NOT_JSON)
@pytest.mark.parametrize(("key", "wrap"), [("batch_size", None), ("optimizer", "lr"), ("schedule", "factor")])
def test_no_number_of_an_experiment_is_nan_or_infinite(value, key, wrap):
    """Nor anything that no file can hold."""
    schedule = {"name": "step", "every": 1, "factor": 0.5, "first_epoch": 0}
    base = {"optimizer": {"name": "sgd", "lr": 0.1}, "schedule": schedule}

    with pytest.raises(ValidationError):
        make_experiment(**{key: value if wrap is None else {**base[key], wrap: value}})


def sgd(**changes):
    return {"optimizer": {"name": "sgd", "lr": 0.1, **changes}}


def rotation(degrees):
    return {"augmentation": [{"name": "random_rotation", "degrees": degrees}, {"name": "to_tensor"}]}


BOUNDS = [
    (make_experiment, lambda value: {"batch_size": value}, (1, 65_536), (0, 65_537)),
    (make_experiment, lambda value: {"epochs": value}, (1, 100_000), (0, 100_001)),
    (make_experiment, lambda value: {"train_images": value}, (1, 10_000_000), (0, 10_000_001)),
    (make_experiment, lambda value: {"test_images_epoch": value}, (1, 10_000_000), (0, 10_000_001)),
    (make_experiment, lambda value: {"image_size": value}, (8, 1_024), (7, 1_025)),
    (make_experiment, lambda value: {"width": value}, (1, 512), (0, 513)),
    (make_experiment, lambda value: {"seed": value}, (0, 2**32 - 1), (-1, 2**32)),
    (make_experiment, lambda value: sgd(lr=value), (1e-300, 100.0), (0.0, -0.1, 100.1)),
    (make_experiment, lambda value: sgd(momentum=value), (0.0, 0.999), (-0.1, 1.0)),
    (make_experiment, lambda value: sgd(weight_decay=value), (0.0, 1.0), (-0.1, 1.1)),
    (make_experiment, rotation, (0.0, 180.0), (-0.1, 180.1)),
    (Execution, lambda value: {"threads": value}, (1, 1_024), (0, 1_025)),
    (Execution, lambda value: {"workers": value}, (0, 64), (-1, 65)),
    (Execution, lambda value: {"memory_cap": value}, ("1B", "1048576GiB"), ("0B", "1048577GiB", "24", "-1GiB")),
    (Execution, lambda value: {"device": value}, ("cuda:0", "cuda:99"), ("cuda:100", "cuda:-1", "cuda:")),
]


@pytest.mark.parametrize(("make", "changes", "inside", "outside"), BOUNDS)
def test_a_range_holds_its_ends_and_nothing_beyond(make, changes, inside, outside):
    """The least and the greatest value, and their neighbours outside."""
    for value in inside:
        assert make(**changes(value))
    for value in outside:
        with pytest.raises(ValidationError, match=r"greater|less|no size|unknown device"):
            make(**changes(value))


IMPOSSIBLE = {
    "momentum on adam": ('{ name = "sgd", lr = 0.01 }', '{ name = "adam", lr = 0.01, momentum = 0.9 }'),
    "one_cycle with a rate of its own": ('{ name = "constant" }', '{ name = "one_cycle", max_lr = 0.1 }'),
    "nesterov without momentum": ("lr = 0.01", "lr = 0.01, nesterov = true"),
    "drop_last, which is never done": ("epochs = 2", "epochs = 2\ndrop_last = true"),
    "normalize before to_tensor": ('[{ name = "to_tensor" }]', '[{ name = "normalize" }, { name = "to_tensor" }]'),
    "no to_tensor": ('[{ name = "to_tensor" }]', "[]"),
}


@pytest.mark.parametrize("kind", IMPOSSIBLE)
def test_what_cannot_be_meant_together_is_refused_at_load(kind, tmp_path):
    """Before any training; a last batch of one image is refused with the plan."""
    with pytest.raises(SuiteError) as caught:
        make_benchmark(tmp_path, TOML.replace(*IMPOSSIBLE[kind], 1))

    assert 2 == caught.value.exit_code


@pytest.fixture
def little_memory():
    """At most 2 GiB more than now, so that a test that would fill any memory fails instead."""
    used = 2**31 + resource.getpagesize() * int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


DEEP = 100_000
TOO_MUCH = {
    "brackets": "a = " + "[" * DEEP,
    "closed brackets": "a = " + "[" * DEEP + "]" * DEEP,
    "inline tables": "a = " + "{ a = " * DEEP,
    "a dotted key": "a." * DEEP + "a = 1",
    "dotted keys": "\n".join("a." * 99 + f"a{number} = 1" for number in range(4_000)),
    "a header": "[" + "a." * DEEP + "a]",
    "digits": "a = " + "9" * DEEP,
    "hexadecimal digits": TOML.replace("batch_size = 8", "batch_size = 0x" + "f" * DEEP),
}


@pytest.mark.parametrize("kind", TOO_MUCH)
def test_a_spec_beyond_the_limits_is_refused_in_little_memory(kind, little_memory, tmp_path):
    """A dotted key costs a parser the square of its parts; a number of many digits cannot even be printed."""
    path = make_toml(tmp_path, TOO_MUCH[kind])

    with pytest.raises(SuiteError, match=r"not valid TOML: (nested too deeply|more than 100 dots|a .*number)"):
        load_benchmark(path)


def test_a_spec_of_gigabytes_is_not_read(little_memory, tmp_path):
    """Only so much of it as shows that it is too large."""
    path = tmp_path / "mine.toml"
    with path.open("wb") as file:
        file.truncate(2**32)

    with pytest.raises(SuiteError, match="larger than 1,000,000 bytes"):
        load_benchmark(path)


@pytest.mark.parametrize("target", ["/dev/zero", "pipe"])
def test_a_spec_that_has_no_end_is_not_read(target, tmp_path):
    """A device or a pipe under a spec's name."""
    if target == "pipe":
        os.mkfifo(tmp_path / "pipe")
    (tmp_path / "mine.toml").symlink_to(tmp_path / target)

    with pytest.raises(SuiteError, match="is no file"):
        load_benchmark(tmp_path / "mine.toml")


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1", "utf-32"])
def test_a_spec_in_another_encoding_is_refused_with_the_byte(encoding, tmp_path):
    """Guessing would give names that nobody wrote."""
    path = tmp_path / "mine.toml"
    path.write_bytes(TOML.replace("A table", "Gr\u00fc\u00dfe").encode(encoding))

    with pytest.raises(SuiteError, match=r"not UTF-8: byte|not valid TOML"):
        load_benchmark(path)


@pytest.mark.parametrize("name", ["a\0.toml", "x" * 300, "x" * 300 + ".toml", "\udcff.toml", "CON", "../../x", ""])
def test_a_benchmark_of_a_hostile_name_is_refused(name):
    """Whatever the system makes of such a name."""
    with pytest.raises(SuiteError) as caught:
        load_benchmarks((name,))

    assert 2 == caught.value.exit_code


@pytest.mark.parametrize("stem", ["..", "a b", "A", "\u202egnp", "a\x1bb", "x" * 65, "\udcff", "-a", "caf\u00e9"])
def test_a_benchmark_is_called_by_a_plain_word(stem, tmp_path):
    """It names figures: lower-case letters, digits, dashes."""
    with pytest.raises(SuiteError):
        load_benchmark(make_toml(tmp_path, name=stem))


NAMES = st.text(alphabet=st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60)


@given(NAMES.filter(lambda name: name not in {".", ".."}))
def test_the_label_of_a_data_set_is_a_plain_word(tmp_path_factory, name):
    """It names folders of the cache, figures and ids: whatever the folder is called, no path comes of it."""
    folder = tmp_path_factory.mktemp("names") / name
    try:
        folder.mkdir()
    except OSError:  # too long for this file system
        return
    try:
        label = parse_data(f"imagefolder:{folder}").label
    except SuiteError:
        return
    assert label == Experiment.model_validate({**make_experiment().model_dump(), "data": label}).data


@given(st.text(alphabet=st.characters(), max_size=40), st.text(alphabet=st.characters(), max_size=40))
def test_any_option_is_taken_or_refused_by_our_own_error(tmp_path_factory, key, value):
    """What a shell hands over may be anything."""
    mine = make_benchmark(tmp_path_factory.mktemp("options"))
    with contextlib.suppress(SpecError):
        overrides = canonical_overrides([f"{key}={value}", f"optimizer.lr={value}"], None)
        resolve(mine, mine.cases[0], Request(overrides=overrides), seed=0)


@pytest.mark.parametrize("value", ["[" * DEEP, "9" * DEEP, "0x" + "f" * DEEP, "a." * DEEP])
def test_an_option_beyond_the_limits_is_refused(value, little_memory, tmp_path):
    """As in a file."""
    mine = make_benchmark(tmp_path)
    overrides = canonical_overrides([f"optimizer.lr={value}"], None)

    with pytest.raises(SuiteError, match=r"optimizer\.lr: must be a valid number"):
        resolve(mine, mine.cases[0], Request(overrides=overrides), seed=0)


def test_limits_leave_room_for_what_people_write():
    """Large numbers, many decimals on a line, tables in tables."""
    text = "a = 18446744073709551615\nb = [" + "0.5, " * 99 + "]\nc.d.e.f.g.h = [[[[1]]]]"

    assert 2**64 - 1 == parse_toml(text)["a"]
