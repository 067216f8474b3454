"""The plan is a pure list: each run once, seeds outermost, what cannot run named."""

import pytest
from builders import TOML, make_benchmark

from resnet18.spec.errors import SpecError
from resnet18.spec.experiment import Execution
from resnet18.spec.load import load_benchmarks
from resnet18.spec.plan import absent_device, plan
from resnet18.spec.resolve import Request, canonical_overrides


def test_seeds_are_the_outer_loop(tmp_path):
    """Drift of the machine hits all cases alike."""
    runs = plan([make_benchmark(tmp_path)], Request(), range(2), {"cpu": 1}).runs

    assert [("8", 0), ("16", 0), ("8", 1), ("16", 1)] == [
        (run.labels[0].removeprefix("mine/"), run.experiment.seed) for run in runs
    ]


def test_a_plan_repeats_itself(tmp_path):
    """It reads no clock and no disk."""
    benchmark = make_benchmark(tmp_path)

    assert plan([benchmark], Request(), [0], {"cpu": 1}) == plan([benchmark], Request(), [0], {"cpu": 1})


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


def test_a_run_carries_the_assumptions_of_its_benchmark():
    """They go into its record."""
    (basic,) = load_benchmarks(("basic",))

    assert basic.assumptions == plan([basic], Request(), [0], {"cpu": 1}).runs[0].assumptions != ()


def test_a_shared_run_carries_the_assumptions_of_all_its_tables():
    """Whichever table is planned first, and only those that the case has a value for."""
    benchmarks = load_benchmarks(("batchsize", "augmentation"))
    runs = {run.labels: run for run in plan(benchmarks, Request(), [0], {"cpu": 1}).runs}
    (shared,) = [run for labels, run in runs.items() if len(labels) == 2]
    keys = {one.key for one in shared.assumptions}

    assert {"image_size", "batch_size", "epochs", "augmentation.random_rotation.degrees"} <= keys
    assert "augmentation.color_jitter" not in keys


def test_with_a_gpu_every_case_runs():
    """The same file."""
    planned = plan(load_benchmarks(("device",)), Request(), [0], {"cpu": 1, "cuda": 1})

    assert (5, ()) == (len(planned.runs), planned.not_planned)


@pytest.mark.parametrize(("images", "batch"), [(33, 8), (33, 16), (40, 1), (17, 16)])
def test_a_last_batch_of_one_image_is_refused(images, batch, tmp_path):
    """Batch norm has no variance for it on 1x1 maps: torch would stop in the middle of the epoch."""
    text = TOML.replace("batch_size = 16", "batch_size = 20").replace("batch_size = 8", f"batch_size = {batch}")
    request = Request(overrides=(f"train_images={images}",))

    with pytest.raises(SpecError, match="end with a batch of 1"):
        plan([make_benchmark(tmp_path, text)], request, [0], {"cpu": 1})


@pytest.mark.parametrize("option", ["image_size=64", "stem=cifar"])
def test_a_last_batch_of_one_image_is_fine_where_maps_are_larger(option, tmp_path):
    """Batch norm then has several values of that one image."""
    request = Request(overrides=("train_images=33", option))

    assert 2 == len(plan([make_benchmark(tmp_path)], request, [0], {"cpu": 1}).runs)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("batch_sise=8", ["batch_sise", "batch_size"]),
        ("epochs=many", ["epochs", "many"]),
        ("epochs=true", ["epochs", "true"]),
        ("batch_size=64", ['cases "8" and "16" are the same run', "-o batch_size=64"]),
        ("lr=0.1", ['did you mean "optimizer.lr"']),
        ("data=cifar10", ["--data"]),
        ("seed=3", ["--seeds"]),
        ("optimizer.nesterof=true", ["optimizer.nesterof", "nesterov"]),
        ("augmentation.random_rotation.degrees=3.0", ['mine: case "8"', 'has no "random_rotation"']),
        ("device=gpu", ["device", "gpu"]),
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
    ("device", "reason"),
    [
        ("auto", None),
        ("cpu", None),
        ("cuda", "no CUDA device"),
        ("cuda:1", "no CUDA device"),
        ("mps", "no MPS device"),
        ("xpu", "no XPU device"),
    ],
)
def test_an_absent_device_is_called_by_its_name(device, reason):
    """One of several is a device of its kind."""
    assert reason == absent_device(Execution(device=device), {"cpu": 1})
    assert absent_device(Execution(device=device), {"cpu": 1, device.partition(":")[0]: 2}) is None
    assert "no CPU device" == absent_device(Execution(device="cpu"), {"cuda": 1})


