"""Subsets are class-balanced and the same for everybody; the embedded data are what they claim to be."""

from pathlib import Path

import numpy as np
import pytest

from resnet18.data import embedded
from resnet18.data.dataset import DataSet, Split, arrays_sha256, subset
from resnet18.data.embedded import read_embedded
from resnet18.spec.errors import SpecError


def make_data(per_class=(6, 6, 6)):
    labels = np.repeat(np.arange(len(per_class), dtype=np.uint8), per_class)
    images = np.arange(len(labels) * 3, dtype=np.uint8).reshape(-1, 1, 1, 3)
    split = Split(images, labels)
    return DataSet("made", ("a", "b", "c"), split, split, arrays_sha256(("a", "b", "c"), split, split))


@pytest.mark.parametrize("size", [3, 4, 5, 6, 17, 18])
def test_a_subset_is_balanced(size):
    """Classes differ by at most one image."""
    data = make_data()
    counts = np.bincount(data.train.labels[subset(data, "train", size)], minlength=3)

    assert size == counts.sum()
    assert counts.max() - counts.min() <= 1


def test_a_smaller_subset_lies_inside_a_larger_one():
    """So that a larger scale sees the smaller one's images too."""
    data = make_data()

    assert set(subset(data, "train", 6)) < set(subset(data, "train", 12))


def test_training_and_test_subsets_are_drawn_apart():
    """Equal data, different draws."""
    data = make_data()

    assert subset(data, "train", 6).tolist() != subset(data, "test", 6).tolist()


def test_all_means_every_image_in_order():
    """No draw."""
    assert list(range(18)) == subset(make_data(), "train", "all").tolist()


def test_a_subset_that_is_too_large_is_refused():
    """It is never made smaller silently."""
    with pytest.raises(SpecError, match="class b has only 2"):
        subset(make_data((6, 2, 6)), "train", 9)


def test_the_embedded_data_have_400_and_100_images_of_each_class():
    """Square colour images of 32 px."""
    data = read_embedded()

    assert [400] * 10 == np.bincount(data.train.labels).tolist()
    assert [100] * 10 == np.bincount(data.test.labels).tolist()
    assert ((4000, 32, 32, 3), (1000, 32, 32, 3)) == (data.train.images.shape, data.test.images.shape)


def test_the_embedded_data_are_golden():
    """Pixels and labels decode to the same bytes everywhere."""
    assert "cff8f513cd0ff3b1" == read_embedded().sha256[:16]


def test_the_embedded_data_are_small_and_carry_their_licence():
    """At most 4 MB, and MIT."""
    folder = Path(embedded.__file__).parent

    assert (folder / "fashion-mnist-mini.npz").stat().st_size < 4_000_000
    assert "Zalando" in (folder / "LICENSE").read_text(encoding="utf-8")


def test_one_changed_pixel_or_label_changes_the_hash():
    """Of either split."""
    data = make_data()
    pixels, labels = data.train.images.copy(), data.train.labels.copy()
    pixels[0, 0, 0, 0] += 1
    labels[0] = 1

    for train, test in (
        (Split(pixels, data.train.labels), data.test),
        (data.train, Split(pixels, data.test.labels)),
        (Split(data.train.images, labels), data.test),
    ):
        assert arrays_sha256(data.classes, train, test) != data.sha256
