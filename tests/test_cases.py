"""`--case`: only some cases of the tables, with all that the other options do."""

import json
import sys

import pytest
from builders import TINY, TINY_ARGUMENTS, TOML, make_benchmark, make_toml
from typer.testing import CliRunner

from resnet18.cli.app import app
from resnet18.spec.errors import SpecError
from resnet18.spec.plan import only_cases, plan
from resnet18.spec.resolve import Request

ON_GPU = TOML.replace('name = "16"\n', 'name = "16"\nexecution = { device = "cuda" }\n')
COMMAND = [sys.executable, "-m", "resnet18", "run"]


@pytest.fixture
def mine(tmp_path):
    return make_benchmark(tmp_path)


@pytest.fixture
def other(mine):
    return mine.model_copy(update={"name": "other", "cases": mine.cases[:1]})


@pytest.fixture
def cli(tmp_path, monkeypatch):
    """Call the command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def chosen(benchmarks, *names):
    planned = plan(benchmarks, Request(overrides=TINY), [0], {"cpu": 1})
    return only_cases(planned, names, [one.name for one in benchmarks])


def labels(benchmarks, *names):
    return [run.labels for run in chosen(benchmarks, *names).runs]


@pytest.mark.parametrize(
    ("names", "expected"),
    [(["16"], [16]), (["mine/16"], [16]), (["16", "mine/8", "16"], [8, 16])],
)
def test_cases_are_named_with_or_without_their_table(names, expected, mine):
    """As `resnet18 plan` lists them; none named: every case, in the order of the plan."""
    assert [(f"mine/{size}",) for size in expected] == labels([mine], *names)


@pytest.mark.parametrize("name", ["8", "other/8", "mine/8"])
def test_a_run_that_cases_share_keeps_the_labels_of_all(name, mine, other):
    """Both tables show it, whichever of them was meant."""
    assert [("mine/8", "other/8")] == labels([mine, other], name)


def test_a_chosen_case_that_cannot_run_is_still_said_to_be_not_planned(tmp_path):
    mine = make_benchmark(tmp_path, ON_GPU)

    assert [["mine/16"], []] == [[one.label for one in chosen([mine], name).not_planned] for name in ("16", "8")]


@pytest.mark.parametrize("name", ["mine/61", "mime/16"])
def test_an_unknown_case_is_answered_with_labels_that_are_near(name, mine):
    with pytest.raises(SpecError, match=r'--case "\S+": no table has it \(did you mean "mine/16"\?\)'):
        chosen([mine], name)


def test_an_unknown_case_is_answered_with_the_command_that_lists_them(cli, tmp_path):
    """For the very tables that were named, and nothing is run."""
    result = cli("run", make_toml(tmp_path), "--case", "?", *TINY_ARGUMENTS)

    assert (2, []) == (result.exit_code, list(tmp_path.rglob("*.json")))
    assert f"next: list the cases with: resnet18 plan {tmp_path}/mine.toml" in result.output


def test_a_candidate_of_a_hypothesis_is_a_case_like_any_other_with_hypotheses(cli):
    """Beside the assumption itself, which the table shows too; without the option that is the answer."""
    candidate = "none [image_size: 224 px]"
    words = ["plan", "augmentation", "--scale", "paper", "--seeds", "1", "--json", "--case", candidate]
    rows = json.loads(cli(*words, "--hypotheses", "--case", "augmentation/none").stdout)
    without = cli(*words)

    assert ["augmentation/none", f"augmentation/{candidate}"] == [row["cases"].split(", augm")[0] for row in rows]
    assert (2, True) == (without.exit_code, "candidates: add --hypotheses" in without.output)


def test_only_tables_of_chosen_cases_are_announced(cli):
    text = cli("plan", "--case", "batchsize/8", "--case", "device/GPU").output.rpartition("\n\n")[2]

    assert ["batchsize: 1 run", "device: 0 runs, 1 not planned (no CUDA device)"] == [
        line.partition(";")[0] for line in text.splitlines()[:-1]
    ]
