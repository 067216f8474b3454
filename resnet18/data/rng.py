"""Randomness keyed by (seed, purpose, epoch), and within it by the image's index in the original data set.

Nothing here depends on batch size, order, workers, device or where a run was resumed. numpy promises stable raw
Philox streams, not stable distributions, so words are turned into numbers here.
Philox: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from resnet18.spec.identity import canonical_json

WORDS_PER_BLOCK = 4  # Philox makes four 64-bit words for each value of its counter


def philox_key(seed: int, purpose: str, epoch: int) -> NDArray[np.uint64]:
    """Return the two key words of a stream: the first 128 bits of a SHA-256."""
    name = hashlib.sha256(canonical_json(["resnet18", seed, purpose, epoch])).digest()
    return np.frombuffer(name[:16], dtype="<u8").astype(np.uint64)


def random_words(seed: int, purpose: str, epoch: int, rows: int, lanes: int) -> NDArray[np.uint64]:
    """Return a table [rows, lanes] of 64-bit words. Row i belongs to image i, however many rows are asked for."""
    width = -(-lanes // WORDS_PER_BLOCK) * WORDS_PER_BLOCK
    stream = np.random.Philox(key=philox_key(seed, purpose, epoch))
    return stream.random_raw(rows * width).reshape(rows, width)[:, :lanes]


def uniform(words: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return numbers in [0, 1) with 53 random bits each."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def between(units: NDArray[np.float64], low: object, high: object) -> NDArray[np.float64]:
    """Return numbers in [0, 1) as numbers between two others."""
    numbers: NDArray[np.float64] = np.asarray(low) + (np.asarray(high) - np.asarray(low)) * units
    return numbers


def permutation(seed: int, purpose: str, epoch: int, indices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the indices in random order. Any two of them stand in the same order whichever others are present."""
    words = random_words(seed, purpose, epoch, int(indices.max()) + 1, 1)[:, 0]
    return indices[np.argsort(words[indices], kind="stable")]
