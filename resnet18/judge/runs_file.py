"""A table of anybody's runs, read from CSV: every mistake is told by line and column before anything is judged."""

import codecs
import io
from collections.abc import Callable, Collection
from math import inf
from pathlib import Path

import pandas as pd

from resnet18.spec.errors import SpecError, did_you_mean, disk_errors

ABSENT = {"epoch": "", "order": "0", "unreliable": "false"}
"""Columns that a table may lack, and what stands in every row then."""
COLUMNS = ("case", "seed", "metric", "value", *ABSENT)
RUN = ["metric", "case", "seed"]
"""Columns that name the values of a run."""
MOST_BYTES = 256_000_000
"""Some five million lines; memory holds about twelve times as much."""
MOST_COMMAS = 100  # on a line
OTHER_SEPARATORS = (";", "\t", "|")
NAMELESS = "Unnamed: "
"""How pandas calls a column without a name."""
TOLD = 5
"""Mistakes that are told."""
MOST_NAMES = 12
"""Names that are listed where another one is unknown."""
NO_EPOCH = -1.0
"""The epoch of a value of the whole run."""
WHOLE = ["a whole number from 0 on"]
FLAGS = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0}
FORMAT = "see docs/judge.md for the format"
Mistakes = list[tuple[int, str, str]]
"""Line, column, and what is wrong there."""


def read_rows(path: Path, cases: Collection[str], metrics: Collection[str]) -> pd.DataFrame:
    """Return the rows of a CSV file by line, ordered by run and epoch; `printed` has the texts of the values.

    SpecError tells the first mistakes, each with its line and column.
    """
    meanings: dict[str, tuple[Callable[[pd.Series], pd.Series], str, Collection[str]]] = {
        "case": (lambda texts: texts.where(texts.isin(cases)), "is no case of the claims file", cases),
        "metric": (lambda texts: texts.where(texts.isin(metrics)), "is no metric of the claims file", metrics),
        "seed": (_whole, "is no seed", WHOLE),
        "value": (_finite, "is no number", ["a finite number, such as 75.49"]),
        "epoch": (lambda texts: _whole(texts).mask(texts == "", NO_EPOCH), "is no epoch", WHOLE),
        "order": (_finite, "is no number", ["a finite number: the earlier, the smaller"]),
        "unreliable": (lambda texts: texts.str.lower().map(FLAGS), "is no flag", FLAGS),
    }
    texts = _texts(path)
    if texts.empty:
        raise SpecError(str(path), "has no runs: there is no line after the head", next_step=FORMAT)
    rows, mistakes = pd.DataFrame({"printed": texts["value"]}), Mistakes()
    for column, (meaning, wrong, allowed) in meanings.items():
        codes, distinct = texts[column].factorize()
        rows[column] = meaning(pd.Series(distinct)).to_numpy()[codes]  # each text is read once
        listed = f" (allowed: {', '.join(allowed)})" if len(allowed) <= MOST_NAMES else ""
        refused = texts.loc[rows[column].isna(), column].head(TOLD)
        for line, text in zip(refused.index.tolist(), refused, strict=True):
            shown = f'"{text[:60]}" {wrong}{did_you_mean(text[:60], allowed)}' if text else "is empty"
            mistakes.append((line, column, shown + listed))
    _refuse(path, mistakes)
    rows = rows.sort_values([*RUN, "epoch"])
    _refuse(path, _repeated(rows))
    return rows


def _content(path: Path) -> bytes:
    """Return what a file holds; SpecError where it has no end, is too large, or a line has fields without end."""
    where = str(path)
    if path.exists() and not path.is_file():
        raise SpecError(where, "is no file: a folder, or a device or a pipe, which may have no end")
    with disk_errors(SpecError, where, "cannot be read"), path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise SpecError(where, f"larger than {MOST_BYTES:,} bytes", next_step="leave out metrics that no claim needs")
    content = content.removeprefix(codecs.BOM_UTF8)
    for number, line in enumerate(io.BytesIO(content), start=1):  # with 200,000 fields pandas takes minutes
        if line.count(b",") > MOST_COMMAS:
            raise SpecError(f"{where}: line {number}", f"more than {MOST_COMMAS} commas", next_step=FORMAT)
        if not line.startswith(b"#") and line.count(b'"') % 2:  # no field needs a line end
            what = (
                'has an odd number of quotation marks ("): a field stands on one line, and a mark inside it is doubled'
            )
            raise SpecError(f"{where}: line {number}", what, next_step=FORMAT)
    return content


