"""What an error text may say in a record: what went wrong, and neither who ran it, nor where, nor any secret."""

import getpass
import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePath

from resnet18.spec.errors import plain

LONGEST = 2_000
"""Characters of a message."""
SECRET_WORDS = ("TOKEN", "SECRET", "PASSWORD", "KEY", "CREDENTIAL")
"""In the name of an environment variable, whatever its case: its value is for nobody's eyes."""
LEAST_SECRET = 6
"""Characters. A shorter value, such as `1`, would be found everywhere."""
LEAST_NAME = 3
"""Characters of a user or a host. A shorter name would be found everywhere too."""

_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
"""Colours and movements of the cursor."""
# Quoted, as Python prints paths: such a one may hold spaces. The others end at the first character that paths lack.
_QUOTED = re.compile(r"'/[^'\n]*/([^'/\n]+)/?'")
_BARE = re.compile(r"(?<![\w.…/])/(?:[^/\s'\":]+/)+")
_WINDOWS = re.compile(r"(?<!\w)[A-Za-z]:\\(?:[^\\\s'\":]+\\)+")


def redacted(text: str, *, folders: Sequence[str]) -> str:
    """Return an error text for a record: no path, person, machine, secret or control character.

    Args:
        text: of an error, as a library gave it.
        folders: those that are known to be in use: results, data, the place of an archive. They may hold spaces.
    """
    text = _ESCAPES.sub("", text[: 10 * LONGEST])
    for value in _secrets(os.environ):
        text = text.replace(value, "[secret]")
    for folder in _longest_first([*folders, str(Path.home())]):
        text = text.replace(f"{folder}{os.sep}", "…/")
        text = re.sub(rf"{re.escape(folder)}(?![\w-])", _last_name, text)
    text = _QUOTED.sub(r"'…/\1'", text)
    text = _WINDOWS.sub("…/", _BARE.sub("…/", text))
    for name, word in (*((name, "[host]") for name in _hosts()), *((name, "[user]") for name in _users())):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", word, text, flags=re.IGNORECASE)
    return "\n".join(plain(line) for line in text.split("\n"))[:LONGEST]


def _last_name(folder: re.Match[str]) -> str:
    return f"…/{PurePath(folder[0]).name}"


def _secrets(environment: Mapping[str, str]) -> list[str]:
    """Return the values of secret variables, the longest first: one may hold another."""
    named = [value for name, value in environment.items() if any(word in name.upper() for word in SECRET_WORDS)]
    return sorted({value for value in named if len(value) >= LEAST_SECRET}, key=len, reverse=True)


def _longest_first(folders: Sequence[str]) -> list[str]:
    """Return the folders without their last slash, inner ones before those around them; a root is none."""
    found = {folder.rstrip("/\\") for folder in folders}
    return sorted(found - {"", "."}, key=len, reverse=True)


def _hosts() -> Iterator[str]:
    """Yield the names of this machine: with its domain, then without."""
    full = platform.node()
    for name in dict.fromkeys((full, full.partition(".")[0])):
        if len(name) >= LEAST_NAME and name.casefold() != "localhost":
            yield name


def _users() -> Iterator[str]:
    """Yield the name of the user, and that of the home folder where it is another."""
    names = [Path.home().name]
    with suppress(OSError, KeyError):  # in a container the user may have no entry
        names.append(getpass.getuser())
    # `root` is a word of its own, and tells nobody who it was.
    yield from (name for name in dict.fromkeys(names) if len(name) >= LEAST_NAME and name != "root")
