"""The suite's own files say what the lab report says, and mark what it does not say."""

import pytest

from resnet18.spec.load import load_benchmarks
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request, resolve, value_at
from resnet18.spec.scale import SCALES

TABLES = {
    "augmentation": [["75.49%"], ["75.81%"], ["75.28%"], ["81.09%"], ["80.66%"]],
    "batchsize": [
        ["73.60%", "1898.68"],
        ["75.30%", "1371.9"],
        ["74.03%", "1150.08"],
        ["73.00%", "1014.14"],
        ["67.21%", "983.801"],
        ["Out of Memory", "Out of Memory"],
    ],
    "optimizer": [
        ["49.37%", "1104.016"],
        ["56.46%", "1161.144239"],
        ["69.15%", "1107.836407"],
        ["43.25%", "1038.229"],
        ["69.54%", "1197.636"],
        ["74.03%", "1150.083"],
        ["50.15%", "1127.653"],
    ],
    "device": [["34933.53377", "76%"], [], [], ["791.5949", "75.81%"], []],
    "schedule": [["about 90 %"], ["about 90 %"], ["about 90 %"], [], []],
    "overfitting": [["about 90 %"], ["74 %"]],
    "basic": [["about 75 %"]],
}

# LAB's protocol: what the report states, per benchmark. Everything else that shapes a run is an assumption.
STATED = {
    "augmentation": {"augmentation"},
    "batchsize": {"epochs", "batch_size", "optimizer", "augmentation"},
    "optimizer": {"epochs"},
    "device": {"epochs"},
    "schedule": {"epochs", "batch_size", "optimizer", "schedule"},
    "overfitting": set(),
    "basic": {"epochs", "batch_size", "optimizer", "augmentation"},
}
SHAPING = ("image_size", "stem", "test_augmentation", "batch_size", "epochs", "optimizer", "schedule", "augmentation")


@pytest.fixture(scope="module")
def benchmarks():
    return {benchmark.name: benchmark for benchmark in load_benchmarks()}


@pytest.mark.parametrize("name", TABLES)
def test_every_reported_number_stands_as_it_was_printed(name, benchmarks):
    """Digit by digit, trailing zeros and all."""
    assert TABLES[name] == [list(case.reported.values()) for case in benchmarks[name].cases]


@pytest.mark.parametrize("name", TABLES)
def test_what_the_report_does_not_state_is_marked_as_an_assumption(name, benchmarks):
    """With its source, for every key that shapes the run."""
    assumed = {assumption.key.split(".")[0] for assumption in benchmarks[name].assumptions}

    assert set(SHAPING) <= assumed | STATED[name]


@pytest.mark.parametrize("name", TABLES)
def test_every_number_of_an_operation_is_an_assumption(name, benchmarks):
    """The report names operations and gives no argument of any."""
    assumed = {assumption.key for assumption in benchmarks[name].assumptions}
    assert {"protocol.initialisation", "protocol.loader"} <= assumed
    used = {
        operation["name"]
        for case in benchmarks[name].cases
        for operation in {**benchmarks[name].experiment, **case.experiment}["augmentation"]
    } - {"to_tensor"}

    assert used <= {key.split(".")[1] for key in assumed if key.startswith("augmentation.")}


def test_the_base_configuration_is_that_of_the_report(benchmarks):
    """Batch 32, learning rate 0.01, 15 epochs, no augmentation, Adam."""
    basic = benchmarks["basic"]
    experiment, _ = resolve(basic, basic.cases[0], Request(scale="paper"), seed=0)

    assert (32, 15, "adam", 0.01) == (
        experiment.batch_size,
        experiment.epochs,
        experiment.optimizer.name,
        experiment.optimizer.lr,
    )
    assert ["to_tensor"] == [operation.name for operation in experiment.augmentation]


