"""Text from outside, in reports, on the terminal and in records: it is shown as it is, and does nothing."""

import json
import platform
import re
from unicodedata import category

import pytest
from builders import TOML, make_benchmark
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from resnet18.cli.app import reported
from resnet18.spec.claim import Name
from resnet18.spec.errors import SpecError, is_shown, json_line, one_line, printable
from resnet18.spec.redaction import redacted


@given(st.text(alphabet=st.characters(), max_size=40))
def test_printable_text_holds_nothing_that_a_terminal_obeys(text):
    """Nor a character that no encoding has; lines stay."""
    shown = printable(text)

    assert text.count("\n") == shown.count("\n")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", shown)
    assert shown == shown.encode("utf-8").decode("utf-8")


IGNORABLE = (  # Default_Ignorable_Code_Point in Unicode 16's DerivedCoreProperties.txt
    *(0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), *range(0x200B, 0x2010)),
    *(*range(0x202A, 0x202F), *range(0x2060, 0x2070), 0x3164, *range(0xFE00, 0xFE10), 0xFEFF, 0xFFA0),
    *(*range(0xFFF0, 0xFFF9), *range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B), *range(0xE0000, 0xE1000)),
)


def test_a_character_that_shows_nothing_is_written_out_and_refused_in_names():
    """Whatever Unicode calls control, format, separator of lines or ignorable."""
    hidden = {chr(at) for at in range(0x110000) if category(chr(at)) in {"Cc", "Cf", "Cs", "Zl", "Zp"}}
    hidden |= set(map(chr, IGNORABLE))
    name = TypeAdapter(Name)

    assert set() == {one for one in hidden if one_line(one) == one or is_shown(one)}
    for one in hidden:
        with pytest.raises(ValidationError):
            name.validate_python(f"8{one}")


def test_ordinary_text_is_printed_as_it_is():
    text = 'Gr\u00fc\u00dfe, \u4e16\u754c: "a|b" 100 % \u2026'

    assert text == printable(text) == one_line(text)


@pytest.mark.parametrize("text", ["::error::x", " \t::stop-commands::x", "x ##[error]y", "a::b # #[c]"])
def test_a_command_to_github_is_none_in_what_is_printed(text):
    """It obeys `::` where a line of a log begins and `##[` anywhere; JSON stays JSON."""
    shown = printable(f"line\n{text}").splitlines()[1]

    assert not shown.lstrip().startswith("::")
    assert "##[" not in shown + json_line({"x": text})
    assert {"x": text} == json.loads(json_line({"x": text}))


def test_json_is_one_line_of_ascii_without_control_characters():
    value = {"\x7f\x00\x9b\u202e\ud800\n": ["\u2028", None, 1.5]}

    assert json_line(value).isascii()
    assert json_line(value).isprintable()
    assert value == json.loads(json_line(value))


def test_an_error_of_the_suite_holds_nothing_that_a_terminal_obeys():
    """Its parts come from file names and keys; a line end in one of them starts no line."""
    error = SpecError("a\x1b[2J\nb.toml", "is \x9b5m", allowed=["\u202ex"], next_step="\x07")

    assert "a\\x1b[2J\\nb.toml: is \\x9b5m (allowed: \\u202ex)\n  next: \\x07" == str(error)


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("kind", [ValueError, OSError])
def test_what_a_library_says_is_printed_without_what_a_terminal_obeys(kind, debug, capsys):
    """Also in the traceback that was asked for."""

    def fail():
        raise kind("\x1b]0;owned\x07")

    try:
        fail()
    except kind as error:
        exit_code = reported(error, debug=debug)

    errors = capsys.readouterr().err
    assert (5 if kind is OSError else 3, debug) == (exit_code, "Traceback" in errors)
    assert "\\x1b]0;owned\\x07" in errors
    assert "\x1b" not in errors


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\x9b", "\u202e", "\u2066", "\u2028", "\ufeff"])
@pytest.mark.parametrize("place", ['name = "8"', '"A table"', '"a report, section 1"', '"Which is better?"', '"12.5"'])
def test_a_spec_with_a_character_that_a_terminal_obeys_is_refused(place, character, tmp_path):
    """In names, titles, prose and printed cells; the message shows which."""
    escaped = f"\\u{ord(character):04x}"
    with pytest.raises(SpecError) as caught:
        make_benchmark(tmp_path, TOML.replace(place, f'{place[:-1]}{escaped}"'))

    assert character not in str(caught.value)


