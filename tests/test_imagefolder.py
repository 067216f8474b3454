"""Image folders and archives of them: whatever is in them, a data set or an error of the suite's own."""

import io
import struct
import tarfile
import zipfile
import zlib
from itertools import product

import numpy as np
import pytest
from PIL import Image

from resnet18.data import archives
from resnet18.data.image_folder import read_image_folder
from resnet18.data.source import open_data
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
        ({"train/cat/0.png": POSTSCRIPT}, "cannot be decoded: it is no image of the formats PNG"),
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


TYPES = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]


@pytest.mark.parametrize("kind", TYPES)
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
        ("image_folder.MAX_DECODED_BYTES", 5 * 8 * 8 * 3, {}, "decodes to more than 960 bytes"),
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
    with pytest.raises(SpecError, match="the suite's own cifar10"):
        parse_data(f"imagefolder:{tmp_path / 'cifar10'}")


RAMP = np.linspace(0, 65_535, 64).astype(np.uint16).reshape(8, 8)
UPPER = np.repeat((RAMP >> 8).astype(np.uint8)[..., None], 3, axis=-1)


def saved(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def pgm(largest, magic=b"P5"):
    values = np.linspace(0, largest, 64).astype(">u2" if largest > 255 else "u1").reshape(8, 8)
    return b"%s 8 8 %d\n" % (magic, largest) + (values if magic == b"P5" else np.repeat(values, 3)).tobytes()


COLOURS = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8))
ROTATED = Image.Exif()
ROTATED[0x0112] = 6
KINDS = {
    "16-bit grey": (saved(Image.fromarray(RAMP), "PNG"), UPPER),
    "16-bit PGM": (pgm(65_535), UPPER),
    "12-bit PGM": (pgm(4_095), np.repeat((np.linspace(0, 4_095, 64).astype(int) >> 4).reshape(8, 8, 1), 3, axis=-1)),
    "12-bit PPM": (pgm(4_095, b"P6"), None),
    "EXIF asks to rotate": (saved(COLOURS, "JPEG", exif=ROTATED), None),
    "animated": (saved(COLOURS, "PNG", save_all=True, append_images=[COLOURS.rotate(90)]), None),
    **{mode: (saved(COLOURS.convert(mode), "PNG"), None) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")},
    **{mode: (saved(COLOURS.convert(mode), "JPEG"), None) for mode in ("CMYK", "YCbCr")},
}


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_those_of_torchvision_and_of_16_bits_the_upper_8(kind, tmp_path):
    """Torchvision's loader is Pillow's conversion to RGB, which clips 16 bits."""
    content, expected = KINDS[kind]
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")) if expected is None else expected
    found = read(make_folder(tmp_path / "mine", files() | {"train/cat/0.png": content})).train.images[0]

    assert np.abs(found.astype(int) - expected).max() <= (1 if kind == "12-bit PGM" else 0)


def test_what_is_not_used_is_counted_alike_in_a_directory_and_in_its_tar(tmp_path):
    """Other endings, nested files, links, empty classes, and names that systems and editors make, never as classes."""
    beside = ["a.tif", "b.tif", "c.gif", "Thumbs.db", "._0.png", "x.png~", ".ipynb_checkpoints/0.png", "sub/0.png"]
    more = {f"train/cat/{name}": png(0) for name in beside} | {"test/.DS_Store": b"x", "train/__MACOSX/0.png": png(0)}
    folder = make_folder(tmp_path / "mine", files() | more | {"train/readme.txt": b"x", "elsewhere/cat/0.png": png(0)})
    (folder / "train" / "bird").mkdir()
    (folder / "train" / "cat" / "9.png").symlink_to("0.png")
    (folder / "train" / "mouse").symlink_to("cat")
    with tarfile.open(tmp_path / "mine.tar", "w") as tar:
        tar.add(folder, "mine")
    first, second = read(folder), read(tmp_path / "mine.tar")

    assert (first.sha256, first.left_out) == (second.sha256, second.left_out)
    assert ("cat", "dog") == first.classes
    assert first.left_out.split("; ") == [
        "3 files of another kind (2 .tif, 1 .gif)",
        "1 file in a folder inside a class",
        "1 file beside the folders of classes",
        "2 links, never followed",
        "6 files that a system or an editor made",
        "1 class folder without images (bird)",
    ]


@pytest.mark.usefixtures("home")
def test_what_is_not_used_is_told_whenever_the_data_are_checked(tmp_path, caplog):
    make_folder(tmp_path / "mine", files() | {"train/cat/a.tif": b"x"})
    for verify in (True, True, False):
        open_data(parse_data(f"imagefolder:{tmp_path / 'mine'}"), verify=verify)

    told = "data set mine: not used under train/ and test/: 1 file of another kind (1 .tif)"
    assert [told, told] == [message for message in caplog.messages if "not used" in message]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda name: name.replace("test/", "val/"), "test/ has none of cat, dog; val/ is there"),
        (lambda name: name.replace("train/", "Train/"), "train/ has none of cat, dog; Train/ is there"),
        (lambda name: name.replace("test/cat", "test/Cat"), "test/ has none of cat; .*'Cat' and 'cat' differ in case"),
        (lambda name: name.replace("dog", "d\u00f6g" if "test" in name else "do\u0308g"), "composed letters alone"),
    ],
)
@pytest.mark.parametrize("make", [make_folder, make_tar])
def test_a_class_without_images_is_named_with_what_may_be_why(change, words, make, tmp_path):
    with pytest.raises(IntegrityError, match=words):
        read(make(tmp_path / "mine", {change(name): content for name, content in files().items()}))


