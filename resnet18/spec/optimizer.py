"""Optimizers and learning-rate schedules: one class for each, with its keys and all that the suite knows about it.

Defaults are torch's, written out so that they are hashed.
"""

from math import cos, pi
from typing import Annotated, ClassVar, Literal, Self, get_args

from pydantic import Field, model_validator

from resnet18.spec.errors import Items, Model

LearningRate = Annotated[float, Field(gt=0, le=100)]
Share = Annotated[float, Field(ge=0, lt=1)]
Tiny = Annotated[float, Field(gt=0, le=1)]
Decay = Annotated[float, Field(ge=0, le=1)]


class TorchOptimizer(Model):
    """A class of `torch.optim` with its name. Its keys are the arguments; the rest says how that class behaves."""

    is_fused: ClassVar[bool] = False  # whether torch can update a parameter in one kernel, on a CPU and on CUDA
    counts_steps: ClassVar[bool] = True  # whether torch counts steps, which a CUDA graph needs on the device
    decays: ClassVar[tuple[str, ...]] = ("weight_decay",)  # the keys that move a weight whose gradient is 0
    lr: LearningRate
    weight_decay: Decay = 0.0


class SGD(TorchOptimizer):
    """Stochastic gradient descent, with momentum where `momentum` is above 0."""

    is_fused, counts_steps = True, False
    name: Literal["sgd"] = "sgd"
    momentum: Share = 0.0
    dampening: Share = 0.0
    nesterov: bool = False

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> Self:
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise ValueError("nesterov needs a momentum above 0 and no dampening")
        return self


class _TwoMoments(TorchOptimizer):
    is_fused = True
    betas: Annotated[Items[Share], Field(min_length=2, max_length=2)] = (0.9, 0.999)
    eps: Tiny = 1e-8


class Adam(_TwoMoments):
    """Adam (Kingma and Ba, 2014)."""

    name: Literal["adam"] = "adam"


class AdamW(_TwoMoments):
    """Adam whose weight decay is no part of the gradient (Loshchilov and Hutter, 2019)."""

    name: Literal["adamw"] = "adamw"
    weight_decay: Decay = 0.01


class RMSprop(TorchOptimizer):
    """RMSprop (Hinton's lecture notes, 2012)."""

    name: Literal["rmsprop"] = "rmsprop"
    alpha: Share = 0.99
    eps: Tiny = 1e-8
    momentum: Share = 0.0


class Adadelta(TorchOptimizer):
    """Adadelta (Zeiler, 2012)."""

    name: Literal["adadelta"] = "adadelta"
    rho: Share = 0.9
    eps: Tiny = 1e-6


class ASGD(TorchOptimizer):
    """Averaged stochastic gradient descent (Polyak and Juditsky, 1992); the average starts after `t0` steps."""

    decays = ("weight_decay", "lambd")
    name: Literal["asgd"] = "asgd"
    lambd: Decay = 1e-4
    alpha: Share = 0.75
    t0: Annotated[float, Field(ge=0)] = 1e6


Optimizer = Annotated[SGD | Adam | AdamW | RMSprop | Adadelta | ASGD, Field(discriminator="name")]
OPTIMIZERS: tuple[type[TorchOptimizer], ...] = get_args(get_args(Optimizer)[0])


class LearningRateSchedule(Model):
    """How the learning rate changes, as `rate(initial, step, steps_per_epoch, epochs)` of the arguments alone.

    `initial` is the optimizer's `lr`. Steps are counted from 0 over the whole run; the short last batch of an epoch is
    a step, too, and a step beyond the last has the rate at the end of the curve. `epochs` are those of the whole run.
    """

    changes_within_epochs: ClassVar[bool] = False  # otherwise the rate holds through an epoch


class Constant(LearningRateSchedule):
    """The learning rate never changes."""

    name: Literal["constant"] = "constant"

    def rate(self, initial: float, _step: int, _steps_per_epoch: int, _epochs: int) -> float:
        """Return the rate of a step."""
        return initial


class Step(LearningRateSchedule):
    """The rate is multiplied by `factor` after each epoch whose number is a multiple of `every`."""

    name: Literal["step"] = "step"
    every: Annotated[int, Field(ge=1, le=100_000)]
    factor: Annotated[float, Field(gt=0, le=1)]
    first_epoch: Annotated[int, Field(ge=0, le=1)]  # its number: from 0, the rate falls after the first epoch already

    def rate(self, initial: float, step: int, steps_per_epoch: int, _epochs: int) -> float:
        """Return the rate of a step."""
        finished = range(self.first_epoch, self.first_epoch + step // steps_per_epoch)
        return initial * float(self.factor ** sum(number % self.every == 0 for number in finished))


class Cosine(LearningRateSchedule):
    """The rate falls with every step, along half a cosine, from the optimizer's `lr` to `final_factor` times that.

    Loshchilov and Hutter (2017), without restarts: torch's CosineAnnealingLR over the steps that a warm-up leaves. Over
    `warmup_epochs` (rounded to whole steps), the rate rises in a straight line from 0.
    """

    changes_within_epochs = True
    name: Literal["cosine"] = "cosine"
    warmup_epochs: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    final_factor: Annotated[float, Field(ge=0, le=1)] = 0.0

    def rate(self, initial: float, step: int, steps_per_epoch: int, epochs: int) -> float:
        """Return the rate of a step."""
        warm_up, steps = round(self.warmup_epochs * steps_per_epoch), steps_per_epoch * epochs
        if step < warm_up:
            return initial * (step / warm_up)
        share = (step - warm_up) / (steps - warm_up) if step < steps else 1.0
        return initial * _along_a_cosine(1.0, self.final_factor, share)


class OneCycle(LearningRateSchedule):
    """One rise and one fall of the rate, each along half a cosine, step by step (Smith and Topin, 2018).

    Torch's OneCycleLR with cosine annealing and constant momentum: over the share `pct_start` of the steps from
    `max_lr` / `div_factor` to `max_lr`, then down to `max_lr` / `div_factor` / `final_div_factor` in the last step.
    """

    changes_within_epochs = True
    name: Literal["one_cycle"] = "one_cycle"
    max_lr: LearningRate
    pct_start: Annotated[float, Field(ge=0, le=1)] = 0.3
    div_factor: Annotated[float, Field(ge=1, le=1e12)] = 25.0
    final_div_factor: Annotated[float, Field(gt=0, le=1e12)] = 1e4

    def rate(self, _initial: float, step: int, steps_per_epoch: int, epochs: int) -> float:
        """Return the rate of a step; the highest rate need not fall on a whole step."""
        first, steps = self.max_lr / self.div_factor, steps_per_epoch * epochs
        peak, end = self.pct_start * steps - 1, steps - 1
        if step <= peak:
            return _along_a_cosine(first, self.max_lr, step / peak if peak else 1.0)
        share = (step - peak) / (end - peak) if step < end else 1.0
        return _along_a_cosine(self.max_lr, first / self.final_div_factor, share)


def _along_a_cosine(start: float, end: float, share: float) -> float:
    """Return what lies so far (0 to 1) from start to end, slow at both."""
    return end + (start - end) / 2 * (1 + cos(pi * share))


Schedule = Annotated[Constant | Step | Cosine | OneCycle, Field(discriminator="name")]
SCHEDULES: tuple[type[LearningRateSchedule], ...] = get_args(get_args(Schedule)[0])
