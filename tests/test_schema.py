"""The JSON schema that editors read: current, and in agreement with the loader."""

import json
import tomllib
from pathlib import Path

import jsonschema
import pytest
from builders import TOML

from resnet18.spec.benchmark import spec_schema

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
FILES = sorted(BENCHMARKS.rglob("*.toml"))
SCHEMA = BENCHMARKS / "spec.schema.json"


def mistakes(text):
    """Return where the schema finds something wrong."""
    checker = jsonschema.Draft202012Validator(spec_schema())
    return [".".join(map(str, error.absolute_path)) for error in checker.iter_errors(tomllib.loads(text))]


def test_the_committed_schema_is_current():
    """Made by: resnet18 schema spec > benchmarks/spec.schema.json."""
    assert spec_schema() == json.loads(SCHEMA.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(BENCHMARKS).as_posix())
def test_every_file_names_the_schema_for_editors(path):
    """On its first line, by a path that leads there."""
    first = path.read_text(encoding="utf-8").splitlines()[0]

    assert first.startswith("#:schema ")
    assert SCHEMA == (path.parent / first.removeprefix("#:schema ")).resolve()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(BENCHMARKS).as_posix())
def test_an_editor_marks_nothing_in_the_files_of_the_suite(path):
    """They are valid."""
    assert [] == mistakes(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("right", "wrong", "where"),
    [
        ("epochs = 2", 'epochs = "two"', "experiment.epochs"),
        ("epochs = 2", "epochz = 2", "experiment"),
        ('name = "sgd", lr = 0.01', 'name = "sdg", lr = 0.01', "experiment.optimizer"),
        ('cases_in = "columns"', 'cases_in = "diagonals"', "table.cases_in"),
    ],
)
def test_an_editor_marks_a_mistake(right, wrong, where):
    """Where it is."""
    assert where in mistakes(TOML.replace(right, wrong))
