"""Image folders in torchvision's layout, `train/<class>/…` and `test/<class>/…`: a directory or a tar archive."""

import hashlib
import io
import os
import warnings
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from resnet18.data.archive import content as member_content
from resnet18.data.archive import members, open_archive
from resnet18.data.dataset import DataSet, Split, arrays_sha256
from resnet18.spec.data import DataSource
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm"}
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "PPM")
"""What a file may hold, whatever it is called: Pillow knows formats that start other programs."""
MAX_IMAGE_BYTES = 10_000_000
MAX_IMAGES = 2_000_000
MAX_SIDE = 2_048
"""In px: an image of a few bytes may decode to any size."""
MAX_DECODED_BYTES = 16 * 2**30
MAX_ARCHIVE_BYTES = 100 * 10**9
MAX_CLASS_NAME = 100
"""Characters of a class's name, which stands in every record."""

Found = dict[tuple[str, str, str], np.ndarray]


def source_sha256(path: Path) -> str:
    """Return the SHA-256 of the archive, or of a directory's image names and contents.

    Raises:
        EnvironmentMissingError: it may not be read.
        IntegrityError: an image that is too large to be one.
    """
    try:
        if path.is_file():
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        total = hashlib.sha256()
        for name, content in _directory_files(path):
            total.update(os.fsencode(name) + f" {len(content)}\n".encode())
            total.update(content)
        return total.hexdigest()
    except OSError as error:
        raise EnvironmentMissingError(
            f"data set {path.name}", f"cannot be read: {error.strerror}", next_step="check its permissions"
        ) from None


def read_image_folder(source: DataSource, path: Path) -> DataSet:
    """Decode every image. Classes and images are ordered by name, so that directory and archive give the same arrays.

    Raises:
        IntegrityError: no such layout, an image that cannot be decoded, or images that are not square and of one size.
    """
    try:
        files = _archive_files(path) if path.is_file() else _directory_files(path)
        found = _decoded(path, files)
    except (IntegrityError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - tarfile, gzip, bz2 and lzma raise a dozen kinds at damaged bytes
        raise IntegrityError(path.name, f"cannot be read: {error}") from None
    if not found:
        layout = "the layout is train/<class>/<image>, test/<class>/<image>"
        raise EnvironmentMissingError(f"data set {path.name}", "holds no image", next_step=layout)
    classes = tuple(sorted({label for _, label, _ in found}))
    _check_classes(path, found, classes)
    _check_sizes(path, found)
    train, test = (_split(found, split, classes) for split in ("train", "test"))
    return DataSet(source.label, classes, train, test, arrays_sha256(classes, train, test))


def _check_classes(path: Path, found: Found, classes: tuple[str, ...]) -> None:
    """Raise IntegrityError unless there are 2 to 10 classes with printable names and images in both splits."""
    for name in classes:
        if not name.isprintable() or len(name) > MAX_CLASS_NAME:
            raise IntegrityError(path.name, f"a class is called {name!r}: no name of at most {MAX_CLASS_NAME} letters")
    if not all(any(key[:2] == (split, label) for key in found) for split in ("train", "test") for label in classes):
        raise IntegrityError(path.name, "every class needs images under train/ and under test/")
    if not 2 <= len(classes) <= 10:
        raise IntegrityError(
            path.name,
            f"{len(classes)} classes found; the network has 10 outputs, so 2 to 10 are possible",
            next_step="the layout is train/<class>/<image> and test/<class>/<image>",
        )


def _check_sizes(path: Path, found: Found) -> None:
    """Raise IntegrityError unless all images are square and of one size."""
    side = len(next(iter(found.values())))
    for place, image in found.items():
        if image.shape != (side, side, 3):
            size = f"{image.shape[1]} x {image.shape[0]} px, where {side} x {side} px is expected"
            raise IntegrityError(path.name, f"{'/'.join(place)} is {size}: images must be square and all of one size")


def _decoded(path: Path, files: Iterator[tuple[str, bytes]]) -> Found:
    found: Found = {}
    room = MAX_DECODED_BYTES
    for name, content in files:
        place = _place(name)
        if place in found:
            raise IntegrityError(path.name, f"{'/'.join(place)} is there twice")
        found[place] = _pixels(path, name, content)
        room -= found[place].nbytes
        if room < 0:
            raise IntegrityError(path.name, f"decodes to more than {MAX_DECODED_BYTES:,} bytes")
    return found


def _split(found: Found, split: str, classes: tuple[str, ...]) -> Split:
    keys = sorted(key for key in found if key[0] == split)
    labels = np.array([classes.index(label) for _, label, _ in keys], dtype=np.uint8)
    return Split(np.stack([found[key] for key in keys]), labels)


def _is_image(name: str) -> bool:
    """Say whether a path ends in train/<class>/<image> or test/<class>/<image>."""
    parts = PurePosixPath(name).parts
    return len(parts) >= 3 and parts[-3] in {"train", "test"} and PurePosixPath(name).suffix.lower() in ENDINGS


def _place(name: str) -> tuple[str, str, str]:
    """Return (split, class, file) of an image's path."""
    split, label, file = PurePosixPath(name).parts[-3:]
    return split, label, file


def _directory_files(path: Path) -> Iterator[tuple[str, bytes]]:
    for file in sorted(path.glob("*/*/*")):
        name = file.relative_to(path).as_posix()
        if file.is_file() and _is_image(name):
            with file.open("rb") as opened:
                content = opened.read(MAX_IMAGE_BYTES + 1)
            if len(content) > MAX_IMAGE_BYTES:
                raise IntegrityError(path.name, f"{name}: larger than {MAX_IMAGE_BYTES:,} bytes")
            yield name, content


def _archive_files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the images of a tar archive, read in memory: nothing is extracted to disk, links are not followed."""
    with open_archive(path, most_at_once=MAX_IMAGE_BYTES, most_in_all=MAX_ARCHIVE_BYTES) as archive:
        for name, member in members(archive, most=MAX_IMAGES, largest=MAX_IMAGE_BYTES):
            if _is_image(name):
                yield name, member_content(path, archive, member)


def _pixels(path: Path, name: str, content: bytes) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                _check_side(image)
                return np.asarray(image.convert("RGB"))
    except Exception as error:  # noqa: BLE001 - Pillow's decoders raise whatever they like at damaged bytes
        raise IntegrityError(path.name, f"{name} cannot be decoded: {error}") from None


def _check_side(image: Image.Image) -> None:
    """Raise ValueError for an image that would decode to more memory than its file suggests."""
    if max(image.size) > MAX_SIDE:
        raise ValueError(f"{image.width} x {image.height} px, where {MAX_SIDE} px a side are the most")
