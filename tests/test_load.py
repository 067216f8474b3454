"""Benchmark files from outside: what is wrong with them is said before anything runs, and before memory is full."""

import json
import os
import resource
import tomllib
from pathlib import Path

import jsonschema
import pytest
from builders import TOML, make_benchmark, make_experiment, make_toml
from hypothesis import given
from hypothesis import strategies as st

from resnet18.spec.benchmark import schema_of, spec_schema
from resnet18.spec.errors import SpecError, SuiteError
from resnet18.spec.experiment import Experiment, parse_data
from resnet18.spec.identity import ids_of
from resnet18.spec.load import MAX_SPEC_BYTES, load_benchmark, load_benchmarks
from resnet18.spec.plan import Study
from resnet18.spec.resolve import Request, resolve

HOW = 'to add one, see benchmarks/README.md, "What is not here"'
BAD = {
    "unknown key": ("epochs = 2", "epochs = 2\nbatch_sise = 3", ['"batch_sise" (did you mean "batch_size"?)']),
    "string for a number": ("batch_size = 8", 'batch_size = "8"', ['case "8"', "batch_size: must be", 'got "8"']),
    "true for a number": ("batch_size = 8", "batch_size = true", ["batch_size: must be a valid integer", "got true"]),
    "out of range": ("batch_size = 8", "batch_size = 0", ["batch_size: must be greater than or equal to 1", "got 0"]),
    "unknown model": ('"resnet18"', '"resnet50"', ["model: unknown value", "(allowed: resnet18)", HOW]),
    "unknown optimizer": ('"sgd"', '"sdg"', ['name "sdg" (did you mean "sgd"?)', "(allowed: adadelta, adam", HOW]),
    "unknown augmentation": ('"to_tensor"', '"mixup"', ['unknown name "mixup"', "random_rotation, to_tensor)", HOW]),
    "unknown schedule": ('"constant"', '"cosin"', ['name "cosin"', "constant, cosine, one_cycle, step)", HOW]),
    "a warm-up without an end": (
        'schedule = { name = "constant" }',
        'schedule = { name = "cosine", warmup_epochs = 2 }',
        ['case "8": schedule.warmup_epochs', "2 epochs of warm-up leave none of 2"],
    ),
    "key of another optimizer": ('"sgd", lr', '"adam", momentum = 1, lr', ['key "optimizer.momentum"', "betas"]),
    "unknown key of a case": ("[[case]]", "[[case]]\nrepoted = {}", ['"case[1].repoted" (did you mean "reported"?)']),
    "optimizer without a name": (
        "batch_size = 8",
        "batch_size = 8, optimizer = { lr = 0.1 }",
        ['optimizer: the key "name" is missing (a case replaces a table as a whole'],
    ),
    "optimizer that is no table": ('{ name = "sgd", lr = 0.01 }', '"sgd"', ["must be a table such as { name ="]),
    "missing key": ("batch_size = 8", "", ['the key "batch_size" is missing']),
    "duplicate case": ('name = "16"', 'name = "8"', ['case "8"', "two cases have this name"]),
    "cases that look alike": ('name = "16"', 'name = "8\u00a0"', ['case "8\u00a0"', "names that look alike"]),
    "duplicate experiment": ("batch_size = 16", "batch_size = 8", ['cases "8" and "16" are the same run']),
    "unknown metric": ("best_accuracy = ", "best_acuracy = ", ["best_acuracy", "best_accuracy"]),
    "unknown file key": ("question", "qestion", ['unknown key "qestion" (did you mean "question"?)']),
    "syntax": ("[table]", "[table", ["not valid TOML", "line 6"]),
    "its own name": ("question", 'name = "x"\nquestion', ["called like its file"]),
    "a name with a pipe": ('name = "8"', 'name = "8|9"', ["case[1].name", '"8|9" has a character that is not allowed']),
    "two columns of one title": ('title = "Time"', 'title = "Accuracy"', ['column "Accuracy": two columns']),
    "a factor of no key": (
        "[table]",
        '[table]\nfactors = [{ title = "X", key = "warp" }]',
        ['no case has the key "warp"'],
    ),
    "no such assumption": ("[[case]]", '[[assumption]]\nkey = "warp"\nsource = "x"\n[[case]]', ["assumption: no case"]),
    "one_cycle with a rate of its own": ('{ name = "constant" }', '{ name = "one_cycle", max_lr = 0.1 }', ["max_lr"]),
    "nesterov without momentum": ("lr = 0.01", "lr = 0.01, nesterov = true", ["nesterov needs a momentum"]),
    "normalize before to_tensor": ('[{ name = "to_tensor"', '[{ name = "normalize" }, { name = "to_tensor"', ["after"]),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_refused_with_where_and_what(kind, tmp_path):
    """The message names the file, the key, what is wrong, what is allowed, and how to add what is not here."""
    old, new, words = BAD[kind]
    with pytest.raises(SpecError) as caught:
        make_benchmark(tmp_path, TOML.replace(old, new, 1))

    for word in ["mine.toml", *words]:
        assert word in str(caught.value)
    assert (HOW in words) == (HOW in str(caught.value))


def test_each_of_several_mistakes_has_its_own_list_and_the_key_that_was_written(tmp_path):
    """Test images pass the operations of training images where nothing else is written: that is one mistake."""
    wrong = TOML.replace('"imagenet"', '"imagnet"').replace('[{ name = "to_tensor" }]', '[{ name = "to_tensr" }]')
    with pytest.raises(SpecError) as caught:
        make_benchmark(tmp_path, wrong.replace('name = "constant"', 'name = "no"'))

    operations, stem, schedule = caught.value.what.split("\n  also: ")
    assert operations.startswith('augmentation[1]: unknown name "to_tensr" (did you mean "to_tensor"?) (allowed: color')
    assert 'stem: unknown value "imagnet" (did you mean "imagenet"?) (allowed: cifar, imagenet)' == stem
    assert 'schedule: unknown name "no" (allowed: constant, cosine, one_cycle, step)' == schedule


@pytest.mark.parametrize("key", ["data", "train_images", "test_images_epoch", "test_images_last", "seed"])
@pytest.mark.parametrize("place", ["epochs = 2\n", "experiment = { batch_size = 8, "])
def test_what_the_scale_sets_stands_in_no_file(key, place, tmp_path):
    """Neither for all cases nor for one: the numbers of two files could not be told apart."""
    old = place.strip(", \n")

    with pytest.raises(SpecError, match=f"{key}: is set by the scale"):
        make_benchmark(tmp_path, TOML.replace(old, f"{place}{key} = 1", 1))


SAME = {
    "a byte order mark": b"\xef\xbb\xbf" + TOML.encode(),
    "windows line ends": TOML.replace("\n", "\r\n").encode(),
    "comments, spaces": TOML.replace("\n", "  # a comment\n").replace(" = ", "  =\t").encode(),
    "another order": TOML.replace('model = "resnet18"\n', "")
    .replace("epochs = 2", 'epochs = 2\nmodel = "resnet18"')
    .encode(),
}


@pytest.mark.parametrize("kind", SAME)
def test_how_a_file_is_written_changes_no_id(kind, tmp_path):
    (tmp_path / "mine.toml").write_bytes(SAME[kind])
    ids = [
        [ids_of(*resolve(mine, case, Request(), seed=0)) for case in mine.cases]
        for mine in (load_benchmark(tmp_path / "mine.toml"), make_benchmark(tmp_path))
    ]

    assert ids[0] == ids[1]


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
    "dotted keys": "\n".join("a." * 99 + f"a{number} = 1" for number in range(1_000)),
    "a header": "[" + "a." * DEEP + "a]",
    "digits": "a = " + "9" * DEEP,
    "hexadecimal digits": TOML.replace("batch_size = 8", "batch_size = 0x" + "f" * DEEP),
}


