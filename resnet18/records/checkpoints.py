"""Checkpoints of a run, each named by its own SHA-256, and the picture of its sample images.

A checkpoint is one line that says what it is, one line of JSON, and the arrays' bytes one after the other.
"""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnet18.records import disk
from resnet18.records.record import Count, Epoch, Id, Seconds, Segment, Sha256
from resnet18.spec.errors import IntegrityError, Items, Model, disk_errors
from resnet18.spec.identity import canonical_json
from resnet18.spec.validation import strict_json

FIRST_LINE = b"resnet18 checkpoint 1\n"
MOST_SERIAL = 99_999_999  # eight digits in a file's name
LIMIT = 64 << 30  # bytes of a checkpoint; the largest network of the suite takes a sixth of that


class Entry(Model):
    """One array: its name, kind of number (as numpy writes it, least significant byte first) and shape."""

    name: str
    kind: Literal["<f8", "<f4", "<f2", "<i8", "<i4", "|u1", "|b1"]
    shape: Items[Count]


class Head(Model):
    """The JSON part of a checkpoint."""

    run_id: Id
    code_hash: Sha256
    data_sha256: Sha256 | None
    numerics: dict[str, str | int | bool]
    segments: Items[Segment]  # what went before, the stretch that wrote this included
    epochs: Items[Epoch]  # those that are complete
    time: dict[str, Seconds]  # seconds by scope, over the complete epochs and all segments
    training: dict[str, Any]  # the state of the loop, in its own words (`training.results.Moment`)
    arrays: Items[Entry] = ()


class Checkpoint(NamedTuple):
    """What a checkpoint holds."""

    head: Head
    arrays: Mapping[str, NDArray[Any]]


class Checkpoints:
    """The checkpoints of one run, under `<results>/checkpoints/`. The last two are kept."""

    def __init__(self, results: Path, run_id: str) -> None:
        self.folder, self.run_id = results / "checkpoints", run_id

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint and drop all but the last two; OSError, or IntegrityError if it reads back otherwise."""
        disk.make_folder(self.folder)
        parts, total = encode(checkpoint), hashlib.sha256()
        for part in parts:
            total.update(part)
        before = self.files()
        serial = int(before[-1].name.split(".")[1]) + 1 if before else 1
        is_last = serial > MOST_SERIAL  # a file of another's making is called so: the numbers begin anew
        serial = 1 if is_last else serial
        path = self.folder / f"{self.run_id}.{serial:08d}.{total.hexdigest()}.checkpoint"
        disk.write_new(path, *parts)
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != total.hexdigest():
                path.unlink()
                raise IntegrityError(path.name, "reads back otherwise than it was written")
        for old in before if is_last else before[:-1]:
            old.unlink(missing_ok=True)
        return path

    def files(self) -> list[Path]:
        """Return the run's files, the oldest first."""
        return sorted(self.folder.glob(f"{self.run_id}.{'[0-9]' * 8}.*.checkpoint"))

    def latest(self) -> tuple[Checkpoint | None, tuple[IntegrityError, ...]]:
        """Return the last checkpoint that is whole, and what is wrong with those after it."""
        refused: list[IntegrityError] = []
        for path in reversed(self.files()):
            try:
                return load_checkpoint(path), tuple(refused)
            except IntegrityError as error:
                refused.append(error)
        return None, tuple(refused)

    def clear(self) -> None:
        """Remove them, and what killed writers left of others: the run has its result."""
        for path in (*self.files(), *self.folder.glob(f".{self.run_id}.*.tmp")):
            path.unlink(missing_ok=True)


def encode(checkpoint: Checkpoint) -> list[bytes | memoryview]:
    """Return the parts of a file, in order. Arrays are not copied where they lie in order already."""
    entries, parts = list[Entry](), list[bytes | memoryview]()
    for name, given in checkpoint.arrays.items():
        array = np.asarray(given, dtype=given.dtype.newbyteorder("<"), order="C")
        entries.append(Entry.model_validate({"name": name, "kind": array.dtype.str, "shape": array.shape}))
        parts.append(array.reshape(-1).view(np.uint8).data)
    head = checkpoint.head.model_copy(update={"arrays": tuple(entries)})
    return [FIRST_LINE, canonical_json(head.model_dump(mode="json")), b"\n", *parts]


def load_checkpoint(path: Path) -> Checkpoint:
    """Read one checkpoint; IntegrityError if it is damaged, or none."""
    with disk_errors(IntegrityError, path.name, "cannot be read"):
        content = disk.read(path, LIMIT)
    if hashlib.sha256(content).hexdigest() != path.name.split(".")[2]:
        raise IntegrityError(path.name, "is damaged: its SHA-256 is another")
    try:
        return decode(content)
    except (ValueError, TypeError) as error:
        raise IntegrityError(path.name, f"is no checkpoint: {str(error).splitlines()[0]}") from None


def decode(content: bytes) -> Checkpoint:
    """Return what the bytes of a file hold; ValueError or TypeError if they are not those of a checkpoint."""
    if not content.startswith(FIRST_LINE):
        raise ValueError("its first line is another")
    start = content.find(b"\n", len(FIRST_LINE)) + 1
    head = Head.model_validate(strict_json(content[len(FIRST_LINE) : start]))
    arrays: dict[str, NDArray[Any]] = {}
    for entry in head.arrays:
        view: NDArray[Any] = np.ndarray(entry.shape, entry.kind, content, start)
        arrays[entry.name] = view.copy()  # of its own: it can be written to
        start += view.nbytes
    if start != len(content) or len(arrays) != len(head.arrays):
        raise ValueError(f"its {len(head.arrays)} arrays end at byte {start} of {len(content)}, or have equal names")
    return Checkpoint(head, arrays)


def encode_picture(images: NDArray[np.uint8]) -> bytes:
    """Return images [n, side, side, 3] as a PNG, n * side px wide and side px high. It holds no time stamp."""
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(list(images), axis=1)).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def decode_picture(png: bytes) -> NDArray[np.uint8]:
    """Return the images [n, side, side, 3] of a picture; ValueError if it is damaged, or no row of square images."""
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as picture:
            row = np.asarray(picture.convert("RGB"))
        return row.reshape(len(row), -1, len(row), 3).swapaxes(0, 1)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # SyntaxError: Pillow, bad chunk
        raise ValueError(f"no picture: {error}") from None