def test_test_images_pass_the_random_operations_of_training_images(benchmarks):
    """That is what the public script does, and what `as published` means."""
    for benchmark in benchmarks.values():
        for case in benchmark.cases:
            experiment, _ = resolve(benchmark, case, Request(scale="paper"), seed=0)

            assert experiment.augmentation == experiment.test_augmentation


def test_adam_at_batch_32_is_trained_once_for_all_its_tables(benchmarks):
    """Table 2's batch 32, Table 3's Adam and the rate 0.001 held constant are one arm at small scale."""
    runs = plan(benchmarks.values(), Request(scale="small"), [0], {"cpu": 1}).runs

    shared = [run.labels for run in runs if "batchsize/32" in run.labels]

    assert [
        (
            "augmentation/normalize, crop, rotation, flip",
            "batchsize/32",
            "optimizer/Adam",
            "schedule/0.001 held constant",
        )
    ] == [tuple(sorted(labels)) for labels in shared]


def test_tables_come_in_the_order_in_which_the_report_tells_them():
    """By section."""
    names = [benchmark.name for benchmark in load_benchmarks()]

    assert ["basic", "augmentation", "batchsize", "overfitting", "optimizer", "schedule", "device"] == names


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        ("smoke", ("fashion-mnist-mini", 1_000, 200, "all", 32, 16, 2)),
        ("small", ("cifar10", 5_000, 1_000, 10_000, 32, 64, 10)),
        ("paper", ("cifar10", "all", 10_000, 10_000, 224, 64, 200)),
    ],
)
def test_a_scale_changes_only_its_own_fields(scale, expected, benchmarks):
    """Data, subsets, size, width and epochs; the paper scale leaves the last three as the case says."""
    schedule = benchmarks["schedule"]
    experiment, execution = resolve(schedule, schedule.cases[0], Request(scale=scale), seed=0)
    full, full_execution = resolve(schedule, schedule.cases[0], Request(scale="paper"), seed=0)
    fields = ("data", "train_images", "test_images_epoch", "test_images_last", "image_size", "width", "epochs")

    assert expected == tuple(getattr(experiment, field) for field in fields)
    assert full.model_dump(exclude=set(fields)) == experiment.model_dump(exclude=set(fields))
    assert full_execution == execution


def test_small_scale_leaves_the_size_of_a_case_about_size_alone(benchmarks):
    """Smoke does not: its images are small."""
    device = benchmarks["device"]
    about_size = device.cases[0].model_copy(update={"about_size": True})
    sizes = [resolve(device, about_size, Request(scale=scale), seed=0)[0].image_size for scale in SCALES]

    assert [32, 224, 224] == sizes


def test_options_change_any_key_and_unquoted_words_are_strings(benchmarks):
    """Numbers, words, keys of an optimizer, keys of a named operation, keys of the execution."""
    overrides = ("optimizer.lr=0.5", "stem=cifar", "augmentation.random_rotation.degrees=5.0", "threads=1")
    batchsize = benchmarks["batchsize"]
    specs = resolve(batchsize, batchsize.cases[0], Request(overrides=overrides), seed=0)

    values = [
        value_at(spec, key)
        for spec, key in zip(
            (*specs[:1] * 3, specs[1]),
            ("optimizer.lr", "stem", "augmentation.random_rotation.degrees", "threads"),
            strict=True,
        )
    ]

    assert [0.5, "cifar", 5.0, 1] == values


def test_a_device_option_leaves_cases_alone_that_name_their_device(benchmarks):
    """`--device cuda` must not turn the CPU column of Table 4 into a second GPU column."""
    request = Request(overrides=("--device=cuda",))
    devices = {
        f"{name}/{case.name}": resolve(benchmarks[name], case, request, seed=0)[1].device
        for name in ("basic", "device")
        for case in benchmarks[name].cases
    }

    assert {
        "basic/base": "cuda",
        "device/CPU": "cpu",
        "device/CPU, one thread": "cpu",
        "device/CPU, tuned": "cpu",
        "device/GPU": "cuda",
        "device/GPU, tuned": "cuda",
    } == devices
