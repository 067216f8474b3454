"""Open a data set. Archives and image folders are decoded once, and kept as plain arrays found by their hash."""

import hashlib
import io
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnet18.data import archives
from resnet18.data.dataset import DataSet, Split, arrays_sha256, read_embedded
from resnet18.records import disk
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError, LockedError, disk_errors, strict_json
from resnet18.spec.experiment import CIFAR10, EMBEDDED, DataSource, data_folder

LOG = logging.getLogger(__name__)
ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm"}
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "PPM")
"""Contents that are decoded, whatever a file is called: Pillow knows formats that start other programs."""
MAX_DECODED_BYTES = 16 * 2**30
DECODING_S = 3_600.0  # how long another process that decodes the same data set is waited for
MAX_SIDE = 2_048  # px: an image of a few bytes may decode to any size
LAYOUT = "the layout is train/<class>/<image>, test/<class>/<image>"

Images = dict[tuple[str, str, str], NDArray[np.uint8]]
"""By split, class and file."""


def open_data(source: DataSource, *, verify: bool) -> DataSet:
    """Return a data set, its images mapped into memory from a decoded copy, so that processes share them.

    Raises EnvironmentMissingError if the archive is missing, and IntegrityError if it or a copy to verify is damaged.
    """
    what = f"cannot be read, or decoded to {data_folder()}"
    next_step = "check permissions, or set RESNET18_DATA to a folder with room"
    with disk_errors(EnvironmentMissingError, f"data set {source.label}", what, next_step):
        data = _opened(source, verify=verify)
    if verify:
        trained = {image.tobytes() for image in data.train.images}
        if shared := sum(image.tobytes() in trained for image in data.test.images):
            text = "data set %s: %d of %d test images are training images too, so that accuracies flatter"
            LOG.warning(text, data.label, shared, len(data.test.labels))
    return data


class Holding(NamedTuple):
    """What the data folder holds: an `archive`, a `part` of one, or the `decoded` copy of a data set."""

    kind: str
    label: str
    path: Path
    size_bytes: int

    def check(self) -> None:
        """Hash an archive or a decoded copy again, or raise IntegrityError."""
        if self.kind == "decoded":
            _read_copy(self.label, self.path, verify=True)
        else:
            archives.check_archive(self.path, archives.ARCHIVES[self.path.name].sha256)

    def row(self) -> dict[str, object]:
        """Return it for scripts."""
        return {"kind": self.kind, "label": self.label, "name": self.path.name, "bytes": self.size_bytes}


def holdings(home: Path) -> Iterator[Holding]:
    """Yield what the data folder holds, or raise EnvironmentMissingError if it cannot be read."""
    with disk_errors(EnvironmentMissingError, str(home), "cannot be read", "set RESNET18_DATA to another folder"):
        for name in archives.ARCHIVES:
            for kind, path in (("archive", home / name), ("part", home / f"{name}.part")):
                if path.is_file():
                    yield Holding(kind, CIFAR10, path, path.stat().st_size)
        for folder in sorted((home / "decoded").glob("[!.]*/")):  # folders alone; a hidden one is being written
            size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
            yield Holding("decoded", folder.name.rpartition("-")[0], folder, size)


def _opened(source: DataSource, *, verify: bool) -> DataSet:
    if source.label == EMBEDDED:
        return read_embedded()
    path = source.path or archives.find_archive(data_folder())
    sha256 = archives.ARCHIVES[path.name].sha256 if source.path is None else _source_sha256(path)
    folder = data_folder() / "decoded" / f"{source.label}-{sha256[:16]}"
    disk.make_folder(folder.parent)
    disk.sweep(folder.parent)

    def tell(who: str) -> None:
        LOG.warning("waiting for %s, which decodes data set %s; at most %d min", who, source.label, DECODING_S / 60)

    try:
        with disk.lock(folder.with_name(f"{folder.name}.lock"), DECODING_S, tell):
            if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
                raise IntegrityError(str(folder), "is no folder", next_step="move it away")
            if not folder.is_dir():  # a folder of that name is complete
                is_own = source.path is None
                data = archives.read_archive(path, sha256) if is_own else read_image_folder(source.label, path)
                with disk.new_folder(folder) as temporary:
                    _write_copy(data, temporary)
                    temporary.rename(folder)
    except disk.LockIsTakenError as error:
        what = f"{error} has been decoding it for {DECODING_S / 60:.0f} min"
        raise LockedError(f"data set {source.label}", what, next_step="end that process, or wait for it") from None
    return _read_copy(source.label, folder, verify=verify)


def _write_copy(data: DataSet, folder: Path) -> None:
    for name, split in (("train", data.train), ("test", data.test)):
        np.save(folder / f"{name}_images.npy", split.images, allow_pickle=False)
        np.save(folder / f"{name}_labels.npy", split.labels, allow_pickle=False)
    about = json.dumps({"classes": data.classes, "sha256": data.sha256})
    (folder / "about.json").write_text(about, encoding="utf-8")