@pytest.mark.parametrize("kind", TOO_MUCH)
def test_a_spec_beyond_the_limits_is_refused_in_little_memory(kind, little_memory, tmp_path):
    """A dotted key costs a parser the square of its parts; a number of many digits cannot even be printed."""
    path = make_toml(tmp_path, TOO_MUCH[kind])

    with pytest.raises(
        SpecError, match=r"not valid TOML: (nested too deeply|more than 100 dots|a whole number|Exceeds the limit)"
    ):
        load_benchmark(path)


def test_a_spec_of_gigabytes_is_not_read(little_memory, tmp_path):
    path = tmp_path / "mine.toml"
    with path.open("wb") as file:
        file.truncate(2**32)

    with pytest.raises(SpecError, match=f"larger than {MAX_SPEC_BYTES:,} bytes"):
        load_benchmark(path)


@pytest.mark.parametrize("target", ["/dev/zero", "pipe"])
def test_a_spec_that_has_no_end_is_not_read(target, tmp_path):
    if target == "pipe":
        os.mkfifo(tmp_path / "pipe")
    (tmp_path / "mine.toml").symlink_to(tmp_path / target)

    with pytest.raises(SpecError, match="is no file"):
        load_benchmark(tmp_path / "mine.toml")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("batch-size",), r'did you mean "batchsize".*augmentation, basic'),
        (("a\0.toml",), "null"),
        (("x" * 300 + ".toml",), "File name too long"),
        (("",), "unknown name"),
        (("{folder}/none.toml",), "No such file"),
        (("{folder}/mine.txt",), "or a file .toml"),
        (("{folder}/empty",), "no TOML file in this folder"),
        (("{folder}/basic.toml",), 'the suite has a benchmark "basic" of its own'),
        (("{folder}/mine.toml", "{folder}/other/mine.toml"), "two files have this name"),
    ],
)
def test_files_that_cannot_be_meant_are_refused(names, words, tmp_path):
    for name in ("empty", "other"):
        (tmp_path / name).mkdir()
    for path in (tmp_path / "mine", tmp_path / "basic", tmp_path / "other/mine"):
        make_toml(path.parent, name=path.name)
    (tmp_path / "mine.txt").touch()

    with pytest.raises(SpecError, match=words):
        load_benchmarks(tuple(name.format(folder=tmp_path) for name in names))


