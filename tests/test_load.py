"""Benchmark files from outside: what is wrong with them is said before anything runs."""

import pytest
from builders import TOML, make_benchmark, make_toml
from hypothesis import given
from hypothesis import strategies as st

from resnet18.spec.errors import SpecError
from resnet18.spec.load import MAX_SPEC_BYTES, benchmarks_dir, load_benchmark, load_benchmarks

BAD = {
    "unknown key": (
        "epochs = 2",
        "epochs = 2\nbatch_sise = 3",
        ['unknown key "batch_sise"', 'did you mean "batch_size"'],
    ),
    "string for a number": ("batch_size = 8", 'batch_size = "8"', ['case "8"', "batch_size: must be", 'got "8"']),
    "true for a number": ("batch_size = 8", "batch_size = true", ["batch_size: must be a valid integer", "got true"]),
    "float for an integer": ("batch_size = 8", "batch_size = 8.0", ["batch_size: must be a valid integer", "got 8.0"]),
    "out of range": ("batch_size = 8", "batch_size = 0", ["batch_size: must be greater than or equal to 1", "got 0"]),
    "unknown optimizer": ('"sgd"', '"sdg"', ['unknown name "sdg"', "adadelta, adam, adamw, asgd, rmsprop, sgd"]),
    "unknown augmentation": ('"to_tensor"', '"to_tensors"', ['unknown name "to_tensors"', "random_horizontal_flip"]),
    "unknown schedule": (
        '"constant"',
        '"cosin"',
        ['unknown name "cosin"', "(allowed: constant, cosine, one_cycle, step)"],
    ),
    "a warm-up without an end": (
        'schedule = { name = "constant" }',
        'schedule = { name = "cosine", warmup_epochs = 2 }',
        ['case "8": schedule.warmup_epochs', "2 epochs of warm-up leave none of 2"],
    ),
    "unknown optimizer key": (
        "lr = 0.01",
        "lr = 0.01, momentun = 0.5",
        ['"optimizer.momentun"', 'did you mean "momentum"'],
    ),
    "optimizer without a name": (
        "batch_size = 8",
        "batch_size = 8, optimizer = { lr = 0.1 }",
        ['optimizer: the key "name" is missing (a case replaces the whole table'],
    ),
    "missing key": ("batch_size = 8", "", ['the key "batch_size" is missing']),
    "duplicate case": ('name = "16"', 'name = "8"', ['case "8"', "two cases have this name"]),
    "duplicate experiment": ("batch_size = 16", "batch_size = 8", ['case "16"', 'the same run as case "8"']),
    "key of the scale": ("epochs = 2", 'epochs = 2\ndata = "cifar10"', ["data", "is set by the scale"]),
    "unknown metric": ("best_accuracy = ", "best_acuracy = ", ["best_acuracy", "best_accuracy"]),
    "unknown file key": ("question", "qestion", ['unknown key "qestion"', 'did you mean "question"']),
    "syntax": ("[table]", "[table", ["not valid TOML", "line 6"]),
    "its own name": ("question", 'name = "x"\nquestion', ["called like its file"]),
    "a name with a pipe": ('name = "8"', 'name = "8|9"', ["case[1].name", '"8|9" has a character that is not allowed']),
    "two columns of one title": ('title = "Time"', 'title = "Accuracy"', ['two columns are called "Accuracy"']),
    "a factor of nothing": (
        "[table]",
        '[table]\nfactors = [{ title = "X" }]',
        ["factors[1]", 'either "operation" or "key"'],
    ),
    "a factor of no key": (
        "[table]",
        '[table]\nfactors = [{ title = "X", key = "warp" }]',
        ['no case has the key "warp"'],
    ),
    "no such assumption": (
        "[[case]]",
        '[[assumption]]\nkey = "warp"\nsource = "x"\n[[case]]',
        ['no case has the key "warp"'],
    ),
}


