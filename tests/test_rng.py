"""Random numbers depend on seed, purpose, epoch and the image's own index, and on nothing else."""

import numpy as np
import pytest

from resnet18.data.rng import permutation, philox_key, random_words, uniform

GOLDEN = [
    ["9d92b7e4aa803d46", "7e68af2d082ebffa", "2039f5cf66a19994"],
    ["893eb9e3d3608e0e", "a53cb0ef37ffac57", "19110532fe4d6815"],
]


def test_words_are_golden():
    """The same on every machine and numpy: a change of these voids every record."""
    words = random_words(7, "order", 3, rows=2, lanes=3)

    assert GOLDEN == [[f"{word:016x}" for word in row] for row in words]


@pytest.mark.parametrize("rows", [1, 5, 100])
def test_an_image_has_the_same_words_however_many_others_there_are(rows):
    """A subset sees what the whole data set would."""
    np.testing.assert_array_equal(random_words(0, "x", 1, 1000, 22)[:rows], random_words(0, "x", 1, rows, 22))


@pytest.mark.parametrize("other", [(1, "x", 1), (0, "y", 1), (0, "x", 2)])
def test_seed_purpose_and_epoch_each_open_another_stream(other):
    """Keys differ, and so do the words."""
    assert philox_key(0, "x", 1).tolist() != philox_key(*other).tolist()
    assert not np.array_equal(random_words(0, "x", 1, 4, 4), random_words(*other, 4, 4))


def test_numbers_are_uniform_in_zero_to_one():
    """Mean 1/2, variance 1/12, and a flat histogram (chi-squared with 19 degrees of freedom, p = 0.001)."""
    numbers = uniform(random_words(0, "uniform", 0, 20_000, 1))[:, 0]
    counts, _ = np.histogram(numbers, bins=20, range=(0, 1))

    assert 0 <= numbers.min()
    assert numbers.max() < 1
    assert 0.5 == pytest.approx(numbers.mean(), abs=0.01)
    assert ((counts - 1000) ** 2 / 1000).sum() < 43.8


def test_the_extreme_words_stay_inside_the_interval():
    """All bits set is just below 1."""
    extremes = uniform(np.array([0, 2**64 - 1], dtype=np.uint64))

    assert [0.0, 1 - 2.0**-53] == extremes.tolist()


def test_an_order_is_a_permutation():
    """Every image once."""
    indices = np.array([3, 8, 20, 21, 40])

    assert set(indices) == set(permutation(0, "order", 1, indices))


def test_two_images_keep_their_order_whichever_others_are_present():
    """So a subset's order is the whole order with the others left out."""
    everything, some = np.arange(100), np.arange(0, 100, 7)
    order = permutation(0, "order", 1, everything)

    assert [index for index in order if index in some] == permutation(0, "order", 1, some).tolist()


def test_epochs_have_different_orders():
    """And seeds."""
    indices = np.arange(50)
    orders = [permutation(seed, "order", epoch, indices).tolist() for seed in (0, 1) for epoch in (1, 2)]

    assert 4 == len({tuple(order) for order in orders})
