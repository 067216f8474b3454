"""Files that are whole or not there, whatever happens while they are written; planted links are not followed.

A file is written under a temporary name in its own folder, synced, and only then gets its name; then the folder is
synced, without which a power loss could take the name back. (Pillai et al., "All file systems are not created equal",
OSDI 2014, found most programs to miss one of these steps.)
"""

import contextlib
import errno
import hashlib
import os
import re
import secrets
import stat
import time
from collections.abc import Callable
from pathlib import Path

from resnet18.spec.errors import IntegrityError

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
PROCESS_NUMBERS = Path("/proc/self/ns/pid")
TEMPORARY = re.compile(r"\..+\.(?P<boot>[0-9a-f]{8})-(?P<pid>\d{1,7})-[0-9a-f]{8}\.tmp", re.ASCII)
FOREIGN_AGE_S = 86_400
"""Temporary files of another start of the system, or of another machine, are removed when they are a day old."""
Part = bytes | memoryview


def write_new(path: Path, *parts: Part) -> None:
    """Write a file that is not there yet. It is whole, and on disk, when this returns.

    Raises:
        FileExistsError: it is there; it stays as it is.
        OSError: it cannot be written; nothing is left of it.
    """
    _write(path, parts, os.link)  # unlike a rename, a link never replaces


def replace(path: Path, *parts: Part) -> None:
    """Write a file, in place of the one that is there, if any: at every moment one of the two is there, whole.

    Raises:
        OSError: it cannot be written; the old one stays.
    """
    _write(path, parts, os.replace)


def _write(path: Path, parts: tuple[Part, ...], give_name: Callable[[Path, Path], None]) -> None:
    temporary = path.with_name(f".{path.name}.{_boot()}-{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            for part in parts:
                _write_all(descriptor, part)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        give_name(temporary, path)
    finally:
        with contextlib.suppress(OSError):  # after a rename it has another name; what cannot be removed is swept later
            os.unlink(temporary)  # noqa: PTH108 - what changes the disk goes through `os`, which tests replace
    _sync_folder(path.parent)


def _write_all(descriptor: int, part: Part) -> None:
    """Write every byte: the system may take fewer at once than it is given."""
    left = memoryview(part).cast("B")
    while left:
        left = left[os.write(descriptor, left) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot sync folders, which is no failure of this one
            raise
    finally:
        os.close(descriptor)


def read(path: Path, limit: int) -> bytes:
    """Return the content of a regular file.

    Raises:
        OSError: there is none, or it cannot be read.
        IntegrityError: it is a link, a folder or a device, or has more than `limit` bytes.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        if path.is_symlink():
            raise IntegrityError(path.name, "is a symbolic link", next_step="put the file itself there") from None
        raise
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise IntegrityError(path.name, "is no file", next_step="move it away")
        if about.st_size > limit:
            size = f"has {about.st_size:,} bytes, more than {limit:,}"
            raise IntegrityError(path.name, size, next_step="move it away")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(about.st_size)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, unless it is there. Their names are on disk when this returns.

    Raises:
        IntegrityError: it is a symbolic link.
        OSError: it cannot be made.
    """
    if path.is_symlink():
        raise IntegrityError(str(path), "is a symbolic link", next_step="put a folder there, or choose other results")
    if path.is_dir():
        return
    if not path.parent.is_dir():
        make_folder(path.parent)
    try:
        os.mkdir(path)  # noqa: PTH102 - as above
    except FileExistsError:  # by another runner, at this moment?
        if not path.is_dir():
            raise
    _sync_folder(path.parent)


def sweep(folder: Path) -> int:
    """Remove the temporary files whose writers are gone, and return how many."""
    removed = 0
    for path in folder.glob(".*.tmp"):
        found = TEMPORARY.fullmatch(path.name)
        if found and _is_left_over(path, found["boot"], int(found["pid"])):
            with contextlib.suppress(OSError):
                os.unlink(path)  # noqa: PTH108 - as above
                removed += 1
    return removed


def _is_left_over(path: Path, boot: str, pid: int) -> bool:
    try:
        if boot != _boot():
            return time.time() - path.lstat().st_mtime > FOREIGN_AGE_S
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # removed meanwhile, or a process of another user
        return False
    return False


def _boot() -> str:
    """Return eight digits that stand for this start of the system and, in a container, for its process numbers."""
    try:
        text = f"{BOOT_ID.read_text(encoding='ascii')} {PROCESS_NUMBERS.readlink()}"
    except OSError:
        text = "unknown"
    return hashlib.sha256(text.encode()).hexdigest()[:8]
