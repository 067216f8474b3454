"""CIFAR-10's archives are read without unpickling. The archives here are made by the tests, in the official layout."""

import hashlib
import io
import struct
import tarfile

import numpy as np
import pytest

from resnet18.data.cifar10 import find_archive, parse_binary_batch, parse_python_batch, read_archive
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError

IMAGES = 30


def batch(number):
    rng = np.random.default_rng(number)
    return rng.integers(0, 256, (IMAGES, 3072), dtype=np.uint8), rng.integers(0, 10, IMAGES, dtype=np.uint8)


def binary(pixels, labels):
    return np.concatenate([labels[:, None], pixels], axis=1).tobytes()


def string(text):
    return b"U" + bytes([len(text)]) + text.encode()


def python2_pickle(pixels, labels, extra=b""):
    """What Python 2 and its numpy wrote (protocol 2): a dict whose order is not ours to choose."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85q\x04U\x01bq\x05\x87q\x06Rq\x07"
        b"(K\x01" + b"M" + struct.pack("<H", len(labels)) + b"M" + struct.pack("<H", 3072) + b"\x86q\x08"
        b"cnumpy\ndtype\nq\x09U\x02u1q\x0aK\x00K\x01\x87q\x0bRq\x0c(K\x03U\x01|q\x0dNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"T" + struct.pack("<I", pixels.size) + pixels.tobytes() + b"tb"
    )
    numbers = b"]q\x0e(" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    names = b"]q\x0f(" + b"".join(string(f"picture_{index}.png") for index in range(len(labels))) + b"e"
    return (
        b"\x80\x02}q\x01("
        + string("batch_label")
        + string("training batch 1 of 5")
        + string("labels")
        + numbers
        + string("data")
        + array
        + string("filenames")
        + names
        + extra
        + b"u."
    )


def make_archive(path, kind, change=lambda name, content: content):
    names = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]
    make = python2_pickle if kind == "python" else binary
    with tarfile.open(path, "w:gz") as archive:
        for number, name in enumerate(names):
            content = change(name, make(*batch(number)))
            member = tarfile.TarInfo(f"cifar-10-batches-{kind}/{name}{'' if kind == 'python' else '.bin'}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def test_both_archives_decode_to_the_same_data(tmp_path):
    """One hash for both."""
    python = read_archive(*make_archive(tmp_path / "cifar-10-python.tar.gz", "python"))
    binary_ = read_archive(*make_archive(tmp_path / "cifar-10-binary.tar.gz", "binary"))

    assert python.sha256 == binary_.sha256
    assert (150, 32, 32, 3) == python.train.images.shape
    assert (30, 32, 32, 3) == python.test.images.shape


def test_pixels_are_stored_channel_by_channel_and_read_pixel_by_pixel():
    """1,024 red bytes, then green, then blue; row by row."""
    pixels, labels = batch(0)
    split = parse_python_batch(python2_pickle(pixels, labels))

    assert labels.tolist() == split.labels.tolist()
    assert pixels[7, 1024 + 32 * 5 + 9] == split.images[7, 5, 9, 1]


def test_a_payload_is_not_executed(tmp_path):
    """The opcodes that would call `open` are walked past; nothing is written."""
    target = tmp_path / "written"
    payload = string("x") + b"c__builtin__\nopen\n" + string(str(target)[-200:]) + string("w") + b"\x86R"

    parse_python_batch(python2_pickle(*batch(0), extra=payload))

    assert not target.exists()


def test_another_checksum_is_refused_before_anything_is_read(tmp_path):
    """With both checksums."""
    path, sha256 = make_archive(tmp_path / "cifar-10-python.tar.gz", "python")

    with pytest.raises(IntegrityError, match=f"{sha256}, not 6d958be0"):
        read_archive(path)


@pytest.mark.parametrize("kind", ["python", "binary"])
@pytest.mark.parametrize(
    "change",
    [
        lambda name, content: content[:-7] if name == "test_batch" else content,
        lambda name, content: b"" if name == "data_batch_3" else content,
    ],
)
def test_a_truncated_batch_is_refused(kind, change, tmp_path):
    """An archive whose checksum fits and whose content does not."""
    with pytest.raises(IntegrityError, match="not a CIFAR-10 archive"):
        read_archive(*make_archive(tmp_path / f"cifar-10-{kind}.tar.gz", kind, change))


def test_an_archive_without_all_batches_is_refused(tmp_path):
    """The message names what it lacks."""
    path = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz"):
        pass

    with pytest.raises(IntegrityError, match="lacks data_batch_1"):
        read_archive(path, hashlib.sha256(path.read_bytes()).hexdigest())


def test_a_label_above_9_is_refused():
    """There are ten classes."""
    pixels, labels = batch(0)
    labels[3] = 10

    with pytest.raises(ValueError, match="label 10"):
        parse_binary_batch(binary(pixels, labels))


def test_a_missing_archive_is_answered_with_the_command_that_fetches_it(tmp_path):
    """And with the data sets that need none."""
    with pytest.raises(EnvironmentMissingError) as caught:
        find_archive(tmp_path)

    for word in ("resnet18 data fetch", str(tmp_path), "cifar-10-python.tar.gz", "--data fashion-mnist-mini"):
        assert word in str(caught.value)
