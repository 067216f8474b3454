"""Memory of a training: what a forecast says (`training.forecast` makes it), and what it takes at least.

The least is a closed form, for the audit: the network of He et al. (2015), table 1, in 32-bit floats, without
workspaces of convolutions, the driver's context, and copies.
"""

from dataclasses import dataclass

from resnet18.spec.experiment import Experiment

FLOAT, LONG = 4, 8
"""Bytes of a 32-bit float, and of the integers in which torch keeps labels and the positions that a max pool chose."""
CONTEXT_BYTES = 2 * 2**30
"""Bytes that a driver's context and the workspaces of libraries may take beside the training itself."""
FITS, OUT_OF_MEMORY, UNSURE = "fits", "out of memory", "unsure"
SMALL_ALLOWANCE = 1.3 * 2**30
"""What the lab report's own process held beside tensors (Adam, batch 32, 224 px; torch 1.9 with CUDA 11.1)."""
LARGE_SHARE = 0.5
"""Share of the tensors in the large allowance. A choice, not a measurement (docs/forecast.md)."""
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
        return sum(getattr(self, part) for part in PARTS)


def large_allowance(peak_bytes: int) -> float:
    """Return the most bytes that a process is expected to need beside tensors of this size: context, workspaces."""
    return CONTEXT_BYTES + LARGE_SHARE * peak_bytes


def verdict(peak_bytes: int, card: float | None) -> str | None:
    """Say whether tensors fit a card (bytes): `fits` with the large allowance, `out of memory` even without any."""
    if card is None:
        return None
    if peak_bytes > card:
        return OUT_OF_MEMORY
    return FITS if peak_bytes + large_allowance(peak_bytes) <= card else UNSURE


def training_batch(experiment: Experiment) -> int:
    """Return the images of the largest training batch; a subset may be smaller than the batch asked for."""
    images = experiment.train_images
    return experiment.batch_size if images == "all" else min(experiment.batch_size, images)


def evaluation_batch(experiment: Experiment) -> int:
    """Return the images of the largest batch of an evaluation."""
    counts = (experiment.test_images_epoch, experiment.test_images_last)
    return max(EVALUATION_BATCH if count == "all" else min(EVALUATION_BATCH, count) for count in counts)


def parameter_count(stem: str, width: int, classes: int = 10) -> int:
    """Return the number of trainable parameters: 11,181,642 at width 64 and 10 classes with the ImageNet stem."""

    def convolution(channels_in: int, channels: int, side: int) -> int:  # without bias, and its batch norm
        return channels_in * channels * side**2 + 2 * channels

    count = convolution(3, width, 7 if stem == "imagenet" else 3) + 4 * convolution(width, width, 3)
    for channels in (2 * width, 4 * width, 8 * width):
        count += convolution(channels // 2, channels, 3) + 3 * convolution(channels, channels, 3)
        count += convolution(channels // 2, channels, 1)
    return count + 8 * width * classes + classes


def saved_bytes_per_image(stem: str, width: int, image_size: int, classes: int = 10) -> int:
    """Return the bytes that autograd saves of one image, from the network's input to its cross entropy.

    Saved are the input of each convolution and of each batch norm and the output of each ReLU, which works in place
    and is the next layer's input; of the max pool also the chosen positions; of the head the mean, the logarithms of
    the probabilities and the label. Statistics of a batch norm belong to the batch and are not counted.
    """
    half = (image_size + 1) // 2
    side, stem_side = ((half + 1) // 2, half) if stem == "imagenet" else (image_size, image_size)
    total = FLOAT * (3 * image_size**2 + 2 * width * stem_side**2)
    if stem == "imagenet":
        total += (FLOAT + LONG) * width * side**2
    # Two blocks of two convolutions, each with its sum and its ReLU; the later stages' shortcut convolves too.
    for stage, maps in enumerate((8, 9, 9, 9)):
        total += FLOAT * maps * (width << stage) * side**2
        side = (side + 1) // 2
    return total + FLOAT * (8 * width + classes) + LONG


def least_training_bytes(experiment: Experiment) -> int:
    """Return a lower bound of the memory of a training step, in bytes.

    Weights, optimizer state and what autograd saves are there when the forward pass ends; weights, state and gradients
    when the backward pass does. Gradients may be freed before a forward pass (torch's default since 2.0), so the larger
    of the two counts.
    """
    weights = FLOAT * parameter_count(experiment.stem, experiment.width)
    saved = experiment.batch_size * saved_bytes_per_image(experiment.stem, experiment.width, experiment.image_size)
    return weights * (1 + experiment.optimizer.state_tensors) + max(weights, saved)
