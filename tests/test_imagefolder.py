"""Image folders and archives of them, and the decoded copies that are kept of both."""

import contextlib
import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from resnet18.data.imagefolder import read_image_folder
from resnet18.data.source import open_data
from resnet18.spec.data import DataSource, parse_data
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError, SpecError


def png(seed, side=8):
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def files(per_class=2):
    return {
        f"{split}/{name}/{number}.png": png(hash_of)
        for hash_of, (split, name, number) in enumerate(
            (split, name, number)
            for split in ("train", "test")
            for name in ("cat", "dog")
            for number in range(per_class)
        )
    }


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
    return read_image_folder(DataSource("imagefolder", "mine", path), path)


def test_a_directory_and_an_archive_give_the_same_arrays(tmp_path):
    """Whatever the order of files in the archive."""
    folder = read(make_folder(tmp_path / "mine", files()))
    archive = read(make_tar(tmp_path / "mine.tar.gz", files()))

    assert folder.sha256 == archive.sha256
    assert (("cat", "dog"), (4, 8, 8, 3)) == (folder.classes, folder.train.images.shape)
    assert [0, 0, 1, 1] == folder.train.labels.tolist()


def test_a_folder_above_the_splits_changes_nothing(tmp_path):
    """Archives often have one."""
    plain = make_tar(tmp_path / "a.tar.gz", files())
    nested = make_tar(tmp_path / "b.tar.gz", {f"some/folder/{name}": data for name, data in files().items()})

    assert read(plain).sha256 == read(nested).sha256


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda content: content | {"train/cat/0.png": b"no picture"}, "train/cat/0.png cannot be decoded"),
        (
            lambda content: content | {"train/cat/0.png": png(0, side=9)},
            "is [89] x [89] px, where [89] x [89]",
        ),
        (lambda content: content | {"train/bird/0.png": png(0)}, "every class needs"),
        (lambda content: {"train/cat/0.png": png(0), "test/cat/0.png": png(1)}, "1 classes"),
    ],
)
def test_a_folder_that_is_none_is_refused(change, word, tmp_path):
    """Broken images, mixed sizes, classes of one split only, too few classes, no images."""
    with pytest.raises(IntegrityError, match=word):
        read(make_folder(tmp_path / "mine", change(files())))


def test_a_folder_without_an_image_is_answered_with_the_layout(tmp_path):
    """It is not damaged, it is another folder."""
    with pytest.raises(EnvironmentMissingError, match=r"holds no image\n.*train/<class>/<image>"):
        read(make_folder(tmp_path / "mine", {"some/folder/readme.txt": b"x"}))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_archive_is_refused(share, tmp_path):
    """Wherever it was cut."""
    whole = make_tar(tmp_path / "mine.tar.gz", files()).read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: int(share * len(whole))])

    with pytest.raises(IntegrityError):
        read(tmp_path / "cut.tar.gz")


def test_an_image_that_is_there_twice_is_refused(tmp_path):
    """Under two folders of one archive: neither may replace the other silently."""
    twice = {f"{top}/{name}": data for top in ("a", "b") for name, data in files().items()}

    with pytest.raises(IntegrityError, match="is there twice"):
        read(make_tar(tmp_path / "mine.tar.gz", twice))


@pytest.mark.parametrize("mode", ["gz", "bz2", "xz", ""])
def test_a_flipped_bit_anywhere_raises_only_our_own_error(mode, tmp_path):
    """Of an archive in each compression, or of the images in it: 40 places each, evenly spread."""
    whole = make_tar(tmp_path / "mine.tar", files(), mode).read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 40)):
        changed = bytearray(whole)
        changed[place] ^= 1 << (place % 8)
        (tmp_path / "changed.tar").write_bytes(changed)
        with contextlib.suppress(IntegrityError):
            read(tmp_path / "changed.tar")


def test_an_archive_writes_nothing_outside(tmp_path):
    """Members are read in memory: a path that climbs out has nowhere to go."""
    inside = tmp_path / "inside"
    inside.mkdir()
    read(make_tar(inside / "mine.tar.gz", files() | {"../train/cat/evil.png": png(9)}))

    assert ["inside"] == [path.name for path in tmp_path.iterdir()]


def test_a_decoded_copy_is_kept_and_used(home, tmp_path, monkeypatch):
    """The second time nothing is decoded."""
    source = parse_data(f"imagefolder:{make_tar(tmp_path / 'mine.tar.gz', files())}")
    first = open_data(source, verify=True)
    monkeypatch.setattr("resnet18.data.source.read_image_folder", None)
    second = open_data(source, verify=True)

    assert first.sha256 == second.sha256
    assert ["mine-"] == [path.name[:5] for path in (home / "decoded").iterdir() if path.is_dir()]


def test_a_data_home_that_cannot_be_written_is_an_error_of_the_environment(tmp_path, monkeypatch):
    """A file stands where the folder should be."""
    (tmp_path / "home").write_text("", encoding="utf-8")
    monkeypatch.setenv("RESNET18_DATA", str(tmp_path / "home"))

    with pytest.raises(EnvironmentMissingError, match="RESNET18_DATA"):
        open_data(parse_data(f"imagefolder:{make_tar(tmp_path / 'mine.tar.gz', files())}"), verify=True)


def test_a_changed_archive_is_decoded_again(home, tmp_path):
    """It is found by its content, not by its name."""
    path = tmp_path / "mine.tar.gz"
    first = open_data(parse_data(f"imagefolder:{make_tar(path, files())}"), verify=True)
    second = open_data(parse_data(f"imagefolder:{make_tar(path, files(per_class=3))}"), verify=True)

    assert first.sha256 != second.sha256


def test_a_changed_decoded_copy_is_noticed(home, tmp_path):
    """One flipped bit."""
    source = parse_data(f"imagefolder:{make_tar(tmp_path / 'mine.tar.gz', files())}")
    open_data(source, verify=True)
    (copy,) = (home / "decoded").glob("*/train_images.npy")
    content = bytearray(copy.read_bytes())
    content[-1] ^= 1
    copy.write_bytes(content)

    with pytest.raises(IntegrityError, match="decoded copy was changed"):
        open_data(source, verify=True)


@pytest.mark.parametrize(
    ("name", "label"), [("cifar10-jpeg.tar.gz", "cifar10-jpeg"), ("My Photos!.tgz", "my-photos"), ("plain", "plain")]
)
def test_the_label_is_the_stem_and_never_the_path(name, label, tmp_path):
    """It goes into ids and file names."""
    (tmp_path / name).mkdir()

    assert label == parse_data(f"imagefolder:{tmp_path / name}").label


def test_an_image_folder_cannot_pass_for_the_official_data(tmp_path):
    """Its results would stand beside reported values under a false name."""
    (tmp_path / "cifar10").mkdir()

    with pytest.raises(SpecError, match="cannot be labelled"):
        parse_data(f"imagefolder:{tmp_path / 'cifar10'}")


def test_a_missing_folder_is_an_error_of_the_environment(tmp_path):
    """With the layout that is expected."""
    with pytest.raises(EnvironmentMissingError, match="train/<class>/"):
        parse_data(f"imagefolder:{tmp_path / 'none'}")


def test_an_unknown_data_set_is_refused_with_the_known_ones():
    """And the nearest."""
    with pytest.raises(SpecError, match=r'did you mean "cifar10".*fashion-mnist-mini'):
        parse_data("cifar-10")
