"""What a memory forecast says of a run; `training.forecast` makes it."""

from dataclasses import dataclass

from resnet18.spec.experiment import Experiment

EVALUATION_BATCH = 100
"""Images that the training loop evaluates at once."""
PARTS = ("weights", "gradients", "state", "activations", "input", "transient")
"""What the peak is made of: these fields of a forecast add up to it."""


@dataclass(frozen=True)
class Forecast:
    """The peak memory of a run in bytes, by what is live at that moment."""

    phase: str
    """When the peak is: `loading`, `forward`, `backward`, `optimizer step` or `evaluation`."""
    weights: int
    """Parameters and the running statistics of batch norm."""
    gradients: int
    state: int
    """The optimizer's."""
    activations: int
    """What autograd has saved for the backward pass and not yet used, without the batch."""
    input: int
    """Images and labels of the batch."""
    transient: int
    """Feature maps and their gradients in passing, and what the optimizer computes with."""
    training_bytes: int
    """The peak of the training steps alone, without the evaluation."""
    saved_bytes: int
    """All that autograd has saved at the end of a forward pass, the batch included."""

    @property
    def peak_bytes(self) -> int:
        """The sum of the parts."""
        return self.weights + self.gradients + self.state + self.activations + self.input + self.transient


def training_batch(experiment: Experiment) -> int:
    """Return the images of the largest training batch; a subset may be smaller than the batch asked for."""
    images = experiment.train_images
    return experiment.batch_size if images == "all" else min(experiment.batch_size, images)


def evaluation_batch(experiment: Experiment) -> int:
    """Return the images of the largest batch of an evaluation."""
    counts = (experiment.test_images_epoch, experiment.test_images_last)
    return max(EVALUATION_BATCH if count == "all" else min(EVALUATION_BATCH, count) for count in counts)