@pytest.mark.parametrize(
    ("device", "devices", "reason"),
    [
        ("cuda:5", {"cuda": 5}, "no CUDA device 5"),
        ("cuda:4", {"cuda": 5}, None),
        ("cpu", {}, None),
        ("auto", {}, None),
        ("auto", {"cuda": 1}, None),
    ],
)
def test_devices_are_counted(device, devices, reason):
    """From 0; `auto` is whatever there is."""
    assert reason == absent_device(Execution(device=device), {"cpu": 1, **devices})


def test_all_options_that_make_two_cases_one_run_are_named(tmp_path):
    """In the form in which they can be typed again."""
    request = Request(overrides=("batch_size=64", "epochs=1"))

    with pytest.raises(SpecError, match=r"with --scale smoke -o batch_size=64 -o epochs=1, cases"):
        plan([make_benchmark(tmp_path)], request, [0], {"cpu": 1})


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


def test_a_request_is_described_as_it_was_asked_for():
    """Scale, data and options, as headings have them."""
    assert "smoke scale, fashion-mnist-mini" == Request().described
    assert (
        "small scale, mine, device=cuda, epochs=1"
        == Request(scale="small", data="mine", overrides=("--device=cuda", "epochs=1")).described
    )


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("augmentation.random_warp={ name = 'random_warp' }", 'has no "random_warp" that could be changed'),
        ("augmentation.random_warp.degrees=3.0", 'has no "random_warp" that could be changed'),
        ("augmentation.to_tensor=3", '"to_tensor" is an operation; name one of its keys'),
        ("augmentation.to_tensor={ name = 'normalize' }", '"to_tensor" is an operation; name one of its keys'),
        ("epochs.many=3", 'has no "epochs" that could be changed'),
    ],
)
def test_a_key_that_cannot_be_set_is_named(option, words, tmp_path):
    """Nothing is added to a list, and no operation becomes another."""
    with pytest.raises(SpecError) as caught:
        plan([make_benchmark(tmp_path)], Request(overrides=(option,)), [0], {"cpu": 1})
    assert words in str(caught.value)


def test_an_operation_is_set_as_a_whole_in_its_place(tmp_path):
    """The others stay where they are."""
    operations = "[{ name = 'random_rotation', degrees = 5.0 }, { name = 'to_tensor' }, { name = 'normalize' }]"
    text = TOML.replace('[{ name = "to_tensor" }]', operations)
    overrides = ("augmentation.to_tensor={ name = 'to_tensor' }", "augmentation.random_rotation.degrees=7.0")
    (run, _) = plan([make_benchmark(tmp_path, text)], Request(overrides=overrides), [0], {"cpu": 1}).runs

    assert ["random_rotation", "to_tensor", "normalize"] == [one.name for one in run.experiment.augmentation]
    assert 7.0 == run.experiment.augmentation[0].degrees


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_run_that_one_of_its_tables_times_is_timed(order, tmp_path):
    """Whichever table comes first."""
    (tmp_path / "other").mkdir()
    timed = TOML.replace("[table]", '[table]\nspeed_up_over = "8"')
    both = [make_benchmark(tmp_path), make_benchmark(tmp_path / "other", timed)]

    assert [True, True] == [run.is_timed for run in plan([both[at] for at in order], Request(), [0], {"cpu": 1}).runs]
    assert [False, False] == [run.is_timed for run in plan(both[:1], Request(), [0], {"cpu": 1}).runs]
