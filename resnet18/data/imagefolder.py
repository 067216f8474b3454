"""Image folders in torchvision's layout, `train/<class>/…` and `test/<class>/…`: a directory or a tar archive."""

import hashlib
import io
import os
import warnings
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnet18.data.archive import file_sha256, read_tar
from resnet18.data.dataset import DataSet, Split, arrays_sha256
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm"}
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "PPM")
"""Contents that are decoded, whatever a file is called: Pillow knows formats that start other programs."""
MAX_IMAGE_BYTES = 10_000_000
MAX_IMAGES = 2_000_000
MAX_SIDE = 2_048
"""In px: an image of a few bytes may decode to any size."""
MAX_DECODED_BYTES = 16 * 2**30
MAX_ARCHIVE_BYTES = 100 * 10**9
LAYOUT = "the layout is train/<class>/<image>, test/<class>/<image>"

Found = dict[tuple[str, str, str], NDArray[np.uint8]]
"""Images by split, class and file."""


def source_sha256(path: Path) -> str:
    """Return the SHA-256 of the archive, or of a directory's image names and contents."""
    try:
        if path.is_file():
            return file_sha256(path)
        total = hashlib.sha256()
        for name, content in _files(path):
            total.update(os.fsencode(name) + f" {len(content)}\n".encode())
            total.update(content)
        return total.hexdigest()
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
        raise EnvironmentMissingError(f"data set {path.name}", what, next_step="check its permissions") from None


def read_image_folder(label: str, path: Path) -> DataSet:
    """Decode every image. Classes and images are ordered by name, so that directory and archive give the same arrays.

    Raises EnvironmentMissingError if there is no image, and IntegrityError at an image or a layout that cannot be used.
    """
    try:
        found = _decoded(path)
    except (IntegrityError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - tarfile, gzip, bz2 and lzma raise a dozen kinds at damaged bytes
        raise IntegrityError(path.name, f"cannot be read: {error}") from None
    if not found:
        raise EnvironmentMissingError(f"data set {path.name}", "holds no image", next_step=LAYOUT)
    classes = tuple(sorted({name for _, name, _ in found}))
    _check(path, found, classes)
    train, test = (_split(found, split, classes) for split in ("train", "test"))
    return DataSet(label, classes, train, test, arrays_sha256(classes, train, test))


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the images of a directory or an archive."""
    if path.is_file():
        limits = {"members": MAX_IMAGES, "member_bytes": MAX_IMAGE_BYTES, "total_bytes": MAX_ARCHIVE_BYTES}
        yield from read_tar(path, _is_image, **limits)
        return
    for file in sorted(path.glob("*/*/*")):
        name = file.relative_to(path).as_posix()
        if file.is_file() and _is_image(name):
            with file.open("rb") as opened:
                content = opened.read(MAX_IMAGE_BYTES + 1)
            if len(content) > MAX_IMAGE_BYTES:
                raise IntegrityError(path.name, f"{name}: larger than {MAX_IMAGE_BYTES:,} bytes")
            yield name, content


def _is_image(name: str) -> bool:
    """Say whether a path ends in train/<class>/<image> or test/<class>/<image>."""
    parts = PurePosixPath(name).parts
    return len(parts) >= 3 and parts[-3] in {"train", "test"} and PurePosixPath(name).suffix.lower() in ENDINGS


def _decoded(path: Path) -> Found:
    found: Found = {}
    room = MAX_DECODED_BYTES
    for name, content in _files(path):
        split, label, file = PurePosixPath(name).parts[-3:]
        if (split, label, file) in found:
            raise ValueError(f"{split}/{label}/{file} is there twice")
        try:
            found[split, label, file] = image = _pixels(content)
        except Exception as error:  # noqa: BLE001 - Pillow's decoders raise whatever they like at damaged bytes
            raise ValueError(f"{name} cannot be decoded: {error}") from None
        if (room := room - image.nbytes) < 0:
            raise ValueError(f"decodes to more than {MAX_DECODED_BYTES:,} bytes")
    return found


def _pixels(content: bytes) -> NDArray[np.uint8]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if max(image.size) > MAX_SIDE:
                raise ValueError(f"{image.width} x {image.height} px, where {MAX_SIDE} px a side are the most")
            return np.asarray(image.convert("RGB"))


def _check(path: Path, found: Found, classes: tuple[str, ...]) -> None:
    """Raise IntegrityError unless 2 to 10 printable classes have square images of one size in both splits."""
    for name in classes:
        if not name.isprintable() or len(name) > 100:  # it stands in every record
            raise IntegrityError(path.name, f"a class is called {name!r}: no name of at most 100 letters")
    if len({key[:2] for key in found}) < 2 * len(classes):
        raise IntegrityError(path.name, "every class needs images under train/ and under test/")
    if not 2 <= len(classes) <= 10:
        what = f"{len(classes)} classes found; the network has 10 outputs, so 2 to 10 are possible"
        raise IntegrityError(path.name, what, next_step=LAYOUT)
    side = len(next(iter(found.values())))
    for place, image in found.items():
        if image.shape != (side, side, 3):
            size = f"{image.shape[1]} x {image.shape[0]} px, where {side} x {side} px is expected"
            raise IntegrityError(path.name, f"{'/'.join(place)} is {size}: images must be square and all of one size")


def _split(found: Found, split: str, classes: tuple[str, ...]) -> Split:
    keys = sorted(key for key in found if key[0] == split)
    labels = np.array([classes.index(label) for _, label, _ in keys], dtype=np.uint8)
    return Split(np.stack([found[key] for key in keys]), labels)
