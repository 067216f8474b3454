"""A table of strings for the page: which cells head a row, and which hold numbers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_NUMBER = re.compile(r"[-+]?\d[\d.,]*(?:\s|%|$|\[)|\N{EN DASH}(?:$| /)")
"""How a cell begins that belongs under the units of the others: with a number, or with the dash for none."""


@dataclass(frozen=True)
class Cell:
    """One cell."""

    text: str
    is_number: bool = False
    """It stands in a column most of whose cells are numbers."""
    shade: int | None = None
    """Of a confusion matrix: the share of its row in tenths, for a reader who sees colours."""
    is_marked: bool = False
    """Of a confusion matrix: the prediction is right."""


@dataclass(frozen=True)
class Grid:
    """A table. The first cell of each row names it."""

    caption: str
    heads: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]
    is_sortable: bool = False


def grid(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]], *, is_sortable: bool = False) -> Grid:
    """Return a table. A column most of whose cells are numbers is set as such, save the first, which names the rows."""
    columns = list(zip(*rows, strict=True)) or [() for _ in heads]
    numeric = [at > 0 and _holds_numbers(column) for at, column in enumerate(columns)]
    cells = tuple(tuple(Cell(text, is_number) for text, is_number in zip(row, numeric, strict=True)) for row in rows)
    titles = tuple(Cell(head, is_number) for head, is_number in zip(heads, numeric, strict=True))
    return Grid(caption, titles, cells, is_sortable and len(cells) > 1)


def _holds_numbers(column: Sequence[str]) -> bool:
    """Say whether a column is set as numbers. Dashes alone are none: beside words they say that there is no word."""
    found = [text for text in column if _NUMBER.match(text)]
    return 2 * len(found) > len(column) and any(text[0] != "\N{EN DASH}" for text in found)
