"""The plan is a pure list: each run once, seeds outermost, what cannot run named."""

import contextlib
import json

import pytest
from builders import TINY, TOML, make_benchmark
from hypothesis import given
from hypothesis import strategies as st

from resnet18.spec.errors import SpecError
from resnet18.spec.load import load_benchmarks
from resnet18.spec.plan import absent_device, plan
from resnet18.spec.resolve import Request, canonical_overrides, value_at


def test_seeds_are_the_outer_loop_and_cases_take_turns_in_being_first(tmp_path):
    """Drift of the machine hits all cases alike, over seeds and inside a seed."""
    runs = plan([make_benchmark(tmp_path)], Request(), range(2), {"cpu": 1}).runs

    assert [("8", 0), ("16", 0), ("16", 1), ("8", 1)] == [
        (run.labels[0].removeprefix("mine/"), run.experiment.seed) for run in runs
    ]


def test_equal_cases_of_two_benchmarks_are_one_run(tmp_path):
    """It carries both labels; it is timed, and may run out of memory, if either report says so, whichever is first."""
    (tmp_path / "other").mkdir()
    text = TOML.replace('name = "8"', 'name = "eight"').replace('"70%"', '"Out of Memory"')
    text = text.replace("[table]", '[table]\nspeed_up_over = "eight"')
    one, other = make_benchmark(tmp_path), make_benchmark(tmp_path / "other", text)
    (alone, _) = plan([one], Request(), [0], {"cpu": 1}).runs
    (first, _), (second, _) = (plan(both, Request(), [0], {"cpu": 1}).runs for both in ([one, other], [other, one]))

    assert (("mine/8",), False, False) == (alone.labels, alone.may_run_out_of_memory, alone.is_timed)
    for run in (first, second):
        assert ({"mine/8", "mine/eight"}, True, True) == (set(run.labels), run.may_run_out_of_memory, run.is_timed)


def test_a_shared_run_carries_the_assumptions_of_all_its_tables():
    """Whichever table is planned first, and only those that the case has a value for."""
    benchmarks = load_benchmarks(("batchsize", "augmentation"))
    runs = {run.labels: run for run in plan(benchmarks, Request(), [0], {"cpu": 1}).runs}
    (shared,) = [run for labels, run in runs.items() if len(labels) == 2]
    keys = {one.key for one in shared.assumptions}

    assert {"image_size", "batch_size", "epochs", "augmentation.random_rotation.degrees"} <= keys
    assert "augmentation.color_jitter" not in keys


@pytest.mark.parametrize(
    ("batch", "stem", "size", "is_refused"),
    [
        *((8, "imagenet", 32, True), (8, "imagenet", 33, False), (8, "cifar", 8, True), (8, "cifar", 9, False)),
        *((1, "imagenet", 32, True), (7, "imagenet", 32, False)),
    ],
)
def test_a_last_batch_of_one_image_is_refused_where_the_last_map_is_one_pixel(batch, stem, size, is_refused, tmp_path):
    """Batch norm has no variance for it: torch would stop in the middle of the epoch."""
    text = TOML.replace("batch_size = 16", "batch_size = 20").replace("batch_size = 8", f"batch_size = {batch}")
    request = Request(overrides=("train_images=33", f"stem={stem}", f"image_size={size}"))
    refusal = pytest.raises(SpecError, match="end with a batch of 1") if is_refused else contextlib.nullcontext()

    with refusal:
        plan([make_benchmark(tmp_path, text)], request, [0], {"cpu": 1})


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("batch_sise=8", ["batch_sise", "batch_size"]),
        ("epochs=many", ["epochs", "many"]),
        ("epochs=true", ["epochs", "true"]),
        ("batch_size=64", ['with --scale smoke -o batch_size=64, cases "8" and "16" are the same run']),
        ("lr=0.1", ['did you mean "optimizer.lr"']),
        ("data=cifar10", ["--data"]),
        ("seed=3", ["--seeds"]),
        ("optimizer.nesterof=true", ["optimizer.nesterof", "nesterov"]),
        ("augmentation.random_rotation.degrees=3.0", ['mine: case "8"', 'has no "random_rotation"']),
        ("device=gpu", ["device", "gpu"]),
        ("augmentation.random_warp={ name = 'random_warp' }", ['has no "random_warp" that could be changed']),
        ("augmentation.to_tensor=3", ['"to_tensor" is an operation; name one of its keys']),
        ("augmentation.to_tensor={ name = 'normalize' }", ['"to_tensor" is an operation; name one of its keys']),
        ("epochs.many=3", ['has no "epochs" that could be changed']),
    ],
)
def test_a_bad_option_is_refused_with_what_would_be_right(override, words, tmp_path):
    with pytest.raises(SpecError) as caught:
        plan([make_benchmark(tmp_path)], Request(overrides=(override,)), [0], {"cpu": 1})

    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("device", "devices", "reason"),
    [
        ("auto", {"cpu": 1}, None),
        ("cpu", {"cuda": 1}, "no CPU device"),
        ("cuda", {"cpu": 1}, "no CUDA device"),
        ("cuda:1", {"cpu": 1}, "no CUDA device"),
        ("cuda:4", {"cuda": 5}, None),
        ("cuda:5", {"cuda": 5}, "no CUDA device 5"),
        ("mps", {"mps": 1}, None),
        ("xpu", {"cpu": 1}, "no XPU device"),
    ],
)
def test_an_absent_device_is_called_by_its_name(device, devices, reason):
    """Devices are counted from 0; `auto` is whatever there is."""
    assert reason == absent_device(device, devices)


