"""Data sets that are missing, cut, changed or made to harm: refused before use; nothing is written or carried out."""

import contextlib
import hashlib
import logging
import socket

import numpy as np
import pytest
from test_cifar10 import batch, binary, make_archive, python2_pickle
from test_imagefolder import files, make_tar

from resnet18.data.cifar10 import ARCHIVES, parse_binary_batch, parse_python_batch, read_archive
from resnet18.data.embedded import FILE, SHA256, read_embedded
from resnet18.data.imagefolder import read_image_folder
from resnet18.data.source import open_data, shared_images
from resnet18.spec.data import DataSource, parse_data
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError


def read(path):
    return read_image_folder(DataSource("imagefolder", "mine", path), path)


def test_a_missing_data_set_is_named_with_its_place_and_hash_and_never_replaced(home, monkeypatch):
    """No socket is opened to look for it; what could be used instead is offered by name."""
    monkeypatch.setattr(socket, "socket", None)
    monkeypatch.setattr(socket, "getaddrinfo", None)
    with pytest.raises(EnvironmentMissingError) as caught:
        open_data(parse_data("cifar10"), verify=True)

    for word in (str(home), ARCHIVES["cifar-10-python.tar.gz"], "--data fashion-mnist-mini", "resnet18 data fetch"):
        assert word in str(caught.value)
    assert 5 == caught.value.exit_code


