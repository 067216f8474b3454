"""Text that anybody may see, such as a bug report: without secrets, persons, machines, addresses and folders."""

import getpass
import os
import platform
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import PurePath

from resnet18.spec.errors import plain

LONGEST = 2_000  # characters of a redacted text
SECRET_WORDS = ("TOKEN", "SECRET", "PASS", "KEY", "CREDENTIAL", "AUTH")  # in the name of an environment variable
LEAST_SECRET, LEAST_NAME = 6, 3  # characters; a shorter secret, or name of a user or host, would be found everywhere
HOMES = {"home", "users", "documents and settings"}  # what holds a folder for each person, on any system
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,2000}(?:\x07|\x1b\\))")  # colours, cursor, links
_SECRET = re.compile(
    r"(?i)(\w{0,30}(?:token|secret|passw|passphrase|api_?key|credential)\w{0,30}=|bearer )[^\s'\",;&]+"
)
_URL = re.compile(r"(?<![a-z0-9])([a-z][a-z0-9+.-]{1,20})://[^\s'\"<>]*", re.IGNORECASE)
_ACCOUNT = re.compile(r"[^\s/@'\"<>()\[\]]{1,100}@[\w.-]+")
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
    secrets = {value for name, value in os.environ.items() if any(word in name.upper() for word in SECRET_WORDS)}
    for value in sorted(secrets, key=len, reverse=True):  # the longest first: one may hold another
        text = text.replace(value, "[secret]") if len(value) >= LEAST_SECRET else text
    known = {folder.rstrip("/\\") for folder in (*folders, home_folder())} - {"", "."}
    for folder in sorted(known, key=len, reverse=True):  # inner folders before those around them
        last = "…" if folder == home_folder() else f"…/{PurePath(folder).name}"
        text = text.replace(f"{folder}{os.sep}", "…/")
        text = re.sub(rf"{re.escape(folder)}(?![\w-])", last.replace("\\", r"\\"), text)
    text = _URL.sub(r"\1://…", _SECRET.sub(r"\1[secret]", text))
    text = _without_names(_ACCOUNT.sub("[user]@[host]", _PATH.sub(_last_name, text)))
    return "\n".join(plain(line) for line in text.split("\n"))[:LONGEST]


def home_folder() -> str:
    """Return the user's home folder; nothing where the system knows none."""
    return os.path.expanduser("~").removeprefix("~").rstrip("/\\")  # noqa: PTH111 - Path.home() raises there


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