def chunks(number, kind=b"abCd"):
    whole = png(0)
    return whole[:33] + (struct.pack(">I4s", 0, kind) + struct.pack(">I", zlib.crc32(kind))) * number + whole[33:]


def scans(number):
    whole = saved(COLOURS, "JPEG", progressive=True)
    at = whole.rfind(b"\xff\xda")
    return whole[:at] + whole[at:-2] * number + whole[-2:]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (scans(100), "more than 100 scans or 1,000 parts"),
        (saved(COLOURS, "JPEG")[:2] + b"\xff\xfe\0\x02" * 1_001, "more than 100 scans or 1,000 parts"),
        (chunks(1_001), "more than 100 scans or 1,000 parts"),
        (chunks(20_001, b"IDAT"), "more than 100 scans or 1,000 parts"),
        (b"P5 #" + b"a" * 10_000 + b"\n8 8 255\n" + bytes(64), "its header is longer than 10,000 bytes"),
        (b"P5 1500 1500 100\n" + bytes(2_250_000), "which decode slowly, may have at most 2,000,000"),
        (b"Pf\n8 8\n-1.0\n" + bytes(256), "mode F"),
        (saved(COLOURS, "TIFF"), "it is no image of the formats PNG, JPEG, BMP, WEBP, PPM"),
    ],
)
def test_an_image_that_would_take_long_or_be_clipped_is_refused_by_its_name(content, words, tmp_path):
    folder = make_folder(tmp_path / "mine", files() | {"train/cat/0.png": content})
    texts = set()
    for _ in range(2):
        with pytest.raises(IntegrityError, match=rf"train/cat/0\.png cannot be decoded: .*{words}") as refused:
            read(folder)
        texts.add(str(refused.value))

    assert 1 == len(texts)
    assert " at 0x" not in texts.pop()


def test_ordinary_images_are_within_the_limits(tmp_path):
    """A progressive JPEG has ten scans, and a large PNG hundreds of chunks of data."""
    content = {"train/cat/0.png": scans(80), "train/cat/1.png": chunks(900), "train/dog/0.png": chunks(5_000, b"IDAT")}

    assert 4 == len(read(make_folder(tmp_path / "mine", files() | content)).train.labels)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"image_folder.MAX_UNUSED": 8}, "more than 8 files and"),
        ({"archives.MIN_UNPACKED_BYTES": 1_000}, "unpacks to"),
        ({"image_folder.DECODING_S": -1.0}, "before test/dog/1.png"),
    ],
)
def test_an_archive_that_would_take_long_is_refused(limits, words, tmp_path, monkeypatch):
    """A million headers, or little that unpacks to much."""
    for name, value in limits.items():
        monkeypatch.setattr(f"resnet18.data.{name}", value)
    with pytest.raises(IntegrityError, match=words):
        read(make_tar(tmp_path / "mine.tar.gz", BULK | files()))


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("limit", "words"), [("MAX_FILE_BYTES", "train/cat/0.png: larger"), ("MAX_FILES", "more than 9")]
)
@pytest.mark.parametrize("make", [make_folder, make_tar])
def test_limits_hold_before_anything_is_decoded(limit, words, make, tmp_path, monkeypatch):
    """A directory is hashed first, by which its decoded copy is found."""
    path = make(tmp_path / "mine", files(3) | {"train/cat/0.png": png(0, 99, 99)})
    monkeypatch.setattr(archives, limit, 9 if limit == "MAX_FILES" else 1_000)

    with pytest.raises(IntegrityError, match=words):
        open_data(parse_data(f"imagefolder:{path}"), verify=True)


def test_a_zip_is_told_from_a_tar(tmp_path):
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        for name, content in files().items():
            archive.writestr(name, content)

    with pytest.raises(IntegrityError, match="is a zip archive and no tar\n  next: unpack it"):
        read(tmp_path / "mine.zip")
