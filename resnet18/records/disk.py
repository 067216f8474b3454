"""Files that are whole or not there, whatever happens while they are written; planted links are not followed.

A file is written under a temporary name in its own folder, synced, and only then gets its name; then the folder is
synced, without which a power loss could take the name back (Pillai et al., OSDI 2014).
"""

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Callable
from pathlib import Path

from resnet18.spec.errors import MOST_BYTES, IntegrityError

TEMPORARY = f".*.{'[0-9a-f]' * 16}.tmp"
UNLOCKED_S = 60  # an empty temporary file may be younger than its writer's lock on it
Part = bytes | memoryview


def write_new(path: Path, *parts: Part) -> None:
    """Write a new file, on disk when this returns; FileExistsError if it is there, another OSError if that fails."""
    _write(path, parts, os.link)  # unlike a rename, a link never replaces


def replace(path: Path, *parts: Part) -> None:
    """Write a file, or raise OSError: at every moment the old one or the new one is there, whole."""
    _write(path, parts, os.replace)


def _write(path: Path, parts: tuple[Part, ...], give_name: Callable[[Path, Path], None]) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)  # follows no link
        try:
            with contextlib.suppress(OSError):  # a file system without locks: `sweep` cannot lock it either
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            for part in parts:
                left = memoryview(part).cast("B")
                while left:  # the system may take fewer bytes than it is given
                    left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        give_name(temporary, path)
    finally:
        with contextlib.suppress(OSError):  # after a rename it has another name; what cannot be removed is swept later
            os.unlink(temporary)  # noqa: PTH108 - what changes the disk goes through `os`, which tests replace
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot sync folders
            raise
    finally:
        os.close(descriptor)


def read(path: Path, limit: int = MOST_BYTES) -> bytes:
    """Return the content of a regular file of at most `limit` bytes; IntegrityError if it is another thing."""
    if path.is_symlink():
        raise IntegrityError(path.name, "is a symbolic link", next_step="put the file itself there")
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_size > limit:
            what = f"is no regular file of at most {limit:,} bytes"
            raise IntegrityError(path.name, what, next_step="move it away")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(about.st_size)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, all on disk when this returns; IntegrityError if it is a symbolic link."""
    if path.is_symlink():
        raise IntegrityError(str(path), "is a symbolic link", next_step="put a folder there, or choose other results")
    if not path.is_dir():
        if not path.parent.is_dir():
            make_folder(path.parent)
        path.mkdir(exist_ok=True)  # another runner may make it at this moment
        _sync_folder(path.parent)


def sweep(folder: Path) -> None:
    """Remove the temporary files whose writers are gone: a process holds a lock on a file while it writes it."""
    for path in folder.glob(TEMPORARY):
        # An error: its writer lives, it is a link, or another process has removed it.
        with contextlib.suppress(OSError), os.fdopen(os.open(path, os.O_RDWR | os.O_NOFOLLOW), "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            about = os.fstat(file.fileno())
            if about.st_size or time.time() - about.st_mtime > UNLOCKED_S:
                path.unlink()
