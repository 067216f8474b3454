"""The errors that a user can cause, each with its exit code. Every room can raise them, so they live in the lowest."""

from collections.abc import Iterable
from difflib import get_close_matches

from resnet18.spec.text import one_line, printable


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
