"""A table of anybody's runs, read from CSV: every mistake is told by line and column before anything is judged."""

import codecs
import io
import warnings
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from resnet18.spec.errors import SpecError, did_you_mean, disk_errors

REQUIRED, OPTIONAL = ("case", "seed", "metric", "value"), ("epoch", "order", "unreliable")
COLUMNS = (*REQUIRED, *OPTIONAL)
MOST_BYTES = 256_000_000
"""Some five million lines; memory holds about eight times as much."""
TOLD = 5
"""Mistakes that are told."""
MOST_NAMES = 12
"""Names that are listed where another one is unknown."""
LARGEST = 2.0**53
"""Whole numbers beyond are not exact."""
NO_EPOCH = -1.0
WHOLE = "a whole number from 0 on"
FLAGS = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0}
FORMAT = "see docs/judge.md for the format"
Numbers = np.ndarray[Any, np.dtype[np.float64]]
Codes = np.ndarray[Any, np.dtype[np.intp]]


class Mistake(NamedTuple):
    """Something wrong in one field."""

    line: int
    column: str
    what: str


class RunRows(NamedTuple):
    """The rows of a table, column by column."""

    case: Codes
    """Numbers of the known cases, in their order; `metric` likewise."""
    metric: Codes
    seed: Numbers
    value: Numbers
    epoch: Numbers
    """`NO_EPOCH` where a value is that of the whole run."""
    order: Numbers
    """The earlier, the smaller; all 0 where the table does not tell."""
    unreliable: Numbers
    """1 for a row that is marked, else 0."""
    decimals: Numbers
    """Digits after the point, as printed."""

    def ordered(self, order: Codes) -> "RunRows":
        """Return the rows in another order."""
        return RunRows(*(column[order] for column in self))  # type: ignore[arg-type]  # mypy mixes the columns' kinds


def read_rows(path: Path, cases: Collection[str], metrics: Collection[str]) -> RunRows:
    """Return the rows of a CSV file; SpecError tells the first mistakes, each with its line and column.

    Lines are counted as an editor does: the head is line 1.
    """
    content, remarks = _without_remarks(_content(path))
    table = _parsed(path, content, remarks)
    _check_columns(f"{path}: line {remarks + 1}", [*table.columns])
    table = table[~(table == "").all(axis="columns")]  # empty lines; the others keep their numbers
    if table.empty:
        raise SpecError(str(path), "has no runs: there is no line after the head", next_step=FORMAT)
    fields = _Fields(table, table.index.to_numpy() + remarks + 2)
    rows = RunRows(
        case=fields.read("case", _places(cases), "is no case of the claims file", cases).astype(np.intp),
        metric=fields.read("metric", _places(metrics), "is no metric of the claims file", metrics).astype(np.intp),
        seed=fields.read("seed", _whole, "is no seed", [WHOLE]),
        value=fields.read("value", _finite, "is no number", ["a finite number, such as 75.49"]),
        epoch=fields.read("epoch", _whole_or_none, "is no epoch", [WHOLE], NO_EPOCH),
        order=fields.read("order", _finite, "is no number", ["a finite number: the earlier, the smaller"], 0.0),
        unreliable=fields.read("unreliable", _flags, "is no flag", FLAGS, 0.0),
        decimals=_decimals(table),
    )
    _refuse(path, fields.mistakes)
    _refuse(path, _twice(rows, fields.lines))
    return rows


class _Fields:
    """The fields of a table, and the mistakes that were found in them."""

    def __init__(self, table: pd.DataFrame, lines: Codes) -> None:
        self.table, self.lines = table, lines
        self.mistakes: list[Mistake] = []

    def read(
        self,
        column: str,
        meaning: Callable[[pd.Index], Numbers],
        what: str,
        allowed: Collection[str],
        absent: float | None = None,
    ) -> Numbers:
        """Return what the texts of a column mean, each text looked at once; a text that means nan is a mistake.

        `absent` is what stands for every row where the table lacks the column.
        """
        if absent is not None and column not in self.table:
            return np.full(len(self.table), absent)
        codes, texts = pd.factorize(self.table[column])
        found = meaning(pd.Index(texts, dtype=str))[codes]
        for at in np.flatnonzero(np.isnan(found))[:TOLD]:
            text = str(texts[codes[at]])
            hint = did_you_mean(text, allowed) if column in {"case", "metric"} else ""
            shown = f'"{text[:60]}" {what}{hint}' if text else "is empty"
            names = (f'"{name}"' if column in {"case", "metric"} else name for name in allowed)
            listed = f" (allowed: {', '.join(names)})" if len(allowed) <= MOST_NAMES else ""
            self.mistakes.append(Mistake(int(self.lines[at]), column, shown + listed))
        return np.where(np.isnan(found), 0.0, found)


def _content(path: Path) -> bytes:
    where = str(path)
    if path.exists() and not path.is_file():
        raise SpecError(where, "is no file: a folder, or a device or a pipe, which may have no end")
    with disk_errors(SpecError, where, "cannot be read"), path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise SpecError(where, f"larger than {MOST_BYTES:,} bytes", next_step="leave out metrics that no claim needs")
    return content.removeprefix(codecs.BOM_UTF8)


