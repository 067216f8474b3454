"""The suite's own files say what the lab report says, and mark what it does not say."""

import pytest

from resnet18.spec.load import load_benchmarks
from resnet18.spec.resolve import Request, resolve

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
    """With its source, for every key that shapes the run; the report gives no argument of any operation."""
    benchmark = benchmarks[name]
    assumed = {assumption.key for assumption in benchmark.assumptions}
    lists = [{**benchmark.experiment, **case.experiment}["augmentation"] for case in benchmark.cases]
    operations = {operation["name"] for operations in lists for operation in operations} - {"to_tensor"}

    assert set(SHAPING) <= {key.partition(".")[0] for key in assumed} | STATED[name]
    assert {"protocol.initialisation", "protocol.loader"} <= assumed
    assert operations <= {key.split(".")[1] for key in assumed if key.startswith("augmentation.")}


def test_the_base_configuration_is_that_of_the_report(benchmarks):
    """Batch 32, learning rate 0.01, 15 epochs, no augmentation, Adam."""
    basic = benchmarks["basic"]
    one, _ = resolve(basic, basic.cases[0], Request(scale="paper"), seed=0)

    assert (32, 15, "adam", 0.01) == (one.batch_size, one.epochs, one.optimizer.name, one.optimizer.lr)
    assert ["to_tensor"] == [operation.name for operation in one.augmentation]


def test_test_images_pass_the_random_operations_of_training_images(benchmarks):
    """That is what the public script does, and what `as published` means."""
    for benchmark in benchmarks.values():
        for case in benchmark.cases:
            experiment, _ = resolve(benchmark, case, Request(scale="paper"), seed=0)

            assert experiment.augmentation == experiment.test_augmentation
