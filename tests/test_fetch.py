"""`data fetch`, `verify` and `where`: from servers on this machine, good and bad. No other network, and no waiting."""

import hashlib
import io
import json
import os
import re
import resource
import stat
import threading
from contextlib import suppress
from itertools import count
from types import SimpleNamespace
from urllib.request import Request

import pooch
import pytest
from archive_server import CONTENT, HALF, serving
from hypothesis import given
from hypothesis import strategies as st
from test_cifar10 import make_archive

from resnet18.data import fetch as module
from resnet18.data.archives import ARCHIVES, PYTHON, Archive
from resnet18.data.fetch import OWN_URL, bring, fetch
from resnet18.data.source import open_data
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError, SpecError
from resnet18.spec.experiment import parse_data

SHA256 = hashlib.sha256(CONTENT).hexdigest()


def ticking(step_s=0.0):
    """A clock that goes on when it is looked at."""
    ticks = count()
    return lambda: next(ticks) * step_s


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """The archive is 40 kB, nobody waits, and no mirror is the real one."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", OWN_URL):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(ARCHIVES, PYTHON, Archive(PYTHON, len(CONTENT), SHA256))
    monkeypatch.setattr(module, "MIRRORS", ())
    for name, value in {"STALL_S": 0.2, "ANSWER_S": 0.3, "PIECE_BYTES": 1_000, "monotonic": ticking()}.items():
        monkeypatch.setattr(module, name, value)


@pytest.fixture
def server():
    with serving() as server:
        yield server


@pytest.fixture
def fetched(server, home, monkeypatch):
    """Fetch from these behaviours of the server, in this order; return what was said."""

    def call(*names):
        call.said = []
        monkeypatch.setattr(module, "MIRRORS", [server.url(name) for name in names])
        fetch(home, call.said.append)
        return "\n".join(call.said)

    call.server = server
    return call


@pytest.fixture
def part(home):
    """Where a fetch was stopped; put bytes there."""
    home.mkdir()
    return home / f"{PYTHON}.part"


def test_an_archive_is_fetched_once_and_nothing_else_is_left(fetched, home, server):
    assert f"SHA-256 {SHA256}" in fetched("good")
    assert "is there, and its SHA-256 is right" in fetched("good")
    assert [("good", 0)] == server.asked
    assert {PYTHON, ".fetch.lock"} == {path.name for path in home.iterdir()}
    assert CONTENT == (home / PYTHON).read_bytes()
    assert (home / PYTHON).stat().st_mode & stat.S_IROTH


def test_a_damaged_archive_is_replaced_by_a_whole_one_alone(fetched, home):
    home.mkdir()
    (home / PYTHON).write_bytes(b"damaged")
    with pytest.raises(EnvironmentMissingError):
        fetched("wrong", "missing")
    assert b"damaged" == (home / PYTHON).read_bytes()

    assert "is damaged" in fetched("good")
    assert CONTENT == (home / PYTHON).read_bytes()


@pytest.mark.parametrize(
    ("there", "mirror", "asked", "words"),
    [
        (CONTENT[:HALF], "good", [HALF], "20.0 kB of 40.0 kB, from"),
        (CONTENT[:HALF], "without_range", [HALF], "starting over, because this mirror cannot resume"),
        (CONTENT[:HALF], "redirecting", [HALF, HALF], "done"),
        (CONTENT, "good", [], "done"),
        (CONTENT + b"more", "good", [0], "done"),
        (bytes(HALF), "good", [HALF, 0], "another SHA-256"),
        (CONTENT[:HALF], "other_range", [HALF, HALF], "answers with other bytes than were asked for"),
    ],
    ids=["half", "no ranges", "redirected", "whole", "too long", "other bytes", "other range"],
)
def test_a_partial_download_is_resumed(there, mirror, asked, words, fetched, part):
    """Only what is missing is asked for; a mirror is not blamed for bytes that were there before."""
    part.write_bytes(there)

    assert words in fetched(mirror, "good")
    assert asked == [start for _, start in fetched.server.asked]
    assert CONTENT == part.with_suffix("").read_bytes()
    assert not part.exists()


@pytest.mark.parametrize(
    ("bad", "words", "kept"),
    [
        ("missing", "answers with 404 Not Found", 0),
        ("cut", "ended after 20,001 of 40,002 bytes", HALF),
        ("other_size", "offers 100 bytes where 40002 bytes are missing", 0),
        ("without_length", "offers a file of unknown length where 40002 bytes are missing", 0),
        ("wrong", "gives a file with another SHA-256", 0),
        ("stalled", "broke off: timed out", HALF),
        ("silent", "cannot be reached: timed out", 0),
        ("trickling", "sent no headers within 0.3 s", 0),
    ],
)
def test_a_mirror_that_is_of_no_use_is_left_for_the_next(bad, words, kept, fetched, home):
    """With the reason; what it sent of the archive is kept, and nothing else."""
    assert words in fetched(bad, "good")
    assert [(bad, 0), ("good", kept)] == fetched.server.asked
    assert CONTENT == (home / PYTHON).read_bytes()


@pytest.mark.parametrize(
    ("mirrors", "asked"),
    [
        (["missing", "good"], [("missing", 0), ("good", 0)]),
        (["good", "missing"], [("good", 0), ("missing", 2_000), ("good", 2_000)]),
    ],
    ids=["the last", "the others give nothing"],
)
def test_a_slow_mirror_is_left_only_while_another_is_untried(mirrors, asked, fetched, server, monkeypatch):
    monkeypatch.setattr(module, "LOW_BYTES_PER_S", 200)
    monkeypatch.setattr(module, "monotonic", ticking(8.0))
    said = fetched(*mirrors)

    assert asked == server.asked
    assert ("slower than 200 bytes/s; trying another mirror" in said) == (mirrors[0] == "good")


def test_an_attempt_at_a_mirror_has_a_limit(fetched, monkeypatch):
    monkeypatch.setattr(module, "monotonic", ticking(3_600.0))
    with pytest.raises(EnvironmentMissingError, match=r"took more than 4\.0 h"):
        fetched("good")


@pytest.mark.parametrize(("scheme", "followed"), [("https", ["https"]), ("http", ["http", "https"])])
def test_a_redirect_from_https_to_anything_else_is_refused(scheme, followed):
    found, asked = [], Request(f"{scheme}://a/")  # noqa: S310 - nobody opens it
    for to in ("http", "https", "ftp"):
        with suppress(module.MirrorError):
            module._Redirects().redirect_request(asked, io.BytesIO(), 302, "", {}, f"{to}://b/")
            found.append(to)

    assert followed == found


def test_what_a_server_says_is_printable_and_short(fetched):
    with pytest.raises(EnvironmentMissingError, match=r"500 long"):
        fetched("hostile")

    assert all(line.isprintable() and len(line) < 200 for line in fetched.said)


def test_every_mirror_that_failed_is_named_with_its_reason_and_no_secret(fetched, monkeypatch):
    """And what to do next; a query may hold a password, which pooch would log."""
    (handler,) = pooch.get_logger().handlers
    monkeypatch.setattr(handler, "stream", io.StringIO())
    monkeypatch.setenv(OWN_URL, "http://127.0.0.1:1/file?secret=1")
    with pytest.raises(EnvironmentMissingError) as caught:
        fetched("missing", "wrong")

    for word in ("cannot be reached", "404", "another SHA-256", "--from FILE", OWN_URL, SHA256):
        assert word in str(caught.value)
    assert "secret" not in "".join([str(caught.value), *fetched.said, handler.stream.getvalue()])


@pytest.fixture
def full_at_half():
    """No file gets longer than half of the archive."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (HALF, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_a_message_and_the_part_is_kept(fetched, part, full_at_half):
    """The next mirror is not asked; the same command resumes when there is room."""
    with pytest.raises(EnvironmentMissingError, match=r"File too large\n  next: make room"):
        fetched("good", "good")

    assert CONTENT[:HALF] == part.read_bytes()


