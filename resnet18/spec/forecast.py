"""The memory forecast: what it says of a run, and its peak in closed form for those who do without torch."""

from collections.abc import Iterator
from dataclasses import dataclass

from resnet18.spec.bytes import (
    CHANNELS,
    FLOAT,
    halved,
    parameter_count,
    saved_bytes_per_image,
    stage_widths,
    state_tensors,
)
from resnet18.spec.experiment import Experiment
from resnet18.spec.optimizer import SGD, AdamW, Optimizer

EVALUATION_BATCH = 100
"""Images that the loop evaluates at once (a test holds it against the loop's own number)."""
PARTS = ("weights", "gradients", "state", "activations", "input", "transient")
"""What the peak is made of: these fields of a forecast add up to it."""
TEMPORARIES = {"adam": 2, "adamw": 2, "adadelta": 2, "rmsprop": 1, "asgd": 0, "sgd": 0}
"""Tensors of a parameter's size that torch's plain loop computes with at once, beside gradient and state."""


@dataclass(frozen=True)
class Forecast:
    """The peak memory of a run in bytes, by what is live at that moment. `training.forecast` makes it."""

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


def forecast_bytes(experiment: Experiment) -> int:
    """Return the peak of `training.forecast` in closed form: no torch, 32-bit floats, eager, nothing rounded up.

    The peak is in one of three places, each with weights and optimizer state: in the backward pass; in the optimizer's
    step, beside the batch and all gradients; or in the evaluation, which the loop makes before it drops the gradients.
    """
    weights = FLOAT * parameter_count(experiment.stem, experiment.width)
    state = state_tensors(experiment.optimizer) * weights
    image = FLOAT * CHANNELS * experiment.image_size**2
    largest = FLOAT * 9 * stage_widths(experiment.width)[-1] ** 2
    step = training_batch(experiment) * image + weights + _temporaries(experiment.optimizer) * largest
    evaluation = weights + evaluation_batch(experiment) * _evaluated_bytes_per_image(experiment)
    return weights + state + max(_backward_bytes(experiment), step, evaluation)


def _temporaries(optimizer: Optimizer) -> int:
    """Return how many tensors of the largest parameter's size the plain loop of torch's optimizer computes with."""
    has_decay = optimizer.weight_decay > 0 and not isinstance(optimizer, AdamW)  # whose decay works in place
    is_nesterov = isinstance(optimizer, SGD) and optimizer.nesterov
    return TEMPORARIES[optimizer.name] + has_decay + is_nesterov


def _evaluated_bytes_per_image(experiment: Experiment) -> int:
    """Return the image and the maps that are live at once without autograd.

    Behind the first convolution these are its output and the normalized one. In the second block they are its input,
    the stem's output, which `forward` holds on to, and within the block the last three maps.
    """
    size, width = experiment.image_size, experiment.width
    first = halved(size) if experiment.stem == "imagenet" else size
    second = halved(first) if experiment.stem == "imagenet" else size
    return FLOAT * (CHANNELS * size**2 + width * max(2 * first**2, 5 * second**2))


def _backward_bytes(experiment: Experiment) -> int:
    """Return the most that saved tensors, gradients of maps and gradients of parameters take together.

    The walk goes from the loss to the images. Each layer makes the gradient of its input, then drops that of its
    output and what it saved; gradients of parameters stay.
    """
    batch = training_batch(experiment)
    blocks = _blocks(experiment)
    live = peak = batch * saved_bytes_per_image(experiment.stem, experiment.width, experiment.image_size)
    live += batch * blocks[-1].map_bytes
    for block in reversed(blocks):
        for made, kept, dropped in _layers_backwards(block):
            peak = max(peak, live + batch * made + kept)
            live += batch * (made - dropped) + kept
    return peak


@dataclass(frozen=True)
class _Block:
    """A residual block from `channels_in` maps of `side_in` pixels to `channels` of `side`."""

    channels_in: int
    side_in: int
    channels: int
    side: int

    @property
    def map_bytes_in(self) -> int:
        return FLOAT * self.channels_in * self.side_in**2

    @property
    def map_bytes(self) -> int:
        return FLOAT * self.channels * self.side**2


def _blocks(experiment: Experiment) -> list[_Block]:
    """Return the eight blocks in the order of the forward pass."""
    size, before = experiment.image_size, experiment.width
    side = halved(halved(size)) if experiment.stem == "imagenet" else size
    blocks = []
    for stage, channels in enumerate(stage_widths(experiment.width)):
        smaller = side if stage == 0 else halved(side)
        blocks += [_Block(before, side, channels, smaller), _Block(channels, smaller, channels, smaller)]
        before, side = channels, smaller
    return blocks


def _layers_backwards(block: _Block) -> Iterator[tuple[int, int, int]]:
    """Yield what each layer of a block makes and drops for an image, and the gradients of parameters it makes.

    As (bytes made, bytes of parameters, bytes dropped), from the block's last ReLU to its input. The gradient of the
    sum is kept until the shortcut has used it.
    """
    size, size_in = block.map_bytes, block.map_bytes_in
    inner = FLOAT * 9 * block.channels**2
    norm = FLOAT * 2 * block.channels
    yield size, 0, 2 * size  # ReLU: its output and the gradient of that
    yield size, norm, size  # batch norm: its saved input
    yield size, inner, size  # convolution: its output's gradient; the saved input is the next ReLU's output
    yield size, 0, 2 * size
    yield size, norm, 2 * size
    yield size_in, FLOAT * 9 * block.channels_in * block.channels, size
    if block.channels_in != block.channels:
        yield size, norm, 2 * size
        yield size_in, FLOAT * block.channels_in * block.channels, size
    yield 0, 0, size_in  # the two gradients of the block's input become one
