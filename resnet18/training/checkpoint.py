"""The state of a training between two steps: JSON values, and arrays of numbers. Nothing is pickled.

Neither a random generator nor the schedule has a state to keep: both are functions of seed, epoch and image.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any

import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from resnet18.measure import SCOPES, Clock
from resnet18.spec.errors import IntegrityError
from resnet18.spec.strict import Model
from resnet18.training.fast.state import full_optimizer_state, full_state, load_full_optimizer_state, load_full_state
from resnet18.training.results import Position, Tally
from resnet18.training.setup import Setup

Whole = Annotated[int, Field(ge=0)]
MODEL, OPTIMIZER = "model/", "optimizer/"
Arrays = Mapping[str, NDArray[Any]]
"""By name: `model/NAME` for parameters and buffers, `optimizer/INDEX/KEY` for what it keeps of each parameter."""


class Moment(Model):
    """The JSON part: the position, the epoch's sums so far, and what the clock had counted of it."""

    epoch: Annotated[int, Field(ge=1)]
    steps: Whole
    loss_sum: float
    correct: Whole
    images: Whole
    last_loss: float | None
    clock_ns: dict[str, Whole]
    scaler: dict[str, int | float]

    @property
    def position(self) -> Position:
        """Where the training goes on."""
        return Position(self.epoch, self.steps, Tally(self.loss_sum, self.correct, self.images), self.last_loss)


def snapshot(setup: Setup, position: Position, clock: Clock) -> tuple[Moment, Arrays]:
    """Return the state at a position that `train` has just yielded.

    On the CPU the arrays are the tensors' own memory: write them before the next step.
    """
    tally = position.tally
    moment = Moment(
        epoch=position.epoch,
        steps=position.steps,
        loss_sum=tally.loss_sum,
        correct=tally.correct,
        images=tally.images,
        last_loss=position.last_loss,
        clock_ns=dict(clock.total_ns),
        scaler=setup.scaler.state_dict(),
    )
    tensors = {f"{MODEL}{name}": tensor for name, tensor in full_state(setup.model).items()}
    for index, kept in full_optimizer_state(setup.optimizer, setup.model).items():
        tensors |= {f"{OPTIMIZER}{index}/{key}": value for key, value in kept.items() if value is not None}
    return moment, {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}


def restore(setup: Setup, clock: Clock, moment: Moment, arrays: Arrays) -> Position:
    """Put a state back into a setup that was built from the same spec, and return where to go on.

    Raises:
        IntegrityError: the state does not fit the setup, which is left as it was.
    """
    _check(setup, moment, arrays)
    model = {name.removeprefix(MODEL): torch.from_numpy(array) for name, array in arrays.items() if MODEL in name}
    load_full_state(setup.model, model)
    state: dict[int, dict[str, Tensor]] = {}
    for index, key in _kept(arrays):
        state.setdefault(int(index), {})[key] = torch.from_numpy(arrays[f"{OPTIMIZER}{index}/{key}"])
    load_full_optimizer_state(setup.optimizer, setup.model, state)
    if setup.scaler.is_enabled():
        setup.scaler.load_state_dict(dict(moment.scaler))
    clock.total_ns = dict(moment.clock_ns)
    return moment.position


def _check(setup: Setup, moment: Moment, arrays: Arrays) -> None:
    """Raise IntegrityError for a state of something else, before anything of the setup is changed."""
    own = {f"{MODEL}{name}": tuple(tensor.shape) for name, tensor in full_state(setup.model).items()}
    given = {name: array.shape for name, array in arrays.items() if name.startswith(MODEL)}
    if own != given:
        raise IntegrityError("checkpoint", "is of another network")
    others = [name for name in arrays if not re.fullmatch(r"model/.*|optimizer/\d{1,4}/\w+", name, re.ASCII)]
    parameters = len(list(setup.model.parameters()))
    if others or any(int(index) >= parameters for index, _ in _kept(arrays)):
        raise IntegrityError("checkpoint", "holds arrays that neither the network nor the optimizer has")
    if set(moment.clock_ns) != set(SCOPES) or setup.scaler.is_enabled() != bool(moment.scaler):
        raise IntegrityError("checkpoint", "is of another clock or precision")


def _kept(arrays: Arrays) -> list[tuple[str, str]]:
    """Return (index of the parameter, key) of every array of the optimizer."""
    names = [name.removeprefix(OPTIMIZER).split("/") for name in arrays if name.startswith(OPTIMIZER)]
    return [(index, key) for index, key in names]
