"""Data sets made to harm: no pickle is loaded, nothing is extracted, and nothing unpacks without end."""

import hashlib
import io
import tarfile

import pytest
from test_cifar10 import make_archive
from test_imagefolder import files, make_folder, make_tar, png

from resnet18.data import archive, imagefolder
from resnet18.data.cifar10 import read_archive
from resnet18.data.imagefolder import read_image_folder
from resnet18.data.source import open_data
from resnet18.spec.data import DataSource, parse_data
from resnet18.spec.errors import IntegrityError


def read(path):
    return read_image_folder(DataSource("imagefolder", "mine", path), path)


def payload(target):
    """A pickle that makes a file when it is loaded."""
    return f"cbuiltins\nopen\n(S'{target}'\nS'w'\ntR.".encode()


def test_the_payload_would_do_harm_if_it_were_loaded(tmp_path):
    """Otherwise the next test would show nothing."""
    import pickle  # noqa: PLC0415 - to prove the payload

    pickle.loads(payload(tmp_path / "harm")).close()  # noqa: S301 - as above

    assert (tmp_path / "harm").exists()


def object_array(target):
    """What numpy writes for an array of objects: a header, then a pickle."""
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (4,), }"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + payload(target)


@pytest.mark.parametrize("name", ["about.json", "train_images.npy", "test_labels.npy"])
@pytest.mark.parametrize("make", [payload, object_array])
def test_a_pickle_in_a_decoded_copy_is_not_loaded(name, make, decoded, tmp_path):
    """Neither a bare one nor an array of objects."""
    source, copy = decoded
    (copy / name).write_bytes(make(tmp_path / "harm"))

    with pytest.raises(IntegrityError):
        open_data(source, verify=True)
    assert not (tmp_path / "harm").exists()


def test_a_pickle_in_an_archive_is_not_loaded(tmp_path):
    """As a batch of CIFAR-10 and as an image."""
    harm = payload(tmp_path / "harm")
    with pytest.raises(IntegrityError):
        read_archive(*make_archive(tmp_path / "cifar-10-python.tar.gz", "python", lambda *_: harm))
    with pytest.raises(IntegrityError):
        read(make_tar(tmp_path / "mine.tar", files() | {"train/cat/9.png": harm}))

    assert not (tmp_path / "harm").exists()


def test_a_format_that_starts_other_programs_is_not_decoded(tmp_path, monkeypatch):
    """Pillow hands PostScript to Ghostscript, whatever the file is called."""
    monkeypatch.setattr("subprocess.Popen", None)
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"

    with pytest.raises(IntegrityError, match="cannot be decoded: cannot identify image file"):
        read(make_folder(tmp_path / "mine", files() | {"train/cat/9.png": postscript}))


SPECIAL = {
    "symlink": (tarfile.SYMTYPE, "/etc/passwd"),
    "hard link": (tarfile.LNKTYPE, "../../etc/passwd"),
    "character device": (tarfile.CHRTYPE, ""),
    "block device": (tarfile.BLKTYPE, ""),
    "pipe": (tarfile.FIFOTYPE, ""),
    "directory": (tarfile.DIRTYPE, ""),
}


