"""Text into markdown. Whatever comes from a file passes `escape`."""

import re

import pandas as pd

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~&$])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def escape(text: str) -> str:
    """Return text that markdown prints as it is, on one line; control and direction characters are dropped.

    Neither formulas, links nor mentions of people come of it, which code forges make of bare text.
    """
    plain = _SPECIAL.sub(r"\\\1", _CONTROL.sub(" ", text))
    return plain.replace("://", "&#58;//").replace("@", "&#64;")


def table(frame: pd.DataFrame) -> str:
    """Return a pipe table. Cells are strings and stay as they are: `007` is not 7."""
    cells = frame.map(escape).rename(columns=escape)
    return str(cells.to_markdown(index=False, disable_numparse=True))
