"""A browser, and the page that it opens: a Chromium is driven over the pipe that it offers, by the DevTools protocol.

Playwright would do this too, with 165 MB that the project would have to pin; what these tests ask of a browser are a
dozen commands.
"""

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
from reports import noisy_epochs, record_all

from resnet18.records.store import Readings
from resnet18.report.report import write_report
from resnet18.spec.load import load_benchmarks
from resnet18.spec.resolve import Request

OPTIONS = (
    *("--headless=new", "--remote-debugging-pipe", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-extensions"),
    *("--force-color-profile=srgb", "--no-sandbox"),  # containers run tests as root
)
KEYS = {"Tab": 9, "ArrowRight": 39}
COMPLAINTS = {"Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded", "Page.javascriptDialogOpening"}
REQUEST = Request(scale="paper", data="cifar10")


class Chromium:
    """A browser with one page. Everything that it reports meanwhile is in `events`."""

    def __init__(self, path):
        self.profile = tempfile.mkdtemp(prefix="resnet18-chromium-")
        self.socket, theirs = socket.socketpair()
        words = shlex.join([path, *OPTIONS, f"--user-data-dir={self.profile}", "about:blank"])
        with theirs:  # it listens on 3 and answers on 4; its helpers end with its session
            self.process = subprocess.Popen(
                ["bash", "-c", f"exec {words} 3<&{theirs.fileno()} 4>&{theirs.fileno()} >/dev/null 2>&1"],
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self.buffer, self.number, self.address, self.events = b"", 0, {}, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.address = {"sessionId": session}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.socket.close()
        shutil.rmtree(self.profile, ignore_errors=True)

    def call(self, method, **parameters):
        """Send a command and return its result; events that come first are kept."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters, **self.address}
        self.socket.sendall(json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self.number:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def _receive(self):
        while b"\0" not in self.buffer:
            part = self.socket.recv(1 << 16)
            if not part:
                raise RuntimeError("chromium ended")
            self.buffer += part
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def open(self, path, width=1280, height=800, theme="light"):
        """Load a file in a window of a size and theme, with an empty list of events."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", media="", features=[{"name": "prefers-color-scheme", "value": theme}])
        self.events.clear()
        self.call("Page.navigate", url=Path(path).absolute().as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive())

    def evaluate(self, script):
        """Return what an expression gives; promises are awaited."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"].get("exception", {}).get("description")))
        return answer["result"].get("value")

    def settle(self):
        """Wait until what was asked for is drawn."""
        self.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    def show(self, selector):
        """Scroll to an element, and wait until what is drawn only when near is drawn."""
        self.evaluate(f"document.querySelector({selector!r}).scrollIntoView()")
        self.settle()
        self.settle()

    def click(self, selector):
        self.evaluate(f"document.querySelector({selector!r}).click()")
        self.settle()

    def texts(self, selector):
        return self.evaluate(f"[...document.querySelectorAll({selector!r})].map((one) => one.textContent.trim())")

    def count(self, selector):
        return len(self.texts(selector))

    def seen(self, selector):
        """Return the verdicts' words, or other data, of those elements of a selector that can be seen."""
        elements = f"[...document.querySelectorAll({selector!r})].filter((one) => one.checkVisibility())"
        return self.evaluate(f"{elements}.map((one) => one.dataset.word ?? '')")

    def press(self, key):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=KEYS[key])

    def complaints(self):
        """Return what the page's console, its policy, an exception or a dialog said, and what it asked of a network."""
        asked = [
            one["params"]["request"]["url"] for one in self.events if one.get("method") == "Network.requestWillBeSent"
        ]
        said = [event for event in self.events if event.get("method") in COMPLAINTS]
        return said + [url for url in asked if not url.startswith("data:") and not url.endswith("report.html")]


@pytest.fixture(scope="session")
def page(tmp_path_factory):
    """The page of all tables: three seeds, one case out of memory."""
    suite, folder = load_benchmarks(), tmp_path_factory.mktemp("results")
    ended = record_all(suite, REQUEST, range(3), noisy_epochs)
    lost = record_all(suite, REQUEST, range(3), status="oom_device")
    both = zip(ended, lost, strict=True)
    records = [second if first.spec.experiment.batch_size == 1024 else first for first, second in both]
    write_report(folder, suite, Readings(tuple(records), ()))
    return folder / "report.html"


@pytest.fixture(scope="session")
def chromium():
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        reason = "no chromium: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(f"{reason}; where CI is set, a page that nobody opened is no success")
        pytest.skip(reason)
    browser = Chromium(path)
    yield browser
    browser.close()


@pytest.fixture
def desktop(chromium, page):
    """The page with its parts, freshly opened; whatever it complained of fails the test afterwards."""
    chromium.open(page)
    chromium.evaluate("document.querySelectorAll('details.chapter').forEach((one) => { one.open = true; })")
    yield chromium
    assert [] == chromium.complaints()
