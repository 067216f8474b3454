"""Servers of an archive on this machine, good and bad ones, for tests of what fetches it."""

import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

CONTENT = b"\x1f\x8b" + np.random.default_rng(0).bytes(40_000)
HALF = len(CONTENT) // 2


def start_of(handler):
    return int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))


def reply(status, body, length=None, **headers):
    """Return a behaviour that sends this, whatever is asked for."""
    lengths = {} if length is None else {"Content-Length": str(length)}

    def behave(handler):
        handler.send_response(status)
        for name, value in {**headers, **lengths}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return behave


def good(handler, content=CONTENT):
    """Honours Range."""
    start, size = start_of(handler), len(content)
    ranges = {"Content_Range": f"bytes {start}-{size - 1}/{size}"} if start else {}
    reply(206 if start else 200, content[start:], size - start, **ranges)(handler)


def stalled(handler):
    """Sends half, then nothing."""
    reply(200, CONTENT[:HALF], len(CONTENT))(handler)
    handler.server.released.wait(10)


def trickling(handler):
    """Sends a byte of its headers now and then."""
    while not handler.server.released.wait(0.05):
        handler.wfile.write(b"H")


def redirecting(handler):
    """To the good one, with a body that does not end."""
    reply(302, b"", Location="/good")(handler)
    while True:
        handler.wfile.write(bytes(10_000))


def hostile(handler):
    """Its reason moves the cursor, and is long."""
    handler.wfile.write(b"HTTP/1.0 500 \x1b[2J\x1b]0;owned\x07" + 10_000 * b"long " + b"\r\n\r\n")


BEHAVIOURS = {
    **{behave.__name__: behave for behave in (good, stalled, trickling, redirecting, hostile)},
    "wrong": lambda handler: good(handler, CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])),
    "silent": lambda handler: handler.server.released.wait(10),
    "without_range": reply(200, CONTENT, len(CONTENT)),
    "without_length": reply(200, CONTENT),
    "missing": reply(404, b"none", 4),
    "cut": reply(200, CONTENT[:HALF], len(CONTENT)),
    "other_size": reply(200, CONTENT[:100], 100),
    "other_range": reply(206, CONTENT[:HALF], HALF, Content_Range=f"bytes 0-{HALF - 1}/{len(CONTENT)}"),
}


class Server(ThreadingHTTPServer):
    """Behaves as the path of a request says, and remembers which came, from which byte on."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = []
        self.released = threading.Event()
        self.behaviours = dict(BEHAVIOURS)

    def url(self, name):
        return f"http://127.0.0.1:{self.server_port}/{name}"

    def handle_error(self, request, client_address):
        """A client that has seen enough is no error."""


class Handler(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self):
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
