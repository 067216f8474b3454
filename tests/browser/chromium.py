"""Drive a Chromium over the pipe that it offers: the DevTools protocol, one JSON message after another.

Playwright would do this too, with 165 MB that the project would have to pin; what these tests ask of a browser are a
dozen commands.
"""

import fcntl
import json
import os
import shutil
import signal
import tempfile
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",  # containers run tests as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--force-color-profile=srgb",
)
FIRST_FREE = 10
"""File descriptors from here on do not collide with the 3 and 4 on which Chromium listens and answers."""
KEYS = {"Tab": 9, "ArrowRight": 39}


def find_chromium():
    """Return the path of a Chromium, None where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def _pipe():
    """Return both ends of a pipe, with numbers that leave room for the child's own."""
    ends = os.pipe()
    moved = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, FIRST_FREE) for end in ends]
    for end in ends:
        os.close(end)
    return moved


class Chromium:
    """A browser with one page. Everything that it reports meanwhile is in `events`."""

    def __init__(self, path):
        self.profile = tempfile.mkdtemp(prefix="resnet18-chromium-")
        their_in, ours_out = _pipe()
        ours_in, their_out = _pipe()
        self.pid = os.posix_spawn(
            path,
            [path, *OPTIONS, f"--user-data-dir={self.profile}", "about:blank"],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_DUP2, their_in, 3),
                (os.POSIX_SPAWN_DUP2, their_out, 4),
            ],
            setsid=True,  # its helpers end with it
        )
        os.close(their_in)
        os.close(their_out)
        self.sending, self.receiving = os.fdopen(ours_out, "wb", buffering=0), os.fdopen(ours_in, "rb")
        self.buffer, self.number, self.session, self.events = b"", 0, None, []
        self._attach()

    def _attach(self):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self):
        """End it and everything that it started."""
        os.killpg(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.sending.close()
        self.receiving.close()
        shutil.rmtree(self.profile, ignore_errors=True)

    def call(self, method, **parameters):
        """Send a command and return its result; events that come first are kept."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.sending.write(json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self.number:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def _receive(self):
        while b"\0" not in self.buffer:
            part = self.receiving.read1(1 << 16)
            if not part:
                raise RuntimeError("chromium ended")
            self.buffer += part
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def wait_for(self, method):
        """Return the next event of a kind."""
        while True:
            found = next((one for one in self.events if one.get("method") == method), None)
            if found:
                self.events.remove(found)
                return found
            self.events.append(self._receive())

    def open(self, path, *, width, height, theme):
        """Load a file in a window of a size and theme, with an empty list of events."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", media="", features=[{"name": "prefers-color-scheme", "value": theme}])
        self.events.clear()
        self.call("Page.navigate", url=Path(path).absolute().as_uri())
        self.wait_for("Page.loadEventFired")

    def evaluate(self, script):
        """Return what an expression gives; promises are awaited."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"].get("exception", {}).get("description")))
        return answer["result"].get("value")

    def settle(self):
        """Wait until what was asked for is drawn."""
        self.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    def press(self, key):
        """Press and release a key."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=KEYS[key])

    def move(self, x, y):
        """Point at a place."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def complaints(self):
        """Return what the page's console, its policy or an exception said, and what it asked of a network."""
        said = []
        for event in self.events:
            method, parameters = event.get("method"), event.get("params", {})
            if method in {"Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"}:
                said.append(f"{method}: {json.dumps(parameters)[:400]}")
            elif method == "Network.requestWillBeSent":
                url = parameters["request"]["url"]
                if not url.startswith("data:") and not url.endswith("report.html"):
                    said.append(f"request: {url}")
        return said
