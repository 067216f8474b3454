"""Fetching an archive: from servers on this machine, good and bad. No other network, and no waiting."""

import errno
import hashlib
import io
import os
import threading
from itertools import count
from urllib import request

import pytest
from archive_server import CONTENT, HALF, NAME, make_archive, serving
from hypothesis import given
from hypothesis import strategies as st

from resnet18.data.bring import bring
from resnet18.data.display import Display, amount, progress_text
from resnet18.data.fetch import fetch
from resnet18.data.pace import Pace
from resnet18.data.sources import OWN_URL, PYTHON, wanted
from resnet18.data.terms import Limits, SourceError, Terms
from resnet18.data.web import SafeRedirects, connect
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError, SpecError

QUICK = Limits(answer_s=2.0, stall_s=0.2, piece_bytes=1_000)


def ticking(step_s=0.0):
    """A clock that goes on when it is looked at."""
    ticks = count()
    return lambda: next(ticks) * step_s


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving() as server:
        yield server


@pytest.fixture
def fetched(server, home):
    """Fetch from these behaviours of the server, in this order; return what was said."""

    def call(*names, limits=QUICK, clock=None, display_clock=None):
        out = io.StringIO()
        terms = Terms(connect, clock or ticking(), limits)
        archive = make_archive(*(server.url(name) for name in names))
        try:
            fetch(archive, (), home, terms, Display(out, display_clock or ticking()))
        finally:
            call.said = out.getvalue()
        return call.said

    return call


@pytest.fixture
def part(home):
    """Put these bytes where a fetch was stopped."""

    def put(content):
        home.mkdir(exist_ok=True)
        (home / f"{NAME}.part").write_bytes(content)
        return home / f"{NAME}.part"

    return put


def test_an_archive_is_fetched_and_nothing_else_is_left(fetched, home):
    """But the lock."""
    said = fetched("good")

    assert CONTENT == (home / NAME).read_bytes()
    assert {NAME, ".fetch.lock"} == {path.name for path in home.iterdir()}
    assert f"SHA-256 {hashlib.sha256(CONTENT).hexdigest()}" in said


def test_an_archive_that_is_there_is_not_fetched_again(fetched, server):
    """Its checksum is looked at."""
    fetched("good")

    assert "is there, and its SHA-256 is right" in fetched("good")
    assert [("good", 0)] == server.asked


def test_a_damaged_archive_is_replaced(fetched, home):
    """Once the new one is whole."""
    home.mkdir()
    (home / NAME).write_bytes(b"damaged")

    assert "is damaged" in fetched("good")
    assert CONTENT == (home / NAME).read_bytes()


def test_a_damaged_archive_stays_where_no_source_gives_another(fetched, home):
    """It may be mended by other means."""
    home.mkdir()
    (home / NAME).write_bytes(b"damaged")
    with pytest.raises(EnvironmentMissingError):
        fetched("missing")

    assert b"damaged" == (home / NAME).read_bytes()


def test_a_part_is_gone_on_with(fetched, part, server, home):
    """Only what is missing is asked for."""
    part(CONTENT[:HALF])
    said = fetched("good")

    assert [("good", HALF)] == server.asked
    assert "goes on from 20 kB" in said
    assert CONTENT == (home / NAME).read_bytes()


def test_a_whole_part_needs_no_source(fetched, part, server, home):
    """A command was stopped between the last byte and the name."""
    part(CONTENT)
    fetched("good")

    assert [] == server.asked
    assert CONTENT == (home / NAME).read_bytes()


def test_a_part_that_is_too_long_is_thrown_away(fetched, part, server):
    """It cannot be one of this archive."""
    part(CONTENT + b"more")
    fetched("good")

    assert [("good", 0)] == server.asked


