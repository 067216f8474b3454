"""The closed-form byte count, for the audit: weights are the real network's, saved tensors those of its forecast."""

from itertools import product

import pytest
from builders import make_experiment

from resnet18.spec.metric import least_training_bytes, parameter_count, saved_bytes_per_image
from resnet18.training.model import build_model

ADAM = {"batch_size": 32, "image_size": 224, "optimizer": {"name": "adam", "lr": 0.001}}


@pytest.mark.parametrize(("stem", "width"), list(product(["imagenet", "cifar"], [1, 4, 64])))
def test_parameters_are_counted_as_the_network_has_them(stem, width):
    model = build_model(make_experiment(stem=stem, width=width))

    assert sum(parameter.numel() for parameter in model.parameters()) == parameter_count(stem, width)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [  # weights and two moments of Adam, and what 32 images save; weights and gradients, more than one image saves
        (ADAM, 3 * 4 * 11_181_642 + 32 * saved_bytes_per_image("imagenet", 64, 224)),
        ({"batch_size": 1}, 2 * 4 * 11_181_642),
    ],
)
def test_the_bound_is_weights_state_and_the_larger_of_gradients_and_saved_tensors(changes, expected):
    assert expected == least_training_bytes(make_experiment(width=64, **changes))
