"""Copy an archive that the user has into the data folder, if it is what it should be."""

from collections.abc import Sequence
from pathlib import Path

from resnet18.data.display import Display
from resnet18.data.folder import alone, check_room, is_there
from resnet18.data.part import Part, file_sha256, part_path
from resnet18.data.sources import Archive
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError


def bring(brought: Path, known: Sequence[Archive], home: Path, display: Display) -> None:
    """Copy a file, under the name of the archive that it is.

    Raises:
        EnvironmentMissingError: there is no such file, or the folder cannot be written.
        IntegrityError: it is none of the archives.
    """
    archive = _recognized(brought, known)
    target = home / archive.name
    if is_there((archive,), home, display):
        return
    with alone(home, display):
        check_room(archive.size_bytes, home)
        with Part(target.with_name(f"{target.name}.brought")) as copy:
            copy.cut(0)
            _copy(brought, copy)
            if copy.sha256() != archive.sha256:
                copy.cut(0)
                raise IntegrityError(str(brought), "changed while it was copied", next_step="the same command again")
            copy.give_name(target)
        part_path(target).unlink(missing_ok=True)
    display.say(f"done: {archive.name}, SHA-256 {archive.sha256}, copied to {home}")


def _recognized(brought: Path, known: Sequence[Archive]) -> Archive:
    """Return the archive that a file is.

    Raises:
        EnvironmentMissingError: there is no such file.
        IntegrityError: it is none of them.
    """
    if not brought.is_file():
        raise EnvironmentMissingError(f"--from {brought}", "there is no such file", next_step="name an archive's file")
    try:
        sha256 = file_sha256(brought)
    except OSError as error:
        raise EnvironmentMissingError(f"--from {brought}", f"cannot be read: {error.strerror}") from None
    for archive in known:
        if archive.sha256 == sha256:
            return archive
    raise IntegrityError(
        f"--from {brought}",
        f"is no archive of CIFAR-10: {brought.stat().st_size:,} bytes, SHA-256 {sha256}",
        allowed=[f"{one.name} with {one.size_bytes:,} bytes, SHA-256 {one.sha256}" for one in known],
        next_step="fetch it anew: resnet18 data fetch",
    )


def _copy(brought: Path, copy: Part) -> None:
    """Copy the bytes of a file, none of which are left where they do not all fit."""
    try:
        with brought.open("rb") as file:
            while piece := file.read(1 << 20):
                copy.add(piece)
    except BaseException:
        copy.cut(0)
        raise
