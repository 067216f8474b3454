"""One training step, and one epoch of input."""

import numpy as np
import pytest
import torch
from builders import make_experiment
from torch.nn.functional import cross_entropy

from resnet18.data.dataset import read_embedded
from resnet18.spec.experiment import Execution
from resnet18.training.augment import build_pipeline
from resnet18.training.feed import batches
from resnet18.training.setup import set_up

CROP_ROTATION_FLIP = [
    {"name": "random_resized_crop", "scale_min": 0.5},
    {"name": "random_rotation", "degrees": 30.0},
    {"name": "random_horizontal_flip"},
    {"name": "to_tensor"},
    {"name": "normalize"},
]


@pytest.mark.parametrize(
    ("width", "size", "batch"),
    [(16, 32, 32), (64, 32, 32), (64, 224, 32)],
    ids=["smoke-width16-32px", "width64-32px", "width64-224px"],
)
def test_training_step(benchmark, width, size, batch):
    """Forward, backward and Adam on a batch that is already there."""
    experiment = make_experiment(width=width, image_size=size, optimizer={"name": "adam", "lr": 0.001})
    setup = set_up(experiment, Execution(), read_embedded(), torch.device("cpu"))
    images, labels = torch.rand(batch, 3, size, size), torch.arange(batch) % 10

    def step():
        setup.optimizer.zero_grad()
        cross_entropy(setup.model(images), labels).backward()
        setup.optimizer.step()

    benchmark.extra_info["images"] = batch
    benchmark.pedantic(step, rounds=5, warmup_rounds=1)


@pytest.mark.parametrize("size", [32, 224], ids=["1000-images-32px", "1000-images-224px"])
def test_epoch_of_input(benchmark, size):
    """1,000 images through crop, rotation, flip, tensor and normalize, with the drawing of their parameters."""
    data = read_embedded()
    operations = make_experiment(augmentation=CROP_ROTATION_FLIP).augmentation

    def epoch():
        pipeline = build_pipeline(
            operations, seed=0, purpose="train-augmentation", epoch=1, images=4_000, native=32, size=size
        )
        return sum(len(labels) for _, labels in batches(data.train, np.arange(1_000), pipeline, 32, 0))

    benchmark.extra_info["images"] = 1_000
    assert benchmark.pedantic(epoch, rounds=3, warmup_rounds=1) == 1_000
