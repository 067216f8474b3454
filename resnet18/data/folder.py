"""The data folder while something is brought into it: what is there, one command at a time, room for what comes."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from resnet18.data.display import Display, amount
from resnet18.data.part import file_sha256
from resnet18.data.sources import Archive
from resnet18.spec.errors import EnvironmentMissingError

MORE_ROOM = "make room there or set RESNET18_DATA to a folder with room; the same command goes on"


RIGHT = "is there, and its SHA-256 is right"


def is_there(known: Sequence[Archive], home: Path, display: Display) -> bool:
    """Return whether the archive that a run would read is there and right, and say so; a damaged one is named."""
    for archive in known:
        path = home / archive.name
        if path.is_file():
            is_right = is_right_file(path, archive)
            display.say(f"{path}: {RIGHT if is_right else 'is damaged'}")
            return is_right
    return False


def is_right_file(path: Path, archive: Archive) -> bool:
    """Return whether a file is there and has the checksum of the archive."""
    with disk_errors_named(path):
        return path.is_file() and file_sha256(path) == archive.sha256


@contextmanager
def alone(home: Path, display: Display) -> Iterator[None]:
    """Make the folder, and hold its lock: one command fetches, another waits for it.

    Raises:
        EnvironmentMissingError: whatever the disk refuses meanwhile.
    """
    with disk_errors_named(home):
        home.mkdir(parents=True, exist_ok=True)
        lock = FileLock(home / ".fetch.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            display.say(f"another command fetches to {home}; waiting for it")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()


def check_room(missing_bytes: int, home: Path) -> None:
    """Refuse to begin what the disk has no room for.

    Raises:
        EnvironmentMissingError: it has not.
    """
    free = shutil.disk_usage(home).free
    if free < missing_bytes:
        what = f"has room for {amount(free)}, where {amount(missing_bytes)} are needed"
        raise EnvironmentMissingError(str(home), what, next_step=MORE_ROOM)


@contextmanager
def disk_errors_named(place: Path) -> Iterator[None]:
    """Turn what the system says of a file or folder into an error that says what to do."""
    try:
        yield
    except BrokenPipeError:  # whoever read the output has gone: no matter of the disk
        raise
    except OSError as error:
        what = f"cannot be used: {error.strerror or error}"
        raise EnvironmentMissingError(str(place), what, next_step=MORE_ROOM) from None