def _texts(path: Path) -> pd.DataFrame:
    """Return the fields of a CSV file by line, counted as an editor does; lines without any are left out."""
    where, remarks, at, content = str(path), 0, 0, _content(path)
    while content.startswith(b"#", at):
        remarks, at = remarks + 1, content.find(b"\n", at) + 1 or len(content)
    content = b"\n" * remarks + content[at:]  # a quotation mark in a remark opens nothing
    try:
        content.decode("utf-8")
        lines = io.BytesIO(content)
        texts = pd.read_csv(
            lines, dtype=str, na_filter=False, skiprows=remarks, skip_blank_lines=False, skipinitialspace=True
        )
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SpecError(where, f"not UTF-8: line {line} has the byte {content[error.start]:#04x}") from None
    except pd.errors.EmptyDataError:
        raise SpecError(where, "has no head: its first line names the columns", allowed=COLUMNS) from None
    except pd.errors.ParserError as error:  # a line with too many fields is named
        raise SpecError(where, f"is no CSV: {str(error).strip()}", next_step=FORMAT) from None
    _check_columns(f"{where}: line {remarks + 1}", [*texts.columns])
    if not isinstance(texts.index, pd.RangeIndex):  # pandas takes the first field of longer lines for a row's name
        raise SpecError(f"{where}: line {remarks + 2}", "has more fields than the head", next_step=FORMAT)
    texts.index += remarks + 2
    return texts[(texts != "").any(axis="columns")].assign(
        **{name: text for name, text in ABSENT.items() if name not in texts}
    )


def _check_columns(where: str, columns: Collection[str]) -> None:
    for name in columns:
        if separator := next((one for one in OTHER_SEPARATORS if one in name), None):
            raise SpecError(where, f"its columns are separated by {separator!r}, not by commas", next_step=FORMAT)
        if name.startswith(NAMELESS):
            raise SpecError(where, "has a column without a name: a comma too many?", allowed=COLUMNS)
        if name.rpartition(".")[0] in COLUMNS:  # so pandas calls the second
            raise SpecError(where, f'the column "{name.rpartition(".")[0]}" is there twice')
        if name not in COLUMNS:
            raise SpecError(where, f'unknown column "{name}"{did_you_mean(name, COLUMNS)}', allowed=COLUMNS)
    if missing := [name for name in COLUMNS if name not in {*columns, *ABSENT}]:
        raise SpecError(where, f'the column "{missing[0]}" is missing', allowed=COLUMNS, next_step=FORMAT)


def _finite(texts: pd.Series) -> pd.Series:
    found = pd.to_numeric(texts, errors="coerce")
    return found.where(found.abs() < inf).astype(float)


def _whole(texts: pd.Series) -> pd.Series:
    found = _finite(texts)
    return found.where((found >= 0) & (found % 1 == 0) & (found < 2.0**53))  # larger numbers are not exact


def _repeated(rows: pd.DataFrame) -> Mistakes:
    """Return values that are there twice, and those without an epoch of runs that have epochs."""
    line, epoch, is_same_run = rows.index.to_series().shift(), rows["epoch"].shift(), rows.duplicated(RUN)
    twice = line[is_same_run & (epoch == rows["epoch"])].sort_index().head(TOLD)
    mixed = line[is_same_run & (epoch == NO_EPOCH) & (rows["epoch"] > epoch)].sort_values().head(TOLD)
    return [
        *((at, "seed", f"this seed has the value already in line {twice[at]:.0f}") for at in twice.index.tolist()),
        *((int(at), "epoch", "is empty, and other values of the run have an epoch") for at in mixed),
    ]


def _refuse(path: Path, mistakes: Mistakes) -> None:
    """Raise SpecError with the first mistakes, if there are any."""
    if mistakes:
        (line, column, what), *others = sorted(mistakes)[:TOLD]
        what += "".join(f'\n  also: line {at}, column "{name}": {why}' for at, name, why in others)
        raise SpecError(f'{path}: line {line}, column "{column}"', what, next_step=FORMAT)