@pytest.mark.parametrize(
    ("old", "new", "allowed"),
    [
        ('"resnet18"', '"resnet50"', "model: must be 'resnet18'"),
        ('"sgd"', '"lamb"', "(allowed: adadelta, adam, adamw, asgd, rmsprop, sgd)"),
        ('"constant"', '"polynomial"', "(allowed: constant, cosine, one_cycle, step)"),
        ('"to_tensor"', '"mixup"', "random_horizontal_flip, random_resized_crop, random_rotation, to_tensor)"),
    ],
)
def test_what_is_not_known_by_its_name_is_answered_with_the_page_that_says_how_to_add_it(old, new, allowed, tmp_path):
    """And with what is known."""
    with pytest.raises(SpecError) as caught:
        make_benchmark(tmp_path, TOML.replace(old, new, 1))

    assert allowed in str(caught.value)
    assert 'to add one, see benchmarks/README.md, "What is not here"' in caught.value.next_step


def test_another_mistake_is_not_answered_with_that_page(tmp_path):
    """There is nothing to add."""
    with pytest.raises(SpecError) as caught:
        make_benchmark(tmp_path, TOML.replace("lr = 0.01", "lr = -1", 1))

    assert "What is not here" not in str(caught.value)


def test_the_page_has_the_section_that_errors_name():
    """Under its heading."""
    page = (benchmarks_dir() / "README.md").read_text(encoding="utf-8")

    assert "\n## What is not here: adding an optimizer, an operation, a schedule\n" in page


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_refused_with_where_and_what(kind, tmp_path):
    """The message names the file, the key, what is wrong and what is allowed."""
    old, new, words = BAD[kind]

    with pytest.raises(SpecError) as caught:
        make_benchmark(tmp_path, TOML.replace(old, new, 1))

    for word in ["mine.toml", *words]:
        assert word in str(caught.value)


def test_all_mistakes_of_a_case_are_told_at_once(tmp_path):
    """One pass of the file, not one per mistake."""
    with pytest.raises(SpecError) as caught:
        make_benchmark(tmp_path, TOML.replace("batch_size = 8", 'batch_size = "8", epochs = 0'))

    assert "batch_size" in str(caught.value)
    assert "also: epochs" in str(caught.value)


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf" + TOML.encode(), TOML.replace("\n", "\r\n").encode()])
def test_a_byte_order_mark_and_windows_line_ends_are_fine(content, tmp_path):
    """Editors write them."""
    path = tmp_path / "mine.toml"
    path.write_bytes(content)

    assert "A table" == load_benchmark(path).title


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"title = '\xff'", "not UTF-8"), (b"#" * (MAX_SPEC_BYTES + 1), "larger than"), (b"a = " + b"[" * 50_000, "TOML")],
)
def test_a_file_that_is_no_text_or_too_large_is_refused(content, word, tmp_path):
    """A spec is a small text."""
    path = tmp_path / "mine.toml"
    path.write_bytes(content)

    with pytest.raises(SpecError, match=word):
        load_benchmark(path)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_only_our_own_error(tmp_path_factory, content):
    """No traceback of a library reaches the user."""
    path = tmp_path_factory.mktemp("bytes") / "mine.toml"
    path.write_bytes(content)

    with pytest.raises(SpecError):
        load_benchmark(path)


def test_an_unknown_benchmark_is_answered_with_the_nearest_name():
    """And with all names."""
    with pytest.raises(SpecError, match=r'did you mean "batchsize".*augmentation, basic'):
        load_benchmarks(("batch-size",))


def test_a_missing_file_is_refused(tmp_path):
    """With the system's own reason."""
    with pytest.raises(SpecError, match="No such file"):
        load_benchmarks((str(tmp_path / "none.toml"),))


def test_a_file_of_the_user_is_loaded_by_its_path(tmp_path):
    """Its name is its stem."""
    assert ["mine"] == [benchmark.name for benchmark in load_benchmarks((str(make_toml(tmp_path)),))]


@pytest.mark.parametrize("key", ["data", "train_images", "test_images_epoch", "test_images_last", "seed"])
@pytest.mark.parametrize("place", ["epochs = 2", "experiment = { batch_size = 8"])
def test_what_the_scale_sets_stands_in_no_file(key, place, tmp_path):
    """Neither for all cases nor for one: the numbers of two files could not be told apart."""
    text = TOML.replace(place, f"{place}\n{key} = 1" if place.startswith("epochs") else f"{place}, {key} = 1")

    with pytest.raises(SpecError, match=f"{key}: is set by the scale"):
        make_benchmark(tmp_path, text)