def test_what_the_disk_has_no_room_for_is_not_begun(fetched, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1_000))
    with pytest.raises(EnvironmentMissingError, match=r"has room for 1\.0 kB, where 40\.0 kB are needed"):
        fetched("good")

    assert [] == fetched.server.asked


@pytest.mark.parametrize("plant", [lambda path: path.symlink_to(path.parent / "other"), os.mkfifo, os.mkdir])
def test_a_planted_part_is_not_written_through(plant, fetched, part):
    plant(part)
    with pytest.raises(IntegrityError, match=rf"{part}: is (a symbolic link|no regular file)\n"):
        fetched("good")

    assert not (part.parent / "other").exists()


def test_what_a_killed_copying_left_is_removed(fetched, home):
    (home / ".copying-x" / "inner").mkdir(parents=True)
    fetched("good")

    assert [PYTHON] == [path.name for path in home.iterdir() if not path.name.startswith(".fetch")]


def test_of_two_commands_one_fetches_and_the_other_waits(server, home, monkeypatch):
    began, waits = threading.Event(), threading.Event()
    server.behaviours["held"] = lambda handler: waits.wait(10) and server.behaviours["good"](handler)
    monkeypatch.setattr(module, "STALL_S", 10.0)
    monkeypatch.setattr(module, "ANSWER_S", 10.0)
    monkeypatch.setattr(module, "MIRRORS", [server.url("held")])

    def say(line):
        (waits if "waiting for" in line else began).set()

    commands = [threading.Thread(target=fetch, args=(home, say)) for _ in range(2)]
    for command in commands:
        command.start()
        assert began.wait(10)
    for command in commands:
        command.join(10)

    assert [("held", 0)] == server.asked
    assert CONTENT == (home / PYTHON).read_bytes()


