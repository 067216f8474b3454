"""Optimizers and learning-rate schedules, as data. Defaults are torch's, written out so that they are hashed."""

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


Schedule = Annotated[Constant | Step, Field(discriminator="name")]


def learning_rate_factor(schedule: Constant | Step, epoch: int) -> float:
    """Return what the initial rate is multiplied by during `epoch` (1 is the first)."""
    if isinstance(schedule, Constant):
        return 1.0
    finished = range(schedule.first_epoch, schedule.first_epoch + epoch - 1)
    return float(schedule.factor ** sum(number % schedule.every == 0 for number in finished))
