"""Bytes that training the network takes at least, in closed form: what the audit holds printed memory against.

The network is that of He et al. (2015), table 1, in 32-bit floats. Weights, optimizer state and what autograd saves
must be there at once when the forward pass ends; weights, optimizer state and gradients when the backward pass does.
A program needs more: workspaces of convolutions, the driver's context, copies. None of that is counted.
"""

from itertools import pairwise

from resnet18.spec.experiment import Experiment

FLOAT = 4
"""Bytes of a 32-bit float."""
LONG = 8
"""Bytes of the 64-bit integers in which torch keeps labels and the positions that a max pool chose."""
CONTEXT_BYTES = 2 * 2**30
"""Bytes that a driver's context and the workspaces of libraries may take beside the training itself."""
CHANNELS = 3
STAGES = 4


def parameter_count(stem: str, width: int, classes: int = 10) -> int:
    """Return the number of trainable parameters: 11,181,642 at width 64 and 10 classes with the ImageNet stem."""
    side = 7 if stem == "imagenet" else 3
    widths = stage_widths(width)
    count = _convolution(CHANNELS, width, side)
    for channels_in, channels in [(width, width), *pairwise(widths)]:
        count += _convolution(channels_in, channels, 3) + 3 * _convolution(channels, channels, 3)
        if channels_in != channels:
            count += _convolution(channels_in, channels, 1)
    return count + widths[-1] * classes + classes


def _convolution(channels_in: int, channels: int, side: int) -> int:
    """Return the parameters of a convolution without bias and of the batch norm behind it."""
    return channels_in * channels * side * side + 2 * channels


def saved_bytes_per_image(stem: str, width: int, image_size: int, classes: int = 10) -> int:
    """Return the bytes that autograd saves of one image, from the network's input to its cross entropy.

    Saved are the input of each convolution and of each batch norm and the output of each ReLU, which works in place
    and is the next layer's input; of the max pool also the chosen positions; of the head the mean, the logarithms of
    the probabilities and the label. Statistics of a batch norm belong to the batch and are not counted.
    """
    if stem == "imagenet":
        half = halved(image_size)
        side = halved(half)
        stem_bytes = FLOAT * 2 * width * half**2 + (FLOAT + LONG) * width * side**2
    else:
        side = image_size
        stem_bytes = FLOAT * 2 * width * side**2
    total = FLOAT * CHANNELS * image_size**2 + stem_bytes
    for stage, channels in enumerate(stage_widths(width)):
        side = side if stage == 0 else halved(side)
        # Two blocks of two convolutions, each with its sum and its ReLU; the later stages' shortcut convolves too.
        maps = 8 if stage == 0 else 9
        total += FLOAT * maps * channels * side**2
    return total + FLOAT * (stage_widths(width)[-1] + classes) + LONG


def stage_widths(width: int) -> list[int]:
    """Return the channels of the four stages."""
    return [width << stage for stage in range(STAGES)]


def halved(side: int) -> int:
    """Return the side of a map behind a layer of stride 2, each padded by half of its kernel."""
    return (side + 1) // 2


def least_training_bytes(experiment: Experiment) -> int:
    """Return a lower bound of the memory of a training step, in bytes.

    Gradients may be freed before each forward pass (torch's default since version 2.0), so they and the saved tensors
    need not be there at once: the larger of the two counts. A program that keeps gradients needs both.
    """
    parameters = parameter_count(experiment.stem, experiment.width)
    saved = experiment.batch_size * saved_bytes_per_image(experiment.stem, experiment.width, experiment.image_size)
    gradients = FLOAT * parameters
    return FLOAT * parameters * (1 + experiment.optimizer.state_tensors) + max(gradients, saved)
