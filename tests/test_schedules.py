"""Schedules that change with every step: torch's rates, from the number of the step alone."""

import pytest
import torch
from builders import epochs_of, make_experiment
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from resnet18.data.dataset import read_embedded
from resnet18.spec.experiment import Execution
from resnet18.spec.optimizer import Constant, Cosine, OneCycle, Step
from resnet18.training.setup import build_optimizer, set_up

pytestmark = pytest.mark.usefixtures("one_thread")
LR = 0.1
STEPS, EPOCHS = 37, 12
EXACTLY = {"rel": 1e-12, "abs": 0}


def ours(schedule, steps=STEPS, epochs=EPOCHS):
    return [schedule.rate(LR, step, steps, epochs) for step in range(steps * epochs)]


def theirs(scheduler, steps, **arguments):
    """The rate that torch's scheduler gives to each step."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    scheduler = scheduler(optimizer, **arguments)
    found = []
    for at in range(steps):
        if at:
            optimizer.step()
            scheduler.step()
        found.append(optimizer.param_groups[0]["lr"])
    return found


@pytest.mark.parametrize("final_factor", [0.0, 0.01, 1.0])
def test_a_cosine_has_torchs_rates(final_factor):
    expected = theirs(CosineAnnealingLR, STEPS * EPOCHS, T_max=STEPS * EPOCHS, eta_min=LR * final_factor)

    assert expected == pytest.approx(ours(Cosine(final_factor=final_factor)), **EXACTLY)


@pytest.mark.parametrize(("warmup_epochs", "warm_up"), [(1, 37), (2.5, 92), (0.01, 0)])
def test_a_warm_up_rises_from_0_in_a_straight_line_and_the_cosine_takes_the_steps_left(warmup_epochs, warm_up):
    left = STEPS * EPOCHS - warm_up
    expected = [LR * step / warm_up for step in range(warm_up)] + theirs(CosineAnnealingLR, left, T_max=left)

    assert expected == pytest.approx(ours(Cosine(warmup_epochs=warmup_epochs)), **EXACTLY)


@pytest.mark.parametrize("epochs", [3, 4])
def test_a_run_that_is_no_longer_than_its_warm_up_ends_in_it(epochs):
    line = [LR * step / (4 * STEPS) for step in range(epochs * STEPS)]

    assert line == pytest.approx(ours(Cosine(warmup_epochs=4.0), epochs=epochs), **EXACTLY)


@pytest.mark.parametrize(
    "keys",
    [{}, {"pct_start": 0.0}, {"pct_start": 1.0}, {"pct_start": 0.5, "div_factor": 10.0, "final_div_factor": 0.5}],
    ids=str,
)
@pytest.mark.parametrize("steps", [STEPS * EPOCHS, 3])
def test_one_cycle_has_torchs_rates(keys, steps):
    expected = theirs(OneCycleLR, steps, max_lr=LR, total_steps=steps, cycle_momentum=False, **keys)

    assert expected == pytest.approx(ours(OneCycle(max_lr=LR, **keys), steps, 1), **EXACTLY)


@given(
    st.just(Constant()) | st.builds(Step, every=st.integers(1, 5), factor=st.floats(0.1, 1), first_epoch=st.just(1)),
    st.integers(1, 40),
    st.integers(1, 20),
)
def test_the_schedules_of_epochs_hold_one_rate_through_each(schedule, steps, epochs):
    expected = [LR * schedule.rate(1.0, epoch, 1, epochs) for epoch in range(epochs) for _ in range(steps)]

    assert expected == ours(schedule, steps, epochs)


def test_one_cycle_with_another_rate_than_the_optimizers_is_refused():
    with pytest.raises(ValidationError, match=r"optimizer.lr = 0.01 is not schedule.max_lr = 0.1"):
        make_experiment(optimizer={"name": "sgd", "lr": 0.01}, schedule={"name": "one_cycle", "max_lr": 0.1})


@pytest.mark.parametrize("keys", [{"name": "cosine", "warmup_epochs": 0.5}, {"name": "one_cycle", "max_lr": LR}])
@pytest.mark.parametrize("path", ["reference", "fast"])
def test_the_optimizer_has_the_rate_of_each_step_when_it_makes_it(keys, path):
    """In three epochs of three steps; the short last batch is a step, whose rate is that of the epoch's result."""
    experiment = make_experiment(optimizer={"name": "sgd", "lr": LR}, schedule=keys, epochs=3)
    setup, seen = set_up(experiment, Execution(path=path), read_embedded(), torch.device("cpu")), []
    setup.optimizer.register_step_pre_hook(lambda optimizer, *_: seen.append(optimizer.param_groups[0]["lr"]))
    results = list(epochs_of(setup))

    assert ours(setup.experiment.schedule, 3, 3) == seen
    assert seen[2::3] == [one.learning_rate for one in results]


@pytest.mark.parametrize(("path", "device"), [("fast", "cuda"), ("fast", "cpu"), ("reference", "cuda")])
@pytest.mark.parametrize("changes", [True, False])
def test_a_rate_is_a_tensor_only_where_a_graph_holds_the_step_and_the_rate_changes_in_it(path, device, changes):
    """On the fast path on CUDA; elsewhere it is a number, and what was trained with one keeps its bits."""
    spec = make_experiment(optimizer={"name": "asgd", "lr": 0.001}).optimizer
    optimizer = build_optimizer(spec, [torch.nn.Parameter(torch.zeros(2))], path, device, rate_changes=changes)
    rate = optimizer.param_groups[0]["lr"]

    assert (changes and (path, device) == ("fast", "cuda")) == isinstance(rate, torch.Tensor)
    assert 0.001 == pytest.approx(float(rate))
