"""The learning rate of a step: a function of the spec and of the step's number, so a checkpoint holds none."""

from resnet18.spec.optimizer import learning_rate
from resnet18.training.optimizers import set_learning_rate
from resnet18.training.setup import Setup


def rate_of_step(setup: Setup, epoch: int, step: int) -> float:
    """Return the rate of a step; epochs are counted from 1, the steps of an epoch from 0."""
    experiment = setup.experiment
    steps = -(-len(setup.train_indices) // experiment.batch_size)
    at = (epoch - 1) * steps + step
    return learning_rate(experiment.schedule, experiment.optimizer.lr, at, steps, experiment.epochs)


def set_rate_of_step(setup: Setup, epoch: int, step: int) -> None:
    """Give the optimizer the rate of the step that comes now."""
    set_learning_rate(setup.optimizer, rate_of_step(setup, epoch, step))
