"""Optimizers and learning-rate schedules, as data. Defaults are torch's, written out so that they are hashed."""

from math import cos, pi
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from resnet18.spec.strict import Items, Model

LearningRate = Annotated[float, Field(gt=0, le=100)]
Share = Annotated[float, Field(ge=0, lt=1)]
Tiny = Annotated[float, Field(gt=0, le=1)]
Decay = Annotated[float, Field(ge=0, le=1)]


class SGD(Model):
    """Stochastic gradient descent, with momentum where `momentum` is above 0."""

    name: Literal["sgd"] = "sgd"
    lr: LearningRate
    momentum: Share = 0.0
    dampening: Share = 0.0
    nesterov: bool = False
    weight_decay: Decay = 0.0

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> Self:
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise ValueError("nesterov needs a momentum above 0 and no dampening")
        return self


class Adam(Model):
    """Adam (Kingma and Ba, 2014)."""

    name: Literal["adam"] = "adam"
    lr: LearningRate
    betas: Annotated[Items[Share], Field(min_length=2, max_length=2)] = (0.9, 0.999)
    eps: Tiny = 1e-8
    weight_decay: Decay = 0.0


class AdamW(Model):
    """Adam whose weight decay is no part of the gradient (Loshchilov and Hutter, 2019).

    A step takes `lr` times `weight_decay` of each weight away, however large its gradients have been.
    """

    name: Literal["adamw"] = "adamw"
    lr: LearningRate
    betas: Annotated[Items[Share], Field(min_length=2, max_length=2)] = (0.9, 0.999)
    eps: Tiny = 1e-8
    weight_decay: Decay = 0.01


class RMSprop(Model):
    """RMSprop (Hinton's lecture notes, 2012)."""

    name: Literal["rmsprop"] = "rmsprop"
    lr: LearningRate
    alpha: Share = 0.99
    eps: Tiny = 1e-8
    momentum: Share = 0.0
    weight_decay: Decay = 0.0


class Adadelta(Model):
    """Adadelta (Zeiler, 2012)."""

    name: Literal["adadelta"] = "adadelta"
    lr: LearningRate
    rho: Share = 0.9
    eps: Tiny = 1e-6
    weight_decay: Decay = 0.0


class ASGD(Model):
    """Averaged stochastic gradient descent (Polyak and Juditsky, 1992); the average starts after `t0` steps."""

    name: Literal["asgd"] = "asgd"
    lr: LearningRate
    lambd: Decay = 1e-4
    alpha: Share = 0.75
    t0: Annotated[float, Field(ge=0)] = 1e6
    weight_decay: Decay = 0.0


OPTIMIZERS = (SGD, Adam, AdamW, RMSprop, Adadelta, ASGD)
Optimizer = Annotated[SGD | Adam | AdamW | RMSprop | Adadelta | ASGD, Field(discriminator="name")]


class Constant(Model):
    """The learning rate never changes."""

    name: Literal["constant"] = "constant"


class Step(Model):
    """The rate is multiplied by `factor` after each epoch whose number is a multiple of `every`.

    `first_epoch` is the number that the first epoch bears. From 0, the first epoch is such a multiple: the rate
    falls after one epoch. From 1, it falls after epoch `every`. The report prints the rule, not the counting.
    """

    name: Literal["step"] = "step"
    every: Annotated[int, Field(ge=1, le=100_000)]
    factor: Annotated[float, Field(gt=0, le=1)]
    first_epoch: Annotated[int, Field(ge=0, le=1)]


class Cosine(Model):
    """The rate falls with every step, along half a cosine, from the optimizer's `lr` to `final_factor` times that.

    Loshchilov and Hutter (2017), without restarts: the curve of torch's CosineAnnealingLR over all steps of the run,
    whose last step is one short of the curve's end. A warm-up comes before it: over `warmup_epochs` (rounded to whole
    steps) the rate rises in a straight line, from 0 in the first step; the first step after it has the full rate, and
    the curve runs over the steps that are left. A run that is shorter than its warm-up ends in it.
    """

    name: Literal["cosine"] = "cosine"
    warmup_epochs: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    final_factor: Annotated[float, Field(ge=0, le=1)] = 0.0


class OneCycle(Model):
    """One rise and one fall of the rate, each along half a cosine, step by step (Smith and Topin, 2018).

    Torch's OneCycleLR with its cosine annealing, two phases, and the momentum left alone: over the share `pct_start`
    of the steps from `max_lr` / `div_factor` to `max_lr`, then down to `max_lr` / `div_factor` / `final_div_factor`,
    which the last step has. The optimizer's `lr` must be the same number as `max_lr`.
    """

    name: Literal["one_cycle"] = "one_cycle"
    max_lr: LearningRate
    pct_start: Annotated[float, Field(ge=0, le=1)] = 0.3
    div_factor: Annotated[float, Field(ge=1, le=1e12)] = 25.0
    final_div_factor: Annotated[float, Field(gt=0, le=1e12)] = 1e4


SCHEDULES = (Constant, Step, Cosine, OneCycle)
Schedule = Annotated[Constant | Step | Cosine | OneCycle, Field(discriminator="name")]


def changes_within_epochs(schedule: Schedule) -> bool:
    """Say whether a schedule gives each step a rate of its own; the others hold one through an epoch."""
    return isinstance(schedule, Cosine | OneCycle)


def learning_rate(schedule: Schedule, initial: float, step: int, steps_per_epoch: int, epochs: int) -> float:
    """Return the rate of a step. It follows from the arguments alone: no step needs to know the one before it.

    Args:
        schedule: how the rate changes.
        initial: the optimizer's `lr`.
        step: counted from 0 over the whole run; one beyond the last has the rate at the end of the curve.
        steps_per_epoch: the short last batch of an epoch is a step, too.
        epochs: of the whole run.
    """
    steps = steps_per_epoch * epochs
    match schedule:
        case Cosine():
            return initial * _cosine_factor(schedule, step, round(schedule.warmup_epochs * steps_per_epoch), steps)
        case OneCycle():
            return _one_cycle_rate(schedule, step, steps)
        case _:
            return initial * learning_rate_factor(schedule, step // steps_per_epoch + 1)


def _cosine_factor(schedule: Cosine, step: int, warm_up: int, steps: int) -> float:
    if step < warm_up:
        return step / warm_up
    share = (step - warm_up) / (steps - warm_up) if step < steps else 1.0
    return _along_a_cosine(1.0, schedule.final_factor, share)


def _one_cycle_rate(schedule: OneCycle, step: int, steps: int) -> float:
    """Return the rate; the highest one need not fall on a whole step."""
    first = schedule.max_lr / schedule.div_factor
    peak, end = schedule.pct_start * steps - 1, steps - 1
    if step <= peak:
        return _along_a_cosine(first, schedule.max_lr, step / peak if peak else 1.0)
    share = (step - peak) / (end - peak) if step < end else 1.0
    return _along_a_cosine(schedule.max_lr, first / schedule.final_div_factor, share)


def _along_a_cosine(start: float, end: float, share: float) -> float:
    """Return what lies so far (0 to 1) from start to end, slow at both."""
    return end + (start - end) / 2 * (1 + cos(pi * share))


def learning_rate_factor(schedule: Constant | Step, epoch: int) -> float:
    """Return what the initial rate is multiplied by during `epoch` (1 is the first)."""
    if isinstance(schedule, Constant):
        return 1.0
    finished = range(schedule.first_epoch, schedule.first_epoch + epoch - 1)
    return float(schedule.factor ** sum(number % schedule.every == 0 for number in finished))
