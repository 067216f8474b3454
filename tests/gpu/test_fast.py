"""The fast path on a real GPU: images to the bit, and one graph a step against eager steps."""

import pytest
import torch
from builders import make_experiment
from test_batched import KEY, LARGE, LISTS, MANY, batched_pipeline, operations, pictures

from resnet18.data.dataset import read_embedded
from resnet18.measure import Clock
from resnet18.spec.experiment import Execution
from resnet18.training.device import ready_device, synchronize
from resnet18.training.loop import train
from resnet18.training.results import EpochResult
from resnet18.training.setup import Setup, set_up


@pytest.mark.parametrize(("size", "count"), [(32, MANY), (224, LARGE)])
@pytest.mark.parametrize("items", LISTS.values(), ids=LISTS)
def test_images_made_on_the_gpu_have_the_bits_of_the_cpu(items, size, count):
    images, rows = torch.from_numpy(pictures(count)), torch.arange(count)
    expected, actual = (
        batched_pipeline(operations(items), **KEY, images=count, native=32, size=size, device=torch.device(device))(
            images, rows
        )
        for device in ("cpu", "cuda")
    )

    assert torch.equal(expected, actual.cpu())


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop", "adadelta", "asgd"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "schedule",
    [{"name": "step", "every": 1, "factor": 0.1, "first_epoch": 1}, {"name": "cosine", "warmup_epochs": 0.5}],
    ids=lambda one: one["name"],
)
def test_a_graph_gives_the_losses_of_eager_steps(name, precision, schedule, monkeypatch):
    """Two epochs of 25 steps, the last batch short, the rate cut between them or changed with every step.

    With deterministic algorithms.
    """
    found = []
    for graphed in (False, True):
        monkeypatch.setattr(Setup, "is_graphed", property(lambda _, graphed=graphed: graphed))
        execution = Execution(device="cuda", path="fast", precision=precision, deterministic=True)
        experiment = make_experiment(
            optimizer={"name": name, "lr": 1e-4},
            schedule=schedule,
            train_images=390,
            epochs=2,
            width=16,
        )
        device = ready_device(execution)
        setup = set_up(experiment, execution, read_embedded(), device)
        epochs = train(setup, Clock(lambda device=device: synchronize(device)))
        found.append([one.epoch.train.loss for one in epochs if isinstance(one, EpochResult)])

    assert found[0] == pytest.approx(found[1], rel=1e-5 if precision == "fp32" else 1e-2)
