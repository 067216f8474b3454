"""The one module that reaches a network. Proxies and certificates are those that urllib finds in the environment."""

import http.client
import queue
import re
import threading
from collections.abc import Callable
from email.message import Message
from typing import IO, cast
from urllib import request
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from resnet18.data.terms import Body, Limits, SourceError
from resnet18.spec.errors import one_line

LONGEST = 120
"""Characters of what a server or a library says."""
RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15}|\*)", re.ASCII)


def connect(url: str, start: int, size: int, limits: Limits) -> Body:
    """Ask for a file of a known size, from a byte on, and return what is sent.

    Raises:
        SourceError: no answer in time, an error, a redirect to plain http, or a file of another size.
    """
    asked = request.Request(url, headers={"User-Agent": "resnet18"})  # noqa: S310 - http and https have handlers, no other
    if start:
        asked.add_header("Range", f"bytes={start}-")
    try:
        response = _within(limits.answer_s, lambda: _open(asked, limits))
    except HTTPError as error:
        error.close()
        raise SourceError(f"answers with {error.code} {_words(error.reason)}") from None
    except URLError as error:
        raise SourceError(f"cannot be reached: {_words(error.reason)}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise SourceError(f"does not answer: {_words(error)}") from None
    try:
        return _WebBody(response, _first_byte(response, start, size), limits)
    except SourceError:
        response.close()
        raise


class _WebBody:
    """The bytes of an answer, from `start` on."""

    def __init__(self, response: http.client.HTTPResponse, start: int, limits: Limits) -> None:
        self.start = start
        self._response, self._limits = response, limits

    def read(self, most: int) -> bytes:
        """Return the next bytes as soon as there are some, nothing at the end."""
        try:
            return self._response.read1(most)
        except TimeoutError:
            raise SourceError(f"sent nothing for {self._limits.stall_s:g} s") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise SourceError(f"broke off: {_words(error)}") from None

    def close(self) -> None:
        """End the connection."""
        self._response.close()


class SafeRedirects(request.HTTPRedirectHandler):
    """Follows redirects, but from https to nothing else."""

    def redirect_request(
        self, req: request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> request.Request | None:
        """Return the request for the new place."""
        fp.close()  # urllib would read all of it, however long it is
        scheme = urlsplit(newurl).scheme
        if scheme != "https" and scheme != urlsplit(req.full_url).scheme:
            raise SourceError(f"redirects to plain {_words(scheme)}")
        return super().redirect_request(req, fp, code, msg, cast("http.client.HTTPMessage", headers), newurl)


def _open(asked: request.Request, limits: Limits) -> http.client.HTTPResponse:
    opener = request.OpenerDirector()  # that of urllib would also open files
    for handler in (
        request.ProxyHandler(),
        request.HTTPHandler(),
        request.HTTPSHandler(),
        request.HTTPDefaultErrorHandler(),
        request.HTTPErrorProcessor(),
        request.UnknownHandler(),
        SafeRedirects(),
    ):
        opener.add_handler(handler)
    return cast("http.client.HTTPResponse", opener.open(asked, timeout=limits.stall_s))


def _within(limit_s: float, call: Callable[[], http.client.HTTPResponse]) -> http.client.HTTPResponse:
    """Call in a thread, and wait for so long: neither a name server nor a trickle of headers has a limit of its own."""
    answers: queue.SimpleQueue[http.client.HTTPResponse | Exception] = queue.SimpleQueue()
    is_given_up = threading.Event()

    def work() -> None:
        try:
            response = call()
        except Exception as error:  # noqa: BLE001 - raised again by the one who waits
            answers.put(error)
            return
        answers.put(response)
        if is_given_up.is_set():
            response.close()

    threading.Thread(target=work, daemon=True).start()
    try:
        answer = answers.get(timeout=limit_s)
    except queue.Empty:
        is_given_up.set()
        raise SourceError(f"gave no answer for {limit_s:g} s") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _first_byte(response: http.client.HTTPResponse, asked: int, size: int) -> int:
    """Return where the answer begins: where it was asked to, or at the start of the file.

    Raises:
        SourceError: it is another file, or another part of it.
    """
    start = 0
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        found = RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if not found or (int(found[1]), int(found[2])) != (asked, size - 1) or found[3] not in {"*", str(size)}:
            raise SourceError("answers with other bytes than were asked for")
        start = asked
    elif response.status != http.HTTPStatus.OK:
        raise SourceError(f"answers with {response.status}")
    length = response.headers.get("Content-Length")
    if length is not None and length.strip() != str(size - start):
        raise SourceError(f"offers {_words(length)} bytes where {size - start} are missing")
    return start


def _words(said: object) -> str:
    return one_line(str(said))[:LONGEST]