def test_a_server_that_does_not_know_ranges_begins_anew(fetched, part, home):
    """It sends all of it, whatever was asked for."""
    part(CONTENT[:HALF])

    assert "cannot go on from 20 kB, begins anew" in fetched("without_range")
    assert CONTENT == (home / NAME).read_bytes()


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("missing", "answers with 404 Not Found"),
        ("cut", "ended after 20,001 of 40,002 bytes"),
        ("other_size", "offers 100 bytes where 40002 are missing"),
        ("other_range", "answers with other bytes than were asked for"),
        ("page", "sends something else than an archive"),
        ("wrong", "gives a file with another SHA-256"),
        ("endless", "gives a file with another SHA-256"),
        ("stalled", "sent nothing for 0.2 s"),
        ("silent", "does not answer: timed out"),
    ],
)
def test_a_source_that_is_of_no_use_is_left_for_the_next(bad, words, fetched, home):
    """With the reason."""
    said = fetched(bad, "good")

    assert words in said
    assert CONTENT == (home / NAME).read_bytes()


def test_what_a_source_sent_before_it_stalled_is_kept_for_the_next(fetched, server):
    """All have the same bytes."""
    fetched("stalled", "good")

    assert [("stalled", 0), ("good", HALF)] == server.asked


def test_bytes_with_another_checksum_are_not_kept(fetched, server, home):
    """And their source is not asked again."""
    with pytest.raises(EnvironmentMissingError, match="another SHA-256"):
        fetched("wrong")

    assert [("wrong", 0)] == server.asked
    assert [".fetch.lock"] == [path.name for path in home.iterdir()]


def test_a_source_is_not_blamed_for_bytes_that_were_there_before(fetched, part, server, home):
    """It is asked for all of it."""
    part(bytes(HALF))
    fetched("good")

    assert [("good", HALF), ("good", 0)] == server.asked
    assert CONTENT == (home / NAME).read_bytes()


def test_a_server_that_trickles_its_answer_is_given_up(server):
    """Neither a name server nor headers have a limit of their own."""
    with pytest.raises(SourceError, match=r"gave no answer for 0\.1 s"):
        connect(server.url("silent"), 0, len(CONTENT), Limits(answer_s=0.1, stall_s=5.0))


def test_a_host_that_is_not_there_is_a_reason():
    """Nobody listens on that port."""
    with pytest.raises(SourceError, match="cannot be reached"):
        connect("http://127.0.0.1:1/", 0, len(CONTENT), QUICK)


SLOW = Limits(low_bytes_per_s=200.0, piece_bytes=1_000)


def test_a_slow_source_is_left_while_another_is_untried(fetched, server):
    """1,000 bytes in 8 seconds, for 20 seconds."""
    said = fetched("good", "without_range", limits=SLOW, clock=ticking(8.0))

    assert ["good", "without_range"] == [name for name, _ in server.asked]
    assert "slower than 200 B/s for 20 s: another is asked" in said


def test_the_last_source_is_endured(fetched, server):
    """However slow it is."""
    fetched("missing", "good", limits=SLOW, clock=ticking(8.0))

    assert ["missing", "good"] == [name for name, _ in server.asked]


def test_a_slow_source_is_asked_again_where_the_others_give_nothing(fetched, server):
    """And goes on where it was left."""
    fetched("good", "missing", limits=SLOW, clock=ticking(8.0))

    assert [("good", 0), ("missing", 3_000), ("good", 3_000)] == server.asked


def test_of_the_slow_sources_the_fastest_is_asked_again_first(home):
    """Here the second: it sends twice as much at once."""
    asked = []

    def slow_or_none(url, start, *_):
        asked.append(url)
        if url == "https://c/":
            raise SourceError("gone")
        body = Scripted("gives", start)
        size = 1_000 if url == "https://a/" else 2_000
        body.read = lambda _, read=body.read: read(size)
        return body

    terms = Terms(slow_or_none, ticking(8.0), Limits(low_bytes_per_s=300.0))
    archive = make_archive("https://a/", "https://b/", "https://c/")
    fetch(archive, (), home, terms, Display(io.StringIO(), ticking()))

    assert ["https://a/", "https://b/", "https://c/", "https://b/"] == asked


def test_a_source_that_takes_longer_than_any_patience_is_given_up(fetched):
    """Of one that is slow without end."""
    with pytest.raises(EnvironmentMissingError, match="was not done in 2 min"):
        fetched("good", limits=Limits(attempt_s=120.0, piece_bytes=1_000), clock=ticking(8.0))


