"""A training that is stopped between any two steps and goes on in a fresh setup gives the same bits."""

import itertools
import json
from dataclasses import asdict, replace

import builders
import numpy as np
import pytest
import torch
from builders import OPTIMIZERS
from test_checkpoints import make_checkpoint

from resnet18.execution.worker import check_place
from resnet18.measure import SCOPES, Clock
from resnet18.spec.errors import IntegrityError
from resnet18.spec.experiment import Execution
from resnet18.training.loop import train
from resnet18.training.results import START, Position, parameters_sha256, restore, snapshot

MOMENTUM, ADAM = {"name": "sgd", "lr": 0.05, "momentum": 0.9}, {"name": "adam", "lr": 0.01}
STEPS = 3
"""Of an epoch: 40 images in batches of 16, the last one short."""
HALVED = {"name": "step", "every": 1, "factor": 0.5, "first_epoch": 1}
OF_EACH_STEP = [{"name": "cosine", "warmup_epochs": 0.5}, {"name": "one_cycle", "max_lr": 0.05}]
REFERENCE, FAST = {}, {"path": "fast"}
ALL = [REFERENCE, {"memory_format": "channels_last"}, FAST, {**FAST, "precision": "bf16"}]
WAYS = [
    *itertools.product([1, STEPS, STEPS + 1, 2 * STEPS], [MOMENTUM, ADAM], [HALVED], [REFERENCE]),
    *itertools.product([STEPS + 1], OPTIMIZERS, [HALVED], ALL),
    *itertools.product([1, STEPS + 2], [MOMENTUM], OF_EACH_STEP, [REFERENCE, FAST]),
]
pytestmark = pytest.mark.usefixtures("one_thread")  # equal bits need an equal number of threads


def make_setup(optimizer=MOMENTUM, schedule=HALVED, execution=REFERENCE):
    """Three epochs on augmented images."""
    augmentation = [{"name": "random_resized_crop"}, {"name": "random_horizontal_flip"}, {"name": "to_tensor"}]
    changes = {"optimizer": optimizer, "schedule": schedule, "augmentation": augmentation}
    return builders.make_setup(Execution(**execution), **changes, epochs=3, width=16 if execution else 2)


def outcome(setup, moments):
    """What the epochs gave, without their times, and the digest of the parameters."""
    results = [one for one in moments if isinstance(one, tuple)]
    untimed = dict.fromkeys(SCOPES, 0.0)
    epochs = [(replace(epoch, **untimed), predictions.tobytes()) for epoch, predictions in results]
    return epochs, parameters_sha256(setup.model)


def saved_after(setup, steps):
    """Train so many steps; return what is saved then, as a file would give it back."""
    clock = Clock(lambda: None)
    positions = (one for one in train(setup, clock) if isinstance(one, Position))
    moment, arrays = snapshot(setup, next(itertools.islice(positions, steps - 1, None)), clock)
    return json.loads(json.dumps(moment)), {name: np.array(array) for name, array in arrays.items()}


def whole_of(setup):
    return outcome(setup, train(setup, Clock(lambda: None)))


def continued(setup, saved):
    """Put a state into a setup and train on; return where that began, and the outcome."""
    clock = Clock(lambda: None)
    begin = restore(setup, clock, *saved)
    return begin, outcome(setup, train(setup, clock, begin))


@pytest.mark.parametrize(("steps", "optimizer", "schedule", "execution"), WAYS, ids=str)
def test_going_on_gives_the_bits_of_a_training_in_one_piece(steps, optimizer, schedule, execution):
    """Stopped inside an epoch, at its end and after: the same epochs and parameters."""
    setups = [make_setup(optimizer, schedule, execution) for _ in range(3)]
    results, parameters = whole_of(setups[0])
    begin, (rest, ended) = continued(setups[1], saved_after(setups[2], steps))

    assert (results, parameters) == (results[: begin.epoch - 1] + rest, ended)


@pytest.mark.parametrize("lost", ["optimizer/0/momentum_buffer", "model/bn1.running_mean", "position"])
def test_each_part_of_the_state_matters(lost):
    moment, arrays = saved_after(make_setup(), STEPS + 1)
    if lost == "position":
        moment["position"] = asdict(START)
    else:
        arrays[lost][:] = 0
    _, (_, ended) = continued(make_setup(), (moment, arrays))

    assert whole_of(make_setup())[1] != ended


def test_the_epochs_times_go_on_where_they_stood():
    moment, arrays = saved_after(make_setup(), 1)
    moment["clock_ns"]["train_s"] = 7_000_000_000_000
    second, clock = make_setup(), Clock(lambda: None)
    begin = restore(second, clock, moment, arrays)
    first, _ = next(one for one in train(second, clock, begin) if isinstance(one, tuple))

    assert 7_000 < first.train_s < 7_060


def test_a_loss_scale_goes_on_where_it_stood():
    setups = []
    for scaler in (torch.amp.GradScaler("cpu", init_scale=64.0), torch.amp.GradScaler("cpu")):
        setups.append(make_setup())
        object.__setattr__(setups[-1], "scaler", scaler)
    first, second = setups
    restore(second, Clock(lambda: None), *saved_after(first, 1))

    assert first.scaler.state_dict() == second.scaler.state_dict()


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays.pop("model/fc.weight"),
        lambda arrays: arrays.update({"model/fc.weight": np.zeros((10, 17), np.float32)}),
        lambda arrays: arrays.update({"optimizer/99/momentum_buffer": np.zeros(1, np.float32)}),
        lambda arrays: arrays.update({"optimizer/0": np.zeros(1, np.float32)}),
        lambda arrays: arrays.update({"other/0/x": np.zeros(1, np.float32)}),
    ],
    ids=["missing", "other shape", "no such parameter", "no key", "other part"],
)
def test_a_state_of_something_else_is_refused_and_changes_nothing(change):
    moment, arrays = saved_after(make_setup(), 1)
    change(arrays)
    second = make_setup()
    with pytest.raises(IntegrityError, match="checkpoint: "):
        restore(second, Clock(lambda: None), moment, arrays)

    assert parameters_sha256(make_setup().model) == parameters_sha256(second.model)
    assert {} == dict(second.optimizer.state)


@pytest.mark.parametrize(
    "change",
    [
        lambda position: position.update(epoch=2),
        lambda position: position.update(steps=2),
        lambda position: position.update(steps=9),
        lambda position: position["tally"].update(images=40),
        lambda position: position["tally"].update(correct=17),
        lambda position: position.pop("tally"),
        lambda position: position.clear(),
    ],
)
def test_a_checkpoint_whose_epochs_do_not_lead_to_its_position_is_refused(change):
    setup = make_setup()
    moment, _ = saved_after(setup, 1)
    good = make_checkpoint().head.model_copy(update={"training": json.loads(json.dumps(moment))})
    check_place(good, setup)
    change(moment["position"])
    with pytest.raises(IntegrityError, match="checkpoint: "):
        check_place(good.model_copy(update={"training": moment}), setup)
    with pytest.raises(IntegrityError, match="checkpoint: "):
        check_place(good.model_copy(update={"epochs": (builders.make_epoch(2),)}), setup)
