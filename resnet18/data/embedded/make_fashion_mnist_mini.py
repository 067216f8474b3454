"""Make `fashion-mnist-mini.npz`, the data set that the package carries.

Run once, by hand, on a machine with Debian's package `dataset-fashion-mnist`:

    python resnet18/data/embedded/make_fashion_mnist_mini.py /usr/share/datasets/fashion-mnist

The first images of each class are taken, in their original order, so the subset is class-balanced and the
file is the same whoever makes it (numpy writes no time stamps).
"""

import argparse
import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TRAIN_PER_CLASS = 400
TEST_PER_CLASS = 100


def read_idx(path: Path, header_bytes: int) -> NDArray[np.uint8]:
    """Return the payload of a gzipped IDX file of bytes (16 header bytes for images, 8 for labels)."""
    return np.frombuffer(gzip.decompress(path.read_bytes()), dtype=np.uint8, offset=header_bytes)


def first_of_each_class(folder: Path, split: str, per_class: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return images [n, 28, 28] and labels [n], the first `per_class` of each of the ten classes."""
    labels = read_idx(folder / f"{split}-labels-idx1-ubyte.gz", 8)
    images = read_idx(folder / f"{split}-images-idx3-ubyte.gz", 16).reshape(len(labels), 28, 28)
    chosen = np.sort(np.concatenate([np.flatnonzero(labels == label)[:per_class] for label in range(10)]))
    return images[chosen], labels[chosen]


def main() -> None:
    """Write the archive beside this script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the folder that holds the four .gz files")
    folder = parser.parse_args().folder
    train_images, train_labels = first_of_each_class(folder, "train", TRAIN_PER_CLASS)
    test_images, test_labels = first_of_each_class(folder, "t10k", TEST_PER_CLASS)
    np.savez_compressed(
        Path(__file__).with_name("fashion-mnist-mini.npz"),
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
    )


if __name__ == "__main__":
    main()