NAMES = st.text(alphabet=st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60)


@given(NAMES.filter(lambda name: name not in {".", ".."}))
def test_the_label_of_a_data_set_is_a_plain_word(tmp_path_factory, name):
    """It names folders of the cache, figures and ids: whatever the folder is called, no path comes of it."""
    folder = tmp_path_factory.mktemp("names") / name
    try:
        folder.mkdir()
        label = parse_data(f"imagefolder:{folder}").label
    except (OSError, SuiteError):  # OSError: too long for this file system
        return
    assert label == Experiment.model_validate({**make_experiment().model_dump(), "data": label}).data


FILES = sorted(path for path in (Path(__file__).parents[1] / "benchmarks").rglob("*.toml"))


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_spec_in_another_encoding_is_refused_with_the_byte(encoding, tmp_path):
    (tmp_path / "mine.toml").write_bytes(TOML.replace("A table", "Gr\u00fc\u00dfe").encode(encoding))

    with pytest.raises(SpecError, match="not UTF-8: byte"):
        load_benchmark(tmp_path / "mine.toml")


def mistakes(text, schema=None):
    checker = jsonschema.Draft202012Validator(schema or spec_schema())
    return [".".join(map(str, error.absolute_path)) for error in checker.iter_errors(tomllib.loads(text))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_editor_finds_the_schema_and_marks_nothing_in_the_files_of_the_suite(path):
    """It is current (made by: resnet18 schema spec > benchmarks/spec.schema.json), and named on the first line."""
    text, made = path.read_text(encoding="utf-8"), schema_of(Study) if path.parent.name == "studies" else spec_schema()
    schema = path.parent / text.splitlines()[0].removeprefix("#:schema ")

    assert made == json.loads(schema.read_text(encoding="utf-8"))
    assert [] == mistakes(text, made)


def test_an_editor_marks_a_mistake():
    text = TOML.replace("epochs = 2", 'epochz = "two"').replace('"sgd"', '"sdg"').replace('"columns"', '"diagonals"')

    assert {"experiment", "experiment.optimizer", "table.cases_in"} == set(mistakes(text))
