"""Regressions planted into the real training: the check finds each, by one run, and names what differs."""

import pytest
from builders import embedded, make_experiment, make_identity, make_job, make_run

from resnet18.execution import worker
from resnet18.gate.check import Sides, check
from resnet18.records.store import Store
from resnet18.spec import optimizer
from resnet18.spec.benchmark import Gate
from resnet18.spec.experiment import Execution
from resnet18.training import augment, model

FLIPPED = [{"name": "random_horizontal_flip", "p": 0.2}, {"name": "to_tensor"}]
STEPS = {"name": "step", "every": 1, "factor": 0.1, "first_epoch": 1}
uniform, random_words, rate = augment.uniform, model.random_words, optimizer.Step.rate
PLANTS = [
    (augment, "uniform", lambda words: 1 - uniform(words), 1),  # flips what was not flipped
    (model, "random_words", lambda seed, name, *shape: random_words(seed, name, *shape) * ("fc" not in name), 1),
    (optimizer.Step, "rate", lambda self, lr, step, *of: rate(self, lr, max(0, step - of[0]), *of), 2),  # an epoch late
]
pytestmark = pytest.mark.usefixtures("one_thread")


def trained(folder):
    """Return the record of a small run that the worker itself carries out."""
    experiment = make_experiment(augmentation=FLIPPED, test_augmentation=FLIPPED, schedule=STEPS, epochs=2)
    Store(folder).make_writable()
    run = make_run(experiment, Execution(path="fast", threads=1))
    worker.run_job(make_job(folder, run, identity=make_identity(embedded().sha256)), lambda _: None)
    return Store(folder).read().records


@pytest.fixture(scope="module")
def baseline(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("baseline"))


def bits(baseline, head):
    found = check(Sides({"case": head}, {"case": baseline}), Gate())
    return next(finding.says for finding in found if finding.metric == "bits")


def test_nothing_planted_is_nothing_found(baseline, tmp_path):
    assert bits(baseline, trained(tmp_path)).startswith("equal to the last bit for 1 of 1 seeds")


@pytest.mark.parametrize("plant", PLANTS, ids=["flip", "initialisation", "schedule"])
def test_a_change_of_training_is_found_by_its_first_epoch(plant, baseline, tmp_path, monkeypatch):
    owner, name, changed, epoch = plant
    monkeypatch.setattr(owner, name, changed)

    assert bits(baseline, trained(tmp_path)).startswith(f"seed 0: epoch.{epoch}.train.loss: ")
