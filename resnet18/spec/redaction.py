"""Text of which anybody may see all, such as a bug report: without secrets, persons, machines, addresses, folders."""

import getpass
import os
import platform
import re
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv6Address
from pathlib import PurePath
from urllib.parse import quote

from resnet18.spec.errors import visible

LONGEST = 2_000  # characters of a redacted text
LEAST_SECRET, LEAST_NAME = 6, 3  # characters; a shorter secret, or name of a user or host, would be found everywhere
HOMES = {"home", "users", "documents and settings"}  # what holds a folder for each person, on any system
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,2000}(?:\x07|\x1b\\))")  # colours, cursor, links
# Words in the name of a secret. The first stand anywhere in it, the second by themselves: `AUTH` is not in `authored`.
_ANYWHERE = (
    "token(?!s|i[sz])|secret|passw|passphrase|credential"
    "|(?:api|access|account|auth|client|master|private|secret|shared|signing|ssh)[ _-]?key|(?:db|my|ssh|user)pass"
)
_APART = "(?<![a-z])(?:o?auth|cookie|jwt|pass|pw|sas|sig(?:nature)?)s?(?![a-z])"
_SECRET_NAME = re.compile(
    rf"(?i){_ANYWHERE}|(?<!old)\Bpwd|{_APART}|(?<![a-z])(?:key|token)s?(?![a-z])"
)  # of a variable
# What follows `password: `, `"auth": `, `sig=`, `--token ` or `Bearer ` ends with its quotes, else with the word; what
# follows `Authorization: ` or `Cookie: `, with the line.
_SECRET = re.compile(
    r"(?i)(?P<label>(?P<line>(?:authorization|(?<![a-z])cookie)\\?['\"]? ?[=:] ?)"
    rf"|(?:{_ANYWHERE}|(?<![a-z])pwd)[\w-]{{0,30}}\\?['\"]? {{0,3}}(?:=>?|:(?!:)) {{0,3}}"
    rf"|{_APART}(?:=|\\?['\"] ?: ?)|(?<!-)--[\w-]{{0,30}}(?:{_ANYWHERE}|pwd|{_APART})[\w-]{{0,30}} "
    r"|bearer (?=[^\s]{8}|[^\s\d]*\d))(?!(?:none|null|true|false|\d{1,3})(?![\w.-]))"  # these values are no secret
    r"(?:[bru]?\\?(?P<quote>['\"])(?:(?!(?P=quote))[^\n])*(?P=quote)?|(?(line)[^\n']+|[^\s'\",;&]+))"
)
_TOKEN = re.compile(
    r"(?<!\w)(?:gh[opsu]_|github_pat_|glpat-|hf_|sk-|xox[abp]-|AKIA|AIza|eyJ)(?=[\w-]{0,99}\d)[\w-]{12,}"
)
_URL = re.compile(r"(?<![a-z0-9])([a-z][a-z0-9+.-]{1,20})://[^\s'\"<>]*", re.IGNORECASE)
_ACCOUNT = re.compile(r"[^\s/@'\"<>()\[\]]{1,100}@[\w.-]+")
_BYTE = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_ADDRESS = re.compile(  # IPv4, unless it is a version; MAC; what may be IPv6
    r"(?i)(?<![\w.])(?<![a-z]-)(?<![a-z]\d\d-)(?<![=<>~!]=)(?<!version[ =])(?<!version: )"
    r"(?<!cudnn )(?<!onednn )(?<!nvcc )(?<!linux )(?<!driver )(?<!-cu\d\d )"
    rf"{_BYTE}(?:\.{_BYTE}){{3}}(?!\.?\w)"
    r"|(?<![\w:-])[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}(?![\w:-])"
    r"|(?<![\w:.])(?:[0-9a-f]{0,4}:){2,7}(?:[0-9a-f]{1,4}|(?<=::))(?:%\w{1,15})?(?!\w)"
)
# Names of hosts, but not modules and files: three names and an ending that no module has; before an ending that one
# may have, such as `net`, a hyphen or a machine's number in the first name.
_HOST = re.compile(
    r"(?i)(?<![\w./-])(?:(?:[a-z0-9][a-z0-9-]{0,62}\.){2,8}(?:arpa|com|corp|edu|gov|intranet|lan|localdomain|mil|org"
    r"|svc\.cluster\.local|au|ch|cn|de|eu|fr|jp|kr|nl|uk)"
    r"|(?=[a-z0-9]{1,30}-|(?:cn|compute|dgx|gpu|host|login|master|node|server|worker)\d)(?:[a-z0-9][a-z0-9-]{0,62}\.){1,8}(?:internal|local|net))(?![\w-]|\.\w)"
)
_NAME = r"[^\\/\s'\":]+"
# Python prints paths in quotes, in which spaces may stand. In others a name ends at the first character that most lack.
_PATH = re.compile(
    r"(?P<quote>['\"])(?:[a-z]:)?[\\/](?:(?!(?P=quote))[^\n])*(?P=quote)"
    rf"|(?:\b[a-z]:)?(?:[\\/]{{1,4}}{_NAME}){{0,3}}?[\\/]{{1,4}}(?:{'|'.join(HOMES)})"
    rf"[\\/]{{1,4}}[^\\/\n'\":,]{{1,40}}(?=[\\/])(?:[\\/]+{_NAME})*"
    rf"|(?:\b[a-z]:[\\/]+|(?<![\w\\])\\{{2,4}}){_NAME}(?:[\\/]+{_NAME})*[\\/]*"
    rf"|(?<![\w.…/\\])/+{_NAME}(?:/+{_NAME})+/?|(?<![\w/])~[a-z_][\w-]*(?:/+{_NAME})*",
    re.IGNORECASE,
)


