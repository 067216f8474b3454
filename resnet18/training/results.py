"""What training hands out: its position between two steps and how that is saved, results of an epoch and of a run.

What is saved is JSON values and arrays of numbers; nothing is pickled. Neither a random generator nor the schedule has
a state to keep: both are functions of seed, epoch and image.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError
from torch import Tensor, nn

from resnet18.measure import SCOPES, Clock
from resnet18.records.record import Epoch, Sample, Score, Summary
from resnet18.spec.errors import IntegrityError
from resnet18.training.fast.trimmed import full_optimizer_state, load_full_optimizer_state
from resnet18.training.model import CLASSES
from resnet18.training.setup import Setup

SAMPLES = 6
LEAST_STEPS = 1_000
"""Updates before a network is expected to show anything: a smoke run makes 64, and slow optimizers need more."""
DEVIATIONS = 3
"""Binomial standard errors above chance that no guessing reaches (once in 700 times)."""
Whole = Annotated[int, Field(ge=0)]
Arrays = Mapping[str, NDArray[Any]]
"""By name: `model/NAME` for parameters and buffers, `optimizer/INDEX/KEY` for what it keeps of each parameter."""


class DivergedError(Exception):
    """The loss became infinite or no number: the network is lost."""


@dataclass(frozen=True)
class Tally:
    """Sums over a set of images."""

    loss_sum: float = 0.0
    correct: Whole = 0
    images: Whole = 0

    def add(self, mean_loss: float, correct: int, images: int) -> "Tally":
        """Return the sums with a batch added, weighted by its size: the last batch may be short."""
        return Tally(self.loss_sum + mean_loss * images, self.correct + correct, self.images + images)

    @property
    def score(self) -> Score:
        """The mean loss and the hits."""
        return Score(loss=self.loss_sum / self.images, correct=self.correct, images=self.images)


class EpochEnd(NamedTuple):
    """What an epoch gave, and the predicted class of each evaluated test image (clean)."""

    result: Epoch
    predictions: NDArray[np.uint8]


@dataclass(frozen=True)
class Position:
    """Where training stands between two steps: with the tensors of the setup, all that it takes to go on."""

    epoch: Annotated[int, Field(ge=1)] = 1
    steps: Whole = 0
    """Steps that this epoch has made."""
    tally: Tally = Tally()
    """Over the images of those steps."""
    last_loss: float | None = None

    def after_step(self, mean_loss: float, correct: int, images: int) -> "Position":
        """Return the position after one more step; DivergedError where the loss is no finite number."""
        if not math.isfinite(mean_loss):
            where = f"epoch {self.epoch}, step {self.steps + 1} (the loss before: {self.last_loss})"
            raise DivergedError(f"loss {mean_loss} in {where}")
        return Position(self.epoch, self.steps + 1, self.tally.add(mean_loss, correct, images), mean_loss)


START = Position()


@dataclass(frozen=True)
class Moment:
    """The JSON part of a saved state."""

    position: Position
    clock_ns: dict[str, Whole]
    """What the clock had counted of the epoch."""
    scaler: dict[str, int | float]


def snapshot(setup: Setup, position: Position, clock: Clock) -> tuple[dict[str, Any], Arrays]:
    """Return the state at a position that `train` has just yielded: JSON values, and arrays.

    On the CPU the arrays are the tensors' own memory: write them before the next step.
    """
    moment = asdict(Moment(position, dict(clock.total_ns), setup.scaler.state_dict()))
    tensors = {f"model/{name}": tensor for name, tensor in setup.model.state_dict().items()}
    for index, kept in full_optimizer_state(setup.optimizer, setup.model).items():
        tensors |= {f"optimizer/{index}/{key}": value for key, value in kept.items() if value is not None}
    return moment, {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}


def restore(setup: Setup, clock: Clock, saved: Mapping[str, Any], arrays: Arrays) -> Position:
    """Put a state back into a setup that was built from the same spec, and return where to go on.

    Raises IntegrityError where the state does not fit the setup, which is left as it was.
    """
    try:
        moment = TypeAdapter(Moment).validate_python(saved)
    except ValidationError as error:
        raise IntegrityError("checkpoint", "says no position of a training") from error
    model: dict[str, Tensor] = {}
    state: dict[int, dict[str, Tensor]] = {}
    indices = {str(index) for index, _ in enumerate(setup.model.parameters())}
    for name, array in arrays.items():
        match name.split("/"):
            case ["model", key]:
                model[key] = torch.from_numpy(array)
            case ["optimizer", index, key] if index in indices:
                state.setdefault(int(index), {})[key] = torch.from_numpy(array)
            case _:
                raise IntegrityError("checkpoint", "holds arrays that neither the network nor the optimizer has")
    own = setup.model.state_dict()
    if own.keys() != model.keys() or any(own[name].shape != model[name].shape for name in own):
        raise IntegrityError("checkpoint", "is of another network")
    if set(moment.clock_ns) != set(SCOPES) or setup.scaler.is_enabled() != bool(moment.scaler):
        raise IntegrityError("checkpoint", "is of another clock or precision")
    setup.model.load_state_dict(model)
    load_full_optimizer_state(setup.optimizer, setup.model, state)
    if setup.scaler.is_enabled():
        setup.scaler.load_state_dict(dict(moment.scaler))
    clock.total_ns = dict(moment.clock_ns)
    return moment.position


def conclude(setup: Setup, predictions: NDArray[np.uint8]) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """Return what a record says of the trained network, under its own keys, and the pixels of its samples.

    `predictions` [n] are the classes of the last test subset (clean). The samples are six images spread evenly over
    it; their pixels [6, side, side, 3] are as the data set stores them.
    """
    indices = setup.test_indices_last
    labels = setup.data.test.labels[indices]
    confusion = np.zeros((len(setup.data.classes), CLASSES), dtype=np.int64)
    np.add.at(confusion, (labels, predictions), 1)
    spread = np.linspace(0, len(indices) - 1, SAMPLES).astype(int)
    found = {
        "confusion": tuple(tuple(row) for row in confusion.tolist()),
        "samples": tuple(
            Sample(index=int(indices[at]), label=int(labels[at]), prediction=int(predictions[at])) for at in spread
        ),
        "summary": Summary(
            parameters_sha256=parameters_sha256(setup.model),
            predictions_sha256=hashlib.sha256(predictions.tobytes()).hexdigest(),
        ),
    }
    return found, setup.data.test.images[indices[spread]]


def parameters_sha256(model: nn.Module) -> str:
    """Return the SHA-256 of all parameters and buffers, unseen weights too: names, then little-endian bytes."""
    total = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        total.update(f"{name} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()


def parameter_count(model: nn.Module) -> int:
    """Return the number of trainable parameters, unseen weights too."""
    state = model.state_dict()
    return sum(state[name].numel() for name, _ in model.named_parameters())


def learned_nothing(setup: Setup, last: Epoch) -> bool:
    """Return whether the last epoch told neither training nor clean test images apart, given time enough."""
    train, test = setup.data.train.labels[setup.train_indices], setup.data.test.labels[setup.test_indices_last]
    has_had_time = last.epoch * last.steps >= LEAST_STEPS
    return has_had_time and is_at_chance(last.train, train) and is_at_chance(last.clean, test)


def is_at_chance(score: Score, labels: NDArray[np.integer]) -> bool:
    """Return whether the hits are no more than always naming the commonest label would get, by three errors."""
    chance = float(np.bincount(labels).max()) / len(labels)
    error = math.sqrt(score.images * chance * (1 - chance))
    return score.correct <= score.images * chance + DEVIATIONS * error
