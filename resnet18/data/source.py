"""Open a data set. Archives and image folders are decoded once, and kept as plain arrays found by their hash."""

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resnet18.data import archives
from resnet18.data.dataset import DataSet, Split, arrays_sha256, read_embedded
from resnet18.data.image_folder import DECODING_S, LAYOUT, Survey, check_classes, image_files, read_image_folder
from resnet18.records import disk
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError, Items, Model, disk_errors, one_line
from resnet18.spec.experiment import CIFAR10, EMBEDDED, DataSource, data_folder
from resnet18.spec.validation import first_finding, strict_json

LOG = logging.getLogger(__name__)


def open_data(source: DataSource, *, verify: bool) -> DataSet:
    """Return a data set, its images mapped into memory from a decoded copy, so that processes share them.

    Raises EnvironmentMissingError if the archive is missing, and IntegrityError if it or a copy to verify is damaged.
    """
    what = f"cannot be read, or decoded to {data_folder()}"
    next_step = "check permissions, or set RESNET18_DATA to a folder with room"
    with disk_errors(EnvironmentMissingError, f"data set {source.label}", what, next_step):
        data = _opened(source, verify=verify)
    if verify and data.left_out:
        LOG.warning("data set %s: not used under train/ and test/: %s", data.label, one_line(data.left_out))
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
    doing = f"decodes data set {source.label}"
    with disk.waited_for(folder.with_name(f"{folder.name}.lock"), doing, DECODING_S, LOG.warning):
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise IntegrityError(str(folder), "is no folder", next_step="move it away")
        if not folder.is_dir():  # a folder of that name is complete
            data = archives.read_archive(path, sha256) if source.path is None else read_image_folder(source.label, path)
            with disk.new_folder(folder) as temporary:
                _write_copy(data, temporary)
                temporary.rename(folder)
    return _read_copy(source.label, folder, verify=verify)


class About(Model):
    """What a decoded copy holds beside arrays."""

    classes: Items[str]
    sha256: str
    left_out: str = ""


def _write_copy(data: DataSet, folder: Path) -> None:
    for name, split in (("train", data.train), ("test", data.test)):
        np.save(folder / f"{name}_images.npy", split.images, allow_pickle=False)
        np.save(folder / f"{name}_labels.npy", split.labels, allow_pickle=False)
    about = json.dumps({"classes": data.classes, "sha256": data.sha256, "left_out": data.left_out})
    (folder / "about.json").write_text(about, encoding="utf-8")


def _read_copy(label: str, folder: Path, *, verify: bool) -> DataSet:
    try:
        about = About.model_validate(strict_json(disk.read(folder / "about.json")))
        check_classes(about.classes)
        train, test = (_read_split(folder, name, len(about.classes)) for name in ("train", "test"))
        data = DataSet(label, about.classes, train, test, about.sha256, about.left_out)
        is_changed = verify and arrays_sha256(data.classes, train, test) != data.sha256
    except Exception as error:  # noqa: BLE001 - numpy's and json's parsers raise a dozen kinds at damaged bytes
        said = first_finding(error, "about.json")
        raise IntegrityError(str(folder), f"cannot be read: {said}", next_step="delete this folder") from None
    if is_changed:
        raise IntegrityError(str(folder), "the decoded copy was changed", next_step="delete this folder")
    return data


def _read_split(folder: Path, name: str, classes: int) -> Split:
    for kind in ("images", "labels"):
        disk.check_plain(folder / f"{name}_{kind}.npy")
    images = np.load(folder / f"{name}_images.npy", mmap_mode="r", allow_pickle=False)
    labels = np.load(folder / f"{name}_labels.npy", mmap_mode="r", allow_pickle=False)
    if not images.dtype == labels.dtype == np.uint8 or labels.shape != images.shape[:1]:  # the hash is of bytes
        raise ValueError(f"{name}: {images.dtype} {images.shape} and {labels.dtype} {labels.shape}")
    count, side = images.shape[:2]
    if images.shape != (count, side, side, 3) or not count or labels.max() >= classes:
        raise ValueError(f"{name}: images of shape {images.shape}, labels to {labels.max()} of {classes} classes")
    return Split(images, np.array(labels))  # whose length is that of the images by now


def _source_sha256(path: Path) -> str:
    """Return the SHA-256 of the archive, or of a directory's image names and contents, and of what is left out."""
    if path.is_file():
        return archives.file_sha256(path)
    total, survey, classes = hashlib.sha256(), Survey(), set[str]()
    try:
        for place, content in image_files(path, survey):
            classes.add(place[1])
            total.update(os.fsencode("/".join(place)) + f" {len(content)}\n".encode())
            total.update(content)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(path.name, f"cannot be used: {error}", next_step=LAYOUT) from None
    total.update(survey.left_out(classes).encode(errors="backslashreplace"))
    return total.hexdigest()
