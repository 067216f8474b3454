"""One line of the report's markdown as plain text and back.

Marks of emphasis and code become control characters in between, which no text of the report has: `escape` drops them.
A link stays as it is, like code: text from outside cannot make one, since its brackets are escaped.
"""

import re

from resnet18.analysis.markdown import escape, escape_inline

BOLD, CODE, EMPHASIS = "\x01", "\x02", "\x03"
"""Code keeps its backticks between two of these, a link all of its signs."""

_TOKEN = re.compile(
    r"\\(?P<escaped>.)|(?P<ticks>`+)(?P<code>.+?)(?<!`)(?P=ticks)(?!`)|(?P<link>\[[^\[\]]+\]\([^()]+\))"
    r"|\*\*|\*|&#(?P<entity>58|64|46);"
)
_MARKS = {"**": BOLD, "*": EMPHASIS}
_MARKDOWN = {mark: text for text, mark in _MARKS.items()}
_PIECE = re.compile(f"([{BOLD}{EMPHASIS}]|{CODE}[^{CODE}]*{CODE})")


def marked(line: str) -> str:
    """Return markdown as plain text with marks: nothing in it is escaped any more."""
    return _TOKEN.sub(_as_text, line)


def _as_text(token: re.Match[str]) -> str:
    if token["code"] or token["link"]:
        return f"{CODE}{token[0]}{CODE}"
    if token["entity"] is not None:
        return chr(int(token["entity"]))
    return token["escaped"] or _MARKS[token[0]]


def unmarked(text: str) -> str:
    """Return plain text with marks as markdown: what stands outside the marks is escaped, as text from outside is."""
    found = []
    for at, piece in enumerate(_PIECE.split(text)):
        if at % 2:
            found.append(_MARKDOWN.get(piece) or piece[1:-1])
        else:
            found.append(escape_inline(piece) if at else escape(piece))
    return "".join(found)