SCRIPTS = ["refuses", "breaks", "lies", "ignores", "gives"]


@given(st.lists(st.sampled_from(SCRIPTS), max_size=5), st.integers(0, len(CONTENT) + 5), st.booleans())
def test_whatever_mirrors_do_a_good_one_at_the_end_gives_the_archive(tmp_path_factory, scripts, kept, is_sound):
    home = tmp_path_factory.mktemp("home")
    (home / f"{PYTHON}.part").write_bytes((CONTENT + b"12345" if is_sound else bytes(len(CONTENT) + 5))[:kept])
    scripts = [*scripts, "gives"]

    def receive(url, file, had, size, say, *, may_be_slow):
        script = scripts[int(url[8:-1])]
        if script == "ignores":
            file.truncate(0)
        content = bytes(len(CONTENT)) if script == "lies" else CONTENT
        file.write(content[file.seek(0, 2) : {"refuses": 0, "breaks": HALF}.get(script)])
        if script in {"refuses", "breaks"}:
            raise module.MirrorError(script)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_receive", receive)
        patch.setattr(module, "MIRRORS", [f"https://{number}/" for number in range(len(scripts))])
        fetch(home, lambda _: None)

    assert CONTENT == (home / PYTHON).read_bytes()
    assert not (home / f"{PYTHON}.part").exists()


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://a/b", "a/b", "https://", "http://a:x/", "https://u:secret@a/", "http://a/\n", " "],
)
def test_a_mirror_that_cannot_be_asked_is_refused_without_repeating_it(url, home, monkeypatch):
    monkeypatch.setenv(OWN_URL, url)
    with pytest.raises(SpecError, match=OWN_URL) as caught:
        fetch(home, lambda _: None)

    assert "secret" not in str(caught.value)


def test_a_file_that_the_user_brings_is_copied(part, home, tmp_path):
    """Under the archive's name, and for all to read; a part of it is needed no more. Twice is once."""
    (tmp_path / "mine").write_bytes(CONTENT)
    part.write_bytes(CONTENT[:HALF])
    for _ in range(2):
        bring(tmp_path / "mine", home, lambda _: None)

    assert CONTENT == (home / PYTHON).read_bytes() == (tmp_path / "mine").read_bytes()
    assert (home / PYTHON).stat().st_mode & stat.S_IROTH
    assert {PYTHON, ".fetch.lock"} == {path.name for path in home.iterdir()}


