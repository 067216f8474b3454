"""Regressions planted into the real code: the check finds each, by one run, and names what differs."""

import builders
import pytest
import torch
from builders import embedded, make_experiment, make_identity, make_record
from fakes import children
from torch import nn

from resnet18.execution import worker
from resnet18.gate.check import Sides, check
from resnet18.records.store import Store
from resnet18.spec import optimizer
from resnet18.spec.benchmark import Gate
from resnet18.spec.experiment import Execution
from resnet18.training import augment, forecast, model

CASE = "regress/fast"
AUGMENTED = [{"name": "random_horizontal_flip", "p": 0.2}, {"name": "to_tensor"}]
STEPS = {"name": "step", "every": 1, "factor": 0.1, "first_epoch": 1}
pytestmark = pytest.mark.usefixtures("one_thread")


def make_run(folder, path="fast"):
    """One attempt at a small run by the worker itself; return its record."""
    experiment = make_experiment(
        augmentation=AUGMENTED, test_augmentation=AUGMENTED, schedule=STEPS, epochs=2, train_images=80
    )
    Store(folder).make_writable()
    run = builders.make_run(experiment, Execution(path=path, threads=1))
    identity = make_identity(embedded().sha256, commit="a" * 40, dirty=False)
    job = builders.make_job(folder, run, identity=identity)
    worker.run_job(job, lambda _: None)
    (record,) = Store(folder).read().records
    assert "ok" == record.status, record.failure
    return record


def findings(baseline, head):
    """What the check says of one run, by metric."""
    judged = check(Sides({CASE: [head]}, {CASE: [baseline]}), Gate())
    return {one.metric: (one.verdict, one.says) for one in judged.findings}


@pytest.mark.parametrize("path", ["reference", "fast"])
def test_nothing_planted_is_nothing_found(path, tmp_path):
    found = findings(make_run(tmp_path / "one", path), make_run(tmp_path / "two", path))

    assert ("ok", "equal to the last bit for 1 of 1 seeds") == found["bits"]


def flip_the_flips(monkeypatch):
    genuine = augment.uniform
    monkeypatch.setattr(augment, "uniform", lambda words: 1 - genuine(words))


def forget_the_last_layer(monkeypatch):
    """Its weights are all the same."""
    genuine = model.random_words
    monkeypatch.setattr(
        model, "random_words", lambda seed, name, *shape: genuine(seed, name, *shape) * (name != "weights/fc.weight")
    )


def cut_one_epoch_late(monkeypatch):
    genuine = optimizer.Step.rate
    monkeypatch.setattr(
        optimizer.Step,
        "rate",
        lambda self, initial, step, steps, epochs: genuine(self, initial, max(0, step - steps), steps, epochs),
    )


@pytest.mark.parametrize("path", ["reference", "fast"])
@pytest.mark.parametrize(("plant", "epoch"), [(flip_the_flips, 1), (forget_the_last_layer, 1), (cut_one_epoch_late, 2)])
def test_a_change_of_training_is_found_by_its_first_epoch(plant, epoch, path, tmp_path, monkeypatch):
    """A probability, an initialisation, a schedule: at n = 1, by the bits."""
    baseline = make_run(tmp_path / "before", path)
    plant(monkeypatch)
    verdict, says = findings(baseline, make_run(tmp_path / "after", path))["bits"]

    assert "regression" == verdict
    assert says.startswith(f"seed 0: epoch.{epoch}.train.loss: ")


def test_a_doubled_buffer_is_found_by_the_saved_bytes(monkeypatch):
    experiment, execution = make_experiment(), Execution()
    before = forecast.forecast(experiment, execution).saved_bytes
    monkeypatch.setattr(nn.ReLU, "forward", lambda _, x: torch.relu(x.clone()))
    monkeypatch.setattr(nn.BatchNorm2d, "forward", doubled(nn.BatchNorm2d.forward))
    after = forecast.forecast(experiment, execution).saved_bytes
    records = {CASE: [make_record(experiment, execution)]}
    judged = check(Sides(records, records, saved_bytes={CASE: (before, after)}), Gate())

    assert "regression" in [one.verdict for one in judged.findings if one.metric == "saved_bytes"]


def doubled(forward):
    """Keep the input of a layer a second time."""
    return lambda layer, x: forward(layer, x) + 0 * (x.clone() * x.clone())


@pytest.mark.parametrize("path", ["reference", "fast"])
def test_an_extra_wait_for_the_device_is_counted(path):
    """On the executing accelerator: one more read in each of three steps, where the scope says that there is none."""
    clean, planted = (children.answer(waits, path) for waits in (children.waits, children.waits_with_a_planted_read))

    assert clean["train_s"] | {"item": 3} == planted["train_s"]