def tree(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def evil_tar(path, content, special=()):
    with tarfile.open(path, "w") as archive:
        for name, kind, target in special:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize("kind", SPECIAL)
def test_a_member_that_is_no_file_is_passed_over(kind, tmp_path):
    """It is neither followed nor made; the images beside it are read."""
    sealed = tmp_path / "sealed"
    sealed.mkdir()
    special = [("train/cat/8.png", *SPECIAL[kind]), ("train", tarfile.SYMTYPE, str(tmp_path))]
    data = read(evil_tar(sealed / "mine.tar", files(), special))

    assert 4 == len(data.train.labels)
    assert ["sealed", "sealed/mine.tar"] == tree(tmp_path)


@pytest.mark.parametrize("kind", [kind for kind in SPECIAL if kind != "directory"])
def test_a_batch_of_cifar_that_is_no_file_is_missing(kind, tmp_path):
    """A link to the right name elsewhere is not followed."""
    path, _ = make_archive(tmp_path / "whole.tar.gz", "python")
    with tarfile.open(path) as whole:
        content = {one.name: whole.extractfile(one).read() for one in whole if not one.name.endswith("data_batch_2")}
    path = evil_tar(tmp_path / "cifar-10-python.tar.gz", content, [("x/data_batch_2", *SPECIAL[kind])])

    with pytest.raises(IntegrityError, match="lacks data_batch_2"):
        read_archive(path, hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.mark.parametrize("name", ["../train/cat/9.png", "/train/cat/9.png", "../../../../etc/train/cat/9.png"])
def test_a_member_that_climbs_out_is_read_and_written_nowhere(name, tmp_path):
    """Nothing is ever extracted."""
    sealed = tmp_path / "sealed"
    sealed.mkdir()
    read(evil_tar(sealed / "mine.tar", files() | {name: png(9)}))

    assert ["sealed", "sealed/mine.tar"] == tree(tmp_path)


def test_a_member_that_is_too_large_is_refused_before_it_is_unpacked(tmp_path):
    """By what its header claims."""
    big = files() | {"train/cat/9.png": bytes(imagefolder.MAX_IMAGE_BYTES + 1)}

    with pytest.raises(IntegrityError, match=r"train/cat/9\.png: larger than 10,000,000 bytes"):
        read(make_tar(tmp_path / "mine.tar.gz", big))


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    """Also where the bulk is in members that nobody wants."""
    monkeypatch.setattr(imagefolder, "MAX_ARCHIVE_BYTES", 3_000_000)
    bulk = {f"other/{number}.bin": bytes(1_000_000) for number in range(9)}

    with pytest.raises(IntegrityError, match=r"unpacks to more than \d"):
        read(make_tar(tmp_path / "mine.tar.gz", bulk | files()))


def test_an_archive_of_cifar_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    """Its own limits are narrower: the data set is known."""
    monkeypatch.setattr("resnet18.data.cifar10.MAX_ARCHIVE_BYTES", 100_000)
    monkeypatch.setattr(archive, "HEADERS", 10_000)

    with pytest.raises(IntegrityError, match=r"unpacks to more than \d"):
        read_archive(*make_archive(tmp_path / "cifar-10-binary.tar.gz", "binary"))


def test_an_archive_of_too_many_members_is_refused(tmp_path, monkeypatch):
    """Each costs memory, however small."""
    monkeypatch.setattr(imagefolder, "MAX_IMAGES", 5)

    with pytest.raises(IntegrityError, match="more than 5 files"):
        read(make_tar(tmp_path / "mine.tar", files()))


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_name_of_any_length_is_refused_before_it_is_read(kind, tmp_path, monkeypatch):
    """`tarfile` reads a long name in one piece, whatever its header says of its length."""
    monkeypatch.setattr(archive, "HEADERS", 20_000)
    monkeypatch.setattr(imagefolder, "MAX_IMAGE_BYTES", 1_000)
    header = tarfile.TarInfo("name")
    header.type, header.size = kind, 51_200
    whole = make_tar(tmp_path / "mine.tar", files(), "").read_bytes()
    (tmp_path / "mine.tar").write_bytes(header.tobuf(tarfile.GNU_FORMAT) + b"x" * 51_200 + whole)

    with pytest.raises(IntegrityError, match="a piece of 51,200 bytes"):
        read(tmp_path / "mine.tar")


def test_an_image_that_decodes_to_too_much_is_refused(tmp_path):
    """A few kilobytes of one colour."""
    buffer = io.BytesIO()
    imagefolder.Image.new("RGB", (imagefolder.MAX_SIDE + 1, 2)).save(buffer, "PNG")

    with pytest.raises(IntegrityError, match="2049 x 2 px, where 2048 px a side are the most"):
        read(make_folder(tmp_path / "mine", files() | {"train/cat/9.png": buffer.getvalue()}))


def test_images_that_decode_to_too_much_together_are_refused(tmp_path, monkeypatch):
    """Before memory runs out."""
    monkeypatch.setattr(imagefolder, "MAX_DECODED_BYTES", 5 * 8 * 8 * 3)

    with pytest.raises(IntegrityError, match="decodes to more than 960 bytes"):
        read(make_folder(tmp_path / "mine", files()))


@pytest.mark.parametrize("name", ["\x1b[2Jcat", "\u202ecat", "c" * 101, "\udcffcat", "cat\n"])
def test_a_class_whose_name_cannot_be_printed_is_refused(name, tmp_path):
    """It stands in every record and under every picture."""
    content = {place.replace("cat", name): data for place, data in files().items()}

    with pytest.raises(IntegrityError, match="a class is called"):
        read(make_tar(tmp_path / "mine.tar", content))


def test_a_file_name_that_is_no_text_is_read(tmp_path):
    """Names of files are kept nowhere."""
    folder = make_folder(tmp_path / "mine", {name.replace("0.", "\udcff."): data for name, data in files().items()})

    assert open_data(parse_data(f"imagefolder:{folder}"), verify=True).sha256 == read(folder).sha256