def test_a_file_that_is_no_archive_is_refused_with_both_checksums(home, tmp_path):
    (tmp_path / "mine").write_bytes(CONTENT[:-1])
    with pytest.raises(IntegrityError) as caught:
        bring(tmp_path / "mine", home, lambda _: None)

    assert {SHA256, hashlib.sha256(CONTENT[:-1]).hexdigest()} <= set(re.findall("[0-9a-f]{64}", str(caught.value)))
    assert not home.exists()


@pytest.fixture
def cifar(home, monkeypatch):
    """A small archive of CIFAR-10's layout in its place, and its decoded copy."""
    home.mkdir()
    path, sha256 = make_archive(home / PYTHON, "python")
    monkeypatch.setitem(ARCHIVES, PYTHON, Archive(PYTHON, path.stat().st_size, sha256))
    open_data(parse_data("cifar10"), verify=False)
    return SimpleNamespace(archive=path, copy=home / "decoded" / f"cifar10-{sha256[:16]}")


def test_fetch_asks_the_users_own_mirror_first_and_says_what_comes_next(cli, server, monkeypatch):
    monkeypatch.setenv(OWN_URL, server.url("good"))
    monkeypatch.setattr(module, "MIRRORS", (server.url("wrong"),))
    result = cli("data", "fetch")

    assert (0, [("good", 0)]) == (result.exit_code, server.asked)
    assert f"from 127.0.0.1:{server.server_port}" in result.output
    assert "next: resnet18 run --scale small" in result.output


def test_fetch_that_is_interrupted_ends_with_130_and_keeps_the_part(cli, part, monkeypatch):
    def interrupted(url, file, had, size, say, *, may_be_slow):
        file.write(CONTENT[:HALF])
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "MIRRORS", ["https://a/"])
    monkeypatch.setattr(module, "_receive", interrupted)
    result = cli("data", "fetch")

    assert 130 == result.exit_code
    assert "stopped; to resume" in result.output
    assert CONTENT[:HALF] == part.read_bytes()


@pytest.mark.parametrize("damaged", [[], ["archive"], ["decoded"], ["archive", "decoded"]])
def test_verify_says_of_archive_and_copy_whether_they_are_right(damaged, cli, cifar):
    for kind, path in (("archive", cifar.archive), ("decoded", cifar.copy / "train_labels.npy")):
        if kind in damaged:
            path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    text, result = cli("data", "verify"), cli("data", "verify", "--json")
    rows = json.loads(result.stdout)

    assert (4 if damaged else 0) == text.exit_code == result.exit_code
    assert [("archive", "cifar10"), ("decoded", "cifar10")] == [(row["kind"], row["label"]) for row in rows]
    assert damaged == [row["kind"] for row in rows if row["state"] == "damaged" and row["says"]]
    assert ("replace it: resnet18 data fetch" in text.stderr) == ("archive" in damaged)
    assert ("delete this folder" in text.stderr) == ("decoded" in damaged)


def test_where_names_the_folder_and_what_is_in_it(cli, cifar, home):
    (home / f"{PYTHON}.part").write_bytes(b"12345")
    found = json.loads(cli("data", "where", "--json").stdout)
    decoded = found["holds"][2].pop("bytes")

    assert decoded > 100_000
    assert {"folder": str(home), "holds": [
        {"kind": "archive", "label": "cifar10", "name": PYTHON, "bytes": cifar.archive.stat().st_size},
        {"kind": "part", "label": "cifar10", "name": f"{PYTHON}.part", "bytes": 5},
        {"kind": "decoded", "label": "cifar10", "name": cifar.copy.name},
    ]} == found  # fmt: skip
    assert all(word in cli("data", "where").stdout for word in (str(home), PYTHON, cifar.copy.name, "5 bytes"))


def test_a_run_without_its_archive_asks_for_nothing_else(cli, tmp_path, monkeypatch):
    for name in ("resnet18.cli.run.engine_of", "resnet18.measure.devices.present_devices"):
        monkeypatch.setattr(name, None)
    result = cli("run", "--scale", "small")

    assert 5 == result.exit_code
    assert "next: resnet18 data fetch" in result.output
    assert [] == [*tmp_path.iterdir()]
