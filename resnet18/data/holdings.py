"""What is in the data folder, and whether it is what it was."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from resnet18.data.display import amount
from resnet18.data.part import file_sha256, part_path
from resnet18.data.source import read_copy
from resnet18.data.sources import Archive
from resnet18.spec.data import CIFAR10
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError, SuiteError, one_line

DECODED = re.compile(r"(?P<label>.+)-[0-9a-f]{16}")


@dataclass(frozen=True)
class Holding:
    """An archive, a part of one, or the decoded copy of a data set."""

    kind: Literal["archive", "part", "decoded"]
    label: str
    """Of the data set."""
    path: Path
    size_bytes: int

    @property
    def text(self) -> str:
        """For people."""
        kind = "decoded copy" if self.kind == "decoded" else self.kind
        return f"{kind:<12}  {one_line(self.label):<20}  {amount(self.size_bytes):>9}  {one_line(self.path.name)}"

    def row(self) -> dict[str, object]:
        """For scripts."""
        return {"kind": self.kind, "label": self.label, "name": self.path.name, "bytes": self.size_bytes}


@dataclass(frozen=True)
class Verified:
    """A holding, and what is wrong with it."""

    holding: Holding
    error: SuiteError | None

    @property
    def state(self) -> str:
        """One word."""
        return "right" if self.error is None else "damaged"

    def row(self) -> dict[str, object]:
        """For scripts."""
        return {**self.holding.row(), "state": self.state, "says": "" if self.error is None else self.error.what}


def holdings(home: Path, known: Sequence[Archive]) -> Iterator[Holding]:
    """Yield what is there: archives, parts of them, decoded copies.

    Raises:
        EnvironmentMissingError: the folder cannot be read.
    """
    try:
        for archive in known:
            for kind, path in (("archive", home / archive.name), ("part", part_path(home / archive.name))):
                if path.is_file():
                    yield Holding("part" if kind == "part" else "archive", CIFAR10, path, path.stat().st_size)
        for folder in sorted((home / "decoded").glob("*")):
            if (found := DECODED.fullmatch(folder.name)) and folder.is_dir():
                size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
                yield Holding("decoded", found["label"], folder, size)
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
        raise EnvironmentMissingError(str(home), what, next_step="set RESNET18_DATA to another folder") from None


def verified(home: Path, known: Sequence[Archive]) -> Iterator[Verified]:
    """Yield the archives of CIFAR-10 and its decoded copies, each hashed again."""
    checksums = {archive.name: archive.sha256 for archive in known}
    for holding in holdings(home, known):
        if holding.label == CIFAR10 and holding.kind != "part":
            try:
                _check(holding, checksums)
            except IntegrityError as error:
                yield Verified(holding, error)
            else:
                yield Verified(holding, None)


def _check(holding: Holding, checksums: dict[str, str]) -> None:
    """Hash a holding.

    Raises:
        IntegrityError: it is not what it was.
    """
    if holding.kind == "decoded":
        read_copy(holding.label, holding.path, verify=True)
        return
    expected, actual = checksums[holding.path.name], file_sha256(holding.path)
    if actual != expected:
        what = f"SHA-256 is {actual}, not {expected}"
        raise IntegrityError(str(holding.path), what, next_step="replace it: resnet18 data fetch")
