"""Image folders and tars of them, in torchvision's layout: which files are images, their pixels, and what is left out.

A directory and its tar give the same images, counts and words; no link is followed. Pixels are torchvision's: Pillow's
`convert("RGB")` of the first frame, without the rotation that EXIF asks for. Only grey of 16 bits, which that would
clip, becomes its upper 8 bits.
"""

import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from time import monotonic

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from resnet18.data import archives
from resnet18.data.dataset import DataSet, Split, arrays_sha256
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError, is_shown, one_line
from resnet18.spec.metric import duration, how_many

SPLITS = ("test", "train")
ALIASES = {"dev", "test", "testing", "train", "training", "val", "valid", "validation"}
"""What a folder of one of the splits may be called by others; only SPLITS are read."""
ENDINGS = {".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".webp", ".ppm", ".pgm"}
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "PPM")
"""Contents that are decoded, whatever a file is called: others start programs, or have decoders without a bound."""
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
"""Pillow's modes that become 8-bit colours without being clipped."""
MODES_OF_16_BITS = ("I;16", "I;16B", "I;16L", "I;16N", "I")
"""The last is that of a PGM with more than 8 bits, which Pillow stretches to 16."""
MAX_DECODED_BYTES = 16 * 2**30
MAX_SIDE = 2_048  # px: an image of a few bytes may decode to any size
DECODING_S = 3_600.0  # the longest decoding of all, which gigabytes of images need only on a busy machine
MAX_UNUSED = 50_000  # files and folders that are no images: a header takes as long as a small image
MAX_SCANS, MAX_PARTS, MAX_DATA_PARTS = 100, 1_000, 20_000
"""Of an image: all its pixels are decoded once a scan, and Pillow reads other parts one by one in Python."""
HEADER_BYTES = 10_000  # of a PPM
SLOW_BYTES = 2_000_000  # of an image whose decoder is in Python
FAST_DECODERS = {"raw", "zip", "jpeg", "webp"}  # those in C
SYSTEM_NAMES = {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "@eadir", "$recycle.bin", "lost+found"}
LAYOUT = "the layout is train/<class>/<image>, test/<class>/<image>"
NESTED, BESIDE = ("file", " in a folder inside a class"), ("file", " beside the folders of classes")
LINK, SPECIAL = ("link", ", never followed"), ("special file", ", such as a pipe")
BY_SYSTEM = ("file", " that a system or an editor made")
PPM_HEADER = re.compile(rb"P\w+(?:(?:\s|#[^\r\n]*[\r\n])+[^\s#]+){2,3}\s")
MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")  # of a JPEG; others stand inside compressed data

Place = tuple[str, str, str]  # split, class and file
Images = dict[Place, NDArray[np.uint8]]


