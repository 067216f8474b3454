"""docs/failures.md, processes.md and public-reports.md: everything is there once, and the tests they name exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
DOCS = TESTS.parent / "docs"


def rows_of(page):
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    numbered = (line for line in lines if re.match(r"\| \d+ \|", line))
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in numbered]


ROWS, ARROWS = rows_of("failures.md"), rows_of("processes.md")
TEST = re.compile(r"`(test_\w+\.py)::([Tt]est_?\w+)`")
WITHOUT_TEST = re.compile(r"not built yet|does not arise", re.IGNORECASE)


@cache
def functions_of(file):
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assigned = [name for node in tree.body if isinstance(node, ast.Assign) for name in node.targets]
    return functions | {name.id for name in assigned if isinstance(name, ast.Name)}  # a state machine is assigned


def test_every_failure_of_the_catalogue_has_one_row():
    """Numbers from 1, in order, each with four cells."""
    assert [str(number) for number in range(1, len(ROWS) + 1)] == [row[0] for row in ROWS]
    assert {4} == {len(row) for row in ROWS}


def test_every_arrow_of_the_diagram_has_one_row():
    text = (DOCS / "processes.md").read_text(encoding="utf-8")
    drawn = [number for label in re.findall(r" --> .*: ([\d, ]+)$", text, re.MULTILINE) for number in label.split(", ")]

    assert sorted(drawn, key=int) == [row[0] for row in ARROWS]


@pytest.mark.parametrize("row", ROWS + ARROWS, ids=lambda row: row[0])
def test_every_row_names_tests_that_exist_or_says_why_there_is_none(row):
    """Nothing stands in the last cell but tests, unless the failure cannot arise or its part is not built."""
    named = TEST.findall(row[3])
    rest = TEST.sub("", row[3]).replace("<br>", "").strip()

    assert [] == [f"{file}::{name}" for file, name in named if name not in functions_of(file)]
    assert named or WITHOUT_TEST.search(row[3])
    assert not rest or WITHOUT_TEST.search(rest)


def test_every_test_that_shows_a_public_report_exists():
    named = TEST.findall((DOCS / "public-reports.md").read_text(encoding="utf-8"))

    assert [] == [f"{file}::{name}" for file, name in named if name not in functions_of(file)]
    assert named
