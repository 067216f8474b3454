"""CIFAR-10's archives, made by the tests in the official layout: read without unpickling, refused if damaged."""

import hashlib
import io
import socket
import struct
import tarfile

import numpy as np
import pytest

from resnet18.data.archives import ARCHIVES, PYTHON, file_sha256, parse_binary_batch, parse_python_batch, read_archive
from resnet18.data.source import open_data
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError
from resnet18.spec.experiment import parse_data

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
    head = b"\x80\x02}q\x01(" + string("batch_label") + string("training batch 1 of 5")
    return head + string("labels") + numbers + string("data") + array + string("filenames") + names + extra + b"u."


MAKE = {"python": python2_pickle, "binary": binary}
PARSE = {"python": parse_python_batch, "binary": parse_binary_batch}
KINDS = pytest.mark.parametrize("kind", ["python", "binary"])
CUTS = pytest.mark.parametrize("kept", [lambda _: 0, lambda _: 1, lambda size: size // 3 + 1, lambda size: size - 1])


def make_archive(path, kind, change=lambda name, content: content):
    names = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]
    with tarfile.open(path, "w:gz") as archive:
        for number, name in enumerate(names):
            content = change(name, MAKE[kind](*batch(number)))
            member = tarfile.TarInfo(f"cifar-10-batches-{kind}/{name}{'' if kind == 'python' else '.bin'}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def test_both_archives_decode_to_the_same_data(tmp_path):
    data = [read_archive(*make_archive(tmp_path / f"cifar-10-{kind}.tar.gz", kind)) for kind in MAKE]

    assert "dbf20d0b363a5646" == data[0].sha256[:16] == data[1].sha256[:16]
    assert ((150, 32, 32, 3), (30, 32, 32, 3)) == (data[0].train.images.shape, data[0].test.images.shape)


def payload(target):
    """A pickle that makes a file when it is loaded."""
    return f"cbuiltins\nopen\n(S'{target}'\nS'w'\ntR.".encode()


def test_a_payload_is_not_executed(tmp_path):
    harm = payload(tmp_path / "harm")
    parse_python_batch(python2_pickle(*batch(0), extra=string("x") + harm[:-1]))
    with pytest.raises(IntegrityError):
        read_archive(*make_archive(tmp_path / PYTHON, "python", lambda *_: harm))

    assert not (tmp_path / "harm").exists()


@KINDS
@CUTS
def test_a_cut_archive_of_cifar_is_refused(kind, kept, tmp_path):
    """By its checksum, and by its content where the checksum is that of the cut file."""
    path, sha256 = make_archive(tmp_path / f"cifar-10-{kind}.tar.gz", kind)
    whole = path.read_bytes()
    path.write_bytes(whole[: kept(len(whole))])

    for expected in (sha256, file_sha256(path)):
        with pytest.raises(IntegrityError):
            read_archive(path, expected)


@KINDS
def test_a_flipped_bit_of_a_cifar_archive_is_refused_with_both_checksums(kind, repetitions, tmp_path):
    path, sha256 = make_archive(tmp_path / f"cifar-10-{kind}.tar.gz", kind)
    whole = path.read_bytes()
    for place in np.linspace(0, len(whole) - 1, 10 * repetitions(1_000), dtype=int):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << (place % 8)]) + whole[place + 1 :])
        with pytest.raises(IntegrityError, match=rf"SHA-256 is [0-9a-f]{{64}}, not {sha256}"):
            read_archive(path, sha256)

    assert path.exists()


@KINDS
def test_a_label_above_9_is_refused_in_either_archive(kind):
    pixels, labels = batch(5)
    labels[3] = 10

    with pytest.raises(ValueError, match="labels from 0 to 10, where 0 to 9"):
        PARSE[kind](MAKE[kind](pixels, labels))


def test_a_label_that_no_byte_holds_is_refused():
    content = python2_pickle(*batch(0))
    place = content.index(b"]q\x0e(") + 4

    with pytest.raises(ValueError, match="labels from"):
        parse_python_batch(content[:place] + b"J\x00\x00\x01\x00" + content[place + 2 :])


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_a_batch_of_cifar_that_is_no_file_is_missing(kind, tmp_path):
    whole, _ = make_archive(tmp_path / "whole.tar.gz", "python")
    path = tmp_path / PYTHON
    with tarfile.open(whole) as old, tarfile.open(path, "w") as new:
        for member in old:
            if member.name.endswith("data_batch_2"):
                member.type, member.size, member.linkname = kind, 0, str(whole)
            new.addfile(member, old.extractfile(member) if member.isreg() else None)

    with pytest.raises(IntegrityError, match="data_batch_2"):
        read_archive(path, file_sha256(path))


def test_a_missing_data_set_is_named_with_its_place_and_hash_and_never_replaced(home, monkeypatch):
    """No socket is opened to look for it; what could be used instead is offered by name."""
    monkeypatch.setattr(socket, "socket", None)
    monkeypatch.setattr(socket, "getaddrinfo", None)
    with pytest.raises(EnvironmentMissingError) as caught:
        open_data(parse_data("cifar10"), verify=True)

    for word in (str(home), ARCHIVES[PYTHON].sha256, "--data fashion-mnist-mini", "resnet18 data fetch"):
        assert word in str(caught.value)
