"""Open a data set. Archives are decoded once, and kept as plain arrays found by the archive's hash."""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from filelock import FileLock

from resnet18.spec.data import DataSource, data_home
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError
from resnet18.training.cifar10 import ARCHIVES, find_archive, read_archive
from resnet18.training.dataset import DataSet, Split, arrays_sha256
from resnet18.training.embedded import read_embedded
from resnet18.training.imagefolder import read_image_folder, source_sha256


def open_data(source: DataSource, *, verify: bool) -> DataSet:
    """Return a data set; its arrays are memory-mapped where they come from the cache, so that processes share them.

    Args:
        source: which one.
        verify: hash the decoded arrays again, as is done once before the first run.

    Raises:
        EnvironmentMissingError: the archive is not there.
        IntegrityError: it is damaged.
    """
    if source.kind == "embedded":
        return read_embedded()
    if source.kind == "cifar10" or source.path is None:
        archive = find_archive(data_home())
        return _cached(source, ARCHIVES[archive.name], lambda: read_archive(archive), verify=verify)
    path = source.path
    return _cached(source, source_sha256(path), lambda: read_image_folder(source, path), verify=verify)


def _cached(source: DataSource, key: str, decode: Callable[[], DataSet], *, verify: bool) -> DataSet:
    folder = data_home() / "decoded" / f"{source.label}-{key[:16]}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not folder.is_dir():
                _write(decode(), folder)
    except OSError as error:
        raise EnvironmentMissingError(
            str(folder.parent),
            f"the decoded data set cannot be kept here: {error.strerror}",
            next_step="set RESNET18_DATA to a folder with room",
        ) from None
    data = _read(source.label, folder)
    if verify and arrays_sha256(data.classes, data.train, data.test) != data.sha256:
        raise IntegrityError(str(folder), "the decoded copy was changed", next_step="delete this folder")
    return data


def _write(data: DataSet, folder: Path) -> None:
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


def _read(label: str, folder: Path) -> DataSet:
    try:
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        train, test = (
            Split(
                np.load(folder / f"{name}_images.npy", mmap_mode="r", allow_pickle=False),
                np.load(folder / f"{name}_labels.npy", allow_pickle=False),
            )
            for name in ("train", "test")
        )
    except (OSError, ValueError) as error:
        raise IntegrityError(str(folder), f"cannot be read: {error}", next_step="delete this folder") from None
    return DataSet(label, tuple(about["classes"]), train, test, about["sha256"])