def test_a_redirect_is_followed_however_long_its_body_is(fetched, server, part):
    """Which nobody reads; what is missing is asked for there too."""
    part(CONTENT[:HALF])
    fetched("redirecting")

    assert [("redirecting", HALF), ("good", HALF)] == server.asked


def redirected(url, to):
    asked = request.Request(url)  # noqa: S310 - nobody opens it
    return SafeRedirects().redirect_request(asked, io.BytesIO(), 302, "", {}, to)


@pytest.mark.parametrize(
    ("url", "to"), [("https://a/", "http://b/"), ("https://a/", "ftp://b/"), ("http://a/", "ftp://b/")]
)
def test_a_redirect_from_https_to_anything_else_is_refused(url, to):
    """Plain http would show and change what is asked for."""
    with pytest.raises(SourceError, match="redirects to plain"):
        redirected(url, to)


@pytest.mark.parametrize("url", ["https://a/", "http://a/"])
def test_a_redirect_to_https_is_followed(url):
    """From either."""
    assert "https://b/" == redirected(url, "https://b/").full_url


def test_what_a_server_says_moves_no_cursor(fetched):
    """It is written out."""
    with pytest.raises(EnvironmentMissingError, match=r"500 \\x1b\[2J"):
        fetched("hostile")

    assert "\x1b" not in fetched.said


def test_what_a_server_says_is_cut(server):
    """However long it is; and a reason of a source is printable whoever prints it."""
    with pytest.raises(SourceError) as caught:
        connect(server.url("hostile"), 0, len(CONTENT), QUICK)

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


def test_every_source_that_failed_is_named_with_its_reason(fetched):
    """And what to do next."""
    with pytest.raises(EnvironmentMissingError) as caught:
        fetched("missing", "wrong")

    for word in ("404", "another SHA-256", "--from FILE", OWN_URL, hashlib.sha256(CONTENT).hexdigest()):
        assert word in str(caught.value)


def full_at_half(write):
    """A disk on which no file gets longer than half of the archive."""

    def full(descriptor, data):
        room = HALF - os.fstat(descriptor).st_size
        if room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data[:room])

    return full


def test_a_full_disk_is_a_message_and_the_part_is_kept(fetched, home, monkeypatch):
    """The same command goes on when there is room."""
    monkeypatch.setattr(os, "write", full_at_half(os.write))
    with pytest.raises(EnvironmentMissingError, match=r"No space left on device\n  next: make room"):
        fetched("good", "good")

    assert CONTENT[:HALF] == (home / f"{NAME}.part").read_bytes()


def test_what_the_disk_has_no_room_for_is_not_begun(fetched, server, monkeypatch):
    """The part that is there needs none."""
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("", (), {"free": 1_000})())
    with pytest.raises(EnvironmentMissingError, match="has room for 1 kB, where 40 kB are needed"):
        fetched("good")

    assert [] == server.asked


def test_a_folder_that_cannot_be_made_is_a_message(fetched, home, server):
    """Before anything is asked for."""
    home.write_text("a file", encoding="utf-8")
    with pytest.raises(EnvironmentMissingError, match="set RESNET18_DATA to a folder"):
        fetched("good")

    assert [] == server.asked


@pytest.mark.parametrize("plant", [lambda path: path.symlink_to(path.parent / "other"), os.mkfifo, os.mkdir])
def test_a_planted_part_is_not_written_through(plant, fetched, home):
    """A link, a pipe, a folder."""
    home.mkdir()
    plant(home / f"{NAME}.part")
    with pytest.raises(EnvironmentMissingError):
        fetched("good")

    assert not (home / "other").exists()


class Watched(io.StringIO):
    """Text that sets an event when a word is written."""

    def __init__(self, word):
        super().__init__()
        self.word, self.seen = word, threading.Event()

    def write(self, text):
        """Write it."""
        if self.word in text:
            self.seen.set()
        return super().write(text)


