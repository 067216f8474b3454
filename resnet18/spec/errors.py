"""Errors that a user can cause, each with its exit code, and text from outside, shown so that a terminal obeys none."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

_UNSEEN = r"\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff"
NO_CONTROLS = rf"\u0000-\u001f{_UNSEEN}"
"""Inside the brackets of a pattern: control characters, direction characters, and what has no width or breaks lines."""
NO_CONTROLS_BUT_LINES = rf"\u0000-\u0008\u000b\u000c\u000e-\u001f{_UNSEEN}"
"""The same for texts of several lines: tabs and line ends may stand."""

_HIDDEN = re.compile(rf"[{NO_CONTROLS}\ud800-\udfff\ufffe\uffff]")  # with what is no letter: bytes of a file name, say


def printable(text: str) -> str:
    r"""Return text that a terminal shows as it is: whatever it would obey is written out, as `\x1b`. Lines stay."""
    return "\n".join(one_line(line) for line in text.split("\n"))


def one_line(text: str) -> str:
    r"""Return printable text on one line: a line end is written out too, as `\n`."""
    return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def plain(text: str) -> str:
    """Return text without what a terminal would obey: each such character has become a space."""
    return _HIDDEN.sub(" ", text)


class SuiteError(Exception):
    """Something the user can mend: where it is, what is wrong, which values are allowed, what to do next."""

    exit_code = 2

    def __init__(self, where: str, what: str, *, allowed: Iterable[object] = (), next_step: str = "") -> None:
        # Names of files and keys come from outside: none of them may move the cursor of a terminal.
        self.where, self.what, self.next_step = one_line(where), printable(what), printable(next_step)
        self.allowed = tuple(one_line(str(value)) for value in allowed)
        super().__init__(str(self))

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}"
        if self.allowed:
            text += f" (allowed: {', '.join(self.allowed)})"
        return f"{text}\n  next: {self.next_step}" if self.next_step else text


class SpecError(SuiteError):
    """A spec, an option or an argument that cannot be meant. Nothing is run."""


class UnfinishedError(SuiteError):
    """Nothing was measured."""

    exit_code = 3


class IntegrityError(SuiteError):
    """A file whose content is not what it claims to be."""

    exit_code = 4


class EnvironmentMissingError(SuiteError):
    """Data, disk space, write permission or a device that the machine lacks."""

    exit_code = 5


class LockedError(SuiteError):
    """Another process is using the results directory."""

    exit_code = 75


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ` (did you mean "…"?)` for the nearest known word, or nothing."""
    near = get_close_matches(word, list(known), n=1)
    return f' (did you mean "{near[0]}"?)' if near else ""
