"""Image folders and archives of them: whatever is in them, a data set or an error of the suite's own."""

import io
import tarfile
from itertools import product

import numpy as np
import pytest
from PIL import Image

from resnet18.data import archives
from resnet18.data.source import read_image_folder
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError, SpecError
from resnet18.spec.experiment import parse_data


def png(seed, height=8, width=8):
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def files(per_class=2):
    names = product(("train", "test"), ("cat", "dog"), range(per_class))
    return {f"{split}/{name}/{number}.png": png(seed) for seed, (split, name, number) in enumerate(names)}


def make_folder(path, content):
    for name, data in content.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def make_tar(path, content, compression="gz"):
    with tarfile.open(path, f"w:{compression}") as archive:
        for name, data in reversed(content.items()):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def read(path):
    return read_image_folder("mine", path)


def test_a_directory_and_an_archive_give_the_same_arrays(tmp_path):
    """Whatever the order of files in the archive, and with folders above; the hash is golden."""
    folder = read(make_folder(tmp_path / "mine", files()))
    nested = {f"some/folder/{name}": data for name, data in files().items()}

    for content in (files(), nested):
        assert "9bb92597ee2aeba4" == folder.sha256[:16] == read(make_tar(tmp_path / "a.tar.gz", content)).sha256[:16]
    assert (("cat", "dog"), (4, 8, 8, 3)) == (folder.classes, folder.train.images.shape)
    assert [0, 0, 1, 1] == folder.train.labels.tolist()


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"train/cat/0.png": b"no picture"}, "train/cat/0.png cannot be decoded"),
        ({"train/cat/0.png": POSTSCRIPT}, "cannot be decoded: cannot identify image file"),
        ({"train/cat/0.png": png(0, 2, 2_049)}, "2049 x 2 px, where 2048 px a side are the most"),
        ({"train/cat/0.png": bytes(40_000_001)}, r"train/cat/0\.png: larger than 40,000,000 bytes"),
        ({"train/cat/0.png": png(0, 9, 9)}, "is [89] x [89] px, where [89] x [89]"),
        ({"train/cat/0.png": png(0, 2)}, "must be square"),
        ({"train/bird/0.png": png(0)}, "every class needs"),
        ({f"{split}/{number}/0.png": png(0) for split in ("train", "test") for number in range(9)}, "11 classes"),
        ({"train/\x1b[2Jcat/0.png": png(0)}, "a class is called"),
        ({f"train/{'c' * 101}/0.png": png(0)}, "a class is called"),
        ({"train/\u202ecat/0.png": png(0)}, "a class is called"),
    ],
)
@pytest.mark.parametrize("make", [make_folder, make_tar])
def test_a_folder_that_is_none_is_refused(change, words, make, tmp_path, monkeypatch):
    """No picture, of another size, or of classes that do not fit. PostScript would start another program."""
    monkeypatch.setattr("subprocess.Popen", None)
    with pytest.raises(IntegrityError, match=words):
        read(make(tmp_path / "mine", files() | change))


def test_a_folder_without_an_image_is_answered_with_the_layout(tmp_path):
    with pytest.raises(EnvironmentMissingError, match=r"holds no image\n.*train/<class>/<image>"):
        read(make_folder(tmp_path / "mine", {"some/folder/readme.txt": b"x"}))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_archive_is_refused(share, tmp_path):
    whole = make_tar(tmp_path / "mine.tar.gz", files()).read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: int(share * len(whole))])

    with pytest.raises(IntegrityError):
        read(tmp_path / "cut.tar.gz")


KINDS = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["train/cat/8.png", "train", "../train/cat/9.png", "/train/cat/9.png"])
def test_a_member_that_is_no_file_or_climbs_out_is_neither_followed_nor_made(kind, name, tmp_path):
    sealed = tmp_path / "sealed"
    sealed.mkdir()
    path = make_tar(sealed / "mine.tar", files() | {"../../train/cat/9.png": png(9)}, "")
    with tarfile.open(path, "a") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        tar.addfile(member)

    assert 5 == len(read(path).train.labels)
    assert ["sealed", "sealed/mine.tar"] == sorted(one.relative_to(tmp_path).as_posix() for one in tmp_path.rglob("*"))


BULK = {f"other/{number}.bin": bytes(1_000_000) for number in range(9)}


@pytest.mark.parametrize(
    ("limit", "value", "more", "words"),
    [
        ("archives.MAX_TAR_BYTES", 3_000_000, BULK, r"unpacks to more than \d"),
        ("archives.MAX_FILES", 5, {}, "more than 5 files"),
        ("source.MAX_DECODED_BYTES", 5 * 8 * 8 * 3, {}, "decodes to more than 960 bytes"),
    ],
)
def test_an_archive_that_holds_too_much_is_refused(limit, value, more, words, tmp_path, monkeypatch):
    monkeypatch.setattr(f"resnet18.data.{limit}", value)

    with pytest.raises(IntegrityError, match=words):
        read(make_tar(tmp_path / "mine.tar.gz", more | files()))


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_name_of_any_length_is_refused_before_it_is_read(kind, tmp_path, monkeypatch):
    """`tarfile` reads a long name in one piece, whatever its header says of its length."""
    monkeypatch.setattr(archives, "HEADERS", 20_000)
    monkeypatch.setattr(archives, "MAX_FILE_BYTES", 1_000)
    header = tarfile.TarInfo("name")
    header.type, header.size = kind, 51_200
    whole = make_tar(tmp_path / "mine.tar", files(), "").read_bytes()
    (tmp_path / "mine.tar").write_bytes(header.tobuf(tarfile.GNU_FORMAT) + b"x" * 51_200 + whole)

    with pytest.raises(IntegrityError, match="a piece of 51,200 bytes"):
        read(tmp_path / "mine.tar")


def test_an_image_folder_is_labelled_by_its_stem_and_never_passes_for_the_official_data(tmp_path):
    """The label is never the path."""
    for name in ("cifar10", "My Photos!.tgz"):
        (tmp_path / name).mkdir()

    assert "my-photos" == parse_data(f"imagefolder:{tmp_path / 'My Photos!.tgz'}").label
    with pytest.raises(SpecError, match="cannot be labelled"):
        parse_data(f"imagefolder:{tmp_path / 'cifar10'}")