def test_of_two_commands_one_fetches_and_the_other_waits(server, home):
    """And finds it there."""
    first, second = Watched("from 127.0.0.1"), Watched("waiting for it")
    server.behaviours["held"] = lambda handler: second.seen.wait(10) and server.behaviours["good"](handler)
    archive, terms = make_archive(server.url("held")), Terms(connect, ticking(), Limits())
    commands = [
        threading.Thread(target=fetch, args=(archive, (), home, terms, Display(out, ticking())))
        for out in (first, second)
    ]
    commands[0].start()
    assert first.seen.wait(10)
    commands[1].start()
    for command in commands:
        command.join(10)

    assert [("held", 0)] == server.asked
    assert "is there, and its SHA-256 is right" in second.getvalue()


def test_an_interrupt_keeps_the_part_and_says_so(server, home):
    """And goes up, to the line that says that the same command goes on."""

    class Interrupted:
        start = 0
        pieces = iter([CONTENT[:HALF]])

        def read(self, most):
            for piece in self.pieces:
                return piece
            raise KeyboardInterrupt

        def close(self):
            pass

    out, terms = io.StringIO(), Terms(lambda *_: Interrupted(), ticking())
    with pytest.raises(KeyboardInterrupt):
        fetch(make_archive("https://a/"), (), home, terms, Display(out, ticking()))

    assert CONTENT[:HALF] == (home / f"{NAME}.part").read_bytes()
    assert "20 kB of 40 kB are kept" in out.getvalue()


class Scripted:
    """A source without a server: it refuses, breaks off, lies, ignores ranges, or gives what was asked for."""

    def __init__(self, script, start):
        if script == "refuses":
            raise SourceError(script)
        self.start = 0 if script == "ignores" else start
        content = CONTENT[:2] + bytes(len(CONTENT) - 2) if script == "lies" else CONTENT
        self.left = content[self.start : HALF if script == "breaks" else None]

    def read(self, most):
        """Return a piece."""
        piece, self.left = self.left[:most], self.left[most:]
        return piece

    def close(self):
        """Nothing is open."""


@given(
    st.lists(st.sampled_from(["refuses", "breaks", "lies", "ignores", "gives"]), max_size=5),
    st.integers(0, len(CONTENT) + 5),
    st.booleans(),
)
def test_whatever_sources_do_a_good_one_at_the_end_gives_the_archive(tmp_path_factory, scripts, kept, is_sound):
    """Whatever was there before: its right bytes, or others."""
    home = tmp_path_factory.mktemp("home")
    (home / f"{NAME}.part").write_bytes((CONTENT + b"12345" if is_sound else bytes(len(CONTENT) + 5))[:kept])
    scripts = [*scripts, "gives"]
    archive = make_archive(*(f"https://{number}/" for number in range(len(scripts))))
    terms = Terms(lambda url, start, *_: Scripted(scripts[int(url[8:-1])], start), ticking(), QUICK)
    fetch(archive, (), home, terms, Display(io.StringIO(), ticking()))

    assert CONTENT == (home / NAME).read_bytes()
    assert not (home / f"{NAME}.part").exists()


@pytest.fixture
def brought(tmp_path, home):
    """Bring a file of this content; return what was said."""

    def call(content):
        (tmp_path / "mine").write_bytes(content)
        out = io.StringIO()
        bring(tmp_path / "mine", (make_archive(),), home, Display(out, ticking()))
        return out.getvalue()

    return call


def test_a_file_that_the_user_brings_is_copied(brought, part, home, tmp_path):
    """Under its own name, whatever the user's; a part of it is needed no more."""
    left = part(CONTENT[:HALF])

    assert "copied to" in brought(CONTENT)
    assert CONTENT == (home / NAME).read_bytes() == (tmp_path / "mine").read_bytes()
    assert not left.exists()


def test_a_file_that_is_no_archive_is_refused_with_both_checksums(brought, home):
    """Nothing is copied."""
    with pytest.raises(IntegrityError) as caught:
        brought(CONTENT[:-1])

    for content in (CONTENT, CONTENT[:-1]):
        assert hashlib.sha256(content).hexdigest() in str(caught.value)
    assert not home.exists()


def test_a_file_that_is_not_there_is_refused(home, tmp_path):
    """Exit code 5."""
    with pytest.raises(EnvironmentMissingError, match="there is no such file"):
        bring(tmp_path / "none", (make_archive(),), home, Display(io.StringIO(), ticking()))


