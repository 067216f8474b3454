"""Strict values; errors that say what to do next; text made harmless, and redacted where anybody may see it.

What is redacted, such as a bug report, is without secrets, persons, machines, addresses and folders.
"""

import getpass
import json
import os
import platform
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from pathlib import PurePath
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, Strict

T = TypeVar("T")
# TOML and JSON know arrays, not tuples: the container converts, its items stay strict.
Items = Annotated[tuple[T, ...], Strict(False), Field(fail_fast=True)]  # a million wrong items are one finding

_UNSEEN = r"\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff"
NO_CONTROLS = rf"\u0000-\u001f{_UNSEEN}"
"""Inside the brackets of a pattern: control characters, direction characters, and what has no width or breaks lines."""
NO_CONTROLS_BUT_LINES = rf"\u0000-\u0008\u000b\u000c\u000e-\u001f{_UNSEEN}"
"""The same for texts of several lines: tabs and line ends may stand."""
_HIDDEN = re.compile(rf"[{NO_CONTROLS}\ud800-\udfff\ufffe\uffff]")  # with what is no letter: bytes of a file name, say
_COMMAND = re.compile(r"^\s*:(?=:)|#(?=#\[)")  # which GitHub obeys in a log

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


class Model(BaseModel):
    """A frozen value: no coercion, no unknown keys, no NaN or infinity."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


def printable(text: str) -> str:
    r"""Return text that a terminal shows as it is: whatever it would obey is written out, as `\x1b`. Lines stay.

    So is what GitHub would obey in a log: `::error::` where a line begins, `##[error]` anywhere.
    """
    lines = (one_line(line) for line in text.split("\n"))
    return "\n".join(_COMMAND.sub(lambda found: f"{found[0][:-1]}\\x{ord(found[0][-1]):x}", line) for line in lines)


def json_line(value: object) -> str:
    """Return a value as JSON on one line, in ASCII without control characters; ValueError at NaN."""
    return json.dumps(value, allow_nan=False).replace("\x7f", "\\u007f").replace("##[", "#\\u0023[")


def one_line(text: str) -> str:
    r"""Return printable text on one line: a line end is written out too, as `\n`."""
    return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def plain(text: str) -> str:
    """Return text in which a space replaces whatever a terminal would obey."""
    return _HIDDEN.sub(" ", text)


def short(text: object, most: int = 80) -> str:
    """Return what a message shows of a text: its beginning, where it is longer than so many characters."""
    shown = str(text)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ` (did you mean "…"?)` for the nearest known word, or nothing."""
    near = get_close_matches(word, list(known), n=1)
    return f' (did you mean "{near[0]}"?)' if near else ""


def with_list(what: str, allowed: Iterable[str]) -> str:
    """Return what is wrong with the list of allowed values after it, where there is one."""
    listed = ", ".join(allowed)
    return f"{what} (allowed: {listed})" if listed else what


class SuiteError(Exception):
    """Something the user can mend: where it is, what is wrong, which values are allowed, what to do next."""

    exit_code = 2

    def __init_subclass__(cls, exit_code: int = exit_code) -> None:
        cls.exit_code = exit_code

    def __init__(self, where: str, what: str, *, allowed: Iterable[object] = (), next_step: str = "") -> None:
        # Names of files and keys come from outside: none of them may move the cursor of a terminal.
        self.where, self.what, self.next_step = one_line(where), printable(what), printable(next_step)
        self.allowed = tuple(one_line(str(value)) for value in allowed)
        super().__init__(str(self))

    def __str__(self) -> str:
        next_step = f"\n  next: {self.next_step}" if self.next_step else ""
        return f"{self.where}: {with_list(self.what, self.allowed)}{next_step}"


class SpecError(SuiteError):
    """A spec, an option or an argument that cannot be meant. Nothing is run."""


class UnfinishedError(SuiteError, exit_code=3):
    """Nothing was measured."""


class IntegrityError(SuiteError, exit_code=4):
    """A file whose content is not what it claims to be."""


class EnvironmentMissingError(SuiteError, exit_code=5):
    """Data, disk space, write permission or a device that the machine lacks."""


class LockedError(SuiteError, exit_code=75):
    """Another process is using the results directory."""


@contextmanager
def disk_errors(kind: type[SuiteError], where: str, what: str, next_step: str = "") -> Iterator[None]:
    """Raise what the system says of a file or a folder as an error that the user can mend."""
    try:
        yield
    except OSError as error:
        raise kind(where, f"{what}: {error.strerror}", next_step=next_step) from None


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