CUTS = [lambda whole: 0, lambda whole: 1, lambda whole: len(whole) // 3 + 1, lambda whole: len(whole) - 1]


@pytest.mark.parametrize("cut", CUTS, ids=["0", "1", "third", "n-1"])
@pytest.mark.parametrize("kind", ["python", "binary"])
def test_a_cut_archive_of_cifar_is_refused(kind, cut, tmp_path):
    """By its checksum, and by its content where the checksum is that of the cut file."""
    path, sha256 = make_archive(tmp_path / f"cifar-10-{kind}.tar.gz", kind)
    whole = path.read_bytes()
    path.write_bytes(whole[: cut(whole)])

    for expected in (sha256, hashlib.sha256(path.read_bytes()).hexdigest()):
        with pytest.raises(IntegrityError) as caught:
            read_archive(path, expected)
        assert 4 == caught.value.exit_code


@pytest.mark.parametrize("cut", CUTS, ids=["0", "1", "third", "n-1"])
@pytest.mark.parametrize("kind", ["python", "binary"])
def test_a_cut_batch_of_cifar_is_refused(kind, cut):
    """Its size is a whole number of images."""
    whole, parse = (
        (python2_pickle(*batch(0)), parse_python_batch) if kind == "python" else (binary(*batch(0)), parse_binary_batch)
    )

    with pytest.raises(ValueError, match=r"\w"):
        parse(whole[: cut(whole)])


@pytest.mark.parametrize("cut", CUTS, ids=["0", "1", "third", "n-1"])
def test_a_cut_embedded_data_set_is_refused(cut, tmp_path):
    """A package may be damaged where it is installed."""
    whole = FILE.read_bytes()
    (tmp_path / FILE.name).write_bytes(whole[: cut(whole)])

    with pytest.raises(IntegrityError):
        read_embedded(tmp_path / FILE.name)


def test_embedded_data_of_other_pixels_are_refused(tmp_path):
    """In a sound file, whose own checksums fit."""
    with np.load(FILE) as right:
        arrays = {name: right[name] for name in right.files}
    arrays["test_images"][0, 14, 14] ^= 1
    np.savez_compressed(tmp_path / FILE.name, **arrays)

    with pytest.raises(IntegrityError, match=f"not {SHA256}"):
        read_embedded(tmp_path / FILE.name)


@pytest.mark.parametrize("cut", CUTS, ids=["0", "1", "third", "n-1"])
@pytest.mark.parametrize(
    "name", ["about.json", "train_images.npy", "train_labels.npy", "test_images.npy", "test_labels.npy"]
)
def test_a_cut_decoded_copy_is_refused(name, cut, decoded):
    """And left in its place, with the advice to delete it."""
    source, copy = decoded
    whole = (copy / name).read_bytes()
    (copy / name).write_bytes(whole[: cut(whole)])

    with pytest.raises(IntegrityError, match="delete this folder"):
        open_data(source, verify=False)
    assert (copy / name).exists()


def flipped(whole, place):
    changed = bytearray(whole)
    changed[place] ^= 1 << (place % 8)
    return bytes(changed)


def places(whole, count):
    return sorted({round(at * (len(whole) - 1) / (count - 1)) for at in range(count)})


@pytest.mark.parametrize("kind", ["python", "binary"])
def test_a_flipped_bit_of_a_cifar_archive_is_refused_with_both_checksums(kind, repetitions, tmp_path):
    """Wherever it is; the file is left as it is."""
    path, sha256 = make_archive(tmp_path / f"cifar-10-{kind}.tar.gz", kind)
    whole = path.read_bytes()
    for place in places(whole, 10 * repetitions(1_000)):
        path.write_bytes(flipped(whole, place))
        with pytest.raises(IntegrityError, match=rf"SHA-256 is [0-9a-f]{{64}}, not {sha256}"):
            read_archive(path, sha256)

    assert path.exists()


def test_a_flipped_bit_of_the_embedded_data_changes_no_pixel_unnoticed(repetitions, tmp_path):
    """It is refused, unless it is in a part of the file that means nothing, such as a date."""
    whole = FILE.read_bytes()
    refused = 0
    for place in places(whole, 4 * repetitions(250)):
        (tmp_path / FILE.name).write_bytes(flipped(whole, place))
        try:
            assert SHA256 == read_embedded(tmp_path / FILE.name).sha256
        except IntegrityError:
            refused += 1

    assert refused > repetitions(250)


def test_a_flipped_bit_of_a_decoded_copy_changes_no_pixel_unnoticed(decoded, repetitions):
    """Of each of its files: what is not refused gives the same arrays."""
    source, copy = decoded
    right = open_data(source, verify=True)
    for file in sorted(copy.iterdir()):
        whole = file.read_bytes()
        for place in places(whole, 10 * repetitions(100)):
            file.write_bytes(flipped(whole, place))
            with contextlib.suppress(IntegrityError):
                found = open_data(source, verify=True)
                assert (right.sha256, right.classes) == (found.sha256, found.classes)
                assert np.array_equal(right.train.images, found.train.images)
        file.write_bytes(whole)


def test_one_other_pixel_or_label_of_a_decoded_copy_is_refused(decoded):
    """Where the file is sound otherwise."""
    source, copy = decoded
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        right = np.load(copy / f"{name}.npy")
        changed = right.copy()
        changed.flat[0] ^= 1
        np.save(copy / f"{name}.npy", changed)
        with pytest.raises(IntegrityError, match="the decoded copy was changed"):
            open_data(source, verify=True)
        np.save(copy / f"{name}.npy", right)


@pytest.mark.parametrize("label", [10, 255])
@pytest.mark.parametrize("kind", ["python", "binary"])
def test_a_label_above_9_is_refused_in_either_archive(kind, label, tmp_path):
    """There are ten classes."""

    def change(name, content):
        pixels, labels = batch(5)
        labels[3] = label
        make = python2_pickle if kind == "python" else binary
        return make(pixels, labels) if name == "test_batch" else content

    with pytest.raises(IntegrityError, match=f"{label}"):
        read_archive(*make_archive(tmp_path / f"cifar-10-{kind}.tar.gz", kind, change))


def test_a_label_that_no_byte_holds_is_refused():
    """Neither wrapped round nor an error of numpy."""
    content = python2_pickle(*batch(0))
    place = content.index(b"]q\x0e(") + 4

    with pytest.raises(ValueError, match="labels from"):
        parse_python_batch(content[:place] + b"J\x00\x00\x01\x00" + content[place + 2 :])


def test_test_images_that_are_training_images_are_counted(home, tmp_path, caplog):
    """Once, when the data set is checked before the first run."""
    content = files() | {"test/dog/9.png": files()["train/cat/0.png"]}
    source = parse_data(f"imagefolder:{make_tar(tmp_path / 'mine.tar', content)}")
    with caplog.at_level(logging.WARNING):
        data = open_data(source, verify=True)
        open_data(source, verify=False)

    assert 1 == shared_images(data)
    assert ["data set mine: 1 of 5 test images are training images too, so that accuracies flatter"] == caplog.messages


def test_the_embedded_test_images_are_no_training_images():
    """Not one."""
    assert 0 == shared_images(read_embedded())