def test_a_copy_that_does_not_fit_leaves_nothing(brought, home, monkeypatch):
    """No half of it, under any name."""
    monkeypatch.setattr(os, "write", full_at_half(os.write))
    with pytest.raises(EnvironmentMissingError, match="No space left"):
        brought(CONTENT)

    assert [".fetch.lock"] == [path.name for path in home.iterdir()]


class Terminal(io.StringIO):
    """What a person looks at."""

    def isatty(self):
        """Whether it is one."""
        return True


def test_elsewhere_than_on_a_terminal_progress_is_plain_lines_every_few_seconds(fetched):
    """41 pieces, a second each: a line every five."""
    said = fetched("good", display_clock=ticking(1.0))

    assert "\r" not in said
    assert 8 == sum("left" in line or "no end" in line for line in said.splitlines())


def test_on_a_terminal_progress_is_one_line_that_is_written_over(monkeypatch):
    """And taken away by the next line that stays."""
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    display = Display(out, ticking(1.0))
    display.progress("host", 10_000, 40_000, 1_000.0)
    display.progress("host", 20_000, 40_000, 1_000.0)
    display.say("done")

    assert 1 == out.getvalue().count("\n")
    assert out.getvalue().endswith("\rdone\n")
    assert "host: 20 kB of 40 kB, 50 %, 1 kB/s, about 20 s left" in out.getvalue()


@pytest.mark.parametrize(
    ("done", "bytes_per_s", "text"),
    [
        (45_000_000, 3_400_000.0, "h: 45.0 MB of 170.5 MB, 26 %, 3.4 MB/s, about 37 s left"),
        (0, 62_000.0, "h: 0 B of 170.5 MB, 0 %, 62 kB/s, about 46 min left"),
        (0, 10_000.0, "h: 0 B of 170.5 MB, 0 %, 10 kB/s, about 4.7 h left"),
        (0, 0.0, "h: 0 B of 170.5 MB, 0 %, 0 B/s, no end in sight"),
    ],
)
def test_progress_tells_amount_speed_and_what_is_left(done, bytes_per_s, text):
    """In words that fit on a line."""
    assert text == progress_text("h", done, PYTHON.size_bytes, bytes_per_s)


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (999, "999 B"), (1_000, "1 kB"), (1_000_000, "1.0 MB")])
def test_an_amount_has_the_unit_that_suits_it(count, text):
    """In steps of a thousand."""
    assert text == amount(count)


def test_speed_is_that_of_the_last_seconds():
    """What came quickly before them is forgotten."""
    times = iter([0.0, 1.0, 11.0, 21.0])
    pace = Pace(lambda: next(times), 20.0)
    for size in (1_000_000, 100, 100):
        pace.add(size)

    assert 10.0 == pace.bytes_per_s
    assert pace.is_below(11.0)


def test_nothing_is_called_slow_before_a_window_is_over():
    """It may only have begun."""
    times = iter([0.0, 19.0])
    pace = Pace(lambda: next(times), 20.0)
    pace.add(1)

    assert not pace.is_below(1e9)


def test_the_users_own_source_comes_first(monkeypatch):
    """Then the mirrors, and the official host at the end."""
    monkeypatch.setenv(OWN_URL, "http://here:8000/file?secret=1")
    names = [source.name for source in wanted().sources]

    assert ("here:8000", "www.cs.toronto.edu") == (names[0], names[-1])


def test_every_source_of_the_suite_is_reached_by_https():
    """A user's own need not be."""
    assert all(source.url.startswith("https://") for source in PYTHON.sources)


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://a/b", "a/b", "https://", "http://a:x/", "https://u:secret@a/", "http://a/\n", " "],
)
def test_a_source_that_cannot_be_asked_is_refused_without_repeating_it(url, monkeypatch):
    """It may hold a password."""
    monkeypatch.setenv(OWN_URL, url)
    with pytest.raises(SpecError, match=OWN_URL) as caught:
        wanted()

    assert "secret" not in str(caught.value)