@dataclass
class Survey:
    """What was found beside images, while they were read."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)
    classes: set[str] = field(default_factory=set)  # folders of classes, with images or without
    aliases: set[str] = field(default_factory=set)  # folders that others call so

    def place_of(self, entry: archives.Entry) -> Place | None:
        """Return where an image belongs; None for anything else, which is counted if it is under a split."""
        parts = PurePosixPath(entry.name).parts
        folders = parts if entry.kind == "folder" else parts[:-1]
        self.aliases |= {part for part in folders if part.casefold() in ALIASES and part not in SPLITS}
        splits = [at for at, part in enumerate(parts) if part in SPLITS]
        if not splits:
            return None
        at = len(parts) - 3 if len(parts) - 3 in splits else splits[0]
        inner = parts[at + 1 :]
        is_by_system = any(map(_is_by_system, inner)) or "__MACOSX" in parts
        if entry.kind == "folder":
            self.classes |= {*inner} if len(inner) == 1 and not is_by_system else set()
            return None
        ending = PurePosixPath(entry.name).suffix.lower()
        reasons = (
            (is_by_system, BY_SYSTEM),
            (entry.kind == "link", LINK),
            (entry.kind == "special", SPECIAL),
            (len(inner) < 2, BESIDE),
            (len(inner) > 2, NESTED),
        )
        reason = next((why for holds, why in reasons if holds), None)
        if reason is None and ending in ENDINGS:
            return parts[at], inner[0], inner[1]
        if reason is None:
            self.endings[ending[:12] or "no ending"] += 1
        else:
            self.counts[reason] += 1
        return None

    def left_out(self, used: set[str]) -> str:
        """Return in one line what lies under the splits and is not used; nothing where all is."""
        most = sorted(self.endings.items(), key=lambda one: (-one[1], one[0]))[:5]
        ends = ", ".join(f"{number} {ending}" for ending, number in most)
        told = [f"{how_many(self.endings.total(), 'file')} of another kind ({ends})"] if most else []
        for noun, rest in (NESTED, BESIDE, LINK, SPECIAL, BY_SYSTEM):
            told += [f"{how_many(number, noun)}{rest}"] if (number := self.counts[noun, rest]) else []
        if empty := sorted(self.classes - used):
            told.append(f"{how_many(len(empty), 'class folder')} without images ({', '.join(empty[:3])})")
        return one_line("; ".join(told))


def _is_by_system(name: str) -> bool:
    return name.startswith(".") or name.endswith("~") or name.casefold() in SYSTEM_NAMES


def read_image_folder(label: str, path: Path) -> DataSet:
    """Decode an image folder, a directory or a tar, ordered by the names of classes and images.

    Raises EnvironmentMissingError if there is no image, and IntegrityError at an image or a layout that cannot be used.
    """
    survey = Survey()
    try:
        if found := _decoded(path, survey):
            classes = tuple(sorted({name for _, name, _ in found}))
            _check(found, classes, survey)
            train, test = (_split(found, split, classes) for split in ("train", "test"))
            sha256, left_out = arrays_sha256(classes, train, test), survey.left_out(set(classes))
            return DataSet(label, classes, train, test, sha256, left_out)
    except (IntegrityError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - tarfile, gzip, bz2 and lzma raise a dozen kinds at damaged bytes
        raise IntegrityError(path.name, f"cannot be used: {error}", next_step=LAYOUT) from None
    what = "; ".join(filter(None, ["holds no image", *_hints(survey, ()), survey.left_out(set())]))
    raise EnvironmentMissingError(f"data set {path.name}", what, next_step=LAYOUT)


def image_files(path: Path, survey: Survey) -> Iterator[tuple[Place, bytes]]:
    """Yield place and content of the images of a directory or a tar, and take up what else there is."""
    unused = 0
    for entry in archives.entries_of(path, ALIASES):
        place = survey.place_of(entry)
        unused += place is None
        if unused > MAX_UNUSED:
            raise ValueError(f"more than {MAX_UNUSED:,} files and folders are no images")
        if place:
            yield place, entry.read()


def _decoded(path: Path, survey: Survey) -> Images:
    found: Images = {}
    decoded_bytes, end_s = 0, monotonic() + DECODING_S
    for place, content in image_files(path, survey):
        name = "/".join(place)
        if place in found:
            raise ValueError(f"{name} is there twice")
        if monotonic() > end_s:
            raise ValueError(f"decoding took more than {duration(DECODING_S)} before {name}; move slow images away")
        try:
            found[place] = image = _pixels(content)
        except UnidentifiedImageError:
            text = f"it is no image of the formats {', '.join(FORMATS)}"
            raise ValueError(f"{name} cannot be decoded: {text}; convert it, or move it away") from None
        except Exception as error:  # noqa: BLE001 - Pillow's decoders raise whatever they like at damaged bytes
            raise ValueError(f"{name} cannot be decoded: {error}") from None
        decoded_bytes += image.nbytes
        if decoded_bytes > MAX_DECODED_BYTES:
            raise ValueError(f"decodes to more than {MAX_DECODED_BYTES:,} bytes")
    return found


def _pixels(content: bytes) -> NDArray[np.uint8]:
    """Return the pixels [height, width, 3] of an image; ValueError beyond a limit, or where values would be clipped."""
    _check_parts(content)
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        if max(image.size) > MAX_SIDE:
            raise ValueError(f"{image.width} x {image.height} px, where {MAX_SIDE} px a side are the most")
        if len(content) > SLOW_BYTES and not FAST_DECODERS.issuperset(tile[0] for tile in image.tile):
            text = "where a plain or rescaled PPM and a run-length BMP, which decode slowly, may have at most"
            raise ValueError(f"{len(content):,} bytes, {text} {SLOW_BYTES:,}")
        if image.mode in MODES_OF_16_BITS:
            grey = (np.asarray(image).astype(np.int64) >> 8).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=-1)
        if image.mode not in MODES:
            text = f"its values (Pillow's mode {image.mode}) have no one scale in 8 bits"
            raise ValueError(f"{text}; convert it to grey or RGB of 8 or 16 bits")
        return np.asarray(image.convert("RGB"))


def _check_parts(content: bytes) -> None:
    """Raise ValueError where an image of few pixels has so many parts that it takes long to decode."""
    parts, at = Counter[bytes](), 0
    if content.startswith(b"\xff\xd8\xff"):
        while (found := MARKER.search(content, at)) and found[1] != b"\xd9" and parts.total() <= MAX_PARTS:
            parts[b"scan" if found[1] == b"\xda" else b""] += 1
            has_length = found[1] not in {b"\xd8", b"\x01"}
            at = found.end() + (int.from_bytes(content[found.end() : found.end() + 2]) if has_length else 0)
    elif content.startswith(b"\x89PNG"):
        at = 8
        while at + 8 <= len(content) and parts[b""] <= MAX_PARTS and parts[b"data"] <= MAX_DATA_PARTS:
            parts[b"data" if content[at + 4 : at + 8] in {b"IDAT", b"fdAT", b"fcTL"} else b""] += 1
            at += 12 + int.from_bytes(content[at : at + 4])
    elif content.startswith(b"P") and not PPM_HEADER.match(content[:HEADER_BYTES]):
        raise ValueError(f"its header is longer than {HEADER_BYTES:,} bytes, or cut off")
    if parts[b""] > MAX_PARTS or parts[b"data"] > MAX_DATA_PARTS or parts[b"scan"] > MAX_SCANS:
        raise ValueError(
            f"it has more than {MAX_SCANS} scans or {MAX_PARTS:,} parts, and would take long: write it anew"
        )


def _hints(survey: Survey, classes: tuple[str, ...]) -> list[str]:
    """Return what may be why images are not where they are looked for."""
    hints = [f"{name}/ is there: only train/ and test/ are read" for name in sorted(survey.aliases)[:3]]
    alike: dict[str, list[str]] = {}
    for name in classes:
        alike.setdefault(unicodedata.normalize("NFC", name).casefold(), []).append(ascii(name))
    hints += [
        f"{' and '.join(names)} differ in case or in composed letters alone" for names in alike.values() if names[1:]
    ]
    return hints


def check_classes(classes: tuple[str, ...]) -> None:
    """Raise ValueError unless there are 2 to 10 classes with printable names: they stand in every record."""
    if names := [name for name in classes if not is_shown(name) or len(name) > 100]:
        raise ValueError(f"a class is called {names[0]!r}: no name of at most 100 letters")
    if not 2 <= len(classes) <= 10:
        raise ValueError(f"{len(classes)} classes found; the network has 10 outputs, so 2 to 10 are possible")


def _check(found: Images, classes: tuple[str, ...], survey: Survey) -> None:
    """Raise ValueError unless 2 to 10 printable classes have square images of one size in both splits."""
    check_classes(classes)
    there = {key[:2] for key in found}
    missing = {split: [name for name in classes if (split, name) not in there] for split in ("train", "test")}
    if any(missing.values()):
        told = [
            f"{split}/ has none of {', '.join(names[:3])}" + (f" and {len(names) - 3} more" if names[3:] else "")
            for split, names in missing.items()
            if names
        ]
        raise ValueError(
            "; ".join(["every class needs images under train/ and test/", *told, *_hints(survey, classes)])
        )
    side = len(next(iter(found.values())))
    for place, image in found.items():
        if image.shape != (side, side, 3):
            size = f"{image.shape[1]} x {image.shape[0]} px, where {side} x {side} px is expected"
            raise ValueError(f"{'/'.join(place)} is {size}: images must be square and all of one size")


def _split(found: Images, split: str, classes: tuple[str, ...]) -> Split:
    keys = sorted(key for key in found if key[0] == split)
    labels = np.array([classes.index(label) for _, label, _ in keys], dtype=np.uint8)
    return Split(np.stack([found[key] for key in keys]), labels)
