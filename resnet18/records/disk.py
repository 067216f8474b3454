"""Files that are whole or not there, whatever happens while they are written; planted links are not followed.

A file is written under a temporary name in its own folder, synced, and only then gets its name; then the folder is
synced, without which a power loss could take the name back (Pillai et al., OSDI 2014).
"""

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from resnet18.spec.errors import (
    EnvironmentMissingError,
    IntegrityError,
    LockedError,
    SpecError,
    disk_errors,
    one_line,
    plain,
)
from resnet18.spec.validation import MOST_BYTES

TEMPORARY = f".{{}}.{'[0-9a-f]' * 16}.tmp"
UNLOCKED_S = 60  # an empty temporary file may be younger than its writer's lock on it
HOLDER_BYTES = 1_000  # of the file that says who holds a lock
Part = bytes | memoryview


class LockIsTakenError(Exception):
    """Another process holds a lock; the text says which, and since when."""


def write_new(path: Path, *parts: Part) -> None:
    """Write a new file, on disk when this returns; FileExistsError if it is there, another OSError if that fails."""
    _write(path, parts, os.link)  # unlike a rename, a link never replaces


def replace(path: Path, *parts: Part) -> None:
    """Write a file, or raise OSError: at every moment the old one or the new one is there, whole."""
    _write(path, parts, os.replace)


def _write(path: Path, parts: tuple[Part, ...], give_name: Callable[[Path, Path], None]) -> None:
    temporary = _temporary(path)
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
    except OSError as error:
        error.filename = error.filename or str(path)  # `write` and `fsync` do not name it
        raise
    finally:
        with contextlib.suppress(OSError):  # after a rename it has another name; what cannot be removed is swept later
            os.unlink(temporary)  # noqa: PTH108 - what changes the disk goes through `os`, which tests replace
    _sync_folder(path.parent)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot sync folders
            raise
    finally:
        os.close(descriptor)


def check_plain(path: Path, where: str = "") -> None:
    """Raise IntegrityError, by the path, if something is there that is no regular file. A link is not followed."""
    with contextlib.suppress(FileNotFoundError):
        _check_mode(where or str(path), path.lstat().st_mode)


def _check_mode(where: str, mode: int) -> None:
    if not stat.S_ISREG(mode):
        what = "is a symbolic link" if stat.S_ISLNK(mode) else "is no regular file"
        raise IntegrityError(where, what, next_step="move it away, or put the file itself there")


def open_plain(path: Path, flags: int, where: str = "") -> int:
    """Return the descriptor of a regular file without waiting; IntegrityError, by the path, if it is another thing."""
    check_plain(path, where)  # before `open`, which has other words for a link or a pipe
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    try:
        _check_mode(where or str(path), os.fstat(descriptor).st_mode)
    except IntegrityError:
        os.close(descriptor)
        raise
    return descriptor


def read(path: Path, limit: int = MOST_BYTES) -> bytes:
    """Return the content of a regular file of at most `limit` bytes; IntegrityError, by its name, if it is another."""
    descriptor = open_plain(path, os.O_RDONLY, path.name)  # a report repeats the error, and no place of this machine
    try:
        if (size := os.fstat(descriptor).st_size) > limit:
            what = f"has {size:,} bytes, where {limit:,} are the most"
            raise IntegrityError(path.name, what, next_step="move it away")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(size)
    finally:
        os.close(descriptor)


def check_files_of(folder: Path) -> None:
    """Raise a SuiteError if a folder is there that is a link, cannot be written, or holds more than regular files."""
    if os.path.lexists(folder):
        next_step = "change its permissions, or choose another with --results DIR"
        with disk_errors(EnvironmentMissingError, str(folder), "is not writable", next_step):
            make_folder(folder)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        for path in folder.glob("*.*"):
            check_plain(path)


def check_made(path: Path, made_by: str) -> None:
    """Raise IntegrityError if something is there that is no regular file, SpecError if it does not begin as ours do."""
    with contextlib.suppress(FileNotFoundError), os.fdopen(open_plain(path, os.O_RDONLY), "rb") as file:
        if f"<!-- {made_by}".encode() not in file.read(100):
            next_step = "choose a folder with --results, or move the file away"
            raise SpecError(str(path), "was not made by this command, which would replace it", next_step=next_step)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, all on disk when this returns; IntegrityError if it is a symbolic link."""
    if path.is_symlink():
        raise IntegrityError(str(path), "is a symbolic link", next_step="put a folder there, or choose other results")
    if not path.is_dir():
        if not path.parent.is_dir():
            make_folder(path.parent)
        path.mkdir(exist_ok=True)  # another runner may make it at this moment
        _sync_folder(path.parent)


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder beside `path`, to be renamed to it when it is complete; otherwise it is removed at the end.

    A process that is killed leaves it to `sweep`.
    """
    folder = _temporary(path)
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # as above
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield folder
    finally:
        os.close(descriptor)
        shutil.rmtree(folder, ignore_errors=True)


def sweep(folder: Path, names: str = "*") -> None:
    """Remove temporary files and folders of such names whose writers are gone: a process locks what it writes."""
    for path in folder.glob(TEMPORARY.format(names)):
        # An error: its writer lives, it is a link, or another process has removed it.
        with contextlib.suppress(OSError):
            is_folder = stat.S_ISDIR(path.lstat().st_mode)
            descriptor = os.open(path, (os.O_RDONLY if is_folder else os.O_RDWR) | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                about = os.fstat(descriptor)
                has_content = any(path.iterdir()) if is_folder else about.st_size
                if has_content or time.time() - about.st_mtime > UNLOCKED_S:
                    shutil.rmtree(path) if is_folder else path.unlink()
            finally:
                os.close(descriptor)


@contextlib.contextmanager
def lock(path: Path, wait_s: float = 0.0, tell: Callable[[str], None] | None = None) -> Iterator[str]:
    """Hold the lock of a file, which names its holder in a second one; yield who left it behind, "" where nobody did.

    Another holder is waited for that long, after `tell` was told who it is; then LockIsTakenError is raised.
    Raises IntegrityError with the path if either is no regular file.
    """
    file, holder = FileLock(path), path.with_suffix(".holder")
    for one in (path, holder):
        check_plain(one)
    try:
        file.acquire(timeout=0)
    except Timeout:
        who = _said_in(holder) or "another process"
        if tell is not None:
            tell(who)
        try:
            file.acquire(timeout=wait_s)
        except Timeout:
            raise LockIsTakenError(who) from None
    try:
        left_by = _said_in(holder)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        replace(holder, f"process {os.getpid()} of {socket.gethostname()} since {since}".encode())
        yield left_by
    finally:
        holder.unlink(missing_ok=True)
        file.release()


@contextlib.contextmanager
def waited_for(path: Path, doing: str, limit_s: float, say: Callable[[str], None]) -> Iterator[None]:
    """Hold a lock. Another holder, of which `say` is told what it does, is waited for; at the limit LockedError."""
    limit = f"{limit_s / 60:.0f} minutes"
    try:
        with lock(path, limit_s, lambda who: say(f"waiting for {who}, which {doing}; at most {limit}")):
            yield
    except LockIsTakenError as error:
        next_step = "end that process, or repeat the command later"
        raise LockedError(str(path.parent), f"{error}, which {doing}, took over {limit}", next_step=next_step) from None


def _said_in(holder: Path) -> str:
    try:
        return one_line(plain(read(holder, HOLDER_BYTES).decode(errors="replace")))
    except FileNotFoundError:
        return ""
