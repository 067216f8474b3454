"""The plan is a pure list: each run once, seeds outermost, what cannot run named."""

import contextlib

import pytest
from builders import TOML, make_benchmark
from hypothesis import given
from hypothesis import strategies as st

from resnet18.spec.errors import SpecError
from resnet18.spec.experiment import Execution
from resnet18.spec.load import load_benchmarks
from resnet18.spec.plan import absent_device, plan
from resnet18.spec.resolve import Request, canonical_overrides, value_at


def test_seeds_are_the_outer_loop(tmp_path):
    """Drift of the machine hits all cases alike."""
    runs = plan([make_benchmark(tmp_path)], Request(), range(2), {"cpu": 1}).runs

    assert [("8", 0), ("16", 0), ("8", 1), ("16", 1)] == [
        (run.labels[0].removeprefix("mine/"), run.experiment.seed) for run in runs
    ]


def test_equal_cases_of_two_benchmarks_are_one_run(tmp_path):
    """It carries both labels, and may run out of memory if either report says so."""
    (tmp_path / "other").mkdir()
    one = make_benchmark(tmp_path)
    other = make_benchmark(
        tmp_path / "other", TOML.replace('name = "8"', 'name = "eight"').replace('"70%"', '"Out of Memory"')
    )

    runs = plan([one, other], Request(), [0], {"cpu": 1}).runs

    assert [("mine/8", "mine/eight"), ("mine/16",)] == [run.labels for run in runs]
    assert [True, True] == [run.may_run_out_of_memory for run in runs]


def test_a_case_whose_device_is_absent_is_named_and_not_run():
    """On a machine without a GPU."""
    planned = plan(load_benchmarks(("device",)), Request(), [0], {"cpu": 1})

    assert ["device/CPU", "device/CPU, one thread", "device/CPU, tuned"] == [
        label for run in planned.runs for label in run.labels
    ]
    assert {"device/GPU", "device/GPU, tuned"} == {one.label for one in planned.not_planned}
    assert {"no CUDA device"} == {one.reason for one in planned.not_planned}


def test_a_shared_run_carries_the_assumptions_of_all_its_tables():
    """Whichever table is planned first, and only those that the case has a value for."""
    benchmarks = load_benchmarks(("batchsize", "augmentation"))
    runs = {run.labels: run for run in plan(benchmarks, Request(), [0], {"cpu": 1}).runs}
    (shared,) = [run for labels, run in runs.items() if len(labels) == 2]
    keys = {one.key for one in shared.assumptions}

    assert {"image_size", "batch_size", "epochs", "augmentation.random_rotation.degrees"} <= keys
    assert "augmentation.color_jitter" not in keys


@pytest.mark.parametrize(("images", "batch"), [(33, 8), (33, 16), (40, 1), (17, 16)])
def test_a_last_batch_of_one_image_is_refused(images, batch, tmp_path):
    """Batch norm has no variance for it on 1x1 maps: torch would stop in the middle of the epoch."""
    text = TOML.replace("batch_size = 16", "batch_size = 20").replace("batch_size = 8", f"batch_size = {batch}")
    request = Request(overrides=(f"train_images={images}",))

    with pytest.raises(SpecError, match="end with a batch of 1"):
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
    """Before anything is run."""
    with pytest.raises(SpecError) as caught:
        plan([make_benchmark(tmp_path)], Request(overrides=(override,)), [0], {"cpu": 1})

    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(("stem", "largest"), [("imagenet", 32), ("cifar", 8)])
def test_the_largest_input_whose_last_map_is_one_pixel_is_known(stem, largest, tmp_path):
    """Five halvings, or three."""
    mine = make_benchmark(tmp_path)
    requests = [Request(overrides=("train_images=33", f"stem={stem}", f"image_size={largest + by}")) for by in (0, 1)]

    with pytest.raises(SpecError, match="end with a batch of 1"):
        plan([mine], requests[0], [0], {"cpu": 1})
    assert 2 == len(plan([mine], requests[1], [0], {"cpu": 1}).runs)


@pytest.mark.parametrize(
    ("device", "devices", "reason"),
    [
        ("auto", {"cpu": 1}, None),
        ("auto", {"cpu": 1, "cuda": 1}, None),
        ("cpu", {"cpu": 1}, None),
        ("cpu", {"cuda": 1}, "no CPU device"),
        ("cuda", {"cpu": 1}, "no CUDA device"),
        ("cuda:1", {"cpu": 1}, "no CUDA device"),
        ("cuda:4", {"cuda": 5}, None),
        ("cuda:5", {"cuda": 5}, "no CUDA device 5"),
        ("mps", {"cpu": 1}, "no MPS device"),
        ("mps", {"mps": 1}, None),
        ("xpu", {"cpu": 1}, "no XPU device"),
    ],
)
def test_an_absent_device_is_called_by_its_name(device, devices, reason):
    """Devices are counted from 0; `auto` is whatever there is."""
    assert reason == absent_device(Execution(device=device), devices)


def test_options_have_one_form_and_one_order():
    """Numbers as JSON has them, words in quotes, tables as they were typed; the last of a key counts."""
    options = ["optimizer.lr=0.010", " stem = cifar ", "optimizer.lr=1e-1", "a.b={ name = 'x' }", "compile=true", "c="]

    assert (
        "--device=cuda",
        "a.b={ name = 'x' }",
        'c=""',
        "compile=true",
        "optimizer.lr=0.1",
        'stem="cifar"',
    ) == canonical_overrides(options, "cuda")
    assert () == canonical_overrides([], None)


@pytest.mark.parametrize("option", ["epochs", "epochs=1\n", "epochs=\x1b", ""])
def test_an_option_that_is_no_key_and_value_is_refused(option):
    """Before it is looked up, with an example."""
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
    assert [7.0, 0.5, "cifar", None] == [value_at(run.experiment, key) for key in keys]
    assert 1 == run.execution.threads


def test_a_device_option_leaves_cases_alone_that_name_their_device():
    """`--device cuda` must not turn the CPU column of Table 4 into a second GPU column."""
    found = plan(
        load_benchmarks(("basic", "device")), Request(overrides=("--device=cuda",)), [0], {"cpu": 1, "cuda": 1}
    )
    devices = {run.labels[0]: run.execution.device for run in found.runs}

    assert () == found.not_planned
    assert {"cpu"} == {devices[f"device/CPU{more}"] for more in ("", ", one thread", ", tuned")}
    assert {"cuda"} == {devices[label] for label in ("basic/base", "device/GPU", "device/GPU, tuned")}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_run_that_one_of_its_tables_times_is_timed(order, tmp_path):
    """Whichever table comes first."""
    (tmp_path / "other").mkdir()
    timed = TOML.replace("[table]", '[table]\nspeed_up_over = "8"')
    both = [make_benchmark(tmp_path), make_benchmark(tmp_path / "other", timed)]

    assert [True, True] == [run.is_timed for run in plan([both[at] for at in order], Request(), [0], {"cpu": 1}).runs]
    assert [False, False] == [run.is_timed for run in plan(both[:1], Request(), [0], {"cpu": 1}).runs]


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_option_is_taken_or_refused_by_our_own_error(tmp_path_factory, key, value):
    """What a shell hands over may be anything."""
    mine = make_benchmark(tmp_path_factory.mktemp("options"))
    with contextlib.suppress(SpecError):
        overrides = canonical_overrides([f"{key}={value}", f"optimizer.lr={value}"], None)
        plan([mine], Request(overrides=overrides), [0], {"cpu": 1})