def _read_copy(label: str, folder: Path, *, verify: bool) -> DataSet:
    try:
        about = strict_json(disk.read(folder / "about.json"))
        train, test = (_read_split(folder, name) for name in ("train", "test"))
        data = DataSet(label, tuple(about["classes"]), train, test, about["sha256"])
        is_changed = verify and arrays_sha256(data.classes, train, test) != data.sha256
    except Exception as error:  # noqa: BLE001 - numpy's and json's parsers raise a dozen kinds at damaged bytes
        said = str(error).partition("\n")[0]
        raise IntegrityError(str(folder), f"cannot be read: {said}", next_step="delete this folder") from None
    if is_changed:
        raise IntegrityError(str(folder), "the decoded copy was changed", next_step="delete this folder")
    return data


def _read_split(folder: Path, name: str) -> Split:
    for kind in ("images", "labels"):
        disk.check_plain(folder / f"{name}_{kind}.npy")
    images = np.load(folder / f"{name}_images.npy", mmap_mode="r", allow_pickle=False)
    labels = np.load(folder / f"{name}_labels.npy", mmap_mode="r", allow_pickle=False)
    if not images.dtype == labels.dtype == np.uint8 or labels.shape != images.shape[:1]:  # the hash is of bytes
        raise ValueError(f"{name}: {images.dtype} {images.shape} and {labels.dtype} {labels.shape}")
    return Split(images, np.array(labels))  # whose length is that of the images by now


def _source_sha256(path: Path) -> str:
    """Return the SHA-256 of the archive, or of a directory's image names and contents."""
    if path.is_file():
        return archives.file_sha256(path)
    total = hashlib.sha256()
    for name, content in _image_files(path):
        total.update(os.fsencode(name) + f" {len(content)}\n".encode())
        total.update(content)
    return total.hexdigest()


def read_image_folder(label: str, path: Path) -> DataSet:
    """Decode an image folder in torchvision's layout, a directory or a tar, ordered by the names of classes and images.

    Raises EnvironmentMissingError if there is no image, and IntegrityError at an image or a layout that cannot be used.
    """
    try:
        if found := _decoded(path):
            classes = tuple(sorted({name for _, name, _ in found}))
            _check(found, classes)
            train, test = (_split(found, split, classes) for split in ("train", "test"))
            return DataSet(label, classes, train, test, arrays_sha256(classes, train, test))
    except (IntegrityError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - tarfile, gzip, bz2 and lzma raise a dozen kinds at damaged bytes
        raise IntegrityError(path.name, f"cannot be used: {error}", next_step=LAYOUT) from None
    raise EnvironmentMissingError(f"data set {path.name}", "holds no image", next_step=LAYOUT)


def _image_files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the images of a directory or an archive."""
    if path.is_file():
        yield from archives.read_tar(path, _is_image)
        return
    for file in sorted(path.glob("*/*/*")):
        name = file.relative_to(path).as_posix()
        if file.is_file() and _is_image(name):
            if file.stat().st_size > archives.MAX_FILE_BYTES:
                raise IntegrityError(path.name, f"{name}: larger than {archives.MAX_FILE_BYTES:,} bytes")
            yield name, file.read_bytes()


def _is_image(name: str) -> bool:
    """Say whether a path ends in train/<class>/<image> or test/<class>/<image>."""
    place = PurePosixPath(name)
    return len(place.parts) >= 3 and place.parts[-3] in {"train", "test"} and place.suffix.lower() in ENDINGS


def _decoded(path: Path) -> Images:
    found: Images = {}
    decoded_bytes = 0
    for name, content in _image_files(path):
        split, label, file = PurePosixPath(name).parts[-3:]
        if (split, label, file) in found:
            raise ValueError(f"{split}/{label}/{file} is there twice")
        try:
            found[split, label, file] = image = _pixels(content)
        except Exception as error:  # noqa: BLE001 - Pillow's decoders raise whatever they like at damaged bytes
            raise ValueError(f"{name} cannot be decoded: {error}") from None
        decoded_bytes += image.nbytes
        if decoded_bytes > MAX_DECODED_BYTES:
            raise ValueError(f"decodes to more than {MAX_DECODED_BYTES:,} bytes")
    return found


def _pixels(content: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        if max(image.size) > MAX_SIDE:
            raise ValueError(f"{image.width} x {image.height} px, where {MAX_SIDE} px a side are the most")
        return np.asarray(image.convert("RGB"))


def _check(found: Images, classes: tuple[str, ...]) -> None:
    """Raise ValueError unless 2 to 10 printable classes have square images of one size in both splits."""
    if names := [name for name in classes if not name.isprintable() or len(name) > 100]:  # they stand in every record
        raise ValueError(f"a class is called {names[0]!r}: no name of at most 100 letters")
    if not 2 <= len(classes) <= 10:
        raise ValueError(f"{len(classes)} classes found; the network has 10 outputs, so 2 to 10 are possible")
    if len({key[:2] for key in found}) < 2 * len(classes):
        raise ValueError("every class needs images under train/ and under test/")
    side = len(next(iter(found.values())))
    for place, image in found.items():
        if image.shape != (side, side, 3):
            size = f"{image.shape[1]} x {image.shape[0]} px, where {side} x {side} px is expected"
            raise ValueError(f"{'/'.join(place)} is {size}: images must be square and all of one size")


def _split(found: Images, split: str, classes: tuple[str, ...]) -> Split:
    keys = sorted(key for key in found if key[0] == split)
    labels = np.array([classes.index(label) for _, label, _ in keys], dtype=np.uint8)
    return Split(np.stack([found[key] for key in keys]), labels)
