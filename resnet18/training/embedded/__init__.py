"""The data set that the package carries: a class-balanced subset of Fashion-MNIST (MIT licence, see LICENSE)."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnet18.spec.data import EMBEDDED
from resnet18.training.dataset import DataSet, Split, arrays_sha256

CLASSES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
SIDE = 32


def read_embedded() -> DataSet:
    """Return the 4,000 training and 1,000 test images, grey 28 px padded to 32 px and repeated in three channels."""
    with np.load(Path(__file__).with_name(f"{EMBEDDED}.npz"), allow_pickle=False) as archive:
        train = Split(_padded(archive["train_images"]), archive["train_labels"])
        test = Split(_padded(archive["test_images"]), archive["test_labels"])
    return DataSet(EMBEDDED, CLASSES, train, test, arrays_sha256(CLASSES, train, test))


def _padded(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    border = (SIDE - images.shape[1]) // 2
    padded = np.pad(images, ((0, 0), (border, border), (border, border)))
    return np.repeat(padded[..., None], 3, axis=-1)
