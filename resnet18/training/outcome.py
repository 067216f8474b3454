"""What a finished network amounts to: confusion counts, samples, and digests of its parameters and predictions."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from resnet18.training.fast import full_state
from resnet18.training.model import CLASSES
from resnet18.training.setup import Setup

SAMPLES = 6


@dataclass(frozen=True)
class Conclusion:
    """Results of the last epoch, on clean test images."""

    confusion: tuple[tuple[int, ...], ...]
    """Counts [label][prediction]."""
    samples: tuple[tuple[int, int, int], ...]
    """(index in the original test set, label, prediction) of six images spread evenly over the test subset."""
    sample_images: NDArray[np.uint8]
    """[6, side, side, 3]: the samples' pixels, as the data set stores them."""
    parameters_sha256: str
    predictions_sha256: str


def conclude(setup: Setup, predictions: NDArray[np.uint8]) -> Conclusion:
    """Return the results, given the predicted class [n] of each image of the last test subset."""
    indices = setup.test_indices_last
    labels = setup.data.test.labels[indices]
    confusion = np.zeros((len(setup.data.classes), CLASSES), dtype=np.int64)
    np.add.at(confusion, (labels, predictions), 1)
    spread = np.linspace(0, len(indices) - 1, SAMPLES).astype(int)
    return Conclusion(
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        samples=tuple((int(indices[at]), int(labels[at]), int(predictions[at])) for at in spread),
        sample_images=setup.data.test.images[indices[spread]],
        parameters_sha256=parameters_sha256(setup.model),
        predictions_sha256=hashlib.sha256(predictions.tobytes()).hexdigest(),
    )


def parameters_sha256(model: nn.Module) -> str:
    """Return the SHA-256 of all parameters and buffers, dead taps too: names, then little-endian bytes."""
    total = hashlib.sha256()
    for name, tensor in full_state(model).items():
        total.update(f"{name} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()


def parameter_count(model: nn.Module) -> int:
    """Return the number of trainable parameters, dead taps too."""
    whole = full_state(model)
    return sum(whole[name].numel() for name, _ in model.named_parameters())