def test_options_have_one_form_and_one_order():
    """As TOML writes them, without the comment of whoever typed them; the last of a key counts."""
    options = ["optimizer.lr=0.010", " stem = cifar ", "optimizer.lr=1e-1", "a.b=[{name='x'}] # a head"]
    options += ["compile=true", "c="]

    assert (
        "--device=cuda",
        'a.b=[{ name = "x" }]',
        'c=""',
        "compile=true",
        "optimizer.lr=0.1",
        'stem="cifar"',
    ) == canonical_overrides(options, "cuda")
    assert () == canonical_overrides([], None)


@pytest.mark.parametrize("option", ["epochs", "epochs=1\n", "epochs=\x1b", ""])
def test_an_option_that_is_no_key_and_value_is_refused(option):
    with pytest.raises(SpecError, match=r"is not of the form key=value(.|\n)*-o optimizer.lr=0.01"):
        canonical_overrides([option], None)


def test_options_change_any_key(tmp_path):
    """Of the optimizer, the execution, an operation by its name; an operation as a whole stays in its place."""
    operations = "[{ name = 'random_rotation', degrees = 5.0 }, { name = 'to_tensor' }, { name = 'normalize' }]"
    mine = make_benchmark(tmp_path, TOML.replace('[{ name = "to_tensor" }]', operations))
    overrides = (
        "augmentation.to_tensor={ name = 'to_tensor' }",
        "augmentation.random_rotation.degrees=7.0",
        "optimizer.lr=0.5",
        "stem=cifar",
        "threads=1",
    )
    (run, _) = plan([mine], Request(overrides=overrides), [0], {"cpu": 1}).runs
    keys = ("augmentation.random_rotation.degrees", "optimizer.lr", "stem", "augmentation.random_warp.p")

    assert ["random_rotation", "to_tensor", "normalize"] == [part.name for part in run.experiment.augmentation]
    assert [7.0, 0.5, "cifar", None] == [value_at((run.experiment, run.execution), key) for key in keys]
    assert 1 == run.execution.threads


def test_a_device_option_leaves_cases_alone_that_name_their_device():
    """`--device cuda` must not turn the CPU column of Table 4 into a second GPU column."""
    found = plan(
        load_benchmarks(("basic", "device")), Request(overrides=("--device=cuda",)), [0], {"cpu": 1, "cuda": 1}
    )
    devices = {run.labels[0]: run.execution.device for run in found.runs}

    assert {} == found.not_planned
    assert {"cpu"} == {devices[f"device/CPU{more}"] for more in ("", ", one thread", ", tuned")}
    assert {"cuda"} == {devices[label] for label in ("basic/base", "device/GPU", "device/GPU, tuned")}


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_option_is_taken_or_refused_by_our_own_error(tmp_path_factory, key, value):
    mine = make_benchmark(tmp_path_factory.mktemp("options"))
    with contextlib.suppress(SpecError):
        overrides = canonical_overrides([f"{key}={value}", f"optimizer.lr={value}"], None)
        plan([mine], Request(overrides=overrides), [0], {"cpu": 1})


# --case: only some cases of the tables


def chosen(benchmarks, *names):
    found = plan(benchmarks, Request(overrides=TINY), [0], {"cpu": 1}, cases=names)
    return [run.labels for run in found.runs], [*found.not_planned]


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["16"], [("mine/16",)]),
        (["mine/16"], [("mine/16",)]),
        (["16", "mine/8", "16"], [("mine/8", "other/8"), ("mine/16",)]),
        (["other/8"], [("mine/8", "other/8")]),
    ],
)
def test_cases_are_named_with_or_without_their_table(names, labels, mine):
    """As `resnet18 plan` lists them, in the order of the plan; a run that cases share keeps the labels of all."""
    other = mine.model_copy(update={"name": "other", "cases": mine.cases[:1]})

    assert (labels, []) == chosen([mine, other], *names)


def test_a_chosen_case_that_cannot_run_is_still_said_to_be_not_planned(tmp_path):
    on_gpu = TOML.replace('name = "16"\n', 'name = "16"\nexecution = { device = "cuda" }\n')
    mine = make_benchmark(tmp_path, on_gpu)

    assert [([], ["mine/16"]), ([("mine/8",)], [])] == [chosen([mine], name) for name in ("16", "8")]


@pytest.mark.parametrize("name", ["mine/61", "mime/16"])
def test_an_unknown_case_is_answered_with_labels_that_are_near(name, mine):
    with pytest.raises(SpecError, match=r'--case "\S+": no table has it \(did you mean "mine/16"\?\)'):
        chosen([mine], name)


def test_a_candidate_of_a_hypothesis_is_a_case_like_any_other_with_hypotheses(cli):
    """Beside the assumption itself, which the table shows too; without the option that is the answer."""
    candidate = "none [image_size: 224 px]"
    words = ["plan", "augmentation", "--scale", "paper", "--seeds", "1", "--json", "--case", candidate]
    rows = json.loads(cli(*words, "--hypotheses", "--case", "augmentation/none").stdout)
    without = cli(*words)

    assert ["augmentation/none", f"augmentation/{candidate}"] == [row["cases"].split(", augm")[0] for row in rows]
    assert (2, True) == (without.exit_code, "candidates: add --hypotheses" in without.output)