def _without_remarks(content: bytes) -> tuple[bytes, int]:
    """Return the content with the lines before the head that begin with `#` made empty, and their number."""
    found, at = 0, 0
    while content.startswith(b"#", at):
        found, at = found + 1, content.find(b"\n", at) + 1 or len(content)
    return b"\n" * found + content[at:], found


def _parsed(path: Path, content: bytes, remarks: int) -> pd.DataFrame:
    """Return the fields of a CSV file as texts, a row for each line after the head, the empty ones too."""
    where = str(path)
    try:
        content.decode("utf-8")
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):
            return pd.read_csv(
                io.BytesIO(content),
                dtype=str,
                encoding="utf-8",
                skiprows=remarks,
                na_filter=False,
                skip_blank_lines=False,
                skipinitialspace=True,
                index_col=False,
            )
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SpecError(where, f"not UTF-8: line {line} has the byte {content[error.start]:#04x}") from None
    except pd.errors.EmptyDataError:
        raise SpecError(where, "has no head: its first line names the columns", allowed=COLUMNS) from None
    except pd.errors.ParserWarning:
        raise SpecError(f"{where}: line {remarks + 2}", "has more fields than the head", next_step=FORMAT) from None
    except pd.errors.ParserError as error:
        raise _no_csv(where, str(error).strip().rpartition("C error: ")[2]) from None


def _no_csv(where: str, says: str) -> SpecError:
    """Return the error for what pandas says: fields too many, with the line, or a quotation mark that stays open."""
    place, _, row = says.rpartition(" at row ")
    if place.startswith("EOF inside string"):  # rows are counted from 0
        return SpecError(f"{where}: line {int(row) + 1}", 'opens a quotation mark (") and does not close it')
    return SpecError(where, f"is no CSV: {says}", next_step=FORMAT)


def _check_columns(where: str, columns: Collection[str]) -> None:
    for name in columns:
        if name.rpartition(".")[0] in COLUMNS:  # so pandas calls the second
            raise SpecError(where, f'the column "{name.rpartition(".")[0]}" is there twice')
        if name not in COLUMNS:
            raise SpecError(where, f'unknown column "{name}"{did_you_mean(name, COLUMNS)}', allowed=COLUMNS)
    if missing := [name for name in REQUIRED if name not in columns]:
        raise SpecError(where, f'the column "{missing[0]}" is missing', allowed=COLUMNS, next_step=FORMAT)


def _places(known: Collection[str]) -> Callable[[pd.Index], Numbers]:
    places = {name: float(at) for at, name in enumerate(known)}
    return lambda texts: np.array([places.get(text, np.nan) for text in texts])


def _finite(texts: pd.Index) -> Numbers:
    found = pd.to_numeric(texts.to_series(), errors="coerce").to_numpy(float)
    return np.where(np.isfinite(found), found, np.nan)


def _whole(texts: pd.Index) -> Numbers:
    found = _finite(texts)
    return np.where((found >= 0) & (found < LARGEST) & (found == np.floor(found)), found, np.nan)


def _whole_or_none(texts: pd.Index) -> Numbers:
    return np.where(texts == "", NO_EPOCH, _whole(texts))


def _flags(texts: pd.Index) -> Numbers:
    return np.array([FLAGS.get(text.lower(), np.nan) for text in texts])


def _decimals(table: pd.DataFrame) -> Numbers:
    """Return the digits after the point of each value; those of an exponent move the point."""
    codes, texts = pd.factorize(table["value"])
    parts = pd.Series(texts).str.strip().str.lower().str.partition("e")
    after = parts[0].str.partition(".")[2].str.len().to_numpy(float)
    powers = pd.to_numeric(parts[2], errors="coerce").fillna(0.0).to_numpy(float)
    found: Numbers = np.clip(after - powers, -300, 300)[codes]
    return found


def _twice(rows: RunRows, lines: Codes) -> Iterator[Mistake]:
    """Yield values that are there twice, and runs that have values with an epoch and without."""
    keys = pd.DataFrame({"case": rows.case, "metric": rows.metric, "seed": rows.seed, "epoch": rows.epoch})
    again = np.flatnonzero(keys.duplicated().to_numpy())[:TOLD]
    for at in again:
        first = int(np.flatnonzero((keys == keys.iloc[at]).all(axis="columns"))[0])
        yield Mistake(int(lines[at]), "seed", f"this seed has the value already in line {lines[first]}")
    mixed = keys.groupby(["case", "metric", "seed"], sort=False)["epoch"].transform("max").to_numpy() != NO_EPOCH
    for at in np.flatnonzero(mixed & (rows.epoch == NO_EPOCH))[:TOLD]:
        yield Mistake(int(lines[at]), "epoch", "is empty, and other values of the run have an epoch")


def _refuse(path: Path, mistakes: Collection[Mistake] | Iterator[Mistake]) -> None:
    """Raise SpecError with the first mistakes, if there are any."""
    found = sorted(mistakes)[:TOLD]
    if found:
        first, *others = found
        also = "".join(f'\n  also: line {one.line}, column "{one.column}": {one.what}' for one in others)
        raise SpecError(f'{path}: line {first.line}, column "{first.column}"', first.what + also, next_step=FORMAT)
