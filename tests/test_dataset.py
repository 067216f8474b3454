"""Subsets and random numbers are the same for everybody; embedded data and decoded copies are what they claim to be."""

import hashlib
import json
import logging
import os
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_cifar10 import CUTS, payload
from test_imagefolder import files, make_tar

from resnet18.data import dataset
from resnet18.data.dataset import DataSet, Split, permutation, random_words, read_embedded, subset, uniform
from resnet18.data.source import open_data
from resnet18.records import disk
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError, LockedError
from resnet18.spec.experiment import parse_data

FILE = dataset.EMBEDDED_FILE
SEEDS = st.integers(0, 2**32 - 1)
INDICES = st.lists(st.integers(0, 3_000), min_size=1, max_size=50, unique=True).map(sorted).map(np.array)


def test_words_and_orders_are_golden():
    """The same on every machine and numpy: a change of these voids every record."""
    golden = [
        ["9d92b7e4aa803d46", "7e68af2d082ebffa", "2039f5cf66a19994"],
        ["893eb9e3d3608e0e", "a53cb0ef37ffac57", "19110532fe4d6815"],
    ]

    assert golden == [[f"{word:016x}" for word in row] for row in random_words(7, "order", 3, rows=2, lanes=3)]
    assert [10, 6, 2, 5, 1, 0, 3, 11, 4, 7, 8, 9] == permutation(7, "order", 3, np.arange(12)).tolist()


def test_the_largest_number_is_below_1():
    assert [0.0, 1 - 2.0**-53] == uniform(np.array([0, 2**64 - 1], dtype=np.uint64)).tolist()


@given(SEEDS, st.integers(1, 30), st.integers(1, 9), st.integers(1, 9))
def test_a_word_belongs_to_its_image_however_many_there_are(seed, rows, more, lanes):
    words = random_words(seed, "any", 1, rows, lanes)

    assert (rows, lanes) == words.shape
    assert (words == random_words(seed, "any", 1, rows + more, lanes)[:rows]).all()


@pytest.mark.parametrize("other", [(1, "x", 1), (0, "y", 1), (0, "x", 2)])
def test_seed_purpose_and_epoch_each_open_another_stream(other):
    assert not np.array_equal(random_words(0, "x", 1, 4, 4), random_words(*other, 4, 4))


@given(SEEDS, INDICES, st.data())
def test_an_epoch_has_every_image_once_in_an_order_that_no_other_image_changes(seed, indices, data):
    some = np.array(sorted(data.draw(st.sets(st.sampled_from(indices.tolist()), min_size=1))))
    order = permutation(seed, "order", 1, indices).tolist()

    assert indices.tolist() == sorted(order)
    assert [index for index in order if index in some] == permutation(seed, "order", 1, some).tolist()


def make_data(per_class=(6, 6, 6)):
    labels = np.repeat(np.arange(len(per_class), dtype=np.uint8), per_class)
    images = np.arange(len(labels) * 3, dtype=np.uint8).reshape(-1, 1, 1, 3)
    split = Split(images, labels)
    return DataSet("made", ("a", "b", "c"), split, split, dataset.arrays_sha256(("a", "b", "c"), split, split))


@pytest.mark.parametrize("size", [3, 4, 5, 6, 17, 18])
def test_a_subset_is_balanced_and_lies_inside_a_larger_one(size):
    data = make_data()
    found = subset(data, "train", size)
    counts = np.bincount(data.train.labels[found], minlength=3)

    assert (size, True) == (counts.sum(), counts.max() - counts.min() <= 1)
    assert set(subset(data, "train", 3)) <= set(found) <= set(subset(data, "train", 18))


def test_subsets_are_golden():
    data = read_embedded()
    found = {which: subset(data, which, size) for which, size in (("train", 1_000), ("test", 200))}

    assert [0, 1, 4, 8, 11, 14, 16] == subset(make_data(), "train", 7).tolist()
    assert [0, 2, 4, 8, 10, 12, 16] == subset(make_data(), "test", 7).tolist()
    assert list(range(18)) == subset(make_data(), "train", "all").tolist()
    assert {"train": "9f474086fff14807", "test": "333e23b84581b7c7"} == {
        which: hashlib.sha256(indices.astype("<i8").tobytes()).hexdigest()[:16] for which, indices in found.items()
    }


def test_the_embedded_data_are_golden(caplog):
    """400 and 100 images of each class, 32 px in colour; no test image is a training image; with their licence."""
    data = open_data(parse_data("fashion-mnist-mini"), verify=True)

    assert [400] * 10 == np.bincount(data.train.labels).tolist()
    assert [100] * 10 == np.bincount(data.test.labels).tolist()
    assert ((4000, 32, 32, 3), (1000, 32, 32, 3)) == (data.train.images.shape, data.test.images.shape)
    assert "cff8f513cd0ff3b1" == data.sha256[:16]
    assert "Zalando" in (FILE.parent / "LICENSE").read_text(encoding="utf-8")
    assert [] == caplog.messages


@CUTS
def test_a_cut_embedded_data_set_is_refused(kept, tmp_path):
    whole = FILE.read_bytes()
    (tmp_path / FILE.name).write_bytes(whole[: kept(len(whole))])

    with pytest.raises(IntegrityError):
        read_embedded(tmp_path / FILE.name)


