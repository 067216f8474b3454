"""Strict values; errors that say what to do next; text made harmless."""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, Strict

T = TypeVar("T")
# TOML and JSON know arrays, not tuples: the container converts, its items stay strict.
Items = Annotated[tuple[T, ...], Strict(False), Field(fail_fast=True)]  # a million wrong items are one finding

# Through `plain` the code hash has these three in it: a change makes every record stale, so more stands below.
_UNSEEN = r"\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff"
NO_CONTROLS = rf"\u0000-\u001f{_UNSEEN}"
_HIDDEN = re.compile(rf"[{NO_CONTROLS}\ud800-\udfff\ufffe\uffff]")  # with what is no letter: bytes of a file name, say
# The rest of category Cf, and of Default_Ignorable_Code_Point in Unicode's DerivedCoreProperties.txt. What is beyond
# U+FFFF is in the pattern as it is: engines write it in different ways.
_IGNORABLE = (
    r"\u00ad\u034f\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180b-\u180f\u206a-\u206f\u3164"
    r"\ufe00-\ufe0f\uffa0\ufff0-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
NOT_SHOWN = rf"{NO_CONTROLS}{_IGNORABLE}"
"""Inside the brackets of a pattern: control and direction characters, and what shows nothing or breaks lines."""
NOT_SHOWN_BUT_LINES = rf"\u0000-\u0008\u000b\u000c\u000e-\u001f{_UNSEEN}{_IGNORABLE}"
"""The same for texts of several lines: tabs and line ends may stand."""
_WRITTEN_OUT = re.compile(rf"{_HIDDEN.pattern}|[{_IGNORABLE}]")
_COMMAND = re.compile(r"^\s*:(?=:)|#(?=#\[)")  # which GitHub obeys in a log


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
    return _WRITTEN_OUT.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def is_shown(text: str) -> bool:
    """Say whether every character of a text can be seen; of spaces only the plain one counts."""
    return text.isprintable() and text == one_line(text)


def plain(text: str) -> str:
    """Return text in which a space replaces whatever a terminal would obey."""
    return _HIDDEN.sub(" ", text)


def visible(text: str) -> str:
    """Return plain text without what shows nothing, such as a soft hyphen."""
    return _WRITTEN_OUT.sub("", plain(text))


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
