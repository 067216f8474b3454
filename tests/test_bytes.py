"""The closed-form byte count is the real network's, to the byte."""

from itertools import product

import pytest
import torch
from builders import make_experiment
from torch.nn.functional import cross_entropy

from resnet18.spec.metric import least_training_bytes, parameter_count, saved_bytes_per_image
from resnet18.training.model import ResNet18, build_model
from resnet18.training.results import parameter_count as counted
from resnet18.training.setup import build_optimizer

MIB = 2**20
OPTIMIZERS = [
    {"name": "sgd", "lr": 0.1},
    {"name": "sgd", "lr": 0.1, "momentum": 0.9},
    {"name": "adam", "lr": 0.1},
    {"name": "adamw", "lr": 0.1},
    {"name": "rmsprop", "lr": 0.1},
    {"name": "rmsprop", "lr": 0.1, "momentum": 0.9},
    {"name": "adadelta", "lr": 0.1},
    {"name": "asgd", "lr": 0.1},
]


pytestmark = pytest.mark.usefixtures("one_thread")  # more do not help at these sizes


def saved_by_autograd(model, images):
    """Bytes of all distinct storages that autograd keeps for a step, the model's own left out."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)  # held, so that no address is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        labels = torch.zeros(len(images), dtype=torch.long)
        loss = cross_entropy(model(images), labels)
    assert loss.requires_grad
    return sum(size for size, _ in kept.values())


@pytest.mark.parametrize(("stem", "width", "size"), list(product(["imagenet", "cifar"], [4, 16], [8, 31, 32, 33, 96])))
def test_saved_bytes_per_image_are_the_real_networks(stem, width, size):
    model = ResNet18(stem, width).train()
    two, three = (saved_by_autograd(model, torch.zeros(count, 3, size, size)) for count in (2, 3))

    assert three - two == saved_bytes_per_image(stem, width, size)


@pytest.mark.parametrize(
    ("stem", "size", "mib"), [("imagenet", 32, 0.45), ("cifar", 32, 4.49), ("imagenet", 224, 21.16)]
)
def test_saved_bytes_of_resnet18_have_the_published_size(stem, size, mib):
    """In MiB per image. The figures were measured at batch 4 with batch norm's statistics: 0.02 MiB more at 64 wide."""
    assert mib == pytest.approx(saved_bytes_per_image(stem, 64, size) / MIB, abs=0.02)


@pytest.mark.parametrize(("stem", "width"), list(product(["imagenet", "cifar"], [1, 4, 16, 64])))
def test_parameters_are_counted_as_the_network_has_them(stem, width):
    assert counted(build_model(make_experiment(stem=stem, width=width))) == parameter_count(stem, width)


def test_resnet18_has_11181642_parameters():
    assert 11_181_642 == parameter_count("imagenet", 64)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda one: f"{one['name']} {one.get('momentum', '')}")
def test_optimizer_state_is_what_torch_keeps_after_a_step(optimizer):
    """Tensors of the parameter's own shape; the counters of steps are scalars."""
    spec = make_experiment(optimizer=optimizer).optimizer
    parameter = torch.nn.Parameter(torch.ones(3, 2))
    made = build_optimizer(spec, [parameter])
    parameter.grad = torch.ones(3, 2)
    made.step()
    kept = [one for one in made.state[parameter].values() if torch.is_tensor(one) and one.shape == parameter.shape]

    assert len(kept) == spec.state_tensors


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (  # weights and two moments of Adam, and what 32 images save
            {"batch_size": 32, "image_size": 224, "optimizer": {"name": "adam", "lr": 0.001}},
            3 * 4 * 11_181_642 + 32 * saved_bytes_per_image("imagenet", 64, 224),
        ),
        ({"batch_size": 1}, 2 * 4 * 11_181_642),  # weights, and gradients, which are larger than what one image saves
    ],
)
def test_the_bound_is_weights_state_and_the_larger_of_gradients_and_saved_tensors(changes, expected):
    assert expected == least_training_bytes(make_experiment(width=64, **changes))