def redacted(text: str, folders: Iterable[str] = ()) -> str:
    """Return a text of which anybody may see all; `folders` are in use, and may hold spaces.

    Of a path its last name is kept, of what lies in one of the folders the way from there, and of a URL its scheme.
    """
    text = _ESCAPES.sub("", text[: 10 * LONGEST])
    secrets = {value for name, value in os.environ.items() if _SECRET_NAME.search(name)}
    for value in sorted(secrets, key=len, reverse=True):  # the longest first: one may hold another
        if LEAST_SECRET <= len(value) <= len(text):
            text = re.sub("".join(map(_in_address_too, value)), "[secret]", text)
    known = {folder.rstrip("/\\") for folder in (*folders, home_folder())} - {"", "."}
    for folder in sorted(known, key=len, reverse=True):  # inner folders before those around them
        last = "…" if folder == home_folder() else f"…/{PurePath(folder).name}"
        text = text.replace(f"{folder}{os.sep}", "…/")
        text = re.sub(rf"{re.escape(folder)}(?![\w-])", last.replace("\\", r"\\"), text)
    text = "\n".join(map(visible, text.split("\n")))  # before what goes by shape, which hidden letters would change
    text = _TOKEN.sub("[secret]", _SECRET.sub(r"\g<label>[secret]", text))
    text = _PATH.sub(_last_name, _URL.sub(r"\1://…", text))
    text = _ADDRESS.sub(_without_address, _ACCOUNT.sub("[user]@[host]", text))
    return _without_names(_HOST.sub("[host]", text))[:LONGEST]


def home_folder() -> str:
    """Return the user's home folder; nothing where the system knows none."""
    return os.path.expanduser("~").removeprefix("~").rstrip("/\\")  # noqa: PTH111 - Path.home() raises there


def _in_address_too(letter: str) -> str:
    """Return a pattern of a letter of a secret: as it is, or as it stands in a URL."""
    here, encoded = re.escape(letter), quote(letter, safe="", errors="surrogateescape")
    return here if encoded == letter else f"(?:{here}|(?i:{encoded})|[+])"  # `+` is a space


def _without_address(found: re.Match[str]) -> str:
    """Return `[address]`, or what only looks like IPv6: a time, a slice, a name of C++."""
    text, is_long = found[0], re.match("(?i)(?:2[0-9a-f]|f[cde])[0-9a-f]{2}:|(?:.*[0-9a-f]:+){2}[0-9a-f]", found[0])
    with suppress(ValueError):
        return "[address]" if "." in text or found[1] or (is_long and IPv6Address(text)) else text
    return text


def _last_name(found: re.Match[str]) -> str:
    """Return a path without all but its last name, and without that where it is a person's or a machine's."""
    quote, path = found["quote"] or "", found[0].strip("'\"")
    names = [name for name in re.split(r"[\\/]+", path) if name and not re.fullmatch("[A-Za-z]:", name)]
    if len(names) < 2 and path[0] in "/'\"":  # such as /tmp
        return found[0]
    homes = [at + 2 for at, name in enumerate(names) if name.casefold() in HOMES]
    first = max(1 if path[0] == "~" else 2 if path[:2] in {"//", "\\\\"} else 0, *homes, 0)
    return f"{quote}…{'/' if names[first:] else ''}{''.join(names[first:][-1:])}{quote}"


def _without_names(text: str) -> str:
    """Replace the names of this machine and of the user."""
    full = platform.node()  # with the domain
    words = {full: "[host]", full.partition(".")[0]: "[host]", PurePath(home_folder()).name: "[user]"}
    with suppress(OSError, KeyError, ImportError):  # in a container the user may have no entry
        words.setdefault(getpass.getuser(), "[user]")
    for name, word in words.items():
        if len(name) >= LEAST_NAME and name.casefold() not in {"localhost", "root"}:  # words of their own
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", word, text, flags=re.IGNORECASE)
    return text
