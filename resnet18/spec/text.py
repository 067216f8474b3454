"""Text that comes from outside: which characters are refused in names, and how the others are shown on a terminal.

Control characters move the cursor or recolour the screen, direction characters show a name in another order than it
has, and lone surrogates (bytes of a file name that are no text) cannot be written at all.
"""

import re

_UNSEEN = r"\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff"
NO_CONTROLS = rf"\u0000-\u001f{_UNSEEN}"
"""Inside the brackets of a pattern: control characters, direction characters, and what has no width or breaks lines."""
NO_CONTROLS_BUT_LINES = rf"\u0000-\u0008\u000b\u000c\u000e-\u001f{_UNSEEN}"
"""The same for texts of several lines: tabs and line ends may stand."""

_HIDDEN = re.compile(rf"[{NO_CONTROLS}\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Return text that a terminal shows as it is: whatever it would obey is written out, as `\x1b`. Lines stay."""
    return "\n".join(one_line(line) for line in text.split("\n"))


def one_line(text: str) -> str:
    r"""Return printable text on one line: a line end is written out too, as `\n`."""
    return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def plain(text: str) -> str:
    """Return text without what a terminal would obey: each such character has become a space."""
    return _HIDDEN.sub(" ", text)