@pytest.fixture
def person(monkeypatch):
    for name in ("LOGNAME", "USER"):
        monkeypatch.setenv(name, "annlee")
    monkeypatch.setenv("HOME", "/home/Ann Lee")
    monkeypatch.setenv("MY_API_TOKEN", "s3cr3t-value")
    for at, name in enumerate(("APIKEY", "PASSWD", "PGPASSWORD", "AUTHTOKEN", "COOKIE", "My_Key2"), start=1):
        monkeypatch.setenv(name, f"key-of-{at}")
    for name, value in (("DEBUG_KEY", "1"), ("MONKEY", "banana"), ("DB_PWD", "db+pass/ 1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(platform, "node", lambda: "annsbox.example.org")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no file '/home/Ann Lee/x/y z.png'", "no file '\u2026/x/y z.png'"),
        ("in /srv/my results/records/a.json", "in \u2026/records/a.json"),
        ("the folder /srv/my results is full", "the folder \u2026/my results is full"),
        ("/usr/lib/python3/site.py, line 1", "\u2026/site.py, line 1"),
        ("annlee@annsbox.example.org and annsbox", "[user]@[host] and [host]"),
        ("401: s3cr3t-value is no token", "401: [secret] is no token"),
        ("\x1b[31mred\x1b[0m\x07 \u202etxt", "red   txt"),
        ("\x1b]8;;https://x.y\x1b\\click\x1b]8;;\x1b\\", "click"),
        ("Tried to allocate 2.00 GiB. and/or 3/4, a \\d+\\s* b, ~5 s, /tmp is full", None),
        ("postgres://ann:pw@db.example/x?y=1 failed", "postgres://… failed"),
        ("file:///home/Ann Lee/x.png", "file://…"),
        ("git@example.org:me/x, ann:pw@proxy:80", "[user]@[host]:me/x, [user]@[host]:80"),
        ("?token=s3cr3t&x=1, Bearer s3cr3t", "?token=[secret]&x=1, Bearer [secret]"),
        ("/home/bob, /home/bob/a/b.c and '/home/bob'", "… …/b.c and '…'"),
        ("/var/home/Bob Ray/a/b.c, ~bob/x and ~bob", "…/b.c, …/x and …"),
        ("C:\\Users\\Bob Ray\\a\\x.png and D:/a/x", "…/x.png and …/x"),
        ("'C:\\\\Users\\\\bob\\\\my x.png'", "'…/my x.png'"),
        ("\\\\server\\share and \\\\server\\share\\bob\\x, //server/share/x", "… and …/x, …/x"),
        ('password: x, "token": "x y", --passwd x', 'password: [secret], "token": [secret], --passwd [secret]'),
        ("pwd=x PASSWORD='two words' auth=x", "pwd=[secret] PASSWORD=[secret] auth=[secret]"),
        ("X-Amz-Signature=x&?sig=x&access_key=x", "X-Amz-Signature=[secret]&?sig=[secret]&access_key=[secret]"),
        ("AccountKey=x; api-key: sk-x", "AccountKey=[secret]; api-key: [secret]"),
        ("Authorization: Basic x y\nCookie: a=x; b=x", "Authorization: [secret]\nCookie: [secret]"),
        ("'Authorization: token ghp_x' and ghp_0123456789ab", "'Authorization: [secret]' and [secret]"),
        ('password="cut off', "password=[secret]"),
        ("db+pass/ 1, db%2Bpass%2f+1, db%2Bpass/%201", "[secret], [secret], [secret]"),
        ("key-of-1 key-of-2 key-of-3 key-of-4 key-of-5 key-of-6", " ".join(["[secret]"] * 6)),
        ("10.0.\u00ad0.7:80, 10.0.0.1-10.0.0.9", "[address]:80, [address]-[address]"),
        ("fe80::1: 2001:db8::2:1, ffff:0:0:0:0:0:0:1", "[address]: [address], [address]"),
        ("00:1a:2b:3c:4d:5e and 00-1A-2B-3C-4D-5E", "[address] and [address]"),
        ("host01.cluster.example.com, a.b.ethz.ch, node7.local, a.b.svc.cluster.local", ", ".join(["[host]"] * 4)),
        ("2.14.1, 12:30:45, v1.2.3.4, a==9.1.0.70, cu12-9.1.0.70, version 1.2.3.4, 1.2.3.4.5, 0000:3b:00.0", None),
        ("banana, groups=1, key=(2, 3), KeyError: 'password', authored, compass=3, max_tokens=5", None),
        ("token=None, 'auth': None, pad_token=0, cuDNN 9.10.2.21, oneDNN 3.7.1.0, nvidia-cublas-cu12 12.4.5.8 x", None),
        (
            "bearer was not given, hf_hub_download_file(x), hf_abcdefghij12",
            "bearer was not given, hf_hub_download_file(x), [secret]",
        ),
        ("test_a.b.py, torch.nn.functional, model.net, x.y.local, sha256:ab12, x[1::2], c10d::add", None),
    ],
)
def test_a_public_text_loses_who_and_where_and_keeps_what(text, expected, person):
    """Folders, homes, users, hosts, addresses, secrets, control characters; but not what only looks like them."""
    assert (text if expected is None else expected) == redacted(text, folders=["/srv/my results/", ""])


@given(st.text(alphabet=st.characters(), max_size=3_000))
@example("x" * 10**6)
@example("-" * 10**5)
@example("password='" * 10**4)
@example("a-." * 10**5)
def test_a_redacted_text_fits_a_record(text):
    """Whatever a library says: no surrogate, which JSON cannot hold, and at most 2,000 characters."""
    found = redacted(text, folders=["/somewhere"])

    assert len(found) <= 2_000
    assert found == found.encode("utf-8").decode("utf-8")
