"""docs/failures.md: every kind of failure is there once, and every test that it names exists."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "failures.md"
ROWS = [
    [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if re.match(r"\| \d+ \|", line)
]
TEST = re.compile(r"`(test_\w+\.py)::([Tt]est_?\w+)`")
WITHOUT_TEST = re.compile(r"not built yet|does not arise", re.IGNORECASE)


@cache
def functions_of(file):
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assigned = [name for node in tree.body if isinstance(node, ast.Assign) for name in node.targets]
    return functions | {name.id for name in assigned if isinstance(name, ast.Name)}  # a state machine is assigned


def test_every_failure_of_the_catalogue_has_one_row():
    """Numbers 1 to 75, in order, each with four cells."""
    assert [str(number) for number in range(1, 76)] == [row[0] for row in ROWS]
    assert {4} == {len(row) for row in ROWS}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_row_names_tests_that_exist_or_says_why_there_is_none(row):
    """Nothing stands in the last cell but tests, unless the failure cannot arise or its part is not built."""
    named = TEST.findall(row[3])
    rest = TEST.sub("", row[3]).replace("<br>", "").strip()

    assert [] == [f"{file}::{name}" for file, name in named if name not in functions_of(file)]
    assert named or WITHOUT_TEST.search(row[3])
    assert not rest or WITHOUT_TEST.search(rest)