def test_embedded_data_of_other_pixels_are_refused(tmp_path):
    with np.load(FILE) as right:
        arrays = {name: right[name] for name in right.files}
    arrays["test_images"][0, 14, 14] ^= 1
    np.savez(tmp_path / FILE.name, **arrays)

    with pytest.raises(IntegrityError, match=f"not {dataset.EMBEDDED_SHA256}"):
        read_embedded(tmp_path / FILE.name)


@pytest.fixture
def source(home, tmp_path):
    """An image folder, one of whose test images is a training image."""
    content = files() | {"test/dog/9.png": files()["train/cat/0.png"]}
    return parse_data(f"imagefolder:{make_tar(tmp_path / 'mine.tar.gz', content)}")


def test_a_decoded_copy_is_kept_and_used(source, home, monkeypatch):
    first = open_data(source, verify=True)
    monkeypatch.setattr("resnet18.data.source.read_image_folder", None)
    second = open_data(source, verify=True)

    assert first.sha256 == second.sha256
    assert isinstance(second.train.images, np.memmap)
    assert ["mine-"] == [path.name[:5] for path in (home / "decoded").iterdir() if path.is_dir()]


def test_a_data_set_that_another_process_decodes_is_waited_for_with_its_name(source, home, monkeypatch, caplog):
    open_data(source, verify=False)
    (copy,) = (path for path in (home / "decoded").iterdir() if path.is_dir())
    monkeypatch.setattr("resnet18.data.source.DECODING_S", 0.01)
    with disk.lock(copy.with_name(f"{copy.name}.lock")), pytest.raises(LockedError, match=f"process {os.getpid()} of"):
        open_data(source, verify=False)

    assert 1 == sum(f"waiting for process {os.getpid()} of" in message for message in caplog.messages)


@pytest.mark.parametrize("name", ["about.json", "train_images.npy", "test_labels.npy", ""])
@pytest.mark.parametrize("plant", ["link", "pipe"])
def test_what_is_no_regular_file_is_no_part_of_a_decoded_copy(plant, name, decoded, tmp_path):
    source, copy = decoded
    path = (copy / name).rename(tmp_path / "moved") and copy / name
    path.symlink_to(tmp_path / "moved") if plant == "link" else os.mkfifo(path)

    with pytest.raises(IntegrityError, match=re.escape(str(copy))):
        open_data(source, verify=False)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("train_labels", np.full(4, 200, np.uint8)),
        ("train_images", np.zeros((4, 8, 9, 3), np.uint8)),
        ("train_images", np.zeros((4, 8), np.uint8)),
        ("classes", ["one"]),
        ("classes", ["a", "\x1b[2J"]),
    ],
)
def test_a_decoded_copy_of_what_cannot_be_trained_on_is_refused(name, array, decoded):
    """Whoever can change the arrays can change the hash beside them."""
    source, copy = decoded
    if name == "classes":
        about = json.loads((copy / "about.json").read_text(encoding="utf-8"))
        (copy / "about.json").write_text(json.dumps({**about, "classes": array}), encoding="utf-8")
    else:
        count = len(np.load(copy / f"{name}.npy"))
        np.save(copy / f"{name}.npy", np.resize(array, (count, *array.shape[1:])))

    with pytest.raises(IntegrityError, match="delete this folder"):
        open_data(source, verify=False)


def test_a_decoded_copy_whose_description_is_none_is_refused_in_words(decoded):
    source, copy = decoded
    (copy / "about.json").write_text("[1]", encoding="utf-8")

    with pytest.raises(IntegrityError, match=r"about\.json: must be an object"):
        open_data(source, verify=False)


def test_a_data_home_that_cannot_be_written_is_an_error_of_the_environment(source, home):
    home.write_text("", encoding="utf-8")

    with pytest.raises(EnvironmentMissingError, match="RESNET18_DATA"):
        open_data(source, verify=True)


def test_test_images_that_are_training_images_are_counted(source, caplog):
    with caplog.at_level(logging.WARNING):
        open_data(source, verify=True)
        open_data(source, verify=False)

    assert ["data set mine: 1 of 5 test images are training images too, so that accuracies flatter"] == caplog.messages


@CUTS
@pytest.mark.parametrize("name", ["about.json", "train_images.npy", "test_labels.npy"])
def test_a_cut_decoded_copy_is_refused(name, kept, decoded):
    source, copy = decoded
    whole = (copy / name).read_bytes()
    (copy / name).write_bytes(whole[: kept(len(whole))])

    with pytest.raises(IntegrityError, match="delete this folder"):
        open_data(source, verify=False)
    assert (copy / name).exists()


@pytest.mark.parametrize("name", ["train_images", "train_labels", "test_images", "test_labels"])
def test_one_other_pixel_or_label_of_a_decoded_copy_is_refused(name, decoded):
    source, copy = decoded
    whole = (copy / f"{name}.npy").read_bytes()
    (copy / f"{name}.npy").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))

    with pytest.raises(IntegrityError, match="the decoded copy was changed"):
        open_data(source, verify=True)


def object_array(target):
    """What numpy writes for an array of objects: a header, then a pickle."""
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (4,), }"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + payload(target)


@pytest.mark.parametrize("name", ["about.json", "train_images.npy", "test_labels.npy"])
@pytest.mark.parametrize("make", [payload, object_array])
def test_a_pickle_in_a_decoded_copy_is_not_loaded(name, make, decoded, tmp_path):
    source, copy = decoded
    (copy / name).write_bytes(make(tmp_path / "harm"))

    with pytest.raises(IntegrityError):
        open_data(source, verify=True)
    assert not (tmp_path / "harm").exists()
