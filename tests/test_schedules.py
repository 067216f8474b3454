"""Learning rates are torch's, from the number of the step alone."""

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from resnet18.spec.optimizer import Cosine, OneCycle

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


@pytest.mark.parametrize(
    ("warm_up", "keys"),
    [
        (0, {"final_factor": 0.01}),
        (0, {"final_factor": 1.0}),
        (0, {"warmup_epochs": 0.01}),
        (92, {"warmup_epochs": 2.5, "final_factor": 0.1}),
        (444, {"warmup_epochs": 12.0}),
        (481, {"warmup_epochs": 13.0}),
    ],
    ids=str,
)
def test_a_cosine_has_torchs_rates_after_a_warm_up_in_a_straight_line_from_0(warm_up, keys):
    """A long warm-up leaves none to the cosine."""
    line = [LR * step / warm_up for step in range(warm_up)][: STEPS * EPOCHS]
    left = STEPS * EPOCHS - len(line)
    expected = line + theirs(CosineAnnealingLR, left, T_max=left, eta_min=LR * keys.get("final_factor", 0))

    assert expected == pytest.approx(ours(Cosine(**keys)), **EXACTLY)


@pytest.mark.parametrize(
    "keys",
    [{}, {"pct_start": 0.0}, {"pct_start": 1.0}, {"pct_start": 0.5, "div_factor": 10.0, "final_div_factor": 0.5}],
    ids=str,
)
@pytest.mark.parametrize("steps", [STEPS * EPOCHS, 3])
def test_one_cycle_has_torchs_rates(keys, steps):
    expected = theirs(OneCycleLR, steps, max_lr=LR, total_steps=steps, cycle_momentum=False, **keys)

    assert expected == pytest.approx(ours(OneCycle(max_lr=LR, **keys), steps, 1), **EXACTLY)
