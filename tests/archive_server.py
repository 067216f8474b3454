"""Servers of an archive on this machine, good and bad ones, for tests of what fetches it."""

import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

CONTENT = b"\x1f\x8b" + np.random.default_rng(0).bytes(40_000)
HALF = len(CONTENT) // 2


def head(handler, status, length=None, **headers):
    handler.send_response(status)
    if length is not None:
        handler.send_header("Content-Length", str(length))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()


def start_of(handler):
    return int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))


def good(handler, content=CONTENT):
    """Honours Range."""
    start = start_of(handler)
    if start:
        head(handler, 206, len(content) - start, Content_Range=f"bytes {start}-{len(content) - 1}/{len(content)}")
    else:
        head(handler, 200, len(content))
    handler.wfile.write(content[start:])


def wrong(handler):
    good(handler, CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))


def without_range(handler):
    head(handler, 200, len(CONTENT))
    handler.wfile.write(CONTENT)


def missing(handler):
    head(handler, 404, 4)
    handler.wfile.write(b"none")


def cut(handler):
    """Promises all, and sends half."""
    head(handler, 200, len(CONTENT))
    handler.wfile.write(CONTENT[:HALF])


def other_size(handler):
    head(handler, 200, 100)
    handler.wfile.write(CONTENT[:100])


def other_range(handler):
    head(handler, 206, HALF, Content_Range=f"bytes 0-{HALF - 1}/{len(CONTENT)}")
    handler.wfile.write(CONTENT[:HALF])


def page(handler):
    """What a hotel's network answers, whatever is asked for."""
    head(handler, 200)
    handler.wfile.write(b"<html>Please pay</html>")


def packed(handler):
    """Says of the archive's own gzip that it is the transfer's, as some servers do."""
    head(handler, 200, len(CONTENT), Content_Encoding="x-gzip")
    handler.wfile.write(CONTENT)


def endless(handler):
    """Says no length, and does not end."""
    head(handler, 200)
    while True:
        handler.wfile.write(b"\x1f\x8b" + bytes(10_000))


def stalled(handler):
    """Sends half, then nothing."""
    head(handler, 200, len(CONTENT))
    handler.wfile.write(CONTENT[:HALF])
    handler.server.released.wait(10)


def silent(handler):
    """Never answers."""
    handler.server.released.wait(10)


def redirecting(handler):
    """To the good one, with a body that does not end."""
    head(handler, 302, Location="/good")
    while True:
        handler.wfile.write(bytes(10_000))


def hostile(handler):
    """Its reason moves the cursor, and is long."""
    handler.wfile.write(b"HTTP/1.0 500 \x1b[2J\x1b]0;owned\x07" + 10_000 * b"long " + b"\r\n\r\n")


BEHAVIOURS = (
    *(good, wrong, without_range, missing, cut, other_size, other_range, packed),
    *(page, endless, stalled, silent, redirecting, hostile),
)


class Server(ThreadingHTTPServer):
    """Behaves as the path of a request says, and remembers which came, from which byte on."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = []
        self.released = threading.Event()
        self.behaviours = {function.__name__: function for function in BEHAVIOURS}

    def url(self, name):
        """Return where the server behaves like this."""
        return f"http://127.0.0.1:{self.server_port}/{name}"

    def handle_error(self, request, client_address):
        """A client that has seen enough is no error."""


class Handler(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self):
        """Answer."""
        name = self.path.partition("?")[0].strip("/")
        self.server.asked.append((name, start_of(self)))
        with suppress(BrokenPipeError, ConnectionResetError):
            self.server.behaviours[name](self)

    def log_message(self, *_):
        """Say nothing."""


@contextmanager
def serving():
    with Server() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.released.set()
        server.shutdown()
