"""Open a data set. Archives are decoded once, and kept as plain arrays found by the archive's hash."""

import json
import logging
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock

from resnet18.data.cifar10 import ARCHIVES, check_archive, find_archive, read_archive
from resnet18.data.dataset import DataSet, Split, arrays_sha256
from resnet18.data.embedded import read_embedded
from resnet18.data.imagefolder import read_image_folder, source_sha256
from resnet18.spec.data import CIFAR10, DataSource, data_home
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError
from resnet18.spec.strict import strict_json

LOG = logging.getLogger(__name__)


def open_data(source: DataSource, *, verify: bool) -> DataSet:
    """Return a data set; arrays of a decoded copy are memory-mapped, so that processes share them.

    Raises EnvironmentMissingError if the archive is missing, and IntegrityError if it or, where that is to be verified
    (once, before the first run), its decoded copy is damaged.
    """
    if source.kind == "embedded":
        data = read_embedded()
    elif source.path is None:
        archive = find_archive(data_home())
        sha256 = ARCHIVES[archive.name].sha256
        data = _cached(source.label, sha256, lambda: read_archive(archive, sha256), verify=verify)
    else:
        path = source.path
        data = _cached(source.label, source_sha256(path), lambda: read_image_folder(source.label, path), verify=verify)
    if verify and (shared := shared_images(data)):
        text = "data set %s: %d of %d test images are training images too, so that accuracies flatter"
        LOG.warning(text, data.label, shared, len(data.test.labels))
    return data


def shared_images(data: DataSet) -> int:
    """Return how many test images are training images too, pixel by pixel."""
    tested = [image.tobytes() for image in data.test.images]
    known = set(tested)
    shared = {pixels for image in data.train.images if (pixels := image.tobytes()) in known}
    return sum(pixels in shared for pixels in tested)


class Holding(NamedTuple):
    """What the data folder holds: an `archive`, a `part` of one, or the `decoded` copy of a data set."""

    kind: str
    label: str
    path: Path
    size_bytes: int

    def damage(self) -> IntegrityError | None:
        """Hash an archive or a decoded copy again, and return what is wrong with it."""
        try:
            if self.kind == "decoded":
                _read_copy(self.label, self.path, verify=True)
            else:
                check_archive(self.path, ARCHIVES[self.path.name].sha256)
        except IntegrityError as error:
            return error
        return None

    def row(self) -> dict[str, object]:
        """Return it for scripts."""
        return {"kind": self.kind, "label": self.label, "name": self.path.name, "bytes": self.size_bytes}


def holdings(home: Path) -> Iterator[Holding]:
    """Yield what the data folder holds, or raise EnvironmentMissingError if it cannot be read."""
    try:
        for name in ARCHIVES:
            for kind, path in (("archive", home / name), ("part", home / f"{name}.part")):
                if path.is_file():
                    yield Holding(kind, CIFAR10, path, path.stat().st_size)
        for folder in sorted((home / "decoded").glob("[!.]*/")):  # folders alone; a hidden one is being written
            size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
            yield Holding("decoded", folder.name.rpartition("-")[0], folder, size)
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
        raise EnvironmentMissingError(str(home), what, next_step="set RESNET18_DATA to another folder") from None


def _cached(label: str, sha256: str, decode: Callable[[], DataSet], *, verify: bool) -> DataSet:
    folder = data_home() / "decoded" / f"{label}-{sha256[:16]}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not folder.is_dir():
                _write_copy(decode(), folder)
    except OSError as error:
        raise EnvironmentMissingError(
            str(folder.parent),
            f"the decoded data set cannot be kept here: {error.strerror}",
            next_step="set RESNET18_DATA to a folder with room",
        ) from None
    return _read_copy(label, folder, verify=verify)


def _write_copy(data: DataSet, folder: Path) -> None:
    """Write the arrays beside their place, then move them there: a folder of that name is always complete."""
    temporary = Path(tempfile.mkdtemp(prefix=".decoding-", dir=folder.parent))
    try:
        for name, split in (("train", data.train), ("test", data.test)):
            np.save(temporary / f"{name}_images.npy", split.images, allow_pickle=False)
            np.save(temporary / f"{name}_labels.npy", split.labels, allow_pickle=False)
        about = json.dumps({"classes": data.classes, "sha256": data.sha256})
        (temporary / "about.json").write_text(about, encoding="utf-8")
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _read_copy(label: str, folder: Path, *, verify: bool) -> DataSet:
    try:
        data = _loaded(label, strict_json((folder / "about.json").read_bytes()), folder)
    except Exception as error:  # noqa: BLE001 - numpy's and json's parsers raise a dozen kinds at damaged bytes
        raise IntegrityError(str(folder), f"cannot be read: {error}", next_step="delete this folder") from None
    if verify and arrays_sha256(data.classes, data.train, data.test) != data.sha256:
        raise IntegrityError(str(folder), "the decoded copy was changed", next_step="delete this folder")
    return data


def _loaded(label: str, about: dict[str, Any], folder: Path) -> DataSet:
    """Return the data set of a decoded copy, or raise ValueError if its parts do not fit together."""
    classes, sha256 = tuple(about["classes"]), about["sha256"]
    if not all(isinstance(name, str) for name in classes) or not re.fullmatch("[0-9a-f]{64}", sha256):
        raise ValueError("about.json names neither classes nor a SHA-256")
    splits = []
    for name in ("train", "test"):
        images = np.load(folder / f"{name}_images.npy", mmap_mode="r", allow_pickle=False)
        labels = np.load(folder / f"{name}_labels.npy", allow_pickle=False)
        is_square = images.ndim == 4 and images.shape == (*labels.shape, images.shape[1], images.shape[1], 3)
        is_8_bit = images.dtype == labels.dtype == np.uint8
        if not (len(labels) and is_square and is_8_bit) or labels.max() >= len(classes):
            raise ValueError(f"{name}: images of shape {images.shape}, labels of shape {labels.shape} or their values")
        splits.append(Split(images, labels))
    return DataSet(label, classes, splits[0], splits[1], sha256)
