"""Text into markdown. Whatever comes from a file passes `escape`."""

import re

import pandas as pd

from resnet18.spec.errors import plain

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~&$])")
_BLOCK = re.compile(r"^(?:#{1,6}(?=\s|$)|[-+](?=\s|$)|-[-\s]*$|=+\s*$)")
_NUMBERED = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")
_BARE_LINK = re.compile(r"\b(www)\.", re.IGNORECASE)


def escape(text: str) -> str:
    """Return text that markdown prints as it is, on one line; control and direction characters are dropped.

    Neither formulas, links nor mentions of people come of it, which code forges make of bare text, nor a heading, a
    rule or a list where it begins a line.
    """
    harmless = escape_inline(text.lstrip()).lstrip()
    return _BLOCK.sub(r"\\\g<0>", _NUMBERED.sub(r"\1\\\2", harmless))


def escape_inline(text: str) -> str:
    """Return text that markdown prints as it is inside a line, at whose beginning it does not stand."""
    harmless = _SPECIAL.sub(r"\\\1", plain(text))
    return _BARE_LINK.sub(lambda found: f"{found[1]}&#46;", harmless.replace("://", "&#58;//").replace("@", "&#64;"))


def code(text: str) -> str:
    """Return text as markdown's code, on one line: its fence is longer than any row of backticks inside."""
    inside = plain(text)
    fence = "`" * (1 + max((len(ticks) for ticks in re.findall("`+", inside)), default=0))
    space = " " if "`" in inside else ""
    return f"{fence}{space}{inside}{space}{fence}"


def table(frame: pd.DataFrame) -> str:
    """Return a pipe table. Cells are strings and stay as they are: `007` is not 7."""
    cells = frame.map(escape).rename(columns=escape)
    return str(cells.to_markdown(index=False, disable_numparse=True))
