"""Make `fashion-mnist-mini.npz`, the data set that the package carries: the first images of each class, in their order.

Run once, by hand, on a machine with Debian's package `dataset-fashion-mnist`:

    python benchmarks/suite/make_fashion_mnist_mini.py /usr/share/datasets/fashion-mnist
"""

import gzip
import sys
from pathlib import Path
from typing import Any

import numpy as np

folder, arrays = Path(sys.argv[1]), dict[str, Any]()
for split, prefix, per_class in (("train", "train", 400), ("test", "t10k", 100)):
    packed = (folder / f"{prefix}-labels-idx1-ubyte.gz").read_bytes()
    labels = np.frombuffer(gzip.decompress(packed), dtype=np.uint8, offset=8)
    packed = (folder / f"{prefix}-images-idx3-ubyte.gz").read_bytes()
    images = np.frombuffer(gzip.decompress(packed), dtype=np.uint8, offset=16).reshape(len(labels), 28, 28)
    chosen = np.sort(np.concatenate([np.flatnonzero(labels == label)[:per_class] for label in range(10)]))
    arrays |= {f"{split}_images": images[chosen], f"{split}_labels": labels[chosen]}
embedded = Path(__file__).parents[2] / "resnet18/data/embedded"
np.savez_compressed(embedded / "fashion-mnist-mini.npz", **arrays)  # numpy writes no time stamps
