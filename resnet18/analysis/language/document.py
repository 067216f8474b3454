"""The report's markdown, fragment by fragment: headings, lists, paragraphs, and cells of tables."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from resnet18.analysis.language.markup import marked, unmarked
from resnet18.analysis.language.translation import Found, Translator

_HEAD_OF_LINE = re.compile(r"(?P<head>#{1,6} | *- )(?P<text>.*)")
_IMAGE = re.compile(r"(?P<head>!\[)(?P<text>.*)(?P<tail>\]\([^()]*\))")
_SUMMARY = re.compile(r"(?P<head><details><summary>)(?P<text>.*)(?P<tail></summary>)")
_VERBATIM = ("<!--", "</details>")
_CELL = re.compile(r"\|((?:\\.|[^|\\])*)(?=\|)")
_REPORTED = re.compile(r"(?:.*, )?reported(?: at full size)?")


@dataclass(frozen=True)
class Translated:
    """A document in another language."""

    text: str
    fragments: tuple[Found, ...]
    """Everything that was looked up, in order."""

    @property
    def missing(self) -> tuple[str, ...]:
        """What is not known, each once."""
        return tuple(dict.fromkeys(one for found in self.fragments for one in found.missing))


def translated_document(text: str, translator: Translator) -> Translated:
    """Return the report in another language: the same lines in the same order, tables of the same shape."""
    fragments: list[Found] = []
    lines = []
    for kind, block in groupby(text.split("\n"), _kind):
        lines += _BLOCKS[kind](list(block), translator, fragments)
    return Translated("\n".join(lines), tuple(fragments))


def is_reported(head: str) -> bool:
    """Say whether a column or row of this English head holds what the report printed, which is never translated."""
    return _REPORTED.fullmatch(head) is not None


def _kind(line: str) -> str:
    if line.startswith("|"):
        return "table"
    special = not line or line.startswith(_VERBATIM) or any(one.fullmatch(line) for one in _SPECIAL)
    return "line" if special else "paragraph"


_SPECIAL = (_HEAD_OF_LINE, _IMAGE, _SUMMARY)


def _translated(text: str, translator: Translator, fragments: list[Found]) -> str:
    """Return a piece of markdown translated, or the very same where nothing of it is known."""
    found = translator.find(marked(text))
    fragments.append(found)
    return text if found.text == marked(text) else unmarked(found.text)


def _lines(block: Sequence[str], translator: Translator, fragments: list[Found]) -> list[str]:
    done = []
    for line in block:
        match = next((found for one in _SPECIAL if (found := one.fullmatch(line))), None)
        if match is None or not match["text"].strip():
            done.append(line)
        else:
            text = _translated(match["text"].strip(), translator, fragments)
            done.append(match["head"] + text + match.groupdict().get("tail", ""))
    return done


def _paragraph(block: Sequence[str], translator: Translator, fragments: list[Found]) -> list[str]:
    """Return a paragraph as one text where it is known as one, else line by line."""
    whole = " ".join(block)
    if len(block) > 1 and not translator.find(marked(whole)).missing:
        return [_translated(whole, translator, fragments)]
    return [_translated(line, translator, fragments) for line in block]


def _table(block: Sequence[str], translator: Translator, fragments: list[Found]) -> list[str]:
    heads, _, *rows = (list(_cells(line)) for line in block)
    raw_columns = {at for at, head in enumerate(heads) if is_reported(marked(head))}
    cells = [[_translated(head, translator, fragments) for head in heads]]
    for row in rows:
        raw = set(range(1, len(row))) if is_reported(marked(row[0])) else raw_columns
        cells.append([cell if at in raw else _translated(cell, translator, fragments) for at, cell in enumerate(row)])
    widths = [max(_width(row[at]) for row in cells) for at in range(len(heads))]
    rule = "|" + "|".join(f":{'-' * (width + 1)}" for width in widths) + "|"
    head, *body = (_row(row, widths) for row in cells)
    return [head, rule, *body]


def _cells(line: str) -> Iterator[str]:
    return (found[1].strip() for found in _CELL.finditer(line))


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell + " " * (width - _width(cell)) for cell, width in zip(cells, widths, strict=True))
    return f"| {' | '.join(padded)} |"


def _width(text: str) -> int:
    """Return how many columns of a terminal a text takes: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text)


_BLOCKS = {"table": _table, "line": _lines, "paragraph": _paragraph}
