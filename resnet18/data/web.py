"""The one module that reaches a network. Proxies and certificates are those that urllib finds on the machine."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from http.client import HTTPException, HTTPMessage, HTTPResponse
from time import monotonic
from typing import IO, BinaryIO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from rich.filesize import decimal

from resnet18.spec.errors import one_line
from resnet18.spec.metric import duration

ANSWER_S = 60.0
"""Until the last header: neither name servers nor trickling headers have a limit of their own."""
STALL_S = 30.0
"""Without a byte."""
LOW_BYTES_PER_S, LOW_FOR_S = 200_000.0, 20.0
"""A mirror below that speed for so long is left while another is untried."""
ATTEMPT_S = 6 * 3_600.0
"""For one attempt at a mirror."""
PIECE_BYTES = 1 << 18
LINE_EVERY_S = 5.0
"""Between two lines of progress."""
GZIP = b"\x1f\x8b"
"""What the archive starts with, unlike a page that some networks send in the place of everything."""

Say = Callable[[str], None]


class MirrorError(Exception):
    """A mirror is of no use; the text says why, on one short printable line whatever the mirror sent."""

    def __init__(self, text: str) -> None:
        super().__init__(one_line(text)[:160])


class SlowMirrorError(MirrorError):
    """A mirror that works, but slowly."""

    def __init__(self, bytes_per_s: float) -> None:
        super().__init__(f"slower than {decimal(int(LOW_BYTES_PER_S))}/s for {duration(LOW_FOR_S)}")
        self.bytes_per_s = bytes_per_s


def download(url: str, file: BinaryIO, size: int, say: Say, *, is_patient: bool) -> None:
    """Append what is missing of a file of `size` bytes, opened for appending; what has come always stays there.

    Raises MirrorError if the mirror is of no use, or SlowMirrorError unless a low speed is accepted (`is_patient`).
    """
    had, host = file.seek(0, os.SEEK_END), urlsplit(url).netloc
    with closing(_answer(url, had)) as response:
        done = counted = _first_byte(response, had, size)
        if had:
            say(f"{host}: {'resumes at' if done else 'starts over, because it cannot resume at'} {decimal(had)}")
        file.truncate(done)
        first, began = done, monotonic()
        since = shown = began
        while done < size:
            piece = _piece(response, done, size)
            file.write(piece)
            file.flush()
            done, now = done + len(piece), monotonic()
            if now - shown >= LINE_EVERY_S:
                shown = now
                say(f"{host}: {_progress(done, size, (done - first) / (now - began))}")
            if now - since >= LOW_FOR_S:
                bytes_per_s = (done - counted) / (now - since)
                if bytes_per_s < LOW_BYTES_PER_S and not is_patient:
                    raise SlowMirrorError(bytes_per_s)
                since, counted = now, done
            if now - began > ATTEMPT_S:
                raise MirrorError(f"was not done in {duration(ATTEMPT_S)}")


def _progress(done: int, size: int, bytes_per_s: float) -> str:
    left = f"about {duration((size - done) / bytes_per_s)} left" if bytes_per_s >= 1 else "time left unknown"
    return f"{decimal(done)} of {decimal(size)}, {100 * done // size} %, {decimal(int(bytes_per_s))}/s, {left}"


def _piece(response: HTTPResponse, done: int, size: int) -> bytes:
    """Return the next bytes as soon as there are some."""
    try:
        piece = response.read1(min(PIECE_BYTES, size - done))
    except TimeoutError:
        raise MirrorError(f"sent nothing for {STALL_S:g} s") from None
    except (OSError, HTTPException, ValueError) as error:
        raise MirrorError(f"broke off: {error}") from None
    if not piece:
        raise MirrorError(f"ended after {done:,} of {size:,} bytes")
    if done == 0 and piece[:2] != GZIP[: len(piece)]:
        raise MirrorError("sends something else than an archive")
    return piece


class Redirects(HTTPRedirectHandler):
    """Follows redirects, but from https to nothing else."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """Return the request for the new place."""
        fp.close()  # urllib would read all of the body, however long it is
        scheme = urlsplit(newurl).scheme
        if scheme not in {"https", urlsplit(req.full_url).scheme}:
            raise MirrorError(f"redirects to plain {scheme}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _answer(url: str, start: int) -> HTTPResponse:
    """Ask for the bytes from `start` on."""
    headers = {"User-Agent": "resnet18"} | ({"Range": f"bytes={start}-"} if start else {})
    asked = Request(url, headers=headers)  # noqa: S310 - the caller allows http and https alone, `Redirects` too
    opener, answer = build_opener(Redirects), Future[HTTPResponse]()

    def ask() -> None:
        try:
            answer.set_result(opener.open(asked, timeout=STALL_S))
        except Exception as error:  # noqa: BLE001 - raised again where the answer is waited for
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        return answer.result(ANSWER_S)
    except HTTPError as error:
        error.close()
        raise MirrorError(f"answers with {error.code} {error.reason}") from None
    except URLError as error:
        raise MirrorError(f"cannot be reached: {error.reason}") from None
    except (OSError, HTTPException, ValueError) as error:
        late = f"gave no answer for {ANSWER_S:g} s"
        raise MirrorError(f"does not answer: {error}" if answer.done() else late) from None


def _first_byte(response: HTTPResponse, asked: int, size: int) -> int:
    """Return where the answer begins: where it was asked to, or at the start of the file."""
    start = 0
    if response.status == 206:
        missing = f"bytes {asked}-{size - 1}/"
        if response.headers.get("Content-Range") not in {f"{missing}{size}", f"{missing}*"}:
            raise MirrorError("answers with other bytes than were asked for")
        start = asked
    elif response.status != 200:
        raise MirrorError(f"answers with {response.status}")
    length = response.headers.get("Content-Length")
    if length is not None and length.strip() != str(size - start):
        raise MirrorError(f"offers {length} bytes where {size - start} are missing")
    return start
